"""GSM8K, SVAMP and AQuA: their layouts, and the answers found in texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from thinkling.errors import InputError
from thinkling.lm.benchmarks.aqua import Aqua
from thinkling.lm.benchmarks.item import Answer, Benchmark, BenchmarkItem
from thinkling.lm.benchmarks.word_problems import gsm8k, svamp

GSM8K_ROW = {"question": "How many eggs?", "answer": "3*6 = <<3*6=18>>18 eggs.\n#### 1,018"}
SVAMP_ROW = {
    "ID": "chal-1",
    "Body": "Each pack costs 76 dollars. There is a discount of 25 dollars",
    "Question": "How much is a pack?",
    "Equation": "( 76.0 - 25.0 )",
    "Answer": 51.0,
    "Type": "Subtraction",
}
AQUA_ROW = {
    "question": "A train of 10 cars has how many ends?",
    "options": ["A)1", "B)A pair", "C)2.5 m", "D)3", "E)None of these"],
    "rationale": "Answer B",
    "correct": "B",
}


def file_with(folder: Path, *values: dict[str, Any]) -> Path:
    path = folder / "test.jsonl"
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return path


def verdicts(benchmark: Benchmark, item: BenchmarkItem, text: str) -> tuple[bool, bool]:
    """Whether a text is right by the strict and by the flexible rule."""
    found = benchmark.found(item, text)
    strict, flexible = (
        each is not None and benchmark.judge([Answer(item=item, text=each, strict=rule)])[0]
        for each, rule in ((found.strict, True), (found.flexible, False))
    )
    return strict, flexible


def test_gsm8k(tmp_path: Path) -> None:
    other = {"question": "q", "answer": "#### 2"}
    benchmark = gsm8k()
    items = benchmark.items(file_with(tmp_path, GSM8K_ROW, other, other), n=2, seed=0)
    assert [(item.number, item.prompt, item.answer) for item in items] == [
        (0, "How many eggs?", "1018"),
        (1, "q", "2"),
    ]
    assert len(benchmark.items(tmp_path, n=0, seed=0)) == 3, "a folder with its test file"
    item = items[0]
    assert verdicts(benchmark, item, " 1,018.\n") == (True, True)
    assert verdicts(benchmark, item, "They are 1018.0 eggs\n#### $1018") == (True, True)
    assert verdicts(benchmark, item, "There are 1018 eggs.") == (False, True)
    assert verdicts(benchmark, item, "1018 or 1019") == (False, False), "only the last one counts"
    assert verdicts(benchmark, item, "1017\n#### 1018\n#### 1017") == (False, False)
    assert verdicts(benchmark, item, "") == (False, False)


def test_svamp(tmp_path: Path) -> None:
    benchmark = svamp()
    path = tmp_path / "SVAMP.json"
    path.write_text(json.dumps([SVAMP_ROW]))
    (item,) = benchmark.items(path, n=0, seed=0)
    assert item.prompt.endswith("a discount of 25 dollars How much is a pack?")
    assert item.answer == "51"
    assert verdicts(benchmark, item, "51.00") == (True, True)
    assert verdicts(benchmark, item, "76 - 25 = 51 dollars") == (False, True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("B", (True, True)),
        ("(b).", (True, True)),
        ("B) A pair", (True, True)),
        ("a pair", (True, True)),
        ("The answer is (B).", (False, True)),
        ("A train has two ends, hence B", (False, True)),
        (r"Therefore \boxed{B}", (False, True)),
        ("Answer: B)A pair", (False, True)),
        ("It is not A.\nB", (False, True)),
        ("A, B, C, D, E", (False, False)),
        ("A train", (False, False)),
        ("C", (False, False)),
        ("", (False, False)),
    ],
)
def test_aqua(tmp_path: Path, text: str, expected: tuple[bool, bool]) -> None:
    benchmark = Aqua()
    (item,) = benchmark.items(file_with(tmp_path, AQUA_ROW), n=0, seed=0)
    assert item.prompt.splitlines()[0] == AQUA_ROW["question"]
    assert "C)2.5 m" in item.prompt
    assert verdicts(benchmark, item, text) == expected


@pytest.mark.parametrize(
    ("benchmark", "row", "named"),
    [
        (gsm8k(), {"question": "q"}, "line 1.*'answer'"),
        (gsm8k(), {"question": "q", "answer": "many"}, "line 1: the answer 'many'"),
        (gsm8k(), {"question": "q", "answer": ""}, "line 1: answer is"),
        (svamp(), GSM8K_ROW, "line 1.*'Body'"),
        (Aqua(), {**AQUA_ROW, "correct": "F"}, "correct is 'F'"),
        (Aqua(), {**AQUA_ROW, "options": ["A)1", "C)2"]}, "the options"),
        (Aqua(), {**AQUA_ROW, "options": "A)1"}, "options is"),
    ],
)
def test_rows_of_another_layout(
    tmp_path: Path, benchmark: Benchmark, row: dict[str, Any], named: str
) -> None:
    with pytest.raises(InputError, match=named):
        benchmark.items(file_with(tmp_path, row), n=0, seed=0)


def test_an_empty_file_has_no_question(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no question"):
        gsm8k().items(file_with(tmp_path), n=0, seed=0)
