"""What may be asked of `/v1/solve`, and what is said of everything else."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from small_puzzles import LIMIT, Client, knowing_model, puzzles, serving_puzzles

from thinkling.puzzles.search_tree import DEFAULT_BUDGET
from thinkling.serving import solve_request as module
from thinkling.serving.errors import RequestError
from thinkling.serving.request_schemas import SOLVE
from thinkling.serving.settings import ServerSettings
from thinkling.serving.solve_request import Asked, SolveRequest, quick_request, solve_request
from thinkling.tasks import sudoku_proof
from thinkling.tasks.arc import Arc
from thinkling.tasks.maze import Maze
from thinkling.tasks.sudoku import Sudoku
from thinkling.tasks.table import Table
from thinkling.tasks.task import Task

SETTINGS = ServerSettings(
    model_name="tiny",
    slots=8,
    max_body_bytes=20_000,
    max_puzzles=20,
    max_steps=100,
    max_samples=16,
    max_budget=5000,
    max_segments=50_000,
    max_traced=400,
)
PUZZLE = puzzles(1)[0]
GRID = "[[0,1],[2,3]]"


def read(task: Task | None = None, settings: ServerSettings = SETTINGS, **fields: Any) -> SolveRequest:
    task = task or Sudoku(4)
    asked = Asked(task=task, limit=LIMIT, searchable=task.name in ("sudoku", "maze"))
    return solve_request(json.dumps(fields).encode(), asked, settings)


def test_a_puzzle_is_enough() -> None:
    request = read(puzzle=PUZZLE)
    assert [Sudoku(4).format(tokens) for tokens in request.questions] == [PUZZLE]
    assert (request.budget, request.trace, request.stream, request.puzzle_id) == (None, False, False, 0)
    assert (request.thinking.samples, request.thinking.steps, request.thinking.halt) == (1, None, None)


def test_every_field_arrives() -> None:
    request = read(
        puzzles=[PUZZLE, f" {PUZZLE}\n"],
        halt="q",
        steps=9,
        samples=4,
        vary="noise",
        select="residual",
        seed=5,
        search=True,
        budget=77,
        trace=True,
        stream=True,
        model="tiny",
        puzzle_id="",
    )
    thinking = request.thinking
    assert len(request.questions) == 2
    assert (thinking.halt, thinking.steps, thinking.samples, thinking.vary) == ("q", 9, 4, "noise")
    assert (thinking.select, thinking.seed) == ("residual", 5)
    assert (request.budget, request.trace, request.stream) == (77, True, True)


def test_a_search_has_a_budget_within_the_server_s() -> None:
    assert read(puzzle=PUZZLE, search=True).budget == DEFAULT_BUDGET
    small = ServerSettings(model_name="tiny", max_budget=50)
    assert read(puzzle=PUZZLE, search=True, settings=small).budget == 50


@pytest.mark.parametrize(
    ("fields", "status", "param", "said"),
    [
        ({}, 400, "puzzle", "neither puzzle nor puzzles"),
        ({"puzzle": PUZZLE, "puzzles": [PUZZLE]}, 400, "puzzle", "puzzle and puzzles"),
        ({"puzzle": 5}, 400, "puzzle", "a text"),
        ({"puzzle": ["x"]}, 400, "puzzle", "a text"),
        ({"puzzles": []}, 400, "puzzles", "at least one"),
        ({"puzzles": PUZZLE}, 400, "puzzles", "a list"),
        ({"puzzles": [PUZZLE, 3]}, 400, "puzzles", "a list"),
        ({"puzzles": [PUZZLE] * 10_000}, 413, "puzzles", "10000 puzzles"),
        ({"puzzle": "123"}, 400, "puzzle", "3 characters"),
        ({"puzzle": ""}, 400, "puzzle", "0 characters"),
        ({"puzzle": "x" * 16}, 400, "puzzle", "row 1, column 1"),
        ({"puzzle": "１" * 16}, 400, "puzzle", "row 1, column 1"),
        ({"puzzle": "🧩" * 16}, 400, "puzzle", "row 1, column 1"),
        ({"puzzle": "\ud800" * 16}, 400, "puzzle", "row 1, column 1"),
        ({"puzzle": "\0" * 16}, 400, "puzzle", "row 1, column 1"),
        ({"puzzle": "9" * 81}, 400, "puzzle", "81 characters"),
        ({"puzzle": "11" + "." * 14}, 400, "puzzle", "twice in row 1"),
        ({"puzzle": "." * 16}, 400, "puzzle", "several solutions"),
        ({"puzzles": [PUZZLE, PUZZLE, "123"]}, 400, "puzzles[2]", "puzzles[2]: puzzle of 3 characters"),
        ({"puzzle": PUZZLE, "puzzel": 1}, 400, "puzzel", "did you mean 'puzzle'"),
        ({"puzzle": PUZZLE, "halt": "valdi"}, 400, "halt", "did you mean 'valid'"),
        ({"puzzle": PUZZLE, "halt": ["q"]}, 400, "halt", "q, valid, never"),
        ({"puzzle": PUZZLE, "vary": "sym"}, 400, "vary", "symmetry"),
        ({"puzzle": PUZZLE, "select": 3}, 400, "select", "vote"),
        ({"puzzle": PUZZLE, "steps": 0}, 400, "steps", "1 to 100"),
        ({"puzzle": PUZZLE, "steps": -1}, 400, "steps", "1 to 100"),
        ({"puzzle": PUZZLE, "steps": 101}, 400, "steps", "1 to 100"),
        ({"puzzle": PUZZLE, "steps": 2.5}, 400, "steps", "1 to 100"),
        ({"puzzle": PUZZLE, "steps": True}, 400, "steps", "1 to 100"),
        ({"puzzle": PUZZLE, "steps": 10**30}, 400, "steps", "1 to 100"),
        ({"puzzle": PUZZLE, "samples": 9}, 400, "samples", "1 to 8"),
        ({"puzzle": PUZZLE, "samples": -3}, 400, "samples", "1 to 8"),
        ({"puzzle": PUZZLE, "samples": "4"}, 400, "samples", "1 to 8"),
        ({"puzzle": PUZZLE, "seed": -1}, 400, "seed", "from 0"),
        ({"puzzle": PUZZLE, "search": True, "budget": -5}, 400, "budget", "1 to 5000"),
        ({"puzzle": PUZZLE, "search": True, "budget": 5001}, 400, "budget", "1 to 5000"),
        ({"puzzle": PUZZLE, "budget": 5}, 400, "budget", "search"),
        ({"puzzle": PUZZLE, "search": "yes"}, 400, "search", "true or false"),
        ({"puzzle": PUZZLE, "trace": 1}, 400, "trace", "true or false"),
        ({"puzzle": PUZZLE, "stream": "on"}, 400, "stream", "true or false"),
        ({"puzzles": [PUZZLE] * 5, "samples": 8, "steps": 100, "trace": True}, 400, "trace", "4000 segments"),
        ({"puzzles": [PUZZLE] * 20, "stream": True, "steps": 50}, 400, "stream", "1000 segments"),
        ({"puzzles": [PUZZLE] * 20, "search": True, "budget": 5000}, 400, None, "100160 segments"),
        ({"puzzle": PUZZLE, "puzzle_id": "007bbfb7"}, 400, "puzzle_id", "no name"),
        ({"puzzle": PUZZLE, "puzzle_id": "x" * 201}, 400, "puzzle_id", "200 characters"),
        ({"puzzle": PUZZLE, "puzzle_id": "../../etc/passwd"}, 400, "puzzle_id", "no name"),
        ({"puzzle": PUZZLE, "model": "huge"}, 404, "model", "tiny"),
    ],
)
def test_what_cannot_be_asked_is_named(
    fields: dict[str, Any], status: int, param: str | None, said: str
) -> None:
    with pytest.raises(RequestError) as caught:
        read(**fields)
    assert said in str(caught.value)
    assert (caught.value.status, caught.value.param) == (status, param)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("task", "fields", "said"),
    [
        (Maze(4, 4), {"puzzle": PUZZLE}, "at row 1"),
        (Maze(4, 4), {"puzzle": "S###############"}, "without G"),
        (Maze(2, 2), {"puzzle": "S##G"}, "without a way"),
        (Arc(4), {"puzzle": PUZZLE}, "a grid in JSON"),
        (Arc(4), {"puzzle": "[[1,2],[3]]"}, "row"),
        (Arc(4), {"puzzle": "[" * 5000}, "a grid in JSON"),
        (Arc(4), {"puzzle": GRID, "halt": "valid"}, "no checker"),
        (Arc(4), {"puzzle": GRID, "search": True}, "not known to the search"),
        (Arc(4), {"puzzle": GRID, "select": "valid"}, "no checker"),
        (Arc(4), {"puzzle": GRID, "puzzle_id": "007bbfb7"}, "no named puzzles"),
        (Table(alphabet="01", length=4), {"puzzle": "0120"}, "'2'"),
        (Table(alphabet="01", length=4), {"puzzle": "01", "samples": 2}, "symmetr"),
    ],
)
def test_a_question_of_another_task_is_refused(task: Task, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError) as caught:
        read(task, **fields)
    assert said in str(caught.value)
    assert caught.value.status == 400


def test_what_fits_a_task_without_a_checker_is_taken() -> None:
    assert read(Arc(4), puzzle=GRID, halt="q", samples=2, vary="noise").thinking.vary == "noise"


def test_what_is_described_is_what_is_understood() -> None:
    """`only(SOLVE)` reads the names; each of them is used."""
    values = {"string": "", "integer": 1, "boolean": True, "array": [PUZZLE]}
    chosen = {name: schema.get("enum", [values[schema["type"]]])[0] for name, schema in SOLVE.items()}
    chosen |= {"model": "tiny"}
    del chosen["puzzle"]
    assert len(read(**chosen).questions) == 1


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with serving_puzzles(knowing_model(), SETTINGS) as client:
        yield client


@pytest.mark.parametrize(
    ("body", "headers", "status", "said"),
    [
        (b'{"puzzle": "' + b"." * 20_000 + b'"}', {}, 413, "at most 20000 bytes"),
        (b"[" * 10_000, {}, 400, "no JSON"),
        (b"\xff\xfe\x00", {}, 400, "no JSON"),
        (b'{"puzzle": NaN}', {}, 400, "NaN is no JSON"),
        (b"[]", {}, 400, "a list"),
        (b"{}", {"Content_Type": "text/plain"}, 415, "application/json"),
        (b"{}", {"Host": "evil.example"}, 403, "evil.example"),
        (json.dumps({"puzzles": [PUZZLE] * 21}).encode(), {}, 413, "at most 20"),
        (json.dumps({"puzzle": PUZZLE, "steps": -1}).encode(), {}, 400, "steps -1"),
        (b'{"puzzle": "\\ud800"}', {}, 400, "1 characters"),
    ],
)
def test_over_http_every_error_has_one_shape(
    client: Client, body: bytes, headers: dict[str, str], status: int, said: str
) -> None:
    found, error = client.call("POST", "/v1/solve", body, **headers)
    assert found == status
    assert set(error["error"]) == {"message", "type", "param", "code"}
    assert said in error["error"]["message"]
    assert "Traceback" not in json.dumps(error)
    assert client.solve(puzzle=PUZZLE)[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/solve", 405), ("POST", "/v1/chat/completions", 404), ("POST", "/v1/fill", 404)],
)
def test_what_this_model_does_not_have_is_not_there(
    client: Client, method: str, path: str, status: int
) -> None:
    found, error = client.call(method, path, {} if method == "POST" else None)
    assert found == status
    assert path in error["error"]["message"]


@pytest.mark.parametrize(
    ("puzzle", "said"),
    [
        (".....5.8....6.1.43..........1.5........1.6...3.......553.....61........4.........", "without a"),
        (".....6....59.....82....8....45........3........6..3.54...325..6..................", "several"),
    ],
)
def test_a_board_that_would_keep_a_simple_solver_busy_is_refused_in_time(puzzle: str, said: str) -> None:
    """The first has no solution, which took a depth-first search more than an hour; a request must not cost that."""
    start = time.monotonic()
    with pytest.raises(RequestError, match=said):
        read(Sudoku(9), puzzle=puzzle)
    assert time.monotonic() - start < 5


def quickly(task: Task, **fields: Any) -> SolveRequest | None:
    asked = Asked(task=task, limit=LIMIT, searchable=True)
    return quick_request(json.dumps(fields).encode(), asked, SETTINGS)


@pytest.mark.parametrize("compiled", [False, True])
def test_only_what_is_proven_at_once_is_read_in_the_event_loop(
    compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hard board, a task whose judge may be somebody's own code, and much at once are left to another thread.

    Once proofs are compiled, hard boards are quick too; here it is only said that they are.
    """
    monkeypatch.setattr(sudoku_proof, "_compiled", False)
    monkeypatch.setattr(module, "quick_guesses", lambda: 400 if compiled else 8)
    easy = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
    hard = "1....7.9..3..2...8..96..5....53..9...1..8...26....4...3......1..4......7..7...3.."
    request = quickly(Sudoku(9), puzzle=easy, steps=5)
    assert request is not None
    assert request.thinking.steps == 5
    assert (quickly(Sudoku(9), puzzle=hard) is not None) == compiled
    assert (quickly(Sudoku(9), puzzles=[easy, hard]) is not None) == compiled
    assert quickly(Sudoku(9), puzzles=[easy] * 15) is None
    assert quickly(Table(alphabet="01", length=4), puzzle="0101") is None
    with pytest.raises(RequestError, match="twice in row 1"):
        quickly(Sudoku(9), puzzle="11" + "." * 79)
    with pytest.raises(RequestError, match="steps -1"):
        quickly(Sudoku(9), puzzle=hard, steps=-1)
