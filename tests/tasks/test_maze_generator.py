"""The generator: one shortest path of the length asked for, and mazes that depend on (seed, number) only."""

import numpy as np
import pytest

from thinkling.errors import InputError
from thinkling.tasks import maze_generator
from thinkling.tasks.maze import BLANK, GOAL, PATH, START, WALL, Maze
from thinkling.tasks.maze_generator import (
    MazeKind,
    default_min_length,
    make_candidates,
    stream_candidates,
)


def shortest_paths(question: np.ndarray, rows: int, columns: int) -> tuple[int, int]:
    """Length of a shortest path and how many there are, by counting ways level by level."""
    cells = question.reshape(rows, columns)
    (start,), (goal,) = np.argwhere(cells == START).tolist(), np.argwhere(cells == GOAL).tolist()
    ways, seen, length = {tuple(start): 1}, {tuple(start)}, 0
    while tuple(goal) not in ways:
        following: dict[tuple[int, int], int] = {}
        for (r, c), count in ways.items():
            for step in ((r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)):
                inside = 0 <= step[0] < rows and 0 <= step[1] < columns
                if inside and cells[step] != WALL and step not in seen:
                    following[step] = following.get(step, 0) + count
        assert following, "G is out of reach"
        ways, length = following, length + 1
        seen |= set(following)
    return length, ways[tuple(goal)]


@pytest.mark.parametrize(
    ("rows", "columns", "least", "most", "count"),
    [(8, 8, 8, None, 2000), (10, 10, 12, 14, 2000), (4, 9, 3, None, 500), (1, 7, 2, None, 1000)],
)
def test_mazes_have_one_shortest_path_of_the_length_asked_for(rows, columns, least, most, count):
    made = make_candidates(
        MazeKind(rows=rows, columns=columns, min_length=least, max_length=most), 5, 0, count
    )
    assert made.candidates == count
    assert len(made.questions) > 20
    task = Maze(rows, columns)
    assert task.check_batch(made.questions, made.answers).all()
    for question, answer, rating in zip(made.questions, made.answers, made.ratings.tolist(), strict=True):
        assert shortest_paths(question, rows, columns) == (rating, 1)
        assert (answer == PATH).sum() == rating - 1
        assert (question[answer == PATH] == BLANK).all()
    assert made.ratings.min() == least
    assert most is None or made.ratings.max() == most


def test_a_long_path_through_a_large_maze():
    made = make_candidates(MazeKind(rows=30, columns=30, min_length=70), 1, 0, 2048)
    assert len(made.questions) > 5
    for question, rating in zip(made.questions, made.ratings.tolist(), strict=True):
        assert shortest_paths(question, 30, 30) == (rating, 1)
        walls = (question == WALL).sum()
        assert 0.3 * 900 <= walls <= 0.5 * 900 + 150


def test_walls_before_the_path_is_made_unique_are_uniform_in_number():
    """30 to 50 % of the cells, each number as likely, each cell as likely, S as likely everywhere."""
    kind = MazeKind(rows=6, columns=6, min_length=1)
    cells, starts, numbers = maze_generator._random_grids(kind, 3, np.arange(60_000))
    walls = (~cells).reshape(len(cells), -1)
    counts = np.bincount(walls.sum(1), minlength=19)
    assert counts[:11].sum() == counts[19:].sum() == 0
    expected = len(cells) / 8
    assert (abs(counts[11:19] - expected) < 5 * np.sqrt(expected)).all()
    share = walls.mean(0)
    assert abs(share - share.mean()).max() < 5 * np.sqrt(0.25 / len(cells))
    assert not walls[np.arange(len(walls)), starts].any()
    assert (abs(np.bincount(starts, minlength=36) - len(cells) / 36) < 5 * np.sqrt(len(cells) / 36)).all()
    assert (np.diff(numbers) > 0).all()


def test_each_shortest_path_is_as_likely():
    """A 2x3 grid without walls, from corner to corner: three paths."""
    count = 6000
    distances = np.full((count, 4, 5), -1, dtype=np.int32)
    distances[:, 1:3, 1:4] = [[0, 1, 2], [1, 2, 3]]
    base = np.arange(count) * 20
    draws = np.random.default_rng(0).random((count, 3))
    lengths = np.full(count, 3, dtype=np.int32)
    distances = distances.reshape(count, -1)
    on_some, path = maze_generator._shortest_paths(distances, lengths, base + 6, base + 13, draws, 5)
    assert on_some.reshape(count, 4, 5)[:, 1:3, 1:4].all()
    _, counts = np.unique(path.reshape(count, -1), axis=0, return_counts=True)
    assert len(counts) == 3
    assert (abs(counts - count / 3) < 5 * np.sqrt(count / 3)).all()


def test_a_maze_depends_on_seed_and_number_only():
    kind = MazeKind(rows=8, columns=8, min_length=8)
    whole = make_candidates(kind, 1, 0, 600)
    first, later = make_candidates(kind, 1, 0, 437), make_candidates(kind, 1, 437, 163)
    assert np.array_equal(whole.questions, np.concatenate([first.questions, later.questions]))
    assert np.array_equal(whole.answers, np.concatenate([first.answers, later.answers]))
    other = make_candidates(kind, 2, 0, 600)
    assert not np.array_equal(whole.questions[:50], other.questions[:50])


def test_processes_do_not_change_the_result(monkeypatch):
    monkeypatch.setattr(maze_generator, "_CHUNK", 256)
    kind = MazeKind(rows=6, columns=7, min_length=6)
    one, two = stream_candidates(kind, 3, 1), stream_candidates(kind, 3, 2)
    for _ in range(3):
        first, second = next(one), next(two)
        assert len(first.questions)
        assert np.array_equal(first.questions, second.questions)
        assert np.array_equal(first.answers, second.answers)
    one.close()
    two.close()


def test_no_maze_is_an_empty_result():
    made = make_candidates(MazeKind(rows=8, columns=8, min_length=40), 0, 0, 300)
    assert made.questions.shape == made.answers.shape == (0, 64)
    assert (made.candidates, len(made.ratings)) == (300, 0)
    assert 8 <= made.longest < 40


def test_the_default_length_is_maze_hard_s_at_its_size():
    assert default_min_length(30, 30) == 110
    assert [default_min_length(size, size) for size in (8, 10, 12)] == [8, 12, 18]
    assert default_min_length(60, 60) == 220
    assert default_min_length(1, 2) == 1


@pytest.mark.parametrize(
    ("rows", "columns", "least", "most"),
    [(8, 8, 0, None), (8, 8, 60, None), (8, 8, 10, 9), (1, 4, 4, None), (0, 4, 1, None)],
)
def test_impossible_mazes_are_refused(rows, columns, least, most):
    with pytest.raises(InputError):
        MazeKind(rows=rows, columns=columns, min_length=least, max_length=most)
