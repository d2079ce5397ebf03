"""`hf://owner/name[@revision][/path]`: files of the Hugging Face hub, fetched by `huggingface_hub` (the extra `hub`).

`hf://datasets/owner/name…` names a data set instead of a model. The package is imported only when such an address is
used; it keeps what it fetched in its own cache, also for use without a network.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thinkling.errors import InputError

SCHEME = "hf://"
_ALLOWED = "a path on this machine, or hf://[datasets/]OWNER/NAME[@REVISION][/PATH]"
# A `Path` made of an address has lost one of the two strokes.
_ADDRESS = re.compile(r"^hf:/{1,2}(?P<kind>datasets/)?(?P<rest>.*)$", re.S)
_PARTS = re.compile(r"^(?P<name>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w.-]+))?(?:/(?P<path>[^\\]+))?$")


@dataclass(frozen=True, kw_only=True)
class HubAddress:
    """What an address names."""

    repository: str
    """owner/name."""
    kind: str = "model"
    """model or dataset."""
    revision: str | None = None
    """A branch, tag or commit; the hub's default branch where not given."""
    path: str = ""
    """A file or folder in the repository; all of it where not given."""

    def __str__(self) -> str:
        """The address as the user writes it."""
        kind = "datasets/" if self.kind == "dataset" else ""
        revision = f"@{self.revision}" if self.revision else ""
        return f"{SCHEME}{kind}{self.repository}{revision}{'/' if self.path else ''}{self.path}"


def read_address(text: str | Path) -> HubAddress | None:
    """The parts of an address; None for anything that is a path on this machine.

    Raises:
        InputError: it begins like an address and is none.
    """
    match = _ADDRESS.match(str(text))
    if match is None:
        return None
    parts = _PARTS.match(match["rest"].rstrip("/"))
    if parts is None or ".." in match["rest"].split("/"):
        raise InputError(f"{SCHEME}{match['rest']}", _ALLOWED, "correct the address")
    return HubAddress(
        repository=parts["name"],
        kind="dataset" if match["kind"] else "model",
        revision=parts["revision"],
        path=parts["path"] or "",
    )


def fetched(place: str | Path) -> Path:
    """A path on this machine: the one given, or where the files of an address are after they were fetched.

    Raises:
        InputError: no such address, or the package `huggingface_hub` is missing, or the hub has no such files.
    """
    address = read_address(place)
    return Path(place) if address is None else _fetch(address)


def _fetch(address: HubAddress) -> Path:
    hub = _hub(address)
    patterns = [address.path, f"{address.path}/*"] if address.path else None
    try:
        folder = hub.snapshot_download(
            repo_id=address.repository,
            repo_type=address.kind,
            revision=address.revision,
            allow_patterns=patterns,
        )
    except Exception as error:  # the package raises its own errors and those of whatever client it uses
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{address}: cannot be fetched ({reason})",
            "a repository of the Hugging Face hub that you may read",
            "check the address and the network, or download the files and give their path",
        ) from error
    place = Path(folder) / address.path
    if not place.exists():
        raise InputError(
            f"{address}: no such file or folder in the repository",
            "a path that is in it",
            "look it up on the hub's page of the repository",
        )
    return place


def _hub(address: HubAddress) -> Any:
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError:
        raise InputError(
            f"{address} without the package huggingface_hub",
            "a path on this machine, or an installed huggingface_hub",
            "pip install 'thinkling[hub]'",
        ) from None
