"""Conversations as rows: what is learned, what lies where, what is left out, what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from small_sft import digits, write_base_run, write_rows

from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.data.conversations import conversations
from thinkling.data.token_rows import IGNORED
from thinkling.errors import InputError
from thinkling.lm.run_files import read_run
from thinkling.lm.sft_data import SftData, SftExamples, SftRows, read_sft_data, tokenised
from thinkling.tasks.problem import problem_tasks, problems


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> ChatTokenizer:
    return read_run(write_base_run(tmp_path_factory.mktemp("base") / "run")).tokenizer


def examples(
    tokenizer: ChatTokenizer, folder: Path, rows: Iterable[dict[str, Any]], length: int = 64
) -> SftExamples:
    return tokenised(conversations(write_rows(folder / "a.jsonl", rows)), tokenizer, length)


def read(tokenizer: ChatTokenizer, data: Path, share: float = 0.1, seed: int = 0) -> SftData:
    return read_sft_data(data, tokenizer, length=64, validation_share=share, seed=seed)


def test_only_what_assistants_say_is_learned(tokenizer: ChatTokenizer, tmp_path: Path) -> None:
    """Two turns, one with reasoning: thought, answer and the end of the turn are asked for, and nothing else."""
    rows = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "2?"},
        {"role": "assistant", "content": "4", "reasoning_content": "of 2"},
        {"role": "user", "content": "1?"},
        {"role": "assistant", "content": "5"},
        {"role": "user", "content": "bye"},
    ]
    found = examples(tokenizer, tmp_path, [{"messages": rows}], length=200)
    batch = SftRows(found, 200, pad_id=tokenizer.pad_id).numbered(np.array([0]))
    asked = batch.labels[0] != IGNORED
    assert (
        tokenizer.decode(batch.labels[0][asked], special=True) == "<think>of 2</think>4<|im_end|>5<|im_end|>"
    )
    shown = tokenizer.decode(batch.inputs[0][batch.documents[0] == 1], special=True)
    assert shown.startswith("<|im_start|>system\ns<|im_end|>\n<|im_start|>user\n2?")
    assert shown.endswith("<|im_start|>assistant\n5"), "what follows the last learned token is not read"
    used = int((batch.documents[0] == 1).sum())
    following = batch.inputs[0][1:used]
    places = asked[: used - 1]
    assert np.array_equal(batch.labels[0][: used - 1][places], following[places]), (
        "labels are the next tokens"
    )
    assert (batch.inputs[0][used:] == tokenizer.pad_id).all()
    assert (batch.documents[0][used:] == 0).all()


def test_packing_keeps_every_example_whole(tokenizer: ChatTokenizer, tmp_path: Path) -> None:
    found = examples(tokenizer, tmp_path, digits(n**3 for n in range(1, 120)), length=128)
    rows = SftRows(found, 128, pad_id=tokenizer.pad_id)
    batch = rows.numbered(np.arange(len(rows)))
    assert len(rows) < len(found) / 2
    assert rows.fill > 0.8
    packed = []
    for inputs, labels, documents in zip(batch.inputs, batch.labels, batch.documents, strict=True):
        for number in range(1, documents.max() + 1):
            here = np.flatnonzero(documents == number)
            assert np.array_equal(here, np.arange(here[0], here[-1] + 1)), "an example is in one piece"
            assert (labels[here] != IGNORED).sum() > 0
            packed.append((*inputs[here].tolist(), int(labels[here[-1]])))
    whole = [
        tuple(found.tokens[start:end].tolist())
        for start, end in zip(found.starts[:-1], found.starts[1:], strict=True)
    ]
    assert sorted(packed) == sorted(whole)


def test_rows_depend_on_seed_and_step_only(tokenizer: ChatTokenizer, tmp_path: Path) -> None:
    found = examples(tokenizer, tmp_path, digits(range(100, 140)), length=64)
    rows = SftRows(found, 64, pad_id=0, seed=4)
    assert len(rows) == 14
    whole = rows.rows(3, slice(0, 8), 8)
    halves = [rows.rows(3, part, 8) for part in (slice(0, 4), slice(4, 8))]
    assert np.array_equal(whole.inputs, np.concatenate([half.inputs for half in halves]))
    first, second = (
        np.concatenate([rows.rows(step, slice(0, 7), 7).inputs for step in steps])
        for steps in ((1, 2), (3, 4))
    )
    assert not np.array_equal(first, second), "every epoch has its own order"
    assert sorted(map(tuple, first.tolist())) == sorted(map(tuple, second.tolist()))
    other = SftRows(found, 64, pad_id=0, seed=5).rows(3, slice(0, 8), 8)
    assert not np.array_equal(other.inputs, whole.inputs)


def test_an_example_longer_than_the_context_is_left_out_whole(
    tokenizer: ChatTokenizer, tmp_path: Path
) -> None:
    """It is counted and named, never cut: what fits to the last token stays, and one token more does not."""
    rows = [{"problem": "last of 12?", "answer": "2"}, {"problem": "last of 123456?", "answer": "6"}]
    sizes = np.diff(examples(tokenizer, tmp_path, rows).starts) - 1
    fits = examples(tokenizer, tmp_path, rows, length=int(sizes[1]))
    assert (len(fits), fits.too_long) == (2, 0)
    less = examples(tokenizer, tmp_path, rows, length=int(sizes[1]) - 1)
    assert (len(less), less.too_long) == (1, 1)
    assert less.first_too_long.endswith(f"a.jsonl line 2: {sizes[1]} tokens")
    assert np.array_equal(less.tokens, fits.tokens[: fits.starts[1]])


def test_nothing_fits(tokenizer: ChatTokenizer, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", digits(range(10**70, 10**70 + 3)))
    with pytest.raises(InputError, match="none of 3 examples fits into 64 tokens"):
        read(tokenizer, path)


def test_no_question_is_in_both_parts(tokenizer: ChatTokenizer, tmp_path: Path) -> None:
    """Copies of a question, with another answer too, stay together; which are cut off depends on the seed."""
    rows = list(digits(range(40)))
    copies = [row | {"answer": "x"} for row in rows]
    path = write_rows(tmp_path / "a.jsonl", rows + copies)
    data = read(tokenizer, path, share=0.2)
    assert len(data.validation) == 16
    assert len(data.train) == 64
    assert not set(data.train.prompts) & set(data.validation.prompts)
    assert read(tokenizer, path, share=0.2).validation.prompts == data.validation.prompts
    assert read(tokenizer, path, share=0.2, seed=1).validation.prompts != data.validation.prompts


def test_a_folder_with_its_own_validation(tokenizer: ChatTokenizer, tmp_path: Path) -> None:
    """Training examples whose questions are in the validation file are left out; the test file is not read."""
    write_rows(tmp_path / "train.jsonl", digits(range(30)))
    write_rows(tmp_path / "validation.jsonl", digits(range(25, 40)))
    (tmp_path / "test.jsonl").write_text("not for now", encoding="utf-8")
    data = read(tokenizer, tmp_path)
    assert (len(data.train), len(data.validation), data.overlap) == (25, 15, 5)
    before = data.sha256
    write_rows(tmp_path / "validation.jsonl", digits(range(26, 40)))
    assert read(tokenizer, tmp_path).sha256 != before


def test_too_few_questions_to_hold_one_out(tokenizer: ChatTokenizer, tmp_path: Path) -> None:
    same = list(digits([7])) * 4
    with pytest.raises(InputError, match="4 examples for training and 0 for validation"):
        read(tokenizer, write_rows(tmp_path / "a.jsonl", same))
    with pytest.raises(InputError, match="no conversation"):
        read(tokenizer, write_rows(tmp_path / "a.jsonl", []))


def test_generated_problems_are_verified(tokenizer: ChatTokenizer, tmp_path: Path) -> None:
    """Right ones of every task pass; a wrong answer is refused with its line, since it would be learned."""
    rows = [
        {"task": row.task, "problem": row.text, "reasoning": row.reasoning, "answer": row.answer}
        for row in problems(list(problem_tasks()), seed=1, start=0, count=60)
    ]
    assert len(examples(tokenizer, tmp_path, rows, length=2000)) == 60
    wrong = [*rows[:4], {"task": "sum", "problem": "What is 2 + 2?", "answer": "5"}]
    with pytest.raises(
        InputError, match=r"a\.jsonl line 5: the answer '5' to 'What is 2 \+ 2\?', which is wrong"
    ):
        examples(tokenizer, tmp_path, wrong)
    trusted = json.loads(json.dumps(wrong[-1]))
    del trusted["task"]
    assert len(examples(tokenizer, tmp_path, [trusted])) == 1
    with pytest.raises(InputError, match=r"a\.jsonl line 1: task 'sums'.*did you mean 'sum'"):
        examples(tokenizer, tmp_path, [wrong[-1] | {"task": "sums"}])
