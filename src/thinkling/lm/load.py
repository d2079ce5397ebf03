"""The model of a language model's run folder."""

from __future__ import annotations

from pathlib import Path

from thinkling.lm.language_model import LanguageModel
from thinkling.nn.precision import ComputeDtype


def load(run: str | Path, *, device: str = "auto", compute_dtype: ComputeDtype = "auto") -> LanguageModel:
    """Load what a run folder holds.

    Args:
        run: a run folder, a checkpoint inside one, a folder written by `save_pretrained`, or an `hf://` address.
        device: auto, cpu, cuda or mps.
        compute_dtype: dtype of matrix products.

    Raises:
        InputError: the folder is missing, damaged, or of another product.
    """
    return LanguageModel.from_folder(run, device=device, compute_dtype=compute_dtype)
