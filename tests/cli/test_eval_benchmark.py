"""`thinkling eval RUN --task NAME`: from the words on the command line to the figures and files."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import tyro

sys.path.insert(0, str(Path(__file__).parent.parent / "lm"))

from small_decoder import write_random_run

from thinkling.cli.arguments import parse
from thinkling.cli.eval_benchmark import BenchmarkArguments, run
from thinkling.cli.output import Report, plain
from thinkling.errors import InputError

CONTRACT = {
    "n", "exact_accuracy", "cell_accuracy", "valid_rate", "mean_steps", "p95_steps", "wrong_but_confident", "seconds",
    "examples_per_second",
}  # fmt: skip
FIGURES = {
    "pass_at_1", "pass_at_1_interval", "pass_at_k", "pass_at_k_interval", "majority_at_k", "majority_at_k_interval",
    "parse_rate", "strict_score", "strict_score_interval", "flexible_score", "mean_thinking_tokens",
}  # fmt: skip


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lm") / "run"
    write_random_run(folder)
    return folder


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    path = tmp_path / "test.jsonl"
    rows = [{"question": f"{number}+1?", "answer": f"#### {number + 1}"} for number in range(4)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def command(*words: str | Path) -> Report:
    start = BenchmarkArguments(run_folder=tyro.MISSING, task=tyro.MISSING)
    arguments = parse(BenchmarkArguments, [str(word) for word in words], "thinkling eval", start)
    assert isinstance(arguments, BenchmarkArguments)
    return run(arguments)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_file_is_scored_and_listed(
    model_folder: Path, questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    details = tmp_path / "new" / "details.jsonl"
    report = command(
        model_folder, "--task", "gsm8k", "--file", questions, "--n", "3", "--samples", "4", "--max-tokens", "6",
        "--details", details,
    )  # fmt: skip
    values = plain(report.values)
    assert values.keys() >= CONTRACT | FIGURES
    assert (values["benchmark"], values["n"], values["samples"], values["temperature"]) == (
        "gsm8k",
        3,
        4,
        1.0,
    )
    assert set(values["pass_at_k"]) == {"1", "2", "4"}
    json.dumps(values, allow_nan=False)
    listed = rows_of(details)
    assert [row["prompt"] for row in listed] == ["0+1?", "1+1?", "2+1?"]
    assert all(len(row["samples"]) == 4 for row in listed)
    share = sum(each["right"] for row in listed for each in row["samples"]) / 12
    assert values["pass_at_1"] == pytest.approx(share)
    assert capsys.readouterr().out == "", "the caller prints"


def test_the_same_words_give_the_same_figures(model_folder: Path) -> None:
    words = (model_folder, "--task", "sum", "--n", "5", "--samples", "2", "--max-tokens", "6", "--seed", "3")
    first, second = (dict(plain(command(*words).values)) for _ in range(2))
    for values in (first, second):
        for name in ("seconds", "judge_seconds", "tokens_per_second", "examples_per_second"):
            del values[name]
    assert first == second


def test_a_person_sees_a_table(model_folder: Path, questions: Path) -> None:
    from rich.console import Console

    report = command(
        model_folder, "--task", "gsm8k", "--file", questions, "--samples", "2", "--max-tokens", "4"
    )
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(report.text)
    text = console.export_text()
    for part in ("gsm8k: 4 questions", "pass@2", "majority@2", "parse rate", "strict"):
        assert part in text


def test_a_prompt_of_the_users_own(model_folder: Path, questions: Path, tmp_path: Path) -> None:
    details = tmp_path / "details.jsonl"
    words = (model_folder, "--task", "gsm8k", "--file", questions, "--max-tokens", "2", "--details", details)
    command(*words, "--prompt", "Question: {question} Answer:")
    assert rows_of(details)[0]["prompt"] == "Question: 0+1? Answer:"
    with pytest.raises(InputError, match=r"--prompt.*\{question\}"):
        command(*words, "--prompt", "Question?")


def test_a_task_for_lm_eval_is_written_without_a_model(questions: Path, tmp_path: Path) -> None:
    report = command("nowhere", "--task", "gsm8k", "--file", questions, "--lm-eval", tmp_path / "tasks")
    assert plain(report.values) == {
        "folder": str(tmp_path / "tasks"), "lm_eval_task": "thinkling_gsm8k", "n": 4,
    }  # fmt: skip
    assert "--include_path" in report.text
    assert (tmp_path / "tasks" / "thinkling_gsm8k.yaml").exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--task", "gsm8"], "did you mean 'gsm8k'"),
        (["--task", "gsm8k", "--file", "nowhere.jsonl"], "nowhere.jsonl: no such file"),
        (["--task", "gsm8k", "--n", "-1"], "--n -1"),
        (["--task", "gsm8k", "--samples", "0"], "--samples 0"),
        (["--task", "sum", "--max-tokens", "0"], "--max-tokens 0"),
        (["--task", "sum", "--file", "any"], "--file any"),
        (["--task", "sum", "--temperature", "-1"], "temperature -1"),
        ([], "--task"),
    ],
)
def test_bad_words_are_refused_before_a_model_is_loaded(words: list[str], named: str) -> None:
    with pytest.raises(InputError, match=named):
        command("no-run", *words)


def test_a_data_set_without_answers_is_refused(model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text('{"question": "1+1?"}\n')
    with pytest.raises(InputError, match=r"line 1.*'answer'"):
        command(model_folder, "--task", "gsm8k", "--file", tmp_path)


def test_prompts_that_fill_the_context_are_refused(model_folder: Path, tmp_path: Path) -> None:
    row = {"question": "7" * 300, "answer": "#### 7"}
    (tmp_path / "test.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match="context of 96"):
        command(model_folder, "--task", "gsm8k", "--file", tmp_path)
