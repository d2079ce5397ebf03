"""HumanEval and MBPP: their layouts, the code found in texts, and programs that are run."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from thinkling.errors import InputError, ThinklingError
from thinkling.lm.benchmarks import code
from thinkling.lm.benchmarks.code import HumanEval, Mbpp
from thinkling.lm.benchmarks.item import Answer, Benchmark, BenchmarkItem
from thinkling.lm.benchmarks.registry import get_benchmark

PROMPT = (
    'import math\n\n\ndef half(n):\n    return n / 2\n\n\ndef root(n):\n    """The root of half of n."""\n'
)
HUMANEVAL_ROW = {
    "task_id": "HumanEval/0",
    "prompt": PROMPT,
    "entry_point": "root",
    "canonical_solution": "    return math.sqrt(half(n))\n",
    "test": "def check(candidate):\n    assert candidate(8) == 2\n    assert candidate(18) == 3\n",
}
MBPP_ROW = {
    "text": "Write a function to double.",
    "code": "def double(n):\r\n  return 2 * n",
    "task_id": 11,
    "test_setup_code": "three = 3",
    "test_list": ["assert double(2) == 4", "assert double(three) == 6"],
    "challenge_test_list": [],
}


def read(folder: Path, benchmark: Benchmark, *values: dict[str, Any], n: int = 0) -> list[BenchmarkItem]:
    path = folder / "rows.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(value) + "\n" for value in values)
    return benchmark.items(path, n=n, seed=0)


def right(benchmark: Benchmark, item: BenchmarkItem, *texts: str) -> list[tuple[bool, bool]]:
    """Whether texts are right by the strict and by the flexible rule."""
    found = [benchmark.found(item, text) for text in texts]
    waiting = [each for pair in found for each in (pair.strict, pair.flexible) if each is not None]
    verdicts = dict(
        zip(
            waiting,
            benchmark.judge([Answer(item=item, text=each, strict=False) for each in waiting]),
            strict=True,
        )
    )
    return [
        (verdicts.get(pair.strict or "", False), verdicts.get(pair.flexible or "", False)) for pair in found
    ]


def test_human_eval_runs_the_tests_on_whatever_form_the_code_has(tmp_path: Path) -> None:
    benchmark = HumanEval()
    (item,) = read(tmp_path, benchmark, HUMANEVAL_ROW)
    assert (item.name, item.beginning) == ("HumanEval/0", PROMPT)
    assert item.prompt.endswith(PROMPT)
    whole = "def root(n):\n    return math.sqrt(half(n))"
    assert (
        right(
            benchmark,
            item,
            "    return math.sqrt(half(n))\n",
            "return math.sqrt(half(n))",
            "x = half(n)\n    return math.sqrt(x)",
            "for x in [half(n)]:\n        y = x\n    return math.sqrt(y)",
            whole,
            f"```python\n{whole}\n```",
            f"Here it is:\n```python\n{whole}\n```\nTry it:\n```python\nroot(3)\n```\n",
            "I take the root.\n```\n    return math.sqrt(half(n))\n```",
        )
        == [(True, True)] * 6 + [(False, True)] * 2
    )
    assert (
        right(benchmark, item, "    return 2", "The root of half of n.", "", "import sys\nsys.exit(0)", "```")
        == [(False, False)] * 5
    )


def test_mbpp(tmp_path: Path) -> None:
    benchmark = Mbpp()
    (item,) = read(tmp_path, benchmark, MBPP_ROW)
    assert item.name == "MBPP/11"
    assert "double.\nYour code should pass these tests:\n\nassert double(2) == 4\n" in item.prompt
    assert right(
        benchmark,
        item,
        MBPP_ROW["code"],
        f"So:\n```python\n{MBPP_ROW['code']}\n```",
        "def double(n): return 4",
    ) == [(True, True), (False, True), (False, False)]


def test_mbpp_takes_the_test_part_of_the_whole_benchmark(tmp_path: Path) -> None:
    numbered = [{**MBPP_ROW, "task_id": number} for number in (1, 10, 11, 510, 511)]
    assert [item.name for item in read(tmp_path, Mbpp(), *numbered)] == ["MBPP/11", "MBPP/510"]
    assert [item.name for item in read(tmp_path, Mbpp(), *numbered, n=1)] == ["MBPP/11"]
    sanitised = {
        "prompt": "Write it.",
        "task_id": 602,
        "test_list": ["assert f()"],
        "test_imports": ["import re"],
    }
    (item,) = read(tmp_path, Mbpp(), sanitised)
    assert (item.name, item.answer) == ("MBPP/602", "import re\nassert f()\n")


@pytest.mark.parametrize(
    ("benchmark", "row", "named"),
    [
        (HumanEval(), {**HUMANEVAL_ROW, "entry_point": "square"}, "entry_point 'square'"),
        (HumanEval(), {**HUMANEVAL_ROW, "entry_point": "a b"}, "entry_point"),
        (HumanEval(), MBPP_ROW, "line 1.*'prompt'"),
        (Mbpp(), HUMANEVAL_ROW, "line 1: task_id is 'HumanEval/0'"),
        (Mbpp(), {**MBPP_ROW, "test_list": []}, "line 1: test_list is"),
        (Mbpp(), {**MBPP_ROW, "test_setup_code": 3}, "line 1: test_setup_code is 3"),
    ],
)
def test_rows_of_another_layout(
    tmp_path: Path, benchmark: Benchmark, row: dict[str, Any], named: str
) -> None:
    with pytest.raises(InputError, match=named):
        read(tmp_path, benchmark, row)


def test_a_sandbox_that_does_not_work_is_found_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise every program would count as wrong, and the score as 0."""
    broken = SimpleNamespace(passed=False, reason="no processes")
    monkeypatch.setattr(code, "run_tests", lambda *texts, **limits: broken)
    with pytest.raises(ThinklingError, match="no processes"):
        get_benchmark("mbpp")
