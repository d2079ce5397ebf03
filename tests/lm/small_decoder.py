"""A tiny decoder with random weights, and one that says what a test wants."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.lm.config import DecoderConfig
from thinkling.lm.engine import GenerationEngine
from thinkling.lm.language_model import LanguageModel
from thinkling.lm.model import Decoder
from thinkling.lm.reader import DecoderReader
from thinkling.lm.run_files import CHAT, description
from thinkling.nn.kv_cache import KVCache

TEXTS = ["What is 12 plus 7? It is 19. The sum of héllo and wörld is not a number."] * 4


def small_tokenizer() -> ChatTokenizer:
    return ChatTokenizer.train(TEXTS, 300)


def small_decoder(vocab_size: int, max_length: int = 96, seed: int = 0) -> Decoder:
    config = DecoderConfig(
        vocab_size=vocab_size,
        max_length=max_length,
        hidden_size=32,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        head_dim=8,
        inner_size=48,
    )
    model = Decoder(config, torch.Generator().manual_seed(seed)).eval()
    with torch.no_grad():  # so that the likeliest tokens differ from place to place
        for parameter in model.parameters():
            parameter *= 6 if parameter.ndim == 2 else 1
    return model


class Parrot(DecoderReader):
    """Says one token after the other of a script, whatever it is told."""

    def __init__(self, model: Decoder, script: list[int]) -> None:
        super().__init__(model)
        self.script = script

    def read(
        self, inputs: Tensor, cache: KVCache, rows: slice | None = None, counts: Tensor | None = None
    ) -> Tensor:
        """A score of 20 for the token of the script that is as far on as a row is long, the prompt not counted."""
        chosen = rows or slice(None)
        if inputs.shape[1] > 1 or not int(cache.lengths[chosen].sum()):
            self.prompt = inputs.shape[1]
        cache.lengths[chosen] += inputs.shape[1] if counts is None else counts
        logits = torch.zeros(len(inputs), self.config.vocab_size)
        for row, length in enumerate(cache.lengths[chosen].tolist()):
            logits[row, self.script[min(length - self.prompt, len(self.script) - 1)]] = 20.0
        return logits


def parrot_engine(tokenizer: ChatTokenizer, script: list[int]) -> GenerationEngine:
    """An engine whose sequences all say the script."""
    model = small_decoder(tokenizer.vocab_size)
    return GenerationEngine(model, tokenizer, reader=Parrot(model, script))


def write_random_run(folder: Path, stage: str = CHAT, max_length: int = 96) -> LanguageModel:
    """A run folder with random weights: what it answers is nonsense, how it answers is not."""
    tokenizer = small_tokenizer()
    network = small_decoder(tokenizer.vocab_size, max_length)
    model = LanguageModel(network, tokenizer, description(network.config, stage), stage)
    model.save_pretrained(folder)
    return model
