"""The solver: its rating against a literal transcription of the rule, its counts against full search."""

import numpy as np
import pytest

from thinkling.tasks.sudoku_generator import make_candidates
from thinkling.tasks.sudoku_geometry import geometry
from thinkling.tasks.sudoku_solver import count_solutions, search

ESCARGOT = "1....7.9..3..2...8..96..5....53..9...1..8...26....4...3......1..4......7..7...3.."
FEW = "000000010400000000020000000000050407008000300001090000300400200050100000000806000"


def digits(text):
    return [0 if character == "." else int(character) for character in text]


def rate_by_the_letter(size, question):
    """The rule as it is written: singles until nothing changes, then guesses, every one counted."""
    board = geometry(size)
    guesses = 0

    def candidates(grid, cell):
        return (
            set(range(1, size + 1)) - {grid[peer] for peer in board.peers[cell]} if not grid[cell] else set()
        )

    def settle(grid):
        while True:
            before = list(grid)
            for cell in range(board.cells):
                if not grid[cell]:
                    left = candidates(grid, cell)
                    if not left:
                        return False
                    if len(left) == 1:
                        grid[cell] = left.pop()
            if grid != before:
                continue
            for unit in board.units:
                for digit in range(1, size + 1):
                    if any(grid[cell] == digit for cell in unit):
                        continue
                    places = [cell for cell in unit if digit in candidates(grid, cell)]
                    if not places:
                        return False
                    if len(places) == 1:
                        grid[places[0]] = digit
            if grid == before:
                return True

    def visit(grid):
        nonlocal guesses
        if not settle(grid):
            return False
        open_cells = [(len(candidates(grid, cell)), cell) for cell in range(board.cells) if not grid[cell]]
        if not open_cells:
            return True
        cell = min(open_cells)[1]
        for digit in sorted(candidates(grid, cell)):
            guesses += 1
            child = list(grid)
            child[cell] = digit
            if visit(child):
                return True
        return False

    assert visit(list(question))
    return guesses


@pytest.mark.parametrize("text", [ESCARGOT, FEW.replace("0", ".")])
def test_rating_of_known_hard_puzzles(text):
    question = digits(text)
    result = search(9, question)
    assert len(result.solutions) == 1
    assert result.guesses == rate_by_the_letter(9, question)


@pytest.mark.parametrize(("size", "blanks"), [(4, (10, 12)), (6, (24, 28)), (9, (52, 58))])
def test_rating_follows_the_letter_of_the_rule(size, blanks):
    made = make_candidates(size, blanks, 3, 0, 6)
    for question, answer, rating in zip(made.questions, made.answers, made.ratings, strict=True):
        assert rate_by_the_letter(size, question.tolist()) == rating
        assert search(size, question.tolist()).solutions == [answer.tolist()]


def test_rating_of_open_boards():
    """Boards with several solutions need guesses at every size, and are rated until the first solution."""
    for size in (4, 6):
        empty = [0] * size * size
        assert search(size, empty, 1).guesses == rate_by_the_letter(size, empty) > 0


def test_search_stops_at_the_limit():
    assert len(search(4, [0] * 16, 5).solutions) == 5
    assert len(search(4, [0] * 16, 1000).solutions) == 288
    assert search(9, [5, 5] + [0] * 79).solutions == []


@pytest.mark.parametrize("size", [4, 6, 9])
def test_many_boards_count_as_one_by_one(size):
    random = np.random.default_rng(size)
    made = make_candidates(size, {4: (6, 12), 6: (18, 26), 9: (40, 56)}[size], 4, 0, 20)
    boards = np.repeat(made.questions, 3, axis=0)
    for row, board in enumerate(boards):
        if row % 3 == 1:  # one given fewer: often several solutions
            board[random.choice(np.flatnonzero(board))] = 0
        if row % 3 == 2:  # one given changed: often none
            cell = random.choice(np.flatnonzero(board))
            board[cell] = board[cell] % size + 1
    counts = count_solutions(size, boards)
    assert counts.tolist() == [len(search(size, board).solutions) for board in boards.tolist()]
    assert set(counts.tolist()) == {0, 1, 2}
    assert count_solutions(size, boards[:0]).shape == (0,)


def test_many_boards_count_up_to_the_limit():
    assert count_solutions(4, np.zeros((2, 16), dtype=np.uint8), limit=1000).tolist() == [288, 288]


def test_boards_are_shared_among_processes():
    boards = np.repeat(make_candidates(4, (6, 10), 0, 0, 50).questions, 100, axis=0)
    assert (count_solutions(4, boards, processes=2) == 1).all()
