"""Problems as prompts: which fields a reward gets, how validation is cut off, what is counted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

from small_decoder import small_tokenizer
from small_grpo import vowel, write_problems

from thinkling.data.chat_template import Message, prompt_ids
from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.errors import InputError
from thinkling.lm.rl.prompts import PromptData, read_prompts


@pytest.fixture(scope="module")
def tokenizer() -> ChatTokenizer:
    return small_tokenizer()


def read(data: Path, tokenizer: ChatTokenizer, reward: Any = vowel, **settings: Any) -> PromptData:
    given = {"context": 96, "validation_share": 0.25, "validation_problems": 100, "seed": 0}
    return read_prompts(data, tokenizer, reward, **given | settings)


def test_a_prompt_is_the_conversation_up_to_the_answer(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    rows = [{"problem": f"What is {n}?", "answer": n, "reasoning": "secret"} for n in range(8)]
    data = read(write_problems(tmp_path / "data.jsonl", rows), tokenizer)
    assert (len(data.train), len(data.validation), data.overlap) == (6, 2, 0)
    for prompt in (*data.train, *data.validation):
        asked = [Message(role="user", content=f"What is {prompt.number}?")]
        assert list(prompt.tokens) == prompt_ids(tokenizer, asked)
        assert prompt.problem.answer == str(prompt.number)
        assert prompt.problem.text == f"What is {prompt.number}?"


def test_validation_is_cut_off_by_the_questions(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    """Copies of a question stay together, and the order of the file is of no interest."""
    rows = [{"problem": f"{n % 8}?", "answer": str(n)} for n in range(16)]
    one = read(write_problems(tmp_path / "one.jsonl", rows), tokenizer)
    two = read(write_problems(tmp_path / "two.jsonl", rows[::-1]), tokenizer)
    held = {prompt.problem.text for prompt in one.validation}
    assert held == {prompt.problem.text for prompt in two.validation}
    assert len(held) == 2
    assert len(one.validation) == 4
    assert not held & {prompt.problem.text for prompt in one.train}
    assert one.sha256 != two.sha256
    assert read(tmp_path / "one.jsonl", tokenizer, seed=1).validation != one.validation


def test_a_folder_with_validation(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    write_problems(tmp_path / "train.jsonl", [{"problem": f"{n}?", "answer": "1"} for n in range(6)])
    write_problems(tmp_path / "validation.jsonl", [{"problem": f"{n}?", "answer": "1"} for n in range(4, 9)])
    write_problems(tmp_path / "test.jsonl", [{"problem": "0?", "answer": "1"}])
    data = read(tmp_path, tokenizer, validation_problems=3)
    assert (len(data.train), len(data.validation), data.overlap) == (4, 3, 2)


def test_fields_for_rewards(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    """Tests of programs and the entry of a puzzle reach the reward."""
    rows: list[dict[str, Any]] = [{"problem": "a", "answer": "1", "tests": "assert f() == 1"}]
    rows += [{"problem": "b", "answer": "1", "entry": {"size": 3}}, {"problem": "c", "answer": '"tests"'}]
    data = read(write_problems(tmp_path / "data.jsonl", rows), tokenizer)
    problems = {each.problem.text: each.problem for each in (*data.train, *data.validation)}
    assert problems["a"].tests == "assert f() == 1"
    assert problems["b"].entry == {"size": 3}
    assert (problems["c"].tests, problems["c"].entry) == ("", {})


def test_too_few_or_too_long(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    one = write_problems(tmp_path / "one.jsonl", [{"problem": "a", "answer": "1"}])
    with pytest.raises(InputError, match="1 problems for training and 0 for validation"):
        read(one, tokenizer)
    rows = [{"problem": "a", "answer": "1"}, {"problem": "7" * 90, "answer": "7"}]
    with pytest.raises(InputError, match=r"long.jsonl line 2: a prompt of \d+ tokens; allowed: at most 95"):
        read(write_problems(tmp_path / "long.jsonl", rows), tokenizer)
