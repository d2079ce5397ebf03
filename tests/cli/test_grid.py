"""Grids in the terminal."""

import numpy as np
from rich.text import Text

from thinkling.cli.grid import draw_grid
from thinkling.tasks.maze import Maze
from thinkling.tasks.sudoku import Sudoku


def test_a_maze_has_solid_walls_and_a_coloured_path():
    task = Maze(2, 3)
    question, answer = task.parse("S ##G "), task.encode_answer("So##G ")
    answer[5] = 1
    changed = np.array([False, True, False, False, False, False])
    text = Text.from_markup(draw_grid(task, question, answer, changed))
    assert text.plain.splitlines() == ["┌──────┐", "│S o ██│", "│██G ██│", "└──────┘"]
    styles = [str(span.style) for span in text.spans]
    assert styles == ["bold", "reverse cyan", "bright_black", "bright_black", "bold", "red"]
    assert "??" in draw_grid(task, question, np.zeros(6, dtype=np.uint8))


def test_a_sudoku_is_drawn_with_its_boxes():
    task = Sudoku(4)
    question, answer = task.parse("1..." + "." * 12), task.encode_answer("1234341221434321")
    text = Text.from_markup(draw_grid(task, question, answer))
    assert text.plain.splitlines() == [" 1 2 | 3 4", " 3 4 | 1 2", "-----+-----", " 2 1 | 4 3", " 4 3 | 2 1"]
    assert [str(span.style) for span in text.spans] == ["bold"] + ["cyan"] * 15
