"""A language model as a folder of Hugging Face Transformers, written, opened there and compared; and the way back.

A run folder is such a folder already. An export leaves out what only training needs, takes the averaged weights where
there are any, and may halve the size.

Shapes: S positions, V vocabulary.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from thinkling.artifacts.hub import fetched
from thinkling.artifacts.run_folder import CONFIG, WEIGHTS, cannot_write, read_config, read_json
from thinkling.artifacts.weights import load_into, load_weights, read_model_weights, write_model_folder
from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.errors import InputError
from thinkling.lm.config import DecoderConfig
from thinkling.lm.gguf.samples import conversations, strings
from thinkling.lm.hf_files import TOKENIZER, write_hf_files
from thinkling.lm.model import Decoder
from thinkling.lm.run_files import CHAT, STAGES, description, read_run

TOLERANCE = 1e-4
"""Largest difference of a logit that counts as equal, for values up to 5; beyond, by their share more."""
_LARGE = 5.0
_POSITIONS = 128
_KEPT = ("product", "architecture", "task", "objective", "provenance")
_SHARDS = "model.safetensors.index.json"
_OUTPUT = "lm_head.weight"
_SAME: Mapping[str, Any] = {
    "hidden_act": "silu",
    "attention_bias": False,
    "tie_word_embeddings": True,
    "use_sliding_window": False,
    "rope_scaling": None,
}
"""Settings that our decoder has no other value for."""
_SIZES: Mapping[str, str] = {
    "vocab_size": "vocab_size",
    "max_position_embeddings": "max_length",
    "hidden_size": "hidden_size",
    "num_hidden_layers": "num_layers",
    "num_attention_heads": "num_heads",
    "num_key_value_heads": "num_kv_heads",
    "head_dim": "head_dim",
    "intermediate_size": "inner_size",
    "rms_norm_eps": "norm_eps",
}

StoredDtype = Literal["float32", "bfloat16"]
"""How weights are stored."""
DTYPES: Mapping[StoredDtype, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""The same for torch."""


@dataclass(frozen=True, kw_only=True)
class HfExport:
    """What came out: the contract's keys of `thinkling export`."""

    path: Path
    """The folder."""
    bytes: int
    """Size of all its files."""
    max_abs_diff: float | None
    """Largest difference of a logit between Transformers and our decoder, both with the stored weights; None where
    nothing was compared."""
    checked: bool
    """Whether tokens, conversations and logits were compared and are equal."""
    tolerance: float | None = None
    """Largest difference that counts as equal."""
    strings: int = 0
    """Strings whose tokens were compared."""
    faults: tuple[str, ...] = ()
    """What differs."""
    note: str = ""
    """What was not done, and how to do it."""


def export_hf(run: str | Path, out: Path, dtype: StoredDtype = "float32") -> HfExport:
    """Write a folder that `AutoModelForCausalLM` and `AutoTokenizer` open, open it there, and compare.

    Args:
        run: a run folder, a checkpoint inside one, or an `hf://` address.
        out: the folder; files of an earlier export in it are replaced.
        dtype: how the weights are stored.

    Raises:
        InputError: no such run, one of another kind, or a file or the run itself in place of the folder.
        ThinklingError: the disk refuses.
    """
    files = read_run(run)
    _check_place(out, files.folder, fetched(run))
    weights = {name: value.to(DTYPES[dtype]) for name, value in read_model_weights(files.folder).items()}
    load_into(Decoder(files.model), weights)
    kept = {key: files.config[key] for key in _KEPT if key in files.config}
    config = {**description(files.model, files.stage), **kept, "dtype": dtype, "torch_dtype": dtype}
    try:
        write_model_folder(out, config, weights)
        write_hf_files(out, files.tokenizer, files.model)
        size = sum(path.stat().st_size for path in out.iterdir() if path.is_file())
    except OSError as error:
        raise cannot_write(out, error) from error
    try:
        transformers = importlib.import_module("transformers")
    except ImportError:
        note = "not compared, because transformers is not installed: pip install transformers and export once more"
        return HfExport(path=out, bytes=size, max_abs_diff=None, checked=False, note=note)
    with _quiet(transformers):
        faults, count = _cut_differently(transformers, out, files.tokenizer)
        difference, allowed = _logits_differ(transformers, out, files.model)
    if not difference <= allowed:
        faults.append(f"logits differ by {difference:.3g}; allowed: {allowed:.3g}")
    return HfExport(
        path=out,
        bytes=size,
        max_abs_diff=difference,
        checked=not faults,
        tolerance=allowed,
        strings=count,
        faults=tuple(faults),
    )


def import_hf(folder: str | Path, out: Path, stage: str = CHAT) -> DecoderConfig:
    """Make a run folder of a Transformers folder, such as an export that was trained further elsewhere.

    Args:
        folder: a folder with Qwen3's architecture and one of our tokenizers, or an `hf://` address.
        out: the run folder to write.
        stage: how far the model has been trained: pretraining or chat.

    Returns:
        the decoder's sizes.

    Raises:
        InputError: another architecture, a setting that our decoder does not have, another kind of tokenizer, or
            weights that do not fit.
        ThinklingError: the disk refuses.
    """
    if stage not in STAGES:
        raise InputError(f"the stage {stage!r}", ", ".join(STAGES), "say how far the model was trained")
    place = fetched(folder)
    config = decoder_config(read_config(place))
    tokenizer = ChatTokenizer.load(place / TOKENIZER)
    weights = {name: value.float() for name, value in _stored(place).items()}
    embeddings = weights.get("model.embed_tokens.weight")
    if embeddings is not None and (output := weights.get(_OUTPUT, embeddings)).shape == embeddings.shape:
        if not torch.equal(output, embeddings):
            raise InputError(f"{place}: {_OUTPUT} of its own", "tied embeddings", "use another model")
        weights.pop(_OUTPUT, None)
    load_into(Decoder(config), weights)
    try:
        write_model_folder(out, description(config, stage), weights)
        write_hf_files(out, tokenizer, config)
    except OSError as error:
        raise cannot_write(out, error) from error
    return config


def decoder_config(settings: Mapping[str, Any]) -> DecoderConfig:
    """Our decoder's sizes from Transformers' config.json of a Qwen3.

    Raises:
        InputError: another architecture, a missing size, or a setting that our decoder has no other value for.
    """
    if settings.get("model_type") != "qwen3":
        raise InputError(f"model_type {settings.get('model_type')!r}", "qwen3", "use another folder")
    missing = [name for name in _SIZES if name not in settings]
    if missing:
        raise InputError(f"config.json without {', '.join(missing)}", "a Qwen3's settings", "complete it")
    for name, only in _SAME.items():
        if settings.get(name, only) != only:
            raise InputError(f"{name} {settings[name]!r}", repr(only), "use a model with this setting")
    rope = settings.get("rope_parameters") or {}
    if rope.get("rope_type", "default") != "default":
        raise InputError(f"rope_type {rope['rope_type']!r}", "'default'", "use a model with this setting")
    base = rope.get("rope_theta", settings.get("rope_theta"))
    if base is None:
        raise InputError("config.json without rope_theta", "a Qwen3's settings", "complete it")
    sizes = {ours: settings[theirs] for theirs, ours in _SIZES.items()}
    return DecoderConfig(**sizes, rope_base=float(base))


def _check_place(out: Path, *taken: Path) -> None:
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}, which is a file", "a folder", "give a folder")
    if any(out.resolve() == place.resolve() for place in taken):
        raise InputError(
            f"--out {out}, which is the run itself", "another folder", "it opens as it is already"
        )
    if out.is_dir() and any(out.iterdir()) and not (out / CONFIG).exists():
        raise InputError(
            f"--out {out}, which holds other files", "an empty or a new folder", "give another one"
        )


def _stored(place: Path) -> dict[str, Tensor]:
    """The tensors of a folder, in one file or in several."""
    if not (place / _SHARDS).exists():
        return load_weights(place / WEIGHTS)
    names = read_json(place / _SHARDS).get("weight_map")
    if not isinstance(names, dict) or not all(Path(str(name)).name == name for name in names.values()):
        raise InputError(f"{place / _SHARDS} is damaged", "a map of tensors to files", "fetch it again")
    return {
        name: value
        for file in sorted({*names.values()})
        for name, value in load_weights(place / file).items()
    }


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without progress bars, and without warnings about texts that are longer than the model."""
    logging = transformers.utils.logging
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


def _cut_differently(transformers: Any, folder: Path, tokenizer: ChatTokenizer) -> tuple[list[str], int]:
    """Faults, and the number of strings."""
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    plain, marked = list(strings()), list(conversations())
    expected = tokenizer.encode_batch(plain) + [tokenizer.encode(text, special=True) for text in marked]
    found = theirs(plain + marked, add_special_tokens=False)["input_ids"]
    wrong = [
        text for text, mine, its in zip(plain + marked, expected, found, strict=True) if mine != list(its)
    ]
    shown = ", ".join(ascii(text[:40]) for text in wrong[:3])
    fault = f"{len(wrong)} of {len(expected)} strings are cut into other tokens, such as {shown}"
    return [fault] if wrong else [], len(expected)


@torch.inference_mode()
def _logits_differ(transformers: Any, folder: Path, config: DecoderConfig) -> tuple[float, float]:
    """Largest difference of a logit over rows of random tokens, and what is allowed."""
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ours = Decoder(config).eval()
    load_into(ours, load_weights(folder / WEIGHTS))
    generator = torch.Generator().manual_seed(0)
    length = min(config.max_length, _POSITIONS)
    inputs = torch.randint(0, config.vocab_size, (2, length), generator=generator)
    mine = ours.logits(ours(inputs))
    found = float((mine - theirs(input_ids=inputs).logits).abs().max())
    allowed = TOLERANCE * max(1.0, float(mine.abs().max()) / _LARGE)
    return (found if found == found else float("inf")), allowed
