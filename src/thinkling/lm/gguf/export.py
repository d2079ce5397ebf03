"""A language model's run becomes a GGUF file, which llama.cpp reads back and which is compared with the run."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from thinkling.artifacts.hub import fetched
from thinkling.artifacts.run_folder import cannot_write
from thinkling.artifacts.weights import load_into, read_model_weights
from thinkling.errors import InputError
from thinkling.lm.gguf.fields import BLOCKS, TYPES, GgufType, StoredType, check_type
from thinkling.lm.gguf.llama_runtime import llama_cpp_or_none, needed_llama_cpp, quantise
from thinkling.lm.gguf.samples import prompts, text_to_predict
from thinkling.lm.gguf.verify import Comparison, Logits, compare, first, predicted, predicted_by
from thinkling.lm.gguf.write import needed_gguf, write_gguf
from thinkling.lm.model import Decoder
from thinkling.lm.run_files import CHAT, RunFiles, read_run

PREDICTED_TOKENS = 2048
"""Tokens of text whose perplexity is measured with every type."""
HOW_TO_VERIFY = (
    "not compared, because llama-cpp-python is not installed: pip install 'thinkling[gguf]' and export once more, or "
    "open the file in a llama.cpp of your own"
)


@dataclass(frozen=True, kw_only=True)
class TypeRow:
    """One line of the table of types."""

    kind: str
    """`run` for the run itself in fp32, else the type of a file."""
    bytes: int
    """Size of the file, or of the run's weights."""
    perplexity: float
    """Of the text, in this type."""
    same_token: float
    """Share of positions at which the likeliest token is that of the run in fp32."""


@dataclass(frozen=True, kw_only=True)
class GgufExport:
    """What came out: the contract's keys of `thinkling export`, and the rest of the comparison."""

    path: Path
    """The file."""
    bytes: int
    """Its size."""
    max_abs_diff: float | None
    """Largest difference of a logit between the file in llama.cpp and our decoder with the file's numbers, rounded
    where llama.cpp rounds; None where nothing was compared."""
    checked: bool
    """Whether everything was compared and is equal within the tolerance."""
    kind: GgufType
    """The type."""
    tolerance: float | None = None
    """Largest difference that counts as equal."""
    rms_diff: float | None = None
    """Root mean square of these differences."""
    unrounded_diff: float | None = None
    """Largest difference of a logit between the run in fp32 and llama.cpp with the same fields and fp32 weights; None
    where no such file was made for the time of the comparison."""
    strings: int = 0
    """Strings whose tokens were compared."""
    greedy_tokens: int = 0
    """Likeliest next tokens compared."""
    greedy_ties: int = 0
    """Those that were decided by less than the tolerance, and differently."""
    table: tuple[TypeRow, ...] = ()
    """Perplexity by type."""
    faults: tuple[str, ...] = ()
    """What differs."""
    note: str = ""
    """What was not done, and how to do it."""


def export_gguf(
    run: str | Path,
    path: Path,
    kind: GgufType = "bf16",
    *,
    fall_back: bool = False,
    text: Path | None = None,
    every_type: bool = True,
) -> GgufExport:
    """Write the model of a run as GGUF, open the file in llama.cpp, and compare.

    Whatever the type, a file with unrounded weights and a bf16 one are made and compared too: they have the same fields
    and names, and no rounding can hide a mistake in the first.

    Args:
        run: a run folder, a checkpoint inside one, or an `hf://` address.
        path: the file; an existing one is replaced.
        kind: how matrices are stored.
        fall_back: for q4_k_m, store matrices whose rows are no multiple of 256 in llama.cpp's next finer type.
        text: what perplexity is measured on, in any form that a corpus may have; text of our own where not given.
        every_type: measure perplexity with every type that the shapes allow, and make the file with unrounded weights;
            otherwise only bf16 and this type are compared.

    Raises:
        InputError: no such run, one of another kind, a type that a matrix does not allow, a missing package, or a
            folder in place of the file.
        ThinklingError: the disk or llama.cpp refuses.
    """
    if path.is_dir():
        raise InputError(f"--out {path}, which is a folder", "a file", f"write {path / 'model.gguf'}")
    needed_gguf()
    files = read_run(run)
    check_type(kind, files.model, fall_back=fall_back)
    if kind == "q4_k_m":
        needed_llama_cpp("--type q4_k_m")
    weights = _weights(files)
    source = _Source(files=files, weights=weights, name=fetched(run).resolve().name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".gguf-", dir=path.parent) as folder:
            source.write(path, kind, Path(folder))
            size = path.stat().st_size
            if llama_cpp_or_none() is None:
                return GgufExport(
                    path=path, bytes=size, max_abs_diff=None, checked=False, kind=kind, note=HOW_TO_VERIFY
                )
            return _compared(source, path, kind, Path(folder), text, every_type=every_type)
    except OSError as error:
        raise cannot_write(path, error) from error


@dataclass(frozen=True, kw_only=True)
class _Source:
    """What every file is made of."""

    files: RunFiles
    weights: dict[str, Tensor]
    name: str

    def write(self, path: Path, kind: StoredType, folder: Path) -> None:
        """Write a file of a type; q4_k_m by way of a bf16 one in a folder for such things."""
        if kind != "q4_k_m":
            write_gguf(path, self.weights, self.files.model, self.files.tokenizer, kind, self.name)
            return
        unquantised = folder / "bf16.gguf"
        if not unquantised.exists():
            self.write(unquantised, "bf16", folder)
        quantise(unquantised, path, kind)

    def network(self) -> Decoder:
        """The run's own decoder, in fp32."""
        network = Decoder(self.files.model)
        load_into(network, self.weights)
        return network.eval()


def _compared(
    source: _Source, path: Path, kind: GgufType, folder: Path, text: Path | None, *, every_type: bool
) -> GgufExport:
    config, tokenizer = source.files.model, source.files.tokenizer
    chat = source.files.stage == CHAT
    texts = first(text_to_predict(tokenizer, chat=chat, source=text), PREDICTED_TOKENS)
    asked = prompts(tokenizer, chat=chat)
    run = predicted(_logits(source.network()), config, texts)
    size = sum(weight.nbytes for weight in source.weights.values())
    rows = [TypeRow(kind="run", bytes=size, perplexity=run.perplexity, same_token=1.0)]
    found: dict[StoredType, Comparison] = {}
    for other in _types(source, kind, every_type=every_type):
        file = path if other == kind else folder / f"{other}.gguf"
        if not file.exists():
            source.write(file, other, folder)
        if other in ("f32", "bf16", kind):
            found[other] = compare(
                file, other, config, source.weights, tokenizer, prompts=asked, texts=texts, cut=other == kind
            )
        if other != "f32":
            prediction = predicted_by(file, config, texts)
            same = float((prediction.likeliest == run.likeliest).double().mean())
            written = file.stat().st_size
            rows.append(TypeRow(kind=other, bytes=written, perplexity=prediction.perplexity, same_token=same))
        if other not in ("bf16", kind):
            file.unlink()
    faults = tuple(fault for comparison in found.values() for fault in comparison.faults)
    own = found[kind]
    return GgufExport(
        path=path,
        bytes=path.stat().st_size,
        max_abs_diff=own.max_abs_diff,
        checked=not faults,
        kind=kind,
        tolerance=own.tolerance,
        rms_diff=own.rms_diff,
        unrounded_diff=found["f32"].max_abs_diff if "f32" in found else None,
        strings=own.strings,
        greedy_tokens=own.greedy_tokens,
        greedy_ties=own.greedy_ties,
        table=tuple(rows),
        faults=faults,
    )


def _types(source: _Source, kind: GgufType, *, every_type: bool) -> Sequence[StoredType]:
    """The types to compare and to measure, the larger files first."""
    config = source.files.model
    sizes = (config.hidden_size, config.inner_size, config.num_heads * config.head_dim)
    fitting: list[StoredType] = [
        other
        for other in TYPES
        if other in ("bf16", kind) or (every_type and all(size % BLOCKS[other] == 0 for size in sizes))
    ]
    return ["f32", *fitting] if every_type else fitting


def _weights(files: RunFiles) -> dict[str, Tensor]:
    """The run's weights, averaged ones where there are any, checked to be those of its architecture."""
    weights = read_model_weights(files.folder)
    with torch.device("meta"):
        expected = Decoder(files.model).state_dict()
    if weights.keys() != expected.keys() or any(
        weights[name].shape != tensor.shape for name, tensor in expected.items()
    ):
        load_into(Decoder(files.model), weights)  # says which ones
    return weights


def _logits(network: Decoder) -> Logits:
    @torch.inference_mode()
    def logits(ids: list[int]) -> Tensor:
        return network.logits(network(torch.tensor([ids])))[0]

    return logits
