"""`thinkling.load`: the model of a run folder, whatever product it belongs to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from thinkling.artifacts.hub import fetched
from thinkling.artifacts.run_folder import find_model_folder, read_config
from thinkling.errors import InputError
from thinkling.nn.precision import ComputeDtype

if TYPE_CHECKING:
    from thinkling.lm.language_model import LanguageModel
    from thinkling.puzzles.onnx_solver import OnnxSolver
    from thinkling.puzzles.puzzle_model import PuzzleModel
    from thinkling.thinking_bert.classifier_model import ClassifierModel
    from thinkling.thinking_bert.encoder_model import EncoderModel

PRODUCTS = ("puzzles", "thinking_bert", "lm")
"""What a run can be, by the word in its config.json."""


def product_of(run: str | Path) -> str:
    """Which product a run belongs to.

    Args:
        run: a run folder, a checkpoint inside one, the name of a model that comes with the package, or an `hf://`
            address.

    Raises:
        InputError: the folder is missing, half-written or damaged, or of an unknown product.
    """
    return _product(fetched(run))


def _product(place: Path) -> str:
    folder = find_model_folder(place)
    product = read_config(folder).get("product")
    if product not in PRODUCTS:
        raise InputError(
            f"product {product!r} in {folder / 'config.json'}",
            ", ".join(PRODUCTS),
            "use a run of this version",
        )
    return str(product)


def load(
    run: str | Path,
    *,
    device: str = "auto",
    compute_dtype: ComputeDtype = "auto",
    task: str | Path | None = None,
) -> PuzzleModel | OnnxSolver | EncoderModel | ClassifierModel | LanguageModel:
    """Load a model from a run folder, a checkpoint inside one, or a folder written by `save_pretrained`.

    Args:
        run: the folder, the name of a model that comes with the package (sudoku), `hf://owner/name[@revision][/path]`
            on the Hugging Face hub, or an exported .onnx file.
        device: auto, cpu, cuda or mps.
        compute_dtype: auto, float32 or bfloat16.
        task: for a table a Python file with its checker; naming it here runs it.

    Returns:
        a puzzle model or an exported one, an encoder that fills masks, a classifier, or a language model.

    Raises:
        InputError: the folder is missing, half-written, damaged, or of an unknown product.
    """
    place = fetched(run)
    if place.suffix == ".onnx":
        from thinkling.puzzles import onnx_solver

        if onnx_solver.is_puzzle_file(place):
            return onnx_solver.OnnxSolver.from_file(place, task=task)
    product = "thinking_bert" if place.suffix == ".onnx" else _product(place)
    if product == "lm":
        from thinkling.lm.load import load as load_language_model

        return load_language_model(place, device=device, compute_dtype=compute_dtype)
    if product == "thinking_bert":
        from thinkling.thinking_bert.load import load as load_text_model

        return load_text_model(place, device=device, compute_dtype=compute_dtype)
    from thinkling.puzzles.load import load as load_puzzle_model

    return load_puzzle_model(place, device=device, compute_dtype=compute_dtype, task=task)
