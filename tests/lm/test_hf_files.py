"""The files for other programs, and that every reader of the chat template gets the same tokens."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from thinkling.data.chat_template import CHAT_TEMPLATE, Message, example_ids, prompt_ids
from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.errors import InputError, ThinklingError
from thinkling.lm.config import DecoderConfig
from thinkling.lm.hf_files import FILES, hf_config, write_hf_files

sys.path.insert(0, str(Path(__file__).parent))
from golden_conversations import CONVERSATIONS, TEXTS

GOLDEN = Path(__file__).parents[1] / "golden/chat"
EXPECTED: dict[str, dict[str, list[int]]] = json.loads((GOLDEN / "ids.json").read_text(encoding="utf-8"))
SIZES = DecoderConfig(
    vocab_size=340,
    max_length=64,
    hidden_size=32,
    num_layers=1,
    num_heads=2,
    num_kv_heads=1,
    head_dim=16,
    inner_size=48,
    rope_base=250_000.0,
)

each_conversation = pytest.mark.parametrize("name", CONVERSATIONS)


@pytest.fixture(scope="module")
def words() -> ChatTokenizer:
    return ChatTokenizer.load(GOLDEN / "tokenizer.json")


@pytest.fixture(scope="module")
def folder(words: ChatTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("hf")
    write_hf_files(made, words, SIZES)
    settings = {"format": 1, "product": "lm", "model": {"layers": 1}, **hf_config(SIZES)}
    (made / "config.json").write_text(json.dumps(settings))
    return made


@pytest.fixture(scope="module")
def opened(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def as_json(messages: list[Message]) -> list[dict[str, str]]:
    return [message.as_json() for message in messages]


def test_the_golden_file_is_about_these_conversations() -> None:
    assert list(EXPECTED) == list(CONVERSATIONS)


@each_conversation
def test_training_and_prompts_get_the_golden_tokens(words: ChatTokenizer, name: str) -> None:
    messages, expected = CONVERSATIONS[name], EXPECTED[name]
    ids, learnt = example_ids(words, messages)
    assert ids == expected["example"]
    assert [place for place, wanted in enumerate(learnt) if wanted] == expected["learnt"]
    assert prompt_ids(words, messages[:-1]) == expected["prompt"]
    without = prompt_ids(words, messages[:-1], enable_thinking=False)
    assert without == expected["prompt_without_thinking"]


@each_conversation
def test_transformers_gets_the_golden_tokens(opened: Any, name: str) -> None:
    rows, expected = as_json(CONVERSATIONS[name]), EXPECTED[name]
    assert opened.apply_chat_template(rows)["input_ids"] == expected["example"]
    asked = {"add_generation_prompt": True}
    assert opened.apply_chat_template(rows[:-1], **asked)["input_ids"] == expected["prompt"]
    without = opened.apply_chat_template(rows[:-1], enable_thinking=False, **asked)["input_ids"]
    assert without == expected["prompt_without_thinking"]


@each_conversation
@pytest.mark.parametrize("source", ["tokenizer_config.json", "chat_template.jinja"])
def test_the_files_alone_give_the_golden_tokens(folder: Path, name: str, source: str) -> None:
    """As a program reads them that has Jinja and the package `tokenizers` only. It may leave out enable_thinking."""
    text = (folder / source).read_text(encoding="utf-8")
    template = json.loads(text)["chat_template"] if source.endswith(".json") else text
    compiled = ImmutableSandboxedEnvironment().from_string(template)
    plain = Tokenizer.from_file(str(folder / "tokenizer.json"))
    rows, expected = as_json(CONVERSATIONS[name]), EXPECTED[name]
    assert plain.encode(compiled.render(messages=rows)).ids == expected["example"]
    prompt = compiled.render(messages=rows[:-1], add_generation_prompt=True)
    assert plain.encode(prompt).ids == expected["prompt"]


def test_the_stored_vocabulary_is_what_training_gives(words: ChatTokenizer) -> None:
    assert ChatTokenizer.train(TEXTS, 340).to_json() == words.to_json()


def test_transformers_opens_the_tokenizer_as_it_is(opened: Any, words: ChatTokenizer) -> None:
    texts = ["", " a\n\n", "e\u0301 1,250.75 'ſ", "日本 <think>x</think>", "0123456789 " * 3]
    for text in texts:
        ids = words.encode(text, special=True)
        assert opened(text)["input_ids"] == ids
        assert opened.decode(ids) == text
    assert len(opened) == words.vocab_size
    assert (opened.bos_token_id, opened.eos_token_id, opened.pad_token_id) == (1, 7, 0)
    assert opened.unk_token is None
    assert opened.model_max_length == 64
    assert opened.chat_template == CHAT_TEMPLATE
    answer = words.encode("<think>a b</think>c<|im_end|><pad>", special=True)
    assert opened.decode(answer, skip_special_tokens=True) == "<think>a b</think>c"


def test_transformers_reads_the_sizes(folder: Path) -> None:
    from transformers import AutoConfig, GenerationConfig

    found = AutoConfig.from_pretrained(folder)
    assert found.model_type == "qwen3"
    assert (found.vocab_size, found.hidden_size, found.intermediate_size, found.head_dim) == (340, 32, 48, 16)
    assert (found.num_hidden_layers, found.num_attention_heads, found.num_key_value_heads) == (1, 2, 1)
    assert found.rope_parameters == {"rope_type": "default", "rope_theta": 250_000.0}
    assert (found.rms_norm_eps, found.max_position_embeddings) == (1e-6, 64)
    assert (found.bos_token_id, found.eos_token_id, found.pad_token_id) == (1, 7, 0)
    assert found.tie_word_embeddings is True
    assert found.attention_bias is False
    assert GenerationConfig.from_pretrained(folder).eos_token_id == [7, 2]


def test_the_keys_of_the_layout_are_no_keys_of_ours() -> None:
    """They lie beside these in one config.json."""
    assert not {"format", "product", "architecture", "model", "task", "train", "recipe"} & {*hf_config(SIZES)}


def test_no_more_tokens_than_rows(words: ChatTokenizer, tmp_path: Path) -> None:
    small = DecoderConfig(vocab_size=300)
    with pytest.raises(InputError, match="340 tokens for a model of 300"):
        write_hf_files(tmp_path, words, small)
    assert list(tmp_path.iterdir()) == []
    write_hf_files(tmp_path, words, DecoderConfig(vocab_size=512))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)


def test_a_full_disk_is_told(words: ChatTokenizer, tmp_path: Path) -> None:
    with pytest.raises(ThinklingError, match="could not write"):
        write_hf_files(tmp_path / "nowhere", words, SIZES)
