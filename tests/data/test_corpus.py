"""Reading a corpus: what is a document, and every kind of damage named with file and line."""

import gzip
import itertools
import json

import pytest

from thinkling.data.corpus import documents
from thinkling.errors import InputError


def lines(*texts):
    return "".join(json.dumps({"text": text, "source": "x"}) + "\n" for text in texts)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "A.JSONL"])
def test_json_lines(tmp_path, name):
    path = tmp_path / name
    path.write_text(lines("one\n\ntwo", "  ", "drei ü") + "\n" + lines("four").strip(), encoding="utf-8")
    assert list(documents(path)) == ["one\n\ntwo", "drei ü", "four"]


def test_blocks_of_plain_text(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeff\n one\r\ntwo \r\n\r\n \t\n\nthree\n\n".encode())
    assert list(documents(path)) == [" one\ntwo ", "three"]
    path.write_text("end")
    assert list(documents(path)) == ["end"]
    path.write_text("")
    assert list(documents(path)) == []


def test_compressed_files(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines("one", "two").encode()))
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"three\n\nfour"))
    assert list(documents(tmp_path)) == ["one", "two", "three", "four"]


def test_a_folder_is_read_in_the_order_of_names(tmp_path):
    for name in ("b.jsonl", "a/z.jsonl", "c.json", "a/.hidden/x.jsonl", ".x.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(lines(name))
    (tmp_path / "README.md").write_text("not a document")
    (tmp_path / "d.jsonl").mkdir()
    assert list(documents(tmp_path)) == ["a/z.jsonl", "b.jsonl", "c.json"]


def test_only_what_is_asked_for_is_read(tmp_path):
    """A corpus may be larger than the memory: a fault far behind is not met before it is reached."""
    path = tmp_path / "a.jsonl"
    path.write_text(lines(*map(str, range(2000))) + "broken\n" * 2)
    assert list(itertools.islice(documents(path), 2000))[-1] == "1999"
    with pytest.raises(InputError, match="line 2001"):
        list(documents(path))


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        ('{"txt": "a"}', r"no text \(fields: 'txt'\)"),
        ("{}", r"no text \(fields: none\)"),
        ('{"text": 3}', "text is 3"),
        ('{"text": null}', "text is null"),
        ("[1, 2]", r"\[1, 2\]"),
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ('{"text": "a \\ud800 b"}', "half of a surrogate"),
    ],
)
def test_bad_rows_are_named(tmp_path, bad, what):
    path = tmp_path / "a.jsonl"
    path.write_text(lines("fine") + "\n" + bad + "\n" + lines("fine"), encoding="utf-8")
    with pytest.raises(InputError, match=rf"a\.jsonl line 3: {what}") as caught:
        list(documents(path))
    assert "line" in caught.value.next_step


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt", "a.txt.gz"])
def test_bytes_that_are_no_text_are_named(tmp_path, name):
    content = lines("fine").encode() + b'{"text": "gr\xfcn"}\n'
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(InputError, match=rf"{name} line 2: byte 0xfc that is not UTF-8") as caught:
        list(documents(tmp_path))
    assert caught.value.next_step == "save the file as UTF-8"


@pytest.mark.parametrize("damage", ["cut", "changed", "plain", "tail"])
def test_a_damaged_archive_is_named(tmp_path, damage):
    whole = gzip.compress(lines(*(f"{n * 7919 % 1000} text" for n in range(5000))).encode())
    middle = len(whole) // 2
    (tmp_path / "a.jsonl.gz").write_bytes(
        {
            "cut": whole[:middle],
            "changed": whole[:middle]
            + bytes([whole[middle] ^ 0xFF, whole[middle + 1] ^ 0xFF])
            + whole[middle + 2 :],
            "plain": b'{"text": "a"}\n',
            "tail": whole + b"more",
        }[damage]
    )
    with pytest.raises(InputError) as caught:
        list(documents(tmp_path / "a.jsonl.gz"))
    assert "a.jsonl.gz" in caught.value.given
    assert "\n" not in str(caught.value)


def test_what_is_no_corpus_is_refused(tmp_path):
    (tmp_path / "table.csv").write_text("a,b\n")
    (tmp_path / "archive.gz").write_text("")
    for name, what in (
        ("none.txt", "no such file"),
        ("table.csv", "an unknown kind of file"),
        ("archive.gz", "an unknown kind of file"),
        ("", "a folder without text files"),
    ):
        with pytest.raises(InputError, match=what) as caught:
            list(documents(tmp_path / name))
        assert ".jsonl, .json or .txt" in caught.value.allowed
