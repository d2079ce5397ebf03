"""The chat template and the vocabulary of a GGUF file give the golden tokens of the chat template in llama.cpp."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from thinkling.data.chat_template import Message
from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.lm.gguf.write import write_gguf
from thinkling.lm.model import Decoder

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from chat_run import SIZES
from golden_conversations import CONVERSATIONS

llama_cpp = pytest.importorskip("llama_cpp", reason="compared with llama.cpp itself")
formats = pytest.importorskip("llama_cpp.llama_chat_format", reason="compared with llama.cpp itself")
GOLDEN = Path(__file__).parents[2] / "golden/chat"
EXPECTED: dict[str, dict[str, list[int]]] = json.loads((GOLDEN / "ids.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the golden vocabulary and a random model, whose table has more rows than there are tokens."""
    tokenizer = ChatTokenizer.load(GOLDEN / "tokenizer.json")
    config = replace(SIZES, vocab_size=tokenizer.vocab_size + 3, num_layers=1)
    network = Decoder(config, torch.Generator().manual_seed(0))
    made = tmp_path_factory.mktemp("gguf") / "golden.gguf"
    write_gguf(made, network.state_dict(), config, tokenizer, "f16", "golden")
    return made


@pytest.fixture(scope="module")
def llama(path: Path) -> Iterator[Any]:
    opened = llama_cpp.Llama(model_path=str(path), n_ctx=256, n_threads=1, verbose=False)
    yield opened
    opened.close()


def cut(llama: Any, messages: list[Message], *, generate: bool, **settings: Any) -> list[int]:
    """As llama.cpp's programs do it: the stored template, then its own vocabulary with special tokens recognised."""
    formatter = formats.Jinja2ChatFormatter(
        template=llama.metadata["tokenizer.chat_template"],
        eos_token="<|im_end|>",
        bos_token="<bos>",
        add_generation_prompt=generate,
    )
    rows: list[Any] = [message.as_json() for message in messages]
    text = formatter(messages=rows, **settings).prompt
    ids: list[int] = llama.tokenize(text.encode(), add_bos=False, special=True)
    return ids


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_llama_cpp_gets_the_golden_tokens(llama: Any, name: str) -> None:
    messages, expected = CONVERSATIONS[name], EXPECTED[name]
    assert cut(llama, messages, generate=False) == expected["example"]
    assert cut(llama, messages[:-1], generate=True) == expected["prompt"]
    without = cut(llama, messages[:-1], generate=True, enable_thinking=False)
    assert without == expected["prompt_without_thinking"]


def test_reasoning_is_shown_and_other_special_tokens_are_not(llama: Any) -> None:
    """Control tokens are left out of what llama.cpp prints, and nobody could tell an answer from its reasoning."""
    ids = llama.tokenize(b"<|im_start|><think>3</think>5<|im_end|><eos>", add_bos=False, special=True)
    assert ids[:2] == [6, 4]
    assert llama.detokenize(ids) == b"<think>3</think>5"


def test_a_chat_completion(llama: Any) -> None:
    """The whole way that a user of llama-cpp-python goes: it reads the prompt's tokens, and adds none of its own."""
    question = CONVERSATIONS["a question and an answer"][:1]
    answer = llama.create_chat_completion(
        messages=[message.as_json() for message in question], max_tokens=4, temperature=0.0
    )
    prompt = EXPECTED["a question and an answer"]["prompt"]
    assert answer["usage"]["prompt_tokens"] == len(prompt)
    assert llama.input_ids[: len(prompt)].tolist() == prompt
