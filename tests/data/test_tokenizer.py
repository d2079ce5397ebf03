"""The tokenizer: text comes back, special tokens cannot be written into a text, words are known."""

import json
import re
from itertools import pairwise

import pytest
from tokenizers import Tokenizer, models

from thinkling.data import byte_pair as module
from thinkling.data.tokenizer import SMALLEST_VOCABULARY, SPECIALS, TextTokenizer
from thinkling.errors import InputError, ThinklingError

TEXTS = [
    "The capital of France is Paris. The capital of Italy is Rome.",
    "Paris lies in France, and Rome lies in Italy; both are old.",
    "In 1990 the capital of Germany became Berlin (again), didn't it?",
] * 5
ODD = [
    "",
    " ",
    "naïve café — “quoted”",
    "日本語のテキスト",
    "\U0001f600 \x00\x1f \x1c x",
    "a\r\n\tb\n\n\nc  d ",
    "<MASK><PAD> [MASK] <mask>",
]


@pytest.fixture(scope="module")
def words():
    return TextTokenizer.train(TEXTS, 400)


def test_text_comes_back(words):
    for text in TEXTS + ODD:
        assert words.decode(words.encode(text)) == text
    assert words.encode_batch(ODD) == [words.encode(text) for text in ODD]
    assert words.encode_batch([]) == []


def test_frequent_words_carry_their_space(words):
    tokens = [words.token(token) for token in words.encode("The capital of France is Paris.")]
    assert tokens == ["The", " capital", " of", " France", " is", " Paris", "."]


def test_digits_stand_alone(words):
    assert [words.token(token) for token in words.encode(" 1990")] == [" ", "1", "9", "9", "0"]


def test_special_tokens_have_their_ids(words):
    ids = (words.pad_id, words.unk_id, words.cls_id, words.sep_id, words.mask_id)
    assert ids == (0, 1, 2, 3, 4)
    assert [words.token(token) for token in range(5)] == list(SPECIALS)
    assert 300 < words.vocab_size <= 400
    assert len(words.word_starts) == len(words.word_ends) == words.vocab_size


def test_a_document_cannot_write_special_tokens(words):
    """An encyclopaedia's page on masked models holds "<MASK>"; as a token it would be a question without an answer."""
    for name in SPECIALS:
        ids = words.encode(f"a {name} b")
        assert min(ids) >= len(SPECIALS)
        assert words.decode(ids) == f"a {name} b"


@pytest.mark.parametrize("mask", ["<mask>", "<MASK>", "[MASK]"])
def test_masks_are_read_where_they_are_asked_for(words, mask):
    before, after = words.encode("The capital of France is"), words.encode(".")
    assert words.encode(f"The capital of France is {mask}.", masks=True) == [*before, words.mask_id, *after]
    assert words.encode(f"{mask}{mask} of", masks=True) == [4, 4, *words.encode(" of")]
    two_spaces = words.encode(f"is  {mask}", masks=True)
    assert two_spaces == [*words.encode("is "), 4]
    assert words.encode(f"\n{mask}", masks=True) == [*words.encode("\n"), 4]
    assert 4 not in words.encode(f"is {mask}.")


def test_decoding_leaves_out_the_frame(words):
    ids = [words.cls_id, *words.encode("Paris"), words.mask_id, words.unk_id, words.sep_id, words.pad_id]
    assert words.decode(ids) == "Paris<MASK><UNK>"
    half = words.encode("日")[:1]
    assert words.decode(half) == "\ufffd"
    assert words.token(half[0]) == "<0xE6>"


def words_of(tokenizer, text):
    """The words of a text by the two rules, joined from their tokens."""
    ids = tokenizer.encode(text)
    found = [tokenizer.token(ids[0])]
    for before, token in pairwise(ids):
        if tokenizer.word_starts[token] or tokenizer.word_ends[before]:
            found.append("")
        found[-1] += tokenizer.token(token)
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The unknowable capital.", ["The", " unknowable", " capital", "."]),
        ("(unwell), not\nunknown", ["(", "unwell", "),", " not", "\n", "unknown"]),
        ("in 1990 or so", ["in", " 1990", " or", " so"]),
        ("don't", ["don", "'t"]),
        ("naïve zoë", ["naïve", " zoë"]),
    ],
)
def test_words_are_known_from_their_tokens(words, text, expected):
    def shown(word):
        """Bytes of characters that are in two tokens, put together."""
        return re.sub(
            r"(?:<0x..>)+", lambda found: bytes.fromhex(re.sub(r"<0x|>", "", found[0])).decode(), word
        )

    assert [shown(word) for word in words_of(words, text)] == expected


def test_the_same_texts_give_the_same_vocabulary(words):
    assert TextTokenizer.train(iter(TEXTS), 400).to_json() == words.to_json()


def test_long_texts_are_cut_where_no_token_is(words, monkeypatch):
    text = " ".join([*TEXTS, *ODD, "x  1  2 .\x1c y\u00a0z\u2003w\n\n v"]) * 3
    whole = words.encode(text)
    monkeypatch.setattr(module, "_LONGEST_PART", 7)
    assert len(list(TextTokenizer._parts(text))) > 50
    assert words.encode(text) == whole
    assert words.encode("x" * 100) == words.encode("x" * 100)
    monkeypatch.setattr(module, "_BATCH_CHARACTERS", 50)
    assert TextTokenizer.train(TEXTS, 400).to_json() == words.to_json()


def test_saved_and_loaded_is_the_same(words, tmp_path):
    words.save(tmp_path / "tokenizer.json")
    again = TextTokenizer.load(tmp_path / "tokenizer.json")
    for text in TEXTS + ODD:
        assert again.encode(text) == words.encode(text)
    assert again.vocab_size == words.vocab_size
    assert (again.word_starts == words.word_starts).all()
    assert again.to_json() == words.to_json()


def test_the_file_works_without_this_program(words, tmp_path):
    words.save(tmp_path / "tokenizer.json")
    plain = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    text = TEXTS[2] + " naïve"
    assert plain.encode(text).ids == [words.cls_id, *words.encode(text), words.sep_id]
    assert plain.decode(words.encode(text)) == text


@pytest.mark.parametrize("size", [0, SMALLEST_VOCABULARY - 1, 2**21])
def test_impossible_sizes_are_refused(size):
    with pytest.raises(InputError, match=rf"{size} tokens.*261.*such as 16384"):
        TextTokenizer.train(TEXTS, size)
    assert TextTokenizer.train(TEXTS, SMALLEST_VOCABULARY).vocab_size == SMALLEST_VOCABULARY


def test_half_a_character_is_refused(words):
    for call in (
        words.encode,
        lambda text: words.encode(text, masks=True),
        lambda text: words.encode_batch([text]),
    ):
        with pytest.raises(InputError, match="surrogate"):
            call("a \ud800 b")


def test_what_is_no_tokenizer_of_ours_is_refused(words, tmp_path):
    path = tmp_path / "tokenizer.json"
    with pytest.raises(InputError, match="no such file"):
        TextTokenizer.load(path)
    with pytest.raises(InputError, match="cannot be read"):
        TextTokenizer.load(tmp_path)
    described = json.loads(words.to_json())
    described["model"]["merges"] = []
    del described["model"]["vocab"]["!"]
    for content, what in (
        (words.to_json()[:500], "damaged"),
        ("{}", "damaged"),
        (
            Tokenizer(models.BPE()).to_str(),
            "tokens 0 to 4 are None.*<PAD>, <UNK>, <CLS>, <SEP>, <MASK> in this order",
        ),
        (words.to_json().replace("<MASK>", "[MASK]"), "are <PAD>, <UNK>, <CLS>, <SEP>, .MASK.;"),
        (json.dumps(described), "another kind"),
    ):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match=what) as caught:
            TextTokenizer.load(path)
        assert str(path) in caught.value.given
        assert "\n" not in str(caught.value)
        assert "thinkling data import text" in caught.value.next_step


def test_a_full_disk_is_told(words, tmp_path):
    with pytest.raises(ThinklingError, match="cannot write"):
        words.save(tmp_path / "nowhere/tokenizer.json")
