"""A small Thinking-BERT with random weights and a small tokenizer, shared by the tests of this folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from small_encoder import small_tokenizer, write_random_run

from thinkling.data.tokenizer import TextTokenizer


@pytest.fixture(scope="session")
def tokenizer() -> TextTokenizer:
    """300 tokens at most."""
    return small_tokenizer()


@pytest.fixture(scope="session")
def random_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with random weights: what it answers is nonsense, how it answers is not."""
    folder = tmp_path_factory.mktemp("runs") / "random"
    write_random_run(folder)
    return folder
