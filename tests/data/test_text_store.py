"""A tokenised corpus on disk: what is written comes back, and nothing half-written or damaged looks whole."""

import json
import shutil
from itertools import chain

import numpy as np
import pytest

from thinkling.data import text_store, whole_folder
from thinkling.data.array_store import PuzzleSet, write_dataset
from thinkling.data.check_text_store import check_text_store
from thinkling.data.text_store import SPLITS, is_text_store, read_text_store, write_text_store
from thinkling.data.tokenizer import TextTokenizer
from thinkling.errors import InputError, ThinklingError

TEXTS = [
    f"Document {n} speaks of the number {n * n} and of {'nothing' if n % 3 else 'all'} else."
    for n in range(400)
]


def written(out, texts=TEXTS, **settings):
    return write_text_store(lambda: iter(texts), out, **{"vocab_size": 300, **settings})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return written(tmp_path_factory.mktemp("corpus") / "store").folder


@pytest.fixture
def folder(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "store")
    return tmp_path / "store"


def texts_of(store, split):
    part = getattr(store, split)
    return [store.tokenizer.decode(part[number]) for number in range(len(part))]


def test_the_documents_come_back_in_their_order(whole):
    store = read_text_store(whole)
    parts = {split: texts_of(store, split) for split in SPLITS}
    assert sorted(chain(*parts.values())) == sorted(TEXTS)
    for split in SPLITS:
        assert parts[split] == [text for text in TEXTS if text in parts[split]]
        part = getattr(store, split)
        assert part.bytes == sum(len(text.encode()) for text in parts[split])
        assert part.tokens.dtype == np.uint16
        assert part.starts.dtype == np.int64
    assert isinstance(store.train.tokens, np.memmap)
    assert 2 <= len(store.validation) <= 20
    assert 4 <= len(store.test) <= 28
    assert store.bytes == sum(len(text.encode()) for text in TEXTS)
    assert store.info["documents"] == {split: len(parts[split]) for split in SPLITS}
    assert store.info["tokens"]["train"] == len(store.train.tokens)
    with pytest.raises(IndexError):
        store.train[len(store.train)]


def test_the_tokenizer_knows_the_training_documents_only(tmp_path):
    """Each document has a name that stands in no other one, so a name of a test document is no token."""
    names = ["".join(chr(ord("a") + int(digit)) for digit in f"{number:03}") for number in range(200)]
    texts = [f" {name}" * 9 for name in names]
    store = written(tmp_path / "store", texts, vocab_size=900)
    for name, text in zip(names, texts, strict=True):
        assert (len(store.tokenizer.encode(f" {name}")) == 1) == (text in texts_of(store, "train"))


def test_the_same_corpus_gives_the_same_files(tmp_path, whole):
    again = written(tmp_path / "again", info={"source": "elsewhere"})
    assert again.sha256 == read_text_store(whole).sha256
    assert again.info["source"] == "elsewhere"
    other = written(tmp_path / "other", seed=1)
    assert other.sha256 != again.sha256
    assert texts_of(other, "test") != texts_of(again, "test")


def test_the_part_of_a_document_depends_on_seed_and_number_only(tmp_path, whole):
    grown = written(tmp_path / "grown", [*TEXTS, *(f"One more: {n}" for n in range(50))])
    store = read_text_store(whole)
    for split in SPLITS:
        assert texts_of(grown, split)[: len(getattr(store, split))] == texts_of(store, split)


def test_copies_and_blank_documents_are_left_out(tmp_path):
    store = written(tmp_path / "store", [*TEXTS, "  ", "", *TEXTS[:7], TEXTS[8] + "\n"])
    assert store.info["left_out"] == 10
    assert sum(store.info["documents"].values()) == len(TEXTS)
    assert check_text_store(store.folder)["faults"] == []


def test_batches_do_not_show(tmp_path, whole, monkeypatch):
    told = []
    monkeypatch.setattr(text_store, "_BATCH_CHARACTERS", 1000)
    store = written(tmp_path / "store", progress=lambda done, total: told.append((done, total)))
    assert store.sha256 == read_text_store(whole).sha256
    assert len(told) > 10
    assert told[-1] == (len(TEXTS), len(TEXTS))


def test_an_existing_tokenizer_is_used(tmp_path):
    tokenizer = TextTokenizer.train(["quite another text"], 270)
    store = written(tmp_path / "store", tokenizer=tokenizer)
    assert store.tokenizer.to_json() == tokenizer.to_json()
    assert sorted(chain(*(texts_of(store, split) for split in SPLITS))) == sorted(TEXTS)


def test_large_vocabularies_take_four_bytes(tmp_path, monkeypatch):
    writer = text_store._SplitWriter(tmp_path / "split", 2**16 + 1)
    writer.add([70_000, 1], 3)
    writer.close()
    assert np.load(tmp_path / "split/tokens.npy").tolist() == [70_000, 1]
    assert np.load(tmp_path / "split/starts.npy").tolist() == [0, 2]


@pytest.mark.parametrize("count", [3, 4, 10])
def test_a_small_corpus_has_all_parts(tmp_path, count):
    for seed in range(5):
        store = written(tmp_path / "store", TEXTS[:count], seed=seed)
        assert min(len(getattr(store, split)) for split in SPLITS) >= 1
    most = written(tmp_path / "store", TEXTS[:count], validation_share=0.5, test_share=0.49)
    assert len(most.train) >= 1
    assert len(most.validation) >= 1
    assert len(most.test) >= 1


def test_parts_that_are_not_wanted_are_empty(tmp_path):
    store = written(tmp_path / "store", TEXTS[:1], validation_share=0, test_share=0)
    assert (len(store.train), len(store.validation), len(store.test)) == (1, 0, 0)
    assert (len(store.test.tokens), store.test.starts.tolist()) == (0, [0])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"texts": []}, "a corpus of no documents.*3 or more"),
        ({"texts": ["", " \n"]}, "a corpus of no documents"),
        ({"texts": TEXTS[:1]}, "a corpus of 1 document .*3 or more.*blank lines"),
        ({"texts": [TEXTS[0]] * 9}, "a corpus of 1 document"),
        ({"texts": TEXTS[:2]}, "a corpus of 2 documents"),
        ({"texts": [*TEXTS, "\udc80"]}, "document 400 with half of a surrogate pair"),
        ({"vocab_size": 260}, "a vocabulary of 260 tokens"),
        ({"test_share": -0.1}, "shares of"),
        ({"test_share": 0.99}, "shares of"),
        ({"test_share": float("nan")}, "shares of"),
    ],
)
def test_impossible_imports_are_refused(tmp_path, settings, words):
    with pytest.raises(InputError, match=words):
        written(tmp_path / "store", **settings)
    assert list(tmp_path.iterdir()) == []


def test_a_corpus_that_changes_is_refused(tmp_path):
    for first, second in ((TEXTS, TEXTS[:-1]), (TEXTS[:-1], TEXTS)):
        readings = iter([first, second])
        with pytest.raises(InputError, match="when it was read again"):
            write_text_store(lambda readings=readings: next(readings), tmp_path / "store", vocab_size=300)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("moment", ["reading", "tokens", "manifest", "rename", "interrupt"])
def test_an_interrupted_import_leaves_the_old_corpus(tmp_path, folder, monkeypatch, moment):
    before = read_text_store(folder).sha256

    def stuck(*given, **named):
        raise KeyboardInterrupt if moment == "interrupt" else OSError(28, "No space left on device")

    def texts():
        yield from TEXTS[:50]
        readings.append(1)
        if moment == "reading" and len(readings) == 3:
            raise InputError("a bad row", "a good one", "correct it")

    readings = []
    if moment in ("tokens", "interrupt"):
        monkeypatch.setattr(text_store._SplitWriter, "add", stuck)
    if moment == "manifest":
        monkeypatch.setattr(whole_folder.os, "fsync", stuck)
    if moment == "rename":
        rename = text_store.Path.rename

        def half(self, target):
            return stuck() if self.name.endswith(".new") else rename(self, target)

        monkeypatch.setattr(text_store.Path, "rename", half)
    expected = KeyboardInterrupt if moment == "interrupt" else ThinklingError
    with pytest.raises(expected):
        write_text_store(texts, folder, vocab_size=300)
    monkeypatch.undo()
    assert read_text_store(folder).sha256 == before
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


FILES = [f"{split}/{name}.npy" for split in SPLITS for name in ("tokens", "starts")] + ["tokenizer.json"]


@pytest.mark.parametrize("name", FILES)
def test_damaged_files_are_named(folder, name):
    path = folder / name
    content = path.read_bytes()
    damages = {
        "cut": content[:-3],
        "empty": b"",
        "gone": None,
        "changed": content[:-1] + bytes([content[-1] ^ 1]),
    }
    for damage, now in damages.items():
        path.unlink()
        if now is not None:
            path.write_bytes(now)
        with pytest.raises(InputError) as caught:
            read_text_store(folder)
        assert str(path) in str(caught.value), damage
        path.write_bytes(content)
    read_text_store(folder)


def described_anew(folder):
    """The manifest made to fit the files, as someone might who edits them."""
    info = json.loads((folder / "thinkling.json").read_text())
    (folder / "thinkling.json").unlink()
    whole_folder.write_manifest(
        folder / "thinkling.json",
        {key: value for key, value in info.items() if key not in ("sha256", "files")},
    )


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("tokens", np.full(9, 300, np.uint16), "does not count up from 0 to 9"),
        ("tokens", np.zeros((3, 3), np.uint16), "no list of whole numbers"),
        ("tokens", np.zeros(9), "no list of whole numbers"),
        ("starts", np.array([0, 5, 4], np.int64), "does not count up"),
        ("starts", np.zeros(0, np.int64), "does not count up"),
    ],
)
def test_arrays_that_do_not_fit_are_named(folder, name, content, words):
    np.save(folder / f"train/{name}.npy", content)
    described_anew(folder)
    with pytest.raises(InputError, match=words):
        read_text_store(folder)


def test_tokens_outside_the_vocabulary_are_named(folder):
    vocabulary = read_text_store(folder).tokenizer.vocab_size
    tokens = np.load(folder / "train/tokens.npy")
    tokens[5] = 60_000
    np.save(folder / "train/tokens.npy", tokens)
    described_anew(folder)
    with pytest.raises(InputError, match=rf"a token outside 0\.\.{vocabulary - 1};"):
        read_text_store(folder)
    assert read_text_store(folder, verify=False).train.tokens[5] == 60_000


def test_what_is_no_tokenised_corpus_is_refused(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    puzzles = np.ones((4, 4), np.uint8)
    write_dataset(
        tmp_path / "puzzles", *(PuzzleSet.of_puzzles(puzzles, puzzles, vocab_size=6) for _ in range(2))
    )
    for name, words in (
        ("none", "no such folder"),
        ("file", "not a folder"),
        ("empty", "no tokenised corpus"),
        ("puzzles", "no tokenised corpus"),
    ):
        assert not is_text_store(tmp_path / name)
        with pytest.raises(InputError, match=words):
            read_text_store(tmp_path / name)
    assert is_text_store(folder)
    manifest = json.loads((folder / "thinkling.json").read_text())
    for key in ("files", "bytes", "sha256"):
        (folder / "thinkling.json").write_text(
            json.dumps({**manifest, key: None} if key != "sha256" else {"kind": "text"})
        )
        with pytest.raises(InputError, match="not a manifest"):
            read_text_store(folder)


def test_only_an_own_data_set_is_replaced(tmp_path, folder):
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.txt"):
        written(folder)
    (folder / "notes.txt").unlink()
    assert len(written(folder, TEXTS[:9]).train) == 7


def test_equal_documents_are_found(tmp_path):
    """The import leaves copies out, so a folder with copies is put together by hand."""
    tokenizer = TextTokenizer.train(TEXTS, 300)
    (tmp_path / "store").mkdir()
    tokenizer.save(tmp_path / "store/tokenizer.json")
    parts = {
        "train": TEXTS[:5] + TEXTS[:2],
        "validation": [TEXTS[9], TEXTS[1]],
        "test": [TEXTS[9], "", TEXTS[10]],
    }
    for split, texts in parts.items():
        writer = text_store._SplitWriter(tmp_path / "store" / split, 300)
        for tokens in tokenizer.encode_batch(texts):
            writer.add(tokens, 1)
        writer.close()
    whole_folder.write_manifest(
        tmp_path / "store/thinkling.json", {"kind": "text", "bytes": dict.fromkeys(SPLITS, 1)}
    )
    found = check_text_store(tmp_path / "store")
    assert (found["train"], found["validation"], found["test"]) == (7, 2, 3)
    assert (found["duplicates"], found["overlap"]) == (2, 2)
    assert found["faults"] == [
        "train document 5: equal to train document 0",
        "train document 6: equal to train document 1",
        "validation document 1: equal to train document 1",
        "test document 0: equal to validation document 0",
        "test document 1: empty",
    ]
