"""Models that come with the package, and the names by which a run can be given in place of a path.

Each is a folder of `shipped/` beside the rooms, as `save_pretrained` writes it, with a model card.
"""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).resolve().parents[1] / "shipped"


def shipped_names(folder: Path = _FOLDER) -> list[str]:
    """The names of the models in the package, in alphabetical order."""
    return sorted(path.parent.name for path in folder.glob("*/config.json"))


def shipped_folder(run: Path, folder: Path = _FOLDER) -> Path | None:
    """The folder of the model in the package whose name is given; None where it is the name of none.

    Only a bare name is one: nothing that a path leads to outside `shipped/` is ever returned.

    Args:
        run: what the user named.
        folder: where the models are.
    """
    return folder / run.name if str(run) in shipped_names(folder) else None
