"""Thinkling: small models that think, by iterating instead of by being large.

The public names resolve on first use, so that `import thinkling` is quick and does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thinkling.models import load
    from thinkling.puzzles.hrm import HRM, HRMConfig
    from thinkling.puzzles.trm import TRM, TRMConfig

__version__ = "0.1.0"

_HOME_OF = {
    "HRM": "thinkling.puzzles.hrm",
    "HRMConfig": "thinkling.puzzles.hrm",
    "TRM": "thinkling.puzzles.trm",
    "TRMConfig": "thinkling.puzzles.trm",
    "load": "thinkling.models",
}

__all__ = ["HRM", "TRM", "HRMConfig", "TRMConfig", "__version__", "load"]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'thinkling' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
