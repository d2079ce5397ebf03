"""What a search may rely on: rules never lose an answer, and what they leave alone is one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from thinkling.errors import InputError
from thinkling.tasks.maze import BLANK, PATH, WALL, Maze
from thinkling.tasks.registry import get_task
from thinkling.tasks.search_rules import SearchRules, rules_needed, rules_of
from thinkling.tasks.sudoku import BLANK_TOKEN, Sudoku
from thinkling.tasks.sudoku_generator import make_candidates

NO_WAY = "S#" + "#G"
SEVERAL_WAYS = "S   " + "  # " + "   G"


def all_answers(rules: SearchRules[Any], state: Any) -> Iterator[tuple[int, ...]]:
    """Every answer that a state holds, by branching on its first open cell."""
    if state is None:
        return
    candidates = rules.candidates(state)
    open_cells = np.flatnonzero(candidates.sum(1) > 1)
    if not len(open_cells):
        yield tuple(candidates.argmax(1).tolist())
        return
    for token in np.flatnonzero(candidates[open_cells[0]]).tolist():
        yield from all_answers(rules, rules.fix(state, int(open_cells[0]), token))


@pytest.mark.parametrize("size", [4, 6, 9])
def test_every_solution_of_a_sudoku_is_among_the_answers(size: int) -> None:
    """Some givens of each puzzle are taken away, so that there are several solutions."""
    task, rules = Sudoku(size), rules_needed(Sudoku(size))
    made = make_candidates(size, (5, 7), 3, 0, 10)
    for question in (made.questions + 1).astype(np.uint8):
        question[np.flatnonzero(question != BLANK_TOKEN)[:: max(2, size // 2)]] = BLANK_TOKEN
        solutions = {tuple(solution.tolist()) for solution in task.solve(question, limit=300)}
        if len(solutions) < 300:
            assert set(all_answers(rules, rules.start(question))) == solutions


def test_fixing_and_forbidding_part_the_answers() -> None:
    task, rules = Sudoku(4), rules_needed(Sudoku(4))
    state = rules.start(task.parse("1" + "." * 15))
    every = set(all_answers(rules, state))
    with_it = set(all_answers(rules, rules.fix(state, 6, 3)))
    without = set(all_answers(rules, rules.forbid(state, 6, 3)))
    assert every == with_it | without == set(all_answers(rules, state))
    assert not with_it & without
    assert {answer[6] for answer in with_it} == {3}
    assert len(every) == 72  # 288 boards of 4x4, a quarter of them with 1 in the first cell


def test_a_sudoku_that_contradicts_itself_has_no_state() -> None:
    task, rules = Sudoku(4), rules_needed(Sudoku(4))
    assert rules.start(task.parse("11" + "." * 14)) is None
    state = rules.start(task.parse("1" + "." * 15))
    assert rules.fix(state, 1, 2) is None
    assert rules.fix(state, 1, BLANK_TOKEN) is None
    assert rules.forbid(state, 0, 2) is None
    assert rules.forbid(state, 1, 2) == state


def test_settled_digits_are_shown_and_the_givens_stay() -> None:
    task, rules = Sudoku(4), rules_needed(Sudoku(4))
    question = task.parse("123." + "3..." + "...." + "....")
    state = rules.start(question)
    shown = rules.shown(question, state)
    assert task.format(shown)[:5] == "12343"
    assert task.format(rules.read(question, state, shown)) == task.format(shown)
    assert (rules.candidates(state).sum(1) == 1).tolist() == (shown != BLANK_TOKEN).tolist()


def paths(task: Maze, question: np.ndarray) -> set[tuple[int, ...]]:
    """All shortest paths of a maze, by walking."""
    columns, shortest = task.columns, task.rate(question)
    start = int((question == 3).argmax())
    ways = [[start]]
    for _ in range(shortest):
        ways = [
            [*way, cell]
            for way in ways
            for cell in (way[-1] - columns, way[-1] + columns, way[-1] - 1, way[-1] + 1)
            if 0 <= cell < task.seq_len
            and abs(cell % columns - way[-1] % columns) <= 1
            and question[cell] != WALL
            and cell not in way
        ]
    found = set()
    for way in ways:
        if question[way[-1]] == 4:
            answer = question.astype(np.int64)
            answer[way[1:-1]] = PATH
            found.add(tuple(answer.tolist()))
    return found


def test_every_shortest_path_of_a_maze_is_among_the_answers() -> None:
    rng = np.random.default_rng(0)
    several = 0
    task = Maze(4, 5)
    rules = rules_needed(task)
    for _ in range(60):
        question = np.where(rng.random(20) < 0.25, WALL, BLANK)
        question[rng.choice(20, 2, replace=False)] = [3, 4]
        state = rules.start(question)
        if state is None:
            with pytest.raises(InputError, match="without a way"):
                task.validate(question)
            continue
        expected = paths(task, question)
        assert set(all_answers(rules, state)) == expected
        several += len(expected) > 1
    assert several > 10


def test_what_is_shown_of_a_maze_is_a_maze_and_its_answer_can_be_read_back() -> None:
    task = Maze(3, 4)
    rules = rules_needed(task)
    question = task.parse(SEVERAL_WAYS)
    state = rules.forbid(rules.start(question), 1, PATH)
    shown = rules.shown(question, state)
    task.validate(shown)
    assert task.rate(shown) == task.rate(question)
    assert shown[1] == WALL
    answer = np.array(next(iter(paths(task, shown))))
    assert not task.check_batch(question[None], answer[None])[0]
    assert task.check_batch(question[None], rules.read(question, state, answer)[None])[0]


def test_decisions_on_cells_of_a_maze_that_are_given() -> None:
    task = Maze(3, 4)
    rules = rules_needed(task)
    state = rules.start(task.parse(SEVERAL_WAYS))
    assert rules.fix(state, 6, WALL) is state
    assert rules.fix(state, 6, PATH) is None
    assert rules.forbid(state, 6, WALL) is None
    assert rules.forbid(state, 6, PATH) is state
    assert rules.fix(state, 1, WALL) is None
    assert rules.forbid(state, 1, WALL) is state
    assert set(all_answers(rules, rules.fix(state, 1, BLANK))) == set(
        all_answers(rules, rules.forbid(state, 1, PATH))
    )
    assert set(all_answers(rules, rules.forbid(state, 1, BLANK))) == set(
        all_answers(rules, rules.fix(state, 1, PATH))
    )
    assert rules_needed(Maze(2, 2)).start(Maze(2, 2).parse(NO_WAY)) is None


def test_tasks_without_rules_are_named() -> None:
    assert rules_of(get_task("arc")) is None
    with pytest.raises(InputError, match=r"task arc.*maze or sudoku.*--search"):
        rules_needed(get_task("arc"))
