"""A corpus tokenised for a language model: the same folder with another vocabulary, and neither taken for the other."""

import json

import pytest

from thinkling.data.byte_pair import BytePairTokenizer
from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.data.check_text_store import check_text_store
from thinkling.data.text_store import (
    SPLITS,
    is_text_store,
    purpose_of_text_store,
    read_text_store,
    write_text_store,
)
from thinkling.data.tokenizer import TextTokenizer
from thinkling.errors import InputError

TEXTS = [f"Document {n} speaks of {n * n} and of <|im_end|> <eos> else." for n in range(200)]


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpora")
    write_text_store(lambda: iter(TEXTS), folder / "lm", kind=ChatTokenizer, vocab_size=300)
    write_text_store(lambda: iter(TEXTS), folder / "encoder", vocab_size=300)
    return folder


def test_the_documents_come_back(stores):
    store = read_text_store(stores / "lm", kind=ChatTokenizer)
    assert isinstance(store.tokenizer, ChatTokenizer)
    texts = []
    for split in SPLITS:
        part = getattr(store, split)
        texts += [store.tokenizer.decode(part[number]) for number in range(len(part))]
        assert part.tokens.min() >= len(ChatTokenizer.SPECIALS)
    assert sorted(texts) == sorted(TEXTS)
    assert check_text_store(stores / "lm")["faults"] == []


def test_the_manifest_says_what_it_is_for(stores):
    assert purpose_of_text_store(stores / "lm") == "lm"
    assert purpose_of_text_store(stores / "encoder") == "encoder"
    assert purpose_of_text_store(stores) is None
    assert is_text_store(stores / "lm")
    assert "for" not in json.loads((stores / "encoder/thinkling.json").read_text())
    assert isinstance(read_text_store(stores / "lm", kind=BytePairTokenizer).tokenizer, ChatTokenizer)
    assert isinstance(read_text_store(stores / "encoder", kind=BytePairTokenizer).tokenizer, TextTokenizer)


def test_one_kind_is_not_read_as_the_other(stores):
    with pytest.raises(InputError, match=r"tokenised for 'lm'.*one for 'encoder'.*--for encoder"):
        read_text_store(stores / "lm")
    with pytest.raises(InputError, match=r"tokenised for 'encoder'.*one for 'lm'.*--for lm"):
        read_text_store(stores / "encoder", kind=ChatTokenizer)


def test_a_purpose_of_a_later_version_is_refused(stores, tmp_path):
    (tmp_path / "thinkling.json").write_text(json.dumps({"kind": "text", "for": "music"}))
    assert purpose_of_text_store(tmp_path) == "music"
    for kind in (TextTokenizer, ChatTokenizer, BytePairTokenizer):
        with pytest.raises(InputError, match=r"tokenised for 'music'"):
            read_text_store(tmp_path, kind=kind)


def test_an_existing_vocabulary_is_used_and_small_ones_refused(stores, tmp_path):
    tokenizer = ChatTokenizer.load(stores / "lm/tokenizer.json")
    store = write_text_store(
        lambda: iter(TEXTS[:20]), tmp_path / "store", kind=ChatTokenizer, tokenizer=tokenizer
    )
    assert store.tokenizer.to_json() == tokenizer.to_json()
    with pytest.raises(InputError, match="263 tokens"):
        write_text_store(lambda: iter(TEXTS), tmp_path / "other", kind=ChatTokenizer, vocab_size=263)
