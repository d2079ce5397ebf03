"""`thinkling data import text` and `data check` of what it wrote."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thinkling.cli.main import main
from thinkling.data import offline_corpus
from thinkling.data.text_store import _SplitWriter, read_text_store
from thinkling.data.whole_folder import write_manifest

TEXTS = [f"Text number {n} tells of {n * n} things." for n in range(120)]


def run(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> tuple[Any, str]:
    """The JSON object and standard error of a command."""
    assert main([*map(str, words), "--json"]) == code
    captured = capsys.readouterr()
    return json.loads(captured.out) if captured.out else None, captured.err


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source/texts.jsonl"
    path.parent.mkdir()
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in [*TEXTS, TEXTS[3]]))
    return path


def test_import_and_check(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    made, errors = run(capsys, "data", "import", "text", source, "--out", out, "--vocab-size", 300)
    assert errors == ""
    store = read_text_store(out)
    assert made == {
        "dir": str(out),
        "train": len(store.train),
        "validation": len(store.validation),
        "test": len(store.test),
        "left_out": 1,
        "tokens": made["tokens"],
        "vocab_size": store.tokenizer.vocab_size,
        "bytes": sum(map(len, TEXTS)),
        "bytes_per_token": round(sum(map(len, TEXTS)) / made["tokens"], 3),
        "sha256": store.sha256,
    }
    assert made["train"] + made["validation"] + made["test"] == 120
    assert store.info["source"] == str(source)
    found, errors = run(capsys, "data", "check", out)
    assert (found["train"], found["test"]) == (made["train"], made["test"])
    assert (found["duplicates"], found["overlap"], found["faults"], errors) == (0, 0, [], "")
    assert main(["data", "check", str(out)]) == 0
    assert f"validation  {made['validation']}\n" in capsys.readouterr().out


def test_a_folder_shares_and_a_seed(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("data", "import", "text", source.parent, "--vocab-size", 300, "--validation-fraction", 0.2)
    made, _ = run(capsys, *words, "--test-fraction", 0.3, "--out", tmp_path / "a")
    assert 12 <= made["validation"] <= 36
    assert 22 <= made["test"] <= 50
    other, _ = run(capsys, *words, "--test-fraction", 0.3, "--seed", 1, "--out", tmp_path / "b")
    assert other["sha256"] != made["sha256"]


@pytest.mark.parametrize("name", ["", "tokenizer.json"])
def test_the_vocabulary_of_another_corpus(
    name: str, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "data", "import", "text", source, "--out", tmp_path / "a", "--vocab-size", 280)
    (tmp_path / "more.txt").write_text("one\n\ntwo\n\nthree\n\nfour\n")
    made, _ = run(
        capsys,
        *("data", "import", "text", tmp_path / "more.txt", "--out", tmp_path / "b"),
        *("--tokenizer", tmp_path / "a" / name),
    )
    assert made["vocab_size"] == 280
    assert (tmp_path / "b/tokenizer.json").read_bytes() == (tmp_path / "a/tokenizer.json").read_bytes()


def test_the_corpus_of_this_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offline_corpus, "documentation_strings", lambda: iter(["Grüße\n\nan alle", *TEXTS]))
    made, _ = run(
        capsys, "data", "import", "text", "python-docs", "--out", tmp_path / "out", "--vocab-size", 300
    )
    assert made["train"] + made["validation"] + made["test"] == 121
    store = read_text_store(tmp_path / "out")
    assert store.info["source"] == "python-docs"
    texts = [store.tokenizer.decode(part[n]) for part in (store.train, store.test) for n in range(len(part))]
    assert "Grüße\n\nan alle" in texts


def test_a_fault_is_told_in_json_and_by_the_exit_code(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A training document that is also in the test set."""
    out = tmp_path / "out"
    run(capsys, "data", "import", "text", source, "--out", out, "--vocab-size", 300)
    store = read_text_store(out)
    info = store.info
    shutil.rmtree(out / "test")
    writer = _SplitWriter(out / "test", 300)
    for number in (7, 8):
        writer.add(np.asarray(store.train[number]).tolist(), 1)
    writer.close()
    (out / "thinkling.json").unlink()
    write_manifest(out / "thinkling.json", {key: info[key] for key in ("kind", "bytes")})
    found, errors = run(capsys, "data", "check", out, code=2)
    assert (found["overlap"], len(found["faults"])) == (2, 2)
    assert errors.count("\n") == 1
    assert "2 faults, the first: test document 0: equal to train document 7" in errors


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("nowhere.jsonl --out x", ["nowhere.jsonl: no such file"]),
        ("table.csv --out x", ["table.csv: an unknown kind", ".jsonl, .json or .txt"]),
        ("bad.jsonl --out x", ["bad.jsonl line 2: no text"]),
        ("latin.txt --out x", ["latin.txt line 1: byte 0xfc"]),
        ("empty.txt --out x", ["no documents", "3 or more"]),
        ("one.txt --out x", ["1 document", "3 or more"]),
        ("good.txt --out x --vocab-size 260", ["260 tokens", "261"]),
        ("good.txt --out x --test-fraction 1.5", ["1.5 for testing"]),
        ("good.txt --out x --tokenizer foreign.json", ["foreign.json", "<PAD>, <UNK>, <CLS>, <SEP>, <MASK>"]),
        ("good.txt --out good.txt", ["--out good.txt: is not a folder"]),
        ("hf://nonsense --out x", ["hf://nonsense", "OWNER/NAME"]),
    ],
)
def test_bad_input_is_answered_in_one_line(
    words: str,
    parts: list[str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("table.csv").write_text("a,b\n")
    Path("bad.jsonl").write_text('{"text": "a"}\n{"body": "b"}\n')
    Path("latin.txt").write_bytes(b"gr\xfcn")
    Path("empty.txt").write_text("\n\n")
    Path("one.txt").write_text("one\ntwo")
    Path("good.txt").write_text("one\n\ntwo\n\nthree\n\nfour")
    Path("foreign.json").write_text(
        '{"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}'
    )
    before = sorted(tmp_path.iterdir())
    assert main(["data", "import", "text", *words.split()]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    for part in parts:
        assert part in captured.err
    assert sorted(tmp_path.iterdir()) == before
