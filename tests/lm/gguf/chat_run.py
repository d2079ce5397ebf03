"""A small decoder with random weights in shapes that every type of GGUF allows, as a run folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from thinkling.artifacts.weights import write_model_folder
from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.lm.config import DecoderConfig
from thinkling.lm.hf_files import write_hf_files
from thinkling.lm.model import Decoder
from thinkling.lm.run_files import CHAT, description

TEXT = "What is 12 plus 7? It is 19. The sum of héllo and wörld is no number.\n\n  Sort 5, 3 and 9: 3, 5, 9."
SIZES = DecoderConfig(
    vocab_size=300,
    max_length=128,
    hidden_size=256,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=64,
    inner_size=256,
)


def write_run(folder: Path, stage: str = CHAT, **changes: Any) -> Decoder:
    """Weights as training begins, but norms and a head size that is not width / heads matter too."""
    tokenizer = ChatTokenizer.train([TEXT] * 4, 300)
    config = replace(SIZES, vocab_size=tokenizer.vocab_size, **changes)
    generator = torch.Generator().manual_seed(0)
    network = Decoder(config, generator).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    write_model_folder(folder, description(config, stage), network.state_dict())
    write_hf_files(folder, tokenizer, config)
    return network
