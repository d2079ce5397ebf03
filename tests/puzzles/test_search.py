"""Searching with a network on shared slots: always an answer or an honest end, whoever else is in the pool."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn.functional import one_hot

from thinkling.data.batch import PuzzleBatch, Question
from thinkling.errors import InputError
from thinkling.puzzles.breadth import Thinking
from thinkling.puzzles.hrm import HRM
from thinkling.puzzles.puzzle_model import PuzzleModel, build
from thinkling.puzzles.search import PoolSearch, search
from thinkling.puzzles.search_evaluate import score_search
from thinkling.tasks.maze import Maze
from thinkling.tasks.registry import get_task
from thinkling.tasks.search_rules import rules_needed
from thinkling.tasks.sudoku import BLANK_TOKEN, Sudoku
from thinkling.tasks.sudoku_generator import make_candidates
from thinkling.tasks.task import Task
from thinkling.thinking.carry import Carry, SegmentOutput
from thinkling.thinking.halting import HaltingConfig, HaltRule
from thinkling.thinking.slot_pool import SlotPool

HARD = "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4.."


def untrained(task: Task, seed: int = 0) -> PuzzleModel:
    """A small network that has learned nothing."""
    settings = {"vocab_size": task.vocab_size, "seq_len": task.seq_len, "hidden_size": 16, "num_heads": 2}
    settings |= {"H_layers": 1, "L_layers": 1, "H_cycles": 1, "L_cycles": 1}
    config = {"architecture": "hrm", "model": settings, "task": task.settings()}
    return PuzzleModel(build("hrm", settings, seed=seed), task, HaltingConfig(max_steps=4), config)


def puzzles(size: int, blanks: int, count: int) -> NDArray[np.uint8]:
    return (make_candidates(size, (blanks, blanks), 5, 0, count).questions + 1).astype(np.uint8)


class Partly(HRM):
    """A network that knows the answer to some questions of 4x4, and not to all symmetric copies of them."""

    def segment(self, carry: Carry, batch: PuzzleBatch) -> tuple[Carry, SegmentOutput]:
        carry, output = super().segment(carry, batch)
        logits = output.logits.clone()
        for row, tokens in enumerate(batch.inputs.numpy()):
            if tokens[:5].sum() % 3 == 0:
                (solution,) = Sudoku(4).solve(tokens, limit=1)
                logits[row] = 9 * one_hot(torch.from_numpy(solution).long(), 6)
        return carry, dataclasses.replace(output, logits=logits)


@pytest.fixture(scope="module")
def partly() -> PuzzleModel:
    model = untrained(Sudoku(4))
    return PuzzleModel(Partly(model.network.config), model.task, model.halting, model.config)  # type: ignore[arg-type]  # of an HRM


@pytest.fixture(scope="module")
def nine() -> PuzzleModel:
    return untrained(Sudoku(9))


def test_hard_puzzles_are_solved_by_a_network_that_knows_nothing(nine: PuzzleModel) -> None:
    questions = [nine.task.parse(HARD), *puzzles(9, 55, 5)]
    found = list(search(nine, questions, slots=16))
    assert [solution.status for solution in found] == ["verified"] * 6
    assert [solution.question for solution in found] == [nine.task.format(question) for question in questions]
    for solution in found:
        assert nine.task.check(solution.question, solution.answer)
        assert (solution.solved_by, solution.outcome, solution.steps) == ("search", "answered", 4)
        assert solution.steps + solution.nodes - 1 == solution.segments
    written = found[0].as_json()
    assert set(written) > {"answer", "status", "steps", "q_halt", "solved_by", "segments", "search", "nodes"}


@pytest.mark.parametrize("size", [4, 6, 9])
def test_every_sudoku_with_one_blank_is_solved(size: int) -> None:
    task = Sudoku(size)
    boards = make_candidates(size, (1, 1), 2, 0, 10).answers + 1
    questions = np.repeat(boards.astype(np.uint8), task.seq_len, axis=0)
    questions[np.arange(len(questions)), np.tile(np.arange(task.seq_len), len(boards))] = BLANK_TOKEN
    found = list(search(untrained(task), questions[:: size // 3], budget=4))
    assert len(found) == -(-10 * task.seq_len // (size // 3))
    assert all(solution.status == "verified" for solution in found)


def test_a_search_does_not_depend_on_its_company(nine: PuzzleModel) -> None:
    questions = list(puzzles(9, 55, 6))

    def found(slots: int) -> list[tuple[str, int, int, float]]:
        return [
            (each.answer, each.segments, each.nodes, round(each.q_halt, 4))
            for each in search(nine, questions, slots=slots)
        ]

    alone = [found(1)[place] for place in range(6)]
    assert found(3) == alone
    assert found(64) == alone


def test_a_spent_budget_is_an_honest_unsolved(nine: PuzzleModel) -> None:
    (solution,) = search(nine, [nine.task.parse(HARD)], budget=7)
    assert (solution.status, solution.outcome, solution.solved_by) == ("unsolved", "budget", None)
    assert solution.segments == 7
    assert len(solution.answer) == 81


def test_a_proof_that_there_is_no_answer() -> None:
    model = untrained(Sudoku(4))
    (solution,) = search(model, [model.task.parse("123." + "...4" + "." * 8)])
    assert (solution.status, solution.outcome, solution.solved_by) == ("unsolved", "no_answer", None)


def test_what_the_network_knows_is_its_own(partly: PuzzleModel) -> None:
    questions = puzzles(4, 8, 20)
    alone = list(partly.solve_tokens(questions))
    found = list(search(partly, questions, trace=True))
    assert all(solution.status == "verified" for solution in found)
    by_network = [solution.solved_by == "network" for solution in found]
    assert 0 < sum(by_network) < 20
    assert by_network == [solution.status == "verified" for solution in alone]
    for solution, before in zip(found, alone, strict=True):
        assert solution.steps == before.steps == len(solution.trace)
        assert solution.q_halt == pytest.approx(before.q_halt, abs=1e-5)


def test_breadth_comes_before_the_search_and_is_told_apart(partly: PuzzleModel) -> None:
    questions, thinking = puzzles(4, 8, 40), Thinking(samples=2, alone=0)
    before = list(partly.solve_tokens(questions, thinking=thinking))
    found = list(search(partly, questions, thinking=thinking))
    assert [solution.solved_by for solution in found] == [each.solved_by or "search" for each in before]
    assert {solution.solved_by for solution in found} == {"network", "breadth", "search"}
    for solution, chains in zip(found, before, strict=True):
        assert solution.question == chains.question
        assert solution.status == "verified"
        extra = solution.nodes if solution.solved_by == "search" else 0
        assert (solution.steps, solution.segments) == (chains.steps, chains.segments + extra)
    score = score_search(iter(found), 4096)
    for name in ("network", "breadth", "search"):
        assert getattr(score, name) == np.mean([solution.solved_by == name for solution in found])


def test_chains_may_spend_the_whole_budget() -> None:
    model = untrained(Sudoku(4))
    (solution,) = search(model, puzzles(4, 10, 1), thinking=Thinking(samples=3, alone=0), budget=9)
    assert (solution.outcome, solution.status, solution.segments) == ("budget", "unsolved", 12)


def test_the_report_adds_up(nine: PuzzleModel) -> None:
    questions = [nine.task.parse(HARD), *puzzles(9, 40, 7)]
    score = score_search(search(nine, questions, budget=12), 12)
    assert score.n == 8
    assert score.network + score.breadth + score.search + score.unsolved == pytest.approx(1)
    assert score.unsolved > 0
    assert score.search > 0
    assert 4 <= score.mean_segments <= score.most_segments <= score.budget == 12
    assert score.p95_segments == 12
    empty = score_search(iter(()), 5)
    assert (empty.n, empty.mean_segments, empty.as_json()["budget"]) == (0, 0, 5)


def test_mazes_are_answered_by_shortest_paths() -> None:
    model = untrained(Maze(7, 7))
    rng = np.random.default_rng(1)
    questions = []
    while len(questions) < 20:
        question = np.where(rng.random(49) < 0.25, 1, 2)
        question[rng.choice(49, 2, replace=False)] = [3, 4]
        if rules_needed(model.task).start(question) is not None:
            questions.append(question)
    found = list(search(model, questions))
    assert all(solution.status == "verified" for solution in found)
    assert all(model.task.check(solution.question, solution.answer) for solution in found)


def test_an_endless_stream_is_taken_as_it_is_solved() -> None:
    model = untrained(Sudoku(4))
    question = puzzles(4, 9, 1)[0]
    taken = 0

    def endless() -> Iterator[NDArray[np.uint8]]:
        nonlocal taken
        while True:
            taken += 1
            yield question

    assert len(list(itertools.islice(search(model, endless(), slots=3), 30))) == 30
    assert taken <= 30 + 5 * 3


def test_a_search_shares_a_pool_with_others_and_gives_its_slots_back(nine: PuzzleModel) -> None:
    task = nine.task
    pool = SlotPool(nine.network, PuzzleBatch.of_questions, slots=4, keep_logits=True)
    never = HaltRule(name="never")
    pool.put("another", [Question(inputs=task.parse(HARD))], rule=never, max_steps=1000)
    question = Question(inputs=task.parse(HARD))
    thinking = Thinking(halt="never", steps=2)
    searching = PoolSearch(nine, pool, "search", question, thinking, budget=4096, width=8)
    most = 0
    for _ in range(5):
        searching.fill()
        most = max(most, pool.in_work)
        for progress in pool.step():
            if progress.key != "another":
                searching.take(progress)
    assert most == 4
    searching.drop()
    assert pool.in_work == 1
    assert not searching.ended


@pytest.mark.parametrize("limit", ["budget", "slots", "width"])
def test_limits_below_one_are_refused(nine: PuzzleModel, limit: str) -> None:
    with pytest.raises(InputError, match=f"--{limit} 0"):
        next(search(nine, [], **{limit: 0}))  # type: ignore[arg-type]  # by name


def test_a_task_without_rules_is_refused() -> None:
    with pytest.raises(InputError, match="task arc, whose rules are not known"):
        next(search(untrained(get_task({"name": "arc", "canvas": 4})), []))
