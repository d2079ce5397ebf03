"""What a client asks of `/v1/solve`, read from the body of its request.

Everything is checked here, before anything reaches the thread that thinks: what is malformed, too much, or not a
question of this model is answered with 4xx and a message that names the field and the puzzle.

Shapes: L positions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast, get_args

from numpy.typing import NDArray

from thinkling.errors import InputError, nearest
from thinkling.puzzles.breadth import Thinking, Vary
from thinkling.puzzles.search_tree import DEFAULT_BUDGET
from thinkling.serving.errors import RequestError
from thinkling.serving.fields import Fields, json_object
from thinkling.serving.request_schemas import SOLVE
from thinkling.serving.served_model import check_model, one_or_many
from thinkling.serving.settings import ServerSettings
from thinkling.tasks.sudoku import Sudoku, UnprovenError
from thinkling.tasks.sudoku_proof import quick_guesses
from thinkling.tasks.task import Task
from thinkling.thinking.halting import HaltRuleName
from thinkling.thinking.selection import Select

LONGEST_NAME = 200
"""Characters of a puzzle's name."""
_LARGEST_SEED = 2**53
_HALTS, _VARIES, _SELECTS = get_args(HaltRuleName), get_args(Vary), get_args(Select)
_QUICK_BYTES = 1024


class _NotQuickError(Exception):
    """A puzzle needs more guesses than there is time for here."""


@dataclass(frozen=True, kw_only=True)
class SolveRequest:
    """Questions, and how to think about them."""

    questions: tuple[NDArray[Any], ...]
    """[L] each, in the order of the request."""
    puzzle_id: int
    """Row of the puzzle embedding, for all of them."""
    thinking: Thinking
    """How each is thought about."""
    budget: int | None
    """Segments that a search for each may cost; None: no search."""
    trace: bool
    """Whether the answer comes with what the model thought."""
    stream: bool
    """Whether every segment is told as it comes."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The model that is asked."""

    task: Task
    """Its task."""
    limit: int
    """Segments after which it stops unless told otherwise."""
    searchable: bool
    """Whether a search can be made on its task."""


def quick_request(body: bytes, asked: Asked, settings: ServerSettings) -> SolveRequest | None:
    """The request in a body, if reading and proving it takes no longer than handing it to another thread; else None.

    So it is with Sudokus that singles and a few guesses solve, and with more of them once proofs are compiled.

    Raises:
        RequestError: as for `solve_request`.
    """
    task = asked.task
    if not isinstance(task, Sudoku) or len(body) > _QUICK_BYTES:
        return None

    def validate(tokens: NDArray[Any]) -> None:
        try:
            task.validate(tokens, quick_guesses())
        except UnprovenError:
            raise _NotQuickError from None

    try:
        return _read(body, asked, settings, validate)
    except _NotQuickError:
        return None


def solve_request(body: bytes, asked: Asked, settings: ServerSettings) -> SolveRequest:
    """The request in a body.

    Args:
        body: as received.
        asked: what is known of the model.
        settings: its name, and the limits.

    Raises:
        RequestError: no JSON object, an unknown field, a value out of its range, another model's name (404), more
            than the server allows (413 for puzzles), or a puzzle that is none of this model's task.
    """
    return _read(body, asked, settings, asked.task.validate)


def _read(
    body: bytes, asked: Asked, settings: ServerSettings, validate: Callable[[NDArray[Any]], None]
) -> SolveRequest:
    fields = Fields(json_object(body))
    fields.only(SOLVE)
    check_model(fields, settings.model_name)
    texts, names = one_or_many(fields, "puzzle", "puzzles", settings.max_puzzles)
    thinking = _thinking(fields, asked, settings)
    budget = _budget(fields, asked, settings)
    trace, stream = fields.flag("trace", False), fields.flag("stream", False)
    chains = len(texts) * thinking.samples * thinking.steps_or(asked.limit)
    if (trace or stream) and chains > settings.max_traced:
        raise RequestError(
            f"{'trace' if trace else 'stream'} of {chains} segments (puzzles × samples × steps)",
            f"at most {settings.max_traced}",
            "ask for fewer at once, or for the answers alone",
            param="trace" if trace else "stream",
            code="too_much_work",
        )
    cost = chains + len(texts) * (budget or 0)
    if cost > settings.max_segments:
        raise RequestError(
            f"a request that may cost {cost} segments (puzzles × (samples × steps + budget))",
            f"at most {settings.max_segments}",
            "ask for fewer puzzles, samples or steps, or a smaller budget",
            code="too_much_work",
        )
    try:
        puzzle_id = asked.task.puzzle_id(_name(fields))
    except InputError as error:
        raise RequestError(error.given, error.allowed, error.next_step, param="puzzle_id") from None
    return SolveRequest(
        questions=tuple(
            _question(asked.task, validate, text, name) for text, name in zip(texts, names, strict=True)
        ),
        puzzle_id=puzzle_id,
        thinking=thinking,
        budget=budget,
        trace=trace,
        stream=stream,
    )


def _name(fields: Fields) -> str:
    name = fields.text("puzzle_id", "")
    if len(name) > LONGEST_NAME:
        raise fields.wrong("puzzle_id", f"a name of at most {LONGEST_NAME} characters")
    return name


def _question(task: Task, validate: Callable[[NDArray[Any]], None], text: str, name: str) -> NDArray[Any]:
    """The tokens [L] of a puzzle; its error says which one it is."""
    try:
        tokens = task.parse(text)
        validate(tokens)
    except InputError as error:
        raise RequestError(
            f"{name}: {error.given}", error.allowed, error.next_step, param=name, code="bad_puzzle"
        ) from None
    return tokens


def _thinking(fields: Fields, asked: Asked, settings: ServerSettings) -> Thinking:
    halt = _choice(fields, "halt", _HALTS)
    if halt == "valid" and not asked.task.has_checker:
        raise fields.wrong(
            "halt", f"q or never: task {asked.task.name} has no checker", 'leave it out, or send "q"'
        )
    samples = fields.whole("samples", 1, 1, settings.most_chains)
    vary = _choice(fields, "vary", _VARIES) or "symmetry"
    select = _choice(fields, "select", _SELECTS)
    steps = fields.whole("steps", None, 1, settings.max_steps)
    seed = fields.whole("seed", 0, 0, _LARGEST_SEED) or 0
    try:
        thinking = Thinking(
            halt=cast("HaltRuleName | None", halt),
            steps=steps,
            samples=samples or 1,
            vary=cast(Vary, vary),
            select=cast("Select | None", select),
            seed=seed,
        )
        thinking.check_task(asked.task)
    except InputError as error:
        raise RequestError(error.given, error.allowed, error.next_step) from None
    return thinking


def _choice(fields: Fields, name: str, words: tuple[str, ...]) -> str | None:
    """One of some words; None where it is not given."""
    word = fields.value(name)
    if word is None or word in words:
        return cast("str | None", word)
    hint = nearest(word, words) if isinstance(word, str) else ""
    raise fields.wrong(name, ", ".join(words), hint)


def _budget(fields: Fields, asked: Asked, settings: ServerSettings) -> int | None:
    """Segments of a search; None where there is none."""
    search = fields.flag("search", False)
    budget = fields.whole("budget", None, 1, settings.max_budget)
    if not search:
        if budget is not None:
            raise fields.wrong("budget", 'nothing without "search": true', "leave it out, or search")
        return None
    if not asked.searchable:
        raise fields.wrong(
            "search",
            f"false: the rules of task {asked.task.name} are not known to the search",
            "leave it out",
        )
    return min(DEFAULT_BUDGET, settings.max_budget) if budget is None else budget
