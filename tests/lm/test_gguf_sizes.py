"""Sizes of GGUF files as planned against files that are written, by this program and by llama.cpp's quantiser."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from small_decoder import small_tokenizer

from thinkling.lm.gguf.llama_runtime import quantise
from thinkling.lm.gguf.write import write_gguf
from thinkling.lm.gguf_sizes import GGUF_TYPES, falls_back, gguf_bytes
from thinkling.lm.model import Decoder
from thinkling.lm.presets import PRESETS


@pytest.mark.parametrize("name", ["1m", "5m"])
def test_a_file_is_as_large_as_planned(name: str, tmp_path: Path) -> None:
    """Of 1m no row is a multiple of 256, so that llama.cpp falls back to other types; of 5m every row is."""
    gguf = pytest.importorskip("gguf")
    pytest.importorskip("llama_cpp", reason="it makes the files with q4_k_m")
    tokenizer = small_tokenizer()
    config = replace(PRESETS[name], vocab_size=tokenizer.vocab_size, num_layers=9)
    assert falls_back(config) == (name == "1m")
    network = Decoder(config, torch.Generator().manual_seed(0))
    weights = {key: value.detach() for key, value in network.state_dict().items()}
    for kind in GGUF_TYPES:
        path = tmp_path / f"{kind}.gguf"
        if kind == "q4_k_m":
            quantise(tmp_path / "f16.gguf", path, kind)
        else:
            write_gguf(path, weights, config, tokenizer, kind, "small")
        written = sum(int(tensor.n_bytes) for tensor in gguf.GGUFReader(path).tensors)
        assert written == gguf_bytes(config, kind), kind
