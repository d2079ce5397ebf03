"""`thinkling lm tokenizer`, and `thinkling data import text --for lm` with what it wrote."""

import json
from pathlib import Path
from typing import Any

import pytest

from thinkling.cli import lm_tokenizer
from thinkling.cli.arguments import parse
from thinkling.cli.main import main
from thinkling.cli.output import Report, show
from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.data.text_store import purpose_of_text_store, read_text_store
from thinkling.errors import InputError

TEXTS = [f"Text number {n} tells of {n * n} things and of others." for n in range(120)]


def train(*words: object) -> Report:
    given = [*map(str, words)]
    return lm_tokenizer.run(parse(lm_tokenizer.Arguments, given, "thinkling lm tokenizer"))  # type: ignore[arg-type]  # parse returns the class it was given


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    (tmp_path / "b.txt").write_text("only\n\nthree\n\nblocks")
    return [tmp_path / "a.jsonl", tmp_path / "b.txt"]


def test_it_learns_measures_and_writes(
    sources: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    report = train(*sources, "--out", out, "--vocab-size", 300)
    made: dict[str, Any] = dict(report.values)
    tokenizer = ChatTokenizer.load(out / "tokenizer.json")
    assert made["dir"] == str(out)
    assert made["vocab_size"] == tokenizer.vocab_size == 300
    domains = made["domains"]
    assert list(domains) == [*map(str, sources), "numbers", "code"]
    held_out = [text for number, text in enumerate(TEXTS) if number % 20 == 19]
    of_first = domains[str(sources[0])]
    assert of_first["tokens"] == sum(map(len, tokenizer.encode_batch(held_out)))
    assert of_first["bytes"] == sum(map(len, held_out))
    assert (of_first["held_out"], domains[str(sources[1])]["held_out"]) == (True, False)
    assert made["bytes_per_token"] > 1
    show(report, as_json=False)
    shown = capsys.readouterr().out
    assert "300 tokens in" in shown
    assert "a.jsonl" in shown
    assert "that were learnt from" in shown
    again = train(*sources, "--out", out, "--vocab-size", 290)
    assert again.values["vocab_size"] == 290


def test_a_corpus_is_imported_with_it(
    sources: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(*sources, "--out", tmp_path / "words", "--vocab-size", 300)
    out = tmp_path / "store"
    words = ["data", "import", "text", str(sources[0]), "--for", "lm", "--out", str(out), "--json"]
    assert main([*words, "--tokenizer", str(tmp_path / "words")]) == 0
    made = json.loads(capsys.readouterr().out)
    store = read_text_store(out, kind=ChatTokenizer)
    assert made["sha256"] == store.sha256
    assert made["vocab_size"] == 300
    assert (out / "tokenizer.json").read_bytes() == (tmp_path / "words/tokenizer.json").read_bytes()
    assert main([*words, "--vocab-size", "280"]) == 0
    assert json.loads(capsys.readouterr().out)["vocab_size"] == 280
    assert purpose_of_text_store(out) == "lm"
    assert main(["data", "check", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["faults"] == []


def test_a_tokenizer_of_the_other_kind_is_refused(
    sources: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data", "import", "text", str(sources[0]), "--out"]
    assert main([*words, str(tmp_path / "encoder"), "--vocab-size", "300"]) == 0
    capsys.readouterr()
    given = ["--for", "lm", "--tokenizer", str(tmp_path / "encoder")]
    assert main([*words, str(tmp_path / "lm"), *given]) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert "<PAD>, <UNK>, <CLS>, <SEP>, <MASK>" in errors
    assert "thinkling lm tokenizer" in errors
    assert main([*words, str(tmp_path / "lm"), "--for", "lm", "--vocab-size", "263"]) == 2
    assert "264" in capsys.readouterr().err
    assert main([*words, str(tmp_path / "lm"), "--for", "chat"]) == 2
    assert "lm" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("nowhere.txt", "nowhere.txt: no such file"),
        ("good.txt --vocab-size 263", "263 tokens.*264"),
        ("good.txt good.txt", "good.txt twice"),
        ("good.txt --megabytes -1", "--megabytes -1"),
        ("good.txt --megabytes nan", "--megabytes nan"),
        ("empty.txt", "no text in empty.txt"),
        ("latin.txt", "latin.txt line 1: byte 0xfc"),
        ("cut.jsonl.gz", "cut.jsonl.gz: damaged or cut short"),
        ("", "no source|required"),
    ],
)
def test_bad_input_is_named(words: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gzip

    monkeypatch.chdir(tmp_path)
    Path("good.txt").write_text("one\n\ntwo")
    Path("empty.txt").write_text("\n\n")
    Path("latin.txt").write_bytes(b"gr\xfcn")
    rows = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS)
    Path("cut.jsonl.gz").write_bytes(gzip.compress(rows.encode())[:-40])
    with pytest.raises(InputError, match=told):
        train(*words.split(), "--out", "x")
    assert not Path("x").exists()


def test_what_is_not_ours_is_left_alone(sources: list[Path], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("x")
    with pytest.raises(InputError, match="--out"):
        train(*sources, "--out", tmp_path / "mine", "--vocab-size", 300)
    assert (tmp_path / "mine/notes.txt").read_text() == "x"
