"""A small tokenizer, shared by the tests of this folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from small_server import small_tokenizer

from thinkling.data.chat_tokenizer import ChatTokenizer


@pytest.fixture(scope="session")
def tokenizer() -> ChatTokenizer:
    """290 tokens at most."""
    return small_tokenizer()
