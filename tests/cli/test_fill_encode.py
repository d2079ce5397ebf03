"""`thinkling fill`, `encode` and `classify` end to end, on tiny models."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "thinking_bert"))

from small_classify import short_recipe, write_texts
from small_encoder import write_random_run

from thinkling.cli import classify
from thinkling.cli.arguments import parse
from thinkling.cli.main import main
from thinkling.cli.output import show
from thinkling.thinking_bert.classify_recipe import train_classifier


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fill") / "run"
    write_random_run(folder)
    return folder


def said(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, Any]:
    capsys.readouterr()
    code = main([*map(str, words), "--json"])
    out = capsys.readouterr().out.splitlines()
    return code, [json.loads(line) for line in out]


def test_fill_has_the_contract_s_keys(encoder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, [told] = said(capsys, "fill", encoder, "the <mask> is [MASK].", "--top-k", 3)
    assert code == 0
    assert set(told) >= {"masks", "text", "steps"}
    assert len(told["masks"]) == 2
    for mask in told["masks"]:
        assert set(mask) == {"position", "candidates", "steps"}
        assert [set(candidate) for candidate in mask["candidates"]] == [{"token", "probability"}] * 3
    assert "trace" not in told


def test_fill_shows_its_rounds(encoder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["fill", encoder, "the <mask> is <mask>.", "--halt", "never", "--steps", 3, "--trace"]
    _, [told] = said(capsys, *words)
    assert [len(entry["guesses"]) for entry in told["trace"]] == [2, 2, 2]
    assert main([str(word) for word in words]) == 0
    shown = capsys.readouterr().out
    assert "mask 1" in shown
    assert "round" in shown
    assert "after 3 rounds of thought" in shown


def test_fill_a_file(encoder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("the cat is <mask>\r\na <mask> <mask>\n", encoding="utf-8")
    code, told = said(capsys, "fill", encoder, "--file", lines)
    assert code == 0
    assert [len(entry["masks"]) for entry in told] == [1, 2]
    lines.write_text("the cat is <mask>\n\na <mask>\n", encoding="utf-8")
    assert main(["fill", str(encoder), "--file", str(lines)]) == 2
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 1, "what came before the bad line is answered"
    assert "lines.txt line 2: an empty text" in printed.err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], "neither a text nor --file"),
        (["a <mask>", "--file", "x.txt"], "one of the two"),
        (["no mask"], "without <mask>"),
        (["a <mask>", "--steps", "-1"], "--steps"),
        (["a <mask>", "--top-k", "0"], "--top-k"),
        (["a <mask>", "--halt", "valid"], "--halt"),
        (["a <mask>", "--threshold", "7"], "threshold"),
        (["--file", "missing.txt"], "no such file"),
        (["\udc80 <mask>"], "surrogate"),
    ],
)
def test_what_fill_refuses(
    encoder: Path, capsys: pytest.CaptureFixture[str], words: list[str], named: str
) -> None:
    assert main(["fill", str(encoder), *words]) == 2
    complaint = capsys.readouterr().err
    assert named in complaint
    assert len(complaint.splitlines()) == 1


def test_encode(encoder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, [told] = said(capsys, "encode", encoder, "the cat")
    assert code == 0
    assert told["shape"] == [1, 32]
    assert np.linalg.norm(told["vectors"][0]) == pytest.approx(1, abs=1e-3)
    lines = tmp_path / "lines.txt"
    lines.write_text("the cat\na dog is in the house\n", encoding="utf-8")
    out = tmp_path / "vectors.npy"
    _, [told] = said(capsys, "encode", encoder, "--file", lines, "--out", out)
    assert told["n"] == 2
    assert "vectors" not in told
    assert np.load(out).shape == (2, 32)
    _, [told] = said(capsys, "encode", encoder, "--file", lines, "--tokens", "--out", out)
    assert np.load(out).shape == (sum(told["tokens_of_each"]), 32)
    assert main(["encode", str(encoder), "the cat"]) == 0
    assert "1 x 32" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], "neither a text nor --file"),
        (["a", "--out", "x.txt"], ".npy"),
        (["a", "--out", "no/such/folder/x.npy"], "--out"),
        (["a", "--steps", "-1"], "--steps"),
    ],
)
def test_what_encode_refuses(
    encoder: Path, capsys: pytest.CaptureFixture[str], words: list[str], named: str
) -> None:
    assert main(["encode", str(encoder), *words]) == 2
    assert named in capsys.readouterr().err


@pytest.fixture(scope="module")
def classifier(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classify")
    write_texts(folder / "texts.tsv", 60)
    train_classifier(short_recipe(2), folder / "texts.tsv", folder / "run", init=encoder, quiet=True)
    return folder / "run"


def test_classify(classifier: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def told(*words: object) -> list[Any]:
        capsys.readouterr()
        arguments = parse(classify.Arguments, [str(classifier), *map(str, words), "--json"], "classify")
        assert show(classify.run(arguments), True) == 0  # type: ignore[arg-type]  # parsed into these
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    [answer] = told("the cat is here", "--halt", "never")
    assert set(answer) == {"label", "probability", "probabilities", "steps", "q_halt"}
    assert answer["steps"] == 3
    lines = tmp_path / "lines.txt"
    lines.write_text("a cat\na dog\n", encoding="utf-8")
    assert [set(found["probabilities"]) for found in told("--file", lines)] == [{"cat", "dog", "none"}] * 2


def test_a_run_of_the_other_kind(encoder: Path, classifier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fill", str(classifier), "a <mask>"]) == 2
    assert "masked-language" in capsys.readouterr().err
    assert main(["encode", str(classifier), "a"]) == 2
