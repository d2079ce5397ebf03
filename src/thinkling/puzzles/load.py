"""`thinkling.load`: the model of a run folder."""

from __future__ import annotations

from pathlib import Path

from thinkling.artifacts.hub import fetched
from thinkling.artifacts.run_folder import find_model_folder, read_config
from thinkling.errors import InputError
from thinkling.nn.precision import ComputeDtype
from thinkling.puzzles.plugins import with_plugin
from thinkling.puzzles.puzzle_model import PuzzleModel


def load(
    run: str | Path,
    *,
    device: str = "auto",
    compute_dtype: ComputeDtype = "auto",
    task: str | Path | None = None,
) -> PuzzleModel:
    """Load a model from a run folder, a checkpoint inside one, or a folder written by `save_pretrained`.

    Args:
        run: the folder, the name of a model that comes with the package (sudoku), or
            `hf://owner/name[@revision][/path]` on the Hugging Face hub.
        device: auto, cpu, cuda or mps.
        compute_dtype: auto, float32 or bfloat16.
        task: for a table a Python file with its checker; naming it here runs it.

    Raises:
        InputError: the folder is missing, half-written, damaged, or of an unknown product.
    """
    folder = find_model_folder(fetched(run))
    product = read_config(folder).get("product")
    if product != "puzzles":
        raise InputError(f"product {product!r} in {folder / 'config.json'}", "puzzles", "use a puzzle run")
    model = PuzzleModel.from_folder(folder, device=device, compute_dtype=compute_dtype)
    model.task = with_plugin(model.task, None if task is None else Path(task))
    return model
