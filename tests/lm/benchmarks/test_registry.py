"""Names of benchmarks, generated ones, reasoning-gym's, MATH-500, and the task for lm-eval."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from thinkling.errors import InputError
from thinkling.lm.benchmarks import code, gym, math500
from thinkling.lm.benchmarks.item import Answer, Benchmark, BenchmarkItem
from thinkling.lm.benchmarks.lm_eval_task import answer_of, process_results, write_lm_eval_task
from thinkling.lm.benchmarks.registry import benchmark_names, get_benchmark
from thinkling.lm.language_model import AnswerSettings
from thinkling.tasks.problem import problem_tasks, split_of

needs_gym = pytest.mark.skipif(importlib.util.find_spec("reasoning_gym") is None, reason="the extra `gym`")
needs_math_verify = pytest.mark.skipif(
    importlib.util.find_spec("math_verify") is None, reason="the extra `math`"
)

MATH_ROW = {
    "problem": "What is $\\frac{1}{2}$ of $x$?",
    "solution": "So $\\boxed{\\frac{x}{2}}$.",
    "answer": "\\frac{x}{2}",
    "subject": "Algebra",
    "level": 1,
    "unique_id": "test/algebra/1.json",
}


def verdicts(benchmark: Benchmark, item: BenchmarkItem, text: str) -> tuple[bool, bool]:
    """Whether a text is right by the strict and by the flexible rule."""
    found = benchmark.found(item, text)
    strict, flexible = (
        each is not None and benchmark.judge([Answer(item=item, text=each, strict=rule)])[0]
        for each, rule in ((found.strict, True), (found.flexible, False))
    )
    return strict, flexible


@pytest.mark.parametrize("name", ["gsm8k", "humaneval", "mbpp", "svamp", "aqua", *problem_tasks()])
def test_a_benchmark_has_its_name(name: str) -> None:
    assert get_benchmark(name).name == name
    assert name in benchmark_names()


@pytest.mark.parametrize(
    ("name", "named"),
    [("gsm8", "did you mean 'gsm8k'"), ("alchemy", "humaneval"), ("", "gsm8k"), ("GSM8K", "gsm8k")],
)
def test_an_unknown_name_says_what_there_is(name: str, named: str) -> None:
    with pytest.raises(InputError, match=named):
        get_benchmark(name)


@pytest.mark.parametrize("name", list(problem_tasks()))
def test_generated_problems_are_held_out_and_judged_by_their_task(name: str) -> None:
    benchmark = get_benchmark(name)
    items = benchmark.items(None, n=5, seed=3)
    assert [item.number for item in items] == [0, 1, 2, 3, 4]
    assert items == benchmark.items(None, n=8, seed=3)[:5], (
        "a question depends on the seed and its number only"
    )
    assert items != benchmark.items(None, n=5, seed=4)
    for item in items:
        assert split_of(item.prompt) == "test"
        assert verdicts(benchmark, item, item.answer) == (True, True)
        assert verdicts(benchmark, item, f"First I tried.\nThe answer is {item.answer}.") == (False, True)
        assert verdicts(benchmark, item, "perhaps") == (False, False)
    assert benchmark.ballot(" 1  A") == benchmark.ballot("1 a")


def test_generated_problems_are_500_and_have_no_file(tmp_path: Path) -> None:
    assert len(get_benchmark("sum").items(None, n=0, seed=0)) == 500
    with pytest.raises(InputError, match="--file"):
        get_benchmark("sum").items(tmp_path, n=1, seed=0)


@needs_gym
def test_reasoning_gym(tmp_path: Path) -> None:
    benchmark = get_benchmark("gym:leg_counting")
    items = benchmark.items(None, n=3, seed=7)
    assert items == benchmark.items(None, n=4, seed=7)[:3]
    for item in items:
        assert verdicts(benchmark, item, item.answer) == (True, True)
        assert verdicts(benchmark, item, f"The answer is {item.answer}") == (False, True)
        assert verdicts(benchmark, item, f"{item.answer} or {item.answer}1") == (False, False)
    with pytest.raises(InputError, match="--file"):
        benchmark.items(tmp_path, n=1, seed=0)
    with pytest.raises(InputError, match="leg_counting"):
        get_benchmark("gym:legcounting")


def test_reasoning_gym_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(InputError, match="pip install"):
        get_benchmark("gym:leg_counting")


def test_a_grid_of_several_lines_is_one_answer() -> None:
    grid = BenchmarkItem(number=0, name="g", prompt="?", answer="1 2\n3 4")
    found = gym.GymProblems(name="gym:any").found(grid, "1 2\n3 4\n")
    assert found.flexible == found.strict == "1 2\n3 4"


@needs_math_verify
def test_math500(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text(json.dumps(MATH_ROW))
    benchmark = get_benchmark("math500")
    (item,) = benchmark.items(tmp_path, n=0, seed=0)
    assert (item.name, item.answer) == ("test/algebra/1.json", r"\frac{x}{2}")
    assert verdicts(benchmark, item, r"\frac{x}{2}") == (True, True)
    assert verdicts(benchmark, item, r"It is $\boxed{\frac{x}{2}}$.") == (True, True)
    assert verdicts(benchmark, item, r"\boxed{0.5 x}") == (False, True)
    assert verdicts(benchmark, item, r"The answer is $x/2$.")[1]
    assert verdicts(benchmark, item, r"\boxed{2x}") == (False, False)
    assert verdicts(benchmark, item, "") == (False, False)


def test_math500_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "math_verify", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install"):
        get_benchmark("math500")


def test_the_published_addresses_are_those_of_the_hub() -> None:
    from thinkling.artifacts.hub import read_address
    from thinkling.lm.benchmarks import aqua, word_problems

    for place in (
        word_problems.GSM8K_ADDRESS,
        word_problems.SVAMP_ADDRESS,
        aqua.AQUA_ADDRESS,
        code.HUMANEVAL_ADDRESS,
        code.MBPP_ADDRESS,
        math500.MATH500_ADDRESS,
    ):
        address = read_address(place)
        assert address is not None
        assert address.kind == "dataset"


def test_the_task_for_lm_eval_judges_as_we_do(tmp_path: Path) -> None:
    import yaml

    benchmark = get_benchmark("sum")
    items = benchmark.items(None, n=3, seed=0)
    name = write_lm_eval_task(tmp_path / "new", benchmark, items, AnswerSettings(max_tokens=99))
    assert name == "thinkling_sum"
    text = (tmp_path / "new" / f"{name}.yaml").read_text()
    task = yaml.safe_load(text.replace("!function ", ""))
    assert task["process_results"] == "thinkling_sum_scoring.process_results"
    assert task["generation_kwargs"] == {"until": ["<|im_end|>"], "max_gen_toks": 99, "do_sample": False}
    questions = Path(task["dataset_kwargs"]["data_files"]["test"])
    rows = [json.loads(line) for line in questions.read_text().splitlines()]
    assert [row["prompt"] for row in rows] == [item.prompt for item in items]
    right = rows[0]["answer"]
    for answer, strict, flexible in (
        (f"<think>1+1</think>{right}", 1.0, 1.0),
        (f"<think>1+1</think>So the answer is {right}.", 0.0, 1.0),
        (f"<think>1+1</think><think>{right}</think>{right}", 0.0, 1.0),
        (f"<think>{right}", 0.0, 0.0),
        ("", 0.0, 0.0),
    ):
        assert process_results(rows[0], [answer]) == {"strict_score": strict, "flexible_score": flexible}
    scoring = tmp_path / "new" / f"{name}_scoring.py"
    spec = importlib.util.spec_from_file_location("scoring", scoring)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.process_results is process_results


def test_what_json_cannot_hold_is_refused(tmp_path: Path) -> None:
    item = BenchmarkItem(number=0, name="odd", prompt="?", answer="1", extra={"entry": {1j}})
    with pytest.raises(InputError, match="odd"):
        write_lm_eval_task(tmp_path, get_benchmark("sum"), [item], AnswerSettings())


@pytest.mark.parametrize(
    ("text", "answer", "well_formed"),
    [
        ("<think>a</think>b", "b", True),
        ("b", "b", True),
        ("<think></think>b", "b", True),
        ("x<think>a</think>b", "xb", False),
        ("<think>a", "", False),
        ("<think>a</think>", "", False),
        ("a</think>b", "ab", False),
    ],
)
def test_reasoning_is_taken_from_a_text(text: str, answer: str, well_formed: bool) -> None:
    assert answer_of(text) == (answer, well_formed)
