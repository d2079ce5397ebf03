"""Learning a vocabulary from several sources and measuring it on what was held out."""

import pytest

from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.errors import InputError
from thinkling.lm.tokenizer_training import HELD_OUT_EVERY, compression, train_tokenizer

SEEN = ["the quick brown fox"] * 19
HIDDEN = "zyxwv zyxwv zyxwv zyxwv"


def test_held_out_documents_are_measured_and_not_learnt() -> None:
    sources = {"text": lambda: iter([*SEEN, HIDDEN] * 10)}
    tokenizer = train_tokenizer(sources, 400)
    assert len(tokenizer.encode(" quick")) == 1
    assert len(tokenizer.encode(HIDDEN)) == len(HIDDEN)
    found = compression(tokenizer, sources)
    assert [each.name for each in found] == ["text", "numbers", "code"]
    assert (found[0].held_out, found[0].bytes, found[0].tokens) == (True, 10 * len(HIDDEN), 10 * len(HIDDEN))
    assert found[0].bytes_per_token == 1


def test_digits_cost_a_token_each() -> None:
    tokenizer = train_tokenizer({"text": lambda: ["1990 1990 1,250.75"] * 100}, 300)
    numbers = compression(tokenizer, {})[0]
    assert numbers.name == "numbers"
    assert 1 <= numbers.bytes_per_token < 1.3


def test_a_small_source_is_measured_on_what_was_learnt() -> None:
    sources = {"small": lambda: iter(SEEN), "none": lambda: iter(())}
    assert len(SEEN) < HELD_OUT_EVERY
    tokenizer = train_tokenizer(sources, 300)
    small, numbers, _ = compression(tokenizer, sources)
    assert (small.name, small.held_out, small.bytes) == ("small", False, sum(map(len, SEEN)))
    assert numbers.name == "numbers"


def test_how_much_is_learnt_from() -> None:
    texts = ["first word here", *["second thing there"] * 30]
    read: list[str] = []

    def reading():
        for text in texts:
            read.append(text)
            yield text

    tokenizer = train_tokenizer({"text": reading}, 300, characters=10)
    assert read == ["first word here"]
    whole = train_tokenizer({"text": lambda: texts}, 300)
    assert len(whole.encode(" there")) == 1 < len(tokenizer.encode(" there"))


def test_the_same_sources_give_the_same_vocabulary() -> None:
    sources = {"a": lambda: SEEN * 3, "b": lambda: [HIDDEN] * 9}
    assert train_tokenizer(sources, 350).to_json() == train_tokenizer(sources, 350).to_json()


@pytest.mark.parametrize("sources", [{}, {"empty": lambda: iter(())}])
def test_no_text_is_refused(sources) -> None:
    with pytest.raises(InputError, match="no text in"):
        train_tokenizer(sources, 300)


def test_impossible_sizes_are_refused_before_anything_is_read() -> None:
    def reading():
        raise AssertionError("read")
        yield ""

    with pytest.raises(InputError, match="100 tokens"):
        train_tokenizer({"text": reading}, 100)
    assert isinstance(train_tokenizer({"text": lambda: SEEN}, 264), ChatTokenizer)
