"""The model of a Thinking-BERT run: an encoder that fills masks, or a classifier."""

from __future__ import annotations

from pathlib import Path

from thinkling.nn.precision import ComputeDtype
from thinkling.thinking_bert.classifier_model import ClassifierModel
from thinkling.thinking_bert.encoder_model import EncoderModel
from thinkling.thinking_bert.run_files import CLASSIFICATION, read_run


def load(
    run: str | Path, *, device: str = "auto", compute_dtype: ComputeDtype = "auto"
) -> EncoderModel | ClassifierModel:
    """Load what a run folder holds.

    Args:
        run: a run folder, a checkpoint inside one, a folder written by `save_pretrained`, an `hf://` address, or an
            exported .onnx file.
        device: auto, cpu, cuda or mps.
        compute_dtype: dtype of matrix products.

    Raises:
        InputError: the folder is missing, damaged, or of another product.
    """
    if not is_exported(run) and is_classifier(run):
        return ClassifierModel.from_folder(run, device=device, compute_dtype=compute_dtype)
    return load_encoder(run, device=device, compute_dtype=compute_dtype)


def load_encoder(
    run: str | Path, *, device: str = "auto", compute_dtype: ComputeDtype = "auto"
) -> EncoderModel:
    """The same for a model that must fill masks. An exported one runs in onnxruntime, on the CPU in fp32.

    Raises:
        InputError: also where the run is a classifier.
    """
    if is_exported(run):
        from thinkling.thinking_bert.onnx_encoder import OnnxEncoder  # an extra: only where it is asked for

        return OnnxEncoder.from_file(run)
    return EncoderModel.from_folder(run, device=device, compute_dtype=compute_dtype)


def is_exported(run: str | Path) -> bool:
    """Whether a path names an ONNX file."""
    return str(run).endswith(".onnx")


def is_classifier(run: str | Path) -> bool:
    """Whether a run of Thinking-BERT classifies texts."""
    return bool(read_run(run).config["task"]["name"] == CLASSIFICATION)
