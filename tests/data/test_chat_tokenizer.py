"""The language model's tokenizer: text comes back, digits stand alone, markers are markers only where asked."""

import json
import re

import pytest
from tokenizers import Tokenizer

from thinkling.data import byte_pair
from thinkling.data.chat_tokenizer import PATTERN, SHOWN, SPECIALS, ChatTokenizer
from thinkling.data.tokenizer import TextTokenizer
from thinkling.errors import InputError

TEXTS = [
    "The capital of France is Paris. The capital of Italy is Rome.",
    "In 1990 it cost 1,250.75 dollars; in 1991 it cost 1,300.10 dollars.",
    "def f(x):\n    return x + 1\n\n\nprint(f(10))  # 11, isn't it?",
    "<|im_start|>user <think> 10 10 10 10",
] * 8
ODD = [
    "",
    " ",
    "naïve café — “quoted”",
    "日本語のテキスト",
    "e\u0301 is not \u00e9, \ufb01 is not fi",
    "\U0001f600 \x00\x1f \x1c x\x85y",
    "a\r\n\tb\n\n\nc  d ",
    "!?\n\n  x\u00a0 \u2003y",
    "".join(SPECIALS),
]


@pytest.fixture(scope="module")
def words() -> ChatTokenizer:
    return ChatTokenizer.train(TEXTS, 400)


def tokens_of(words: ChatTokenizer, text: str) -> list[str]:
    return [words.token(token) for token in words.encode(text)]


def test_the_ids_of_the_special_tokens_are_fixed(words: ChatTokenizer) -> None:
    assert [words.token(number) for number in range(8)] == [
        *("<pad>", "<bos>", "<eos>", "<reserved>", "<think>", "</think>", "<|im_start|>", "<|im_end|>"),
    ]
    ids = (words.pad_id, words.bos_id, words.eos_id, words.reserved_id, words.think_id, words.end_think_id)
    assert (*ids, words.im_start_id, words.im_end_id) == tuple(range(8))
    assert words.stop_ids == (2, 7)
    assert 300 < words.vocab_size <= 400


def test_text_comes_back_unchanged(words: ChatTokenizer) -> None:
    """No normaliser: an accent behind its letter stays behind it."""
    for text in TEXTS + ODD:
        ids = words.encode(text)
        assert words.decode(ids) == text
        assert not ids or min(ids) >= len(SPECIALS)
        assert b"".join(map(words.token_bytes, ids)) == text.encode()
    assert words.encode_batch(ODD) == [words.encode(text) for text in ODD]
    assert words.encode_batch([]) == []


@pytest.mark.parametrize("text", ["1990", "1,250.75", "3.14", "-10", "10 10", "x1y22", "10.", ",10"])
def test_every_digit_stands_alone(words: ChatTokenizer, text: str) -> None:
    """Numbers the vocabulary has seen often too: pairs are never merged across the cut."""
    for token in tokens_of(words, text):
        assert token.isdigit() <= (len(token) == 1)
        assert not re.search(r"\d", token) or token.isdigit()


def test_no_token_of_the_vocabulary_has_a_digit_and_more(words: ChatTokenizer) -> None:
    vocabulary = [words.token_bytes(number) for number in range(len(SPECIALS), words.vocab_size)]
    assert b"".join(token for token in vocabulary if re.search(rb"\d", token)) == b"0123456789"
    assert any(len(token) > 3 for token in vocabulary)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("don't", ["don", "'t"]),
        ("DON'T", ["DON", "'T"]),
        ("a'ſ", ["a", "'ſ"]),  # Qwen's own pattern takes 'ſ for 's, llama.cpp's does not
        ("(x)\n\ny", ["(x", ")\n\n", "y"]),
        ("  a", [" ", " a"]),
        ("a \n b", ["a", " \n", " b"]),
        ("½٣", ["½", "٣"]),
        ("e\u0301f", ["e", "\u0301f"]),  # a letter takes one character before it that is none
    ],
)
def test_the_cuts_are_those_of_llama_cpp(words: ChatTokenizer, text: str, expected: list[str]) -> None:
    cut = words._tokenizer.pre_tokenizer.pre_tokenize_str(text)
    assert [text[slice(*where)] for _, where in cut] == expected


def test_markers_are_text_unless_asked_for(words: ChatTokenizer) -> None:
    text = "<|im_start|>user\nx <think><eos></think><|im_end|>\n"
    ids = words.encode(text, special=True)
    assert [token for token in ids if token < 8] == [6, 4, 2, 5, 7]
    assert words.decode(ids, special=True) == text
    assert words.decode(ids) == "user\nx \n"
    assert words.encode("", special=True) == []
    assert words.encode("<think>", special=True) == [4]
    assert words.encode("plain", special=True) == words.encode("plain")
    assert words.token_bytes(4) == b""


def test_the_file_works_without_this_program(words: ChatTokenizer) -> None:
    """Other programs always recognise markers, and add nothing."""
    plain = Tokenizer.from_str(words.to_json())
    for text in [*TEXTS, *ODD, "<<think>>< /think></think>\n\n<|im_start|>1"]:
        assert plain.encode(text).ids == words.encode(text, special=True)
    shown = {token["content"]: not token["special"] for token in json.loads(words.to_json())["added_tokens"]}
    assert shown == {name: name in SHOWN for name in SPECIALS}
    ids = words.encode("<|im_start|>a<think>b</think>c<|im_end|>", special=True)
    assert plain.decode(ids, skip_special_tokens=True) == "a<think>b</think>c"


def test_parts_of_characters(words: ChatTokenizer) -> None:
    ids = words.encode("日")
    assert len(ids) == 3
    assert words.decode(ids[:2]) == "\ufffd"
    assert b"".join(words.token_bytes(token) for token in ids) == "日".encode()
    assert words.token(ids[0]) == "<0xE6>"


def test_rows_of_the_model_without_a_token_are_no_text(words: ChatTokenizer) -> None:
    assert words.token_bytes(words.vocab_size) == b""
    assert words.decode([*words.encode("a"), words.vocab_size + 5], special=True) == "a"


def test_long_texts_are_cut_where_no_token_is(words: ChatTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Qwen's pattern joins punctuation and the line breaks after it, so only a space is a place to cut."""
    text = " ".join([*TEXTS, *ODD, "x!\n\n\ny ?\r\n z  1  2 .\x1c y\u00a0z\u2003w\n\n v"]) * 3
    marked = text + "<|im_end|>" + text
    whole, special = words.encode(text), words.encode(marked, special=True)
    monkeypatch.setattr(byte_pair, "_LONGEST_PART", 5)
    assert len([*ChatTokenizer._parts(text)]) > 50
    assert words.encode(text) == whole
    assert words.encode(marked, special=True) == special
    monkeypatch.setattr(byte_pair, "_BATCH_CHARACTERS", 50)
    assert ChatTokenizer.train(TEXTS, 400).to_json() == words.to_json()


def test_saved_and_loaded_is_the_same(words: ChatTokenizer, tmp_path) -> None:
    path = tmp_path / "tokenizer.json"
    words.save(path)
    again = ChatTokenizer.load(path)
    assert again.to_json() == words.to_json() == path.read_text(encoding="utf-8")
    for text in TEXTS + ODD:
        assert again.encode(text) == words.encode(text)
        assert again.encode(text, special=True) == words.encode(text, special=True)


def test_the_same_texts_give_the_same_vocabulary(words: ChatTokenizer) -> None:
    assert ChatTokenizer.train(iter(TEXTS), 400).to_json() == words.to_json()


def test_settings_of_other_programs_for_their_batches_are_left_out(words: ChatTokenizer, tmp_path) -> None:
    """Transformers writes how it last padded into tokenizer.json."""
    plain = Tokenizer.from_str(words.to_json())
    plain.enable_padding(length=50)
    plain.enable_truncation(3)
    plain.save(str(tmp_path / "tokenizer.json"))
    again = ChatTokenizer.load(tmp_path / "tokenizer.json")
    assert again.encode("one two three four five") == words.encode("one two three four five")
    assert again.to_json() == words.to_json()


@pytest.mark.parametrize("size", [0, 263, 2**21])
def test_impossible_sizes_are_refused(size: int) -> None:
    with pytest.raises(InputError, match=rf"{size} tokens.*264 \(8 special"):
        ChatTokenizer.train(TEXTS, size)
    assert ChatTokenizer.train(TEXTS, 264).vocab_size == 264


def test_half_a_character_is_refused(words: ChatTokenizer) -> None:
    for special in (False, True):
        with pytest.raises(InputError, match="surrogate"):
            words.encode("a \ud800<think> b", special=special)


def test_a_tokenizer_that_cuts_in_another_way_is_refused(words: ChatTokenizer, tmp_path) -> None:
    """It would train well and be wrong in llama.cpp, which knows the pattern by its name only."""
    path = tmp_path / "tokenizer.json"
    text = words.to_json()
    described = json.loads(text)
    normalised = {**described, "normalizer": {"type": "NFC"}}
    framed = {
        **described,
        "post_processor": {
            "type": "ByteLevel",
            "add_prefix_space": True,
            "trim_offsets": True,
            "use_regex": True,
        },
    }
    one_more = {**described, "added_tokens": described["added_tokens"][:-1]}
    dropped = {**described, "model": {**described["model"], "ignore_merges": True}}
    for content, what in (
        (text[:500], "damaged"),
        ("{}", "damaged"),
        ("[]", "damaged"),
        (text.replace("<think>", "<thought>"), "tokens 0 to 7 are .*<thought>"),
        (TextTokenizer.train(TEXTS, 300).to_json(), "tokens 0 to 7 are <PAD>"),
        (text.replace(json.dumps(PATTERN), json.dumps(r"\d{1,3}|\w+|\W")), "pre_tokenizer"),
        (json.dumps(normalised), "normalizer"),
        (json.dumps(framed), "post_processor"),
        (json.dumps(one_more), "added tokens"),
        (json.dumps(dropped), "model.ignore_merges True"),
    ):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match=what) as caught:
            ChatTokenizer.load(path)
        assert str(path) in caught.value.given
        assert "thinkling lm tokenizer" in caught.value.next_step
    words.save(path)
    with pytest.raises(InputError, match="<PAD>, <UNK>"):
        TextTokenizer.load(path)
