"""A tiny language model with random weights, as a run folder or in memory."""

from __future__ import annotations

from pathlib import Path

import torch

from thinkling.artifacts.weights import write_model_folder
from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.lm.config import DecoderConfig
from thinkling.lm.model import Decoder
from thinkling.lm.run_files import CHAT, description


def small_network(tokenizer: ChatTokenizer) -> Decoder:
    """Two layers of width 32, with weights large enough that its nonsense differs from prompt to prompt."""
    config = DecoderConfig(
        vocab_size=tokenizer.vocab_size,
        max_length=128,
        hidden_size=32,
        num_layers=2,
        num_heads=2,
        num_kv_heads=1,
        head_dim=16,
        inner_size=48,
    )
    generator = torch.Generator().manual_seed(3)
    network = Decoder(config, generator)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 2:
                parameter.normal_(0, 0.3, generator=generator)
    return network


def write_random_run(folder: Path, tokenizer: ChatTokenizer, stage: str = CHAT) -> None:
    """A run folder."""
    network = small_network(tokenizer)
    write_model_folder(folder, description(network.config, stage), network.state_dict())
    tokenizer.save(folder / "tokenizer.json")
