"""An ONNX file opened in onnxruntime. Imports no torch: it runs where there is none."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thinkling.errors import InputError

OURS = "a file written by `thinkling export onnx`"
"""What a file should be, in an error."""

Session = Any
"""An `onnxruntime.InferenceSession`; the package has no types."""


def needed(package: str) -> Any:
    """A package that only ONNX needs.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError:
        raise InputError(
            f"ONNX without the package {package}",
            "onnx, onnxscript and onnxruntime, which are installed on request",
            "pip install 'thinkling[onnx]'",
        ) from None


def open_session(path: Path, *, threads: int = 0) -> Session:
    """An `onnxruntime.InferenceSession` on the CPU.

    Args:
        path: the file.
        threads: in one operator; 0: as many as OMP_NUM_THREADS says, or one a core.

    Raises:
        InputError: onnxruntime is not installed, or the file is missing or damaged.
    """
    onnxruntime = needed("onnxruntime")
    if not path.is_file():
        raise InputError(f"{path}: no such file", OURS, "check the path")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or _threads_wanted()
    # Threads that wait sleep: spinning, they slow down everything on a machine whose cores are in use.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Weights stored in 8 bits are widened once, when the file is opened, and not at every product.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the package has one error class for every code, all directly below Exception
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} is damaged ({reason})", OURS, "export the run again") from None


def metadata(session: Session) -> Mapping[str, str]:
    """Text by name, as it was written with the graph."""
    kept: Mapping[str, str] = session.get_modelmeta().custom_metadata_map
    return kept


def _threads_wanted() -> int:
    """What OMP_NUM_THREADS says, which onnxruntime does not read; 0, its own choice, where it says nothing."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if text.isascii() and text.isdigit() else 0
