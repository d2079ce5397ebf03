"""`thinkling lm corpus` on a corpus whose faults are known."""

import gzip
import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "lm"))

from made_up_corpus import jaccard, write_corpus

from thinkling.cli.main import main
from thinkling.data.corpus import documents


def run(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> tuple[Any, str]:
    """The JSON object and standard error of the command."""
    capsys.readouterr()
    assert main(["lm", "corpus", *map(str, words), "--json"]) == code
    captured = capsys.readouterr()
    return json.loads(captured.out) if captured.out else None, captured.err


@pytest.fixture
def texts(tmp_path: Path) -> dict[str, list[str]]:
    return write_corpus(tmp_path / "source")


def test_every_fault_is_found_and_nothing_else(
    texts: dict[str, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    source, benchmark = tmp_path / "source", tmp_path / "benchmark.jsonl"
    found, errors = run(capsys, source, "--out", out, "--benchmark", f"sums={benchmark}", "--workers", 1)
    kept = list(documents(out / "documents"))
    # Of a text and its near-copy one stays, whichever; of two equal ones one.
    clusters = [{texts["good"][n], near} for n, near in zip((3, 21), texts["near"], strict=True)]
    for cluster in clusters:
        assert len(cluster & set(kept)) == 1
    alone = {text for text in texts["good"] if not any(text in cluster for cluster in clusters)}
    assert set(kept) - set.union(*clusters) == alone | set(texts["related"])
    assert len(kept) == len(set(kept)) == 32
    assert all(
        jaccard(texts["good"][n], text) < 0.7 for n, text in zip((4, 22), texts["related"], strict=True)
    )
    assert found["dir"] == str(out)
    assert found["documents_read"] == 40
    assert found["documents"] == 32
    assert found["characters"] == sum(map(len, kept))
    assert sum(found["filtered"].values()) == 3
    assert found["filtered"]["gopher: gopher_short_doc"] == 2
    assert (found["near_duplicates"], found["contaminated"], found["hits"]) == (4, 1, 1)
    assert found["benchmarks"] == [{"name": "sums", "rows": 2, "too_short_to_find": 1}]
    assert "no document is left out for its language" in errors
    hits = [json.loads(line) for line in (out / "contamination.jsonl").read_text().splitlines()]
    assert [(hit["benchmark"], hit["line"]) for hit in hits] == [("sums", 2)]
    assert hits[0]["source"].endswith("b.jsonl.gz document 18")
    assert len(hits[0]["words"].split()) == 13
    removed = [
        json.loads(line)
        for path in sorted((out / "removed").iterdir())
        for line in gzip.decompress(path.read_bytes()).decode().splitlines()
    ]
    assert len(removed) == 8
    assert {row["text"] for row in removed if row["reason"] == "contaminated"} == set(texts["leaked"])
    assert all(row["source"] and row["reason"] for row in removed)
    assert "Traceback" not in (out / "work" / "log.txt").read_text()


def test_without_rules_of_quality(
    texts: dict[str, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A task whose documents are all shorter than a shingle, too."""
    (tmp_path / "source/d.txt").write_text("hi\n\nho\n")
    found, _ = run(capsys, tmp_path / "source", "--out", tmp_path / "out", "--quality", "--workers", 1)
    assert found["filtered"] == {}
    assert found["documents_read"] == 42
    assert {"hi", "ho", *texts["leaked"]} <= set(documents(tmp_path / "out/documents"))
    assert found["benchmarks"] == []


def test_a_task_that_keeps_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("short\n")
    found, _ = run(capsys, tmp_path / "a.txt", "--out", tmp_path / "out", "--workers", 1)
    assert (found["documents_read"], found["documents"]) == (1, 0)


def test_a_language_model_decides_where_one_is_given(
    texts: dict[str, list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """fastText is played by a module that goes by one word."""

    class Model:
        def predict(self, text: str, k: int) -> tuple[tuple[str, ...], tuple[float, ...]]:
            assert "\n" not in text
            assert k == 1
            if "exchanged" in text:
                return ("__label__de",), (0.9,)
            return ("__label__en",), (0.5 if "One more sentence" in text else 0.99,)

    fake = types.ModuleType("fasttext")
    monkeypatch.setattr(fake, "load_model", lambda path: Model(), raising=False)
    monkeypatch.setitem(sys.modules, "fasttext", fake)
    model = tmp_path / "lid.bin"
    model.write_bytes(b"")
    words = (tmp_path / "source", "--out", tmp_path / "out", "--workers", 1, "--language-model", model)
    found, errors = run(capsys, *words)
    assert found["filtered"]["language: de"] == 2
    assert found["filtered"]["language: unsure"] == 2
    assert "no --language-model" not in errors


def test_a_file_that_is_cut_short_is_named(
    texts: dict[str, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From another process as well: an error with three parts has to come back whole."""
    path = tmp_path / "source/b.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-200])
    for workers in (1, 2):
        words = (tmp_path / "source", "--out", tmp_path / f"out{workers}", "--workers", workers)
        _, errors = run(capsys, *words, code=2)
        last = errors.strip().splitlines()[-1]
        assert "b.jsonl.gz: damaged or cut short after line" in last
        assert "fetch it again" in last
        assert not (tmp_path / f"out{workers}/report.json").exists()


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("nowhere --out x", ["nowhere: no such file"]),
        ("source --out x --benchmark gone.jsonl", ["--benchmark gone.jsonl: no such file"]),
        ("source --out x --benchmark bad.jsonl", ["bad.jsonl line 1: no question", "'sum'"]),
        ("source --out x --benchmark a=benchmark.jsonl a=benchmark.jsonl", ["a second benchmark named a"]),
        ("latin.txt --out x --workers 1", ["latin.txt line 1: byte 0xfc", "UTF-8"]),
        ("source --out full", ["--out full: holds something"]),
        ("source --out x --jaccard 1", ["--jaccard 1.0", "between 0 and 1"]),
        ("source --out x --ngram 0", ["--ngram 0", "1 or more"]),
        ("source --out x --tasks 9", ["--tasks 9 for 3 files", "up to 3"]),
        ("source --out x --workers -1", ["--workers -1"]),
        ("source --out x --quality good", ["gopher, repetition, fineweb"]),
        ("source --out x --slurm cpu --ray", ["--slurm with --ray"]),
        ("source --out x --language-model gone.bin", ["--language-model gone.bin: no such file"]),
        ("source --out x --ray", ["the package ray is missing", "pip install"]),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    words: str,
    parts: list[str],
    texts: dict[str, list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "ray", None)
    (tmp_path / "bad.jsonl").write_text('{"sum": "1 + 1"}\n')
    (tmp_path / "latin.txt").write_bytes(b"fr\xfch\n")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    _, errors = run(capsys, *words.split(), code=2)
    last = errors.strip().splitlines()[-1]
    assert last.startswith("thinkling: ")
    for part in parts:
        assert part in last


def test_a_missing_package_names_the_extra(
    texts: dict[str, list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "datatrove", None)
    _, errors = run(capsys, tmp_path / "source", "--out", tmp_path / "out", code=2)
    assert "pip install 'thinkling[corpus]'" in errors
    assert not (tmp_path / "out").exists()


def test_what_a_person_sees(
    texts: dict[str, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    benchmark = tmp_path / "benchmark.jsonl"
    words = ["lm", "corpus", str(tmp_path / "source"), "--out", str(out), "--workers", "1"]
    assert main([*words, "--benchmark", str(benchmark)]) == 0
    shown = capsys.readouterr().out
    assert "near duplicates   4" in shown
    assert "benchmark: 2 rows, 1 too short to be found" in shown
    assert f"thinkling data import text {out}/documents --for lm" in shown
