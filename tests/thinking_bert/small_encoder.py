"""A run folder with a tiny Thinking-BERT of random weights, as training would leave it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from thinkling.artifacts.weights import write_model_folder
from thinkling.data.tokenizer import TextTokenizer
from thinkling.thinking.halting import HaltingConfig
from thinkling.thinking_bert.config import ThinkingBertConfig
from thinkling.thinking_bert.model import ThinkingBert

WORDS = (
    *("the", "a", "cat", "dog", "house", "river", "is", "was", "on", "in", "near", "big", "small", "old"),
    *("red", "Paris", "France", "city", "of", "what", "who", "how", "many"),
)


def sentences(count: int, seed: int = 0, least: int = 3, most: int = 12) -> list[str]:
    """Lines of random words of the small vocabulary."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(least, most + 1, (count,), generator=generator).tolist()
    return [
        " ".join(WORDS[place] for place in torch.randint(len(WORDS), (length,), generator=generator).tolist())
        for length in lengths
    ]


def small_tokenizer() -> TextTokenizer:
    """A vocabulary learned from the small words."""
    return TextTokenizer.train(sentences(300), 300)


def small_config(tokenizer: TextTokenizer, **changes: Any) -> ThinkingBertConfig:
    """Two layers of width 32."""
    sizes: dict[str, Any] = {
        "vocab_size": tokenizer.vocab_size,
        "max_length": 48,
        "hidden_size": 32,
        "num_heads": 2,
        "inner_size": 48,
        "low_layers": 2,
        "high_layers": 1,
        "pooling_window": 4,
        "local_attention": 8,
    }
    return ThinkingBertConfig(**sizes | changes)


def write_random_run(folder: Path, **changes: Any) -> None:
    """A run folder; weights large enough that Q values and answers differ between texts and rounds."""
    tokenizer = small_tokenizer()
    config = small_config(tokenizer, **changes)
    generator = torch.Generator().manual_seed(1)
    network = ThinkingBert(config, generator)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim == 2:
                parameter.normal_(0, 0.3 if name.startswith("q_head") else 0.2, generator=generator)
        network.q_head.bias.zero_()  # type: ignore[union-attr]  # this head has a bias
    halting = HaltingConfig(learning="halt_only", max_steps=4, threshold=0.5)
    description = {
        "product": "thinking_bert",
        "architecture": "thinking_bert",
        "model": asdict(config),
        "task": {"name": "masked-language"},
        "halting": asdict(halting),
        "objective": {},
    }
    write_model_folder(folder, description, network.state_dict())
    tokenizer.save(folder / "tokenizer.json")
