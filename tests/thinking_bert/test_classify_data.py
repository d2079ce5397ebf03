"""Labelled texts from files, and which of them are kept for development."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from thinkling.errors import InputError
from thinkling.thinking_bert.classify_data import read_classify_data, read_labelled


def written(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def many(path: Path, count: int = 100) -> Path:
    """Four in five are "often"."""
    rows = [f"{'rare' if n % 5 == 0 else 'often'}\ttext number {n}\n" for n in range(count)]
    return written(path, "".join(rows))


def test_tsv(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tsv", "1\ta text\twith a tab \r\n0\tan  other\n\nyes\tein Wörtchen\n")
    assert list(read_labelled(path)) == [
        ("1", "a text\twith a tab"),
        ("0", "an  other"),
        ("yes", "ein Wörtchen"),
    ]
    headed = written(tmp_path / "b.tsv", "label\ttext\nx\ty\n")
    assert list(read_labelled(headed)) == [("x", "y")]


def test_csv(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", 'text,label,more\n"one, ""two""",good,3\nthree,bad,4\n')
    assert list(read_labelled(path)) == [("good", 'one, "two"'), ("bad", "three")]


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("a.tsv", "1\tgood\nno tab here\n", "line 2: no tab"),
        ("a.tsv", "1\tgood\n\ttext\n", "line 2: no label"),
        ("a.tsv", "1\t \n", "line 1: no text"),
        ("a.csv", "text,klass\na,b\n", "no column 'label'"),
        ("a.csv", "text,label\na,\n", "line 2: no label"),
        ("a.txt", "1\tgood\n", ".tsv file"),
        ("a.tsv", "1\tone\n1\ttwo\n", "1 label in 2 texts"),
        ("a.tsv", "", "0 labels"),
    ],
)
def test_what_is_refused(tmp_path: Path, name: str, text: str, named: str) -> None:
    with pytest.raises(InputError, match=named):
        read_classify_data(written(tmp_path / name, text))


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes(b"1\tgood\n0\t\xff\n")
    with pytest.raises(InputError, match="line 2: byte 0xff"):
        read_classify_data(path)
    with pytest.raises(InputError, match="no such file"):
        read_classify_data(tmp_path / "b.tsv")


def test_labels_are_ordered(tmp_path: Path) -> None:
    numbers = written(tmp_path / "a.tsv", "".join(f"{n}\tt{n} {k}\n" for n in (10, 9, 0) for k in range(20)))
    assert read_classify_data(numbers).label_names == ("0", "9", "10")
    words = written(tmp_path / "b.tsv", "".join(f"{n}\tt{n} {k}\n" for n in "zab" for k in range(20)))
    assert read_classify_data(words).label_names == ("a", "b", "z")


def test_the_development_part(tmp_path: Path) -> None:
    path = many(tmp_path / "a.tsv")
    data = read_classify_data(path, dev_share=0.2, seed=1)
    assert (len(data.train), len(data.dev)) == (80, 20)
    assert not set(data.train.texts) & set(data.dev.texts)
    assert Counter(data.dev.labels.tolist()) == {0: 16, 1: 4}
    assert read_classify_data(path, dev_share=0.2, seed=1).dev.texts == data.dev.texts
    assert read_classify_data(path, dev_share=0.2, seed=2).dev.texts != data.dev.texts


def test_copies_of_a_text_stay_together(tmp_path: Path) -> None:
    """A text that is in both parts would be scored after it was learned."""
    path = many(tmp_path / "a.tsv")
    twice = written(tmp_path / "b.tsv", path.read_text() * 2)
    data = read_classify_data(twice, dev_share=0.2)
    assert (len(data.train), len(data.dev)) == (160, 40)
    assert not set(data.train.texts) & set(data.dev.texts)


def test_a_development_file(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    many(folder / "train.tsv", 50)
    dev = written(tmp_path / "other.csv", "label,text\nrare,text number 5\noften,something new\n")
    data = read_classify_data(folder, dev)
    assert data.dev.texts == ("text number 5", "something new")
    assert len(data.train) == 49, "a training text that is scored is not learned"
    assert len(read_classify_data(folder).dev) == 5
    written(folder / "dev.tsv", "often\tsomething new\n")
    assert len(read_classify_data(folder).dev) == 1
    with pytest.raises(InputError, match="label 'never'"):
        read_classify_data(folder, written(tmp_path / "bad.tsv", "never\ttext\n"))
    with pytest.raises(InputError, match=r"no train\.tsv"):
        read_classify_data(tmp_path)


def test_the_hash_is_that_of_the_files(tmp_path: Path) -> None:
    first = read_classify_data(many(tmp_path / "a.tsv"))
    assert read_classify_data(many(tmp_path / "b.tsv")).sha256 == first.sha256
    assert read_classify_data(many(tmp_path / "b.tsv", 101)).sha256 != first.sha256


@pytest.mark.parametrize("share", [0, 1, -1, 0.001])
def test_a_share_that_leaves_nothing(tmp_path: Path, share: float) -> None:
    with pytest.raises(InputError, match="dev_share"):
        read_classify_data(many(tmp_path / "a.tsv"), dev_share=share)
