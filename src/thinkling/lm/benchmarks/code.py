"""Programs judged by running tests: HumanEval (Chen et al. 2021, arXiv 2107.03374) and MBPP (Austin et al. 2021,
arXiv 2108.07732).

What a model writes is run in the sandbox only (`tasks.sandbox`), several programs at a time.
"""

from __future__ import annotations

import ast
import os
import re
import textwrap
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thinkling.artifacts.hub import fetched
from thinkling.errors import InputError, ThinklingError
from thinkling.lm.benchmarks.item import Answer, BenchmarkItem, Found
from thinkling.lm.benchmarks.rows import code_field, first_items, text_field, text_list_field
from thinkling.tasks.sandbox import run_tests

HUMANEVAL_ADDRESS = "hf://datasets/openai/openai_humaneval/openai_humaneval"
MBPP_ADDRESS = "hf://datasets/google-research-datasets/mbpp/full"

SECONDS = 5.0
"""For one program with its tests."""

_MBPP_TEST = range(11, 511)
"""The task ids of MBPP's test part (Austin et al. 2021, section 2.1)."""
_FENCE = re.compile(r"^```[^\n`]*\n(.*?)(?:^```[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_ONLY_FENCE = re.compile(r"```[^\n`]*\n(.*?)\n?```", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class HumanEval:
    """Rows {"task_id", "prompt", "entry_point", "test", …}: a function to complete from its signature and docstring."""

    name: str = field(default="humaneval", init=False)
    votes: bool = field(default=False, init=False)
    # The paper's, section 3.2: with these a further function, class or statement begins.
    stop: tuple[str, ...] = field(default=("\nclass", "\ndef", "\n#", "\nif", "\nprint"), init=False)

    def check(self) -> None:
        """The sandbox must work here."""
        _check_sandbox()

    def items(self, source: Path | None, *, n: int, seed: int) -> list[BenchmarkItem]:
        """The first n functions.

        Raises:
            InputError: no such file, or a row in another layout.
        """
        return first_items(fetched(source or HUMANEVAL_ADDRESS), _human_eval_item, n)

    def found(self, item: BenchmarkItem, text: str) -> Found:
        """Code alone or in one block; the block with the function, the last block, or all of the text."""
        return _code_in(text, item.extra["entry_point"])

    def ballot(self, answer: str) -> str:
        """Two programs are equal only where their texts are."""
        return answer

    def judge(self, answers: Sequence[Answer]) -> list[bool]:
        """Whether each program passes the benchmark's tests."""
        return _run_all([(_program(answer), answer.item.answer) for answer in answers])


@dataclass(frozen=True, kw_only=True)
class Mbpp:
    """Rows {"task_id", "text", "test_list", "test_setup_code", …}: a function to write, with the tests it must pass.

    Of a file with the whole benchmark only the test part counts, the ids 11 to 510; a file with none of these is taken
    as it is.
    """

    name: str = field(default="mbpp", init=False)
    votes: bool = field(default=False, init=False)
    stop: tuple[str, ...] = field(default=(), init=False)

    def check(self) -> None:
        """The sandbox must work here."""
        _check_sandbox()

    def items(self, source: Path | None, *, n: int, seed: int) -> list[BenchmarkItem]:
        """The first n tasks of the test part.

        Raises:
            InputError: no such file, or a row in another layout.
        """
        place = fetched(source or MBPP_ADDRESS)
        tests = first_items(place, _mbpp_test_item, n, may_be_none=True)
        return tests or first_items(place, _mbpp_item, n)

    def found(self, item: BenchmarkItem, text: str) -> Found:
        """Code alone or in one block; the last block, or all of the text."""
        return _code_in(text, "")

    def ballot(self, answer: str) -> str:
        """Two programs are equal only where their texts are."""
        return answer

    def judge(self, answers: Sequence[Answer]) -> list[bool]:
        """Whether each program passes the benchmark's tests."""
        return _run_all([(answer.text, answer.item.answer) for answer in answers])


def _human_eval_item(number: int, place: str, row: Mapping[str, Any]) -> BenchmarkItem:
    beginning = code_field(row, "prompt", place)
    entry = text_field(row, "entry_point", place)
    if not entry.isidentifier() or _definition(entry).search(beginning) is None:
        raise InputError(
            f"{place}: entry_point {entry[:40]!r}", "a function that the prompt begins", "correct this row"
        )
    tests = f"{code_field(row, 'test', place)}\n\ncheck({entry})\n"
    return BenchmarkItem(
        number=number,
        name=text_field(row, ("task_id", "entry_point"), place),
        prompt=f"Complete this Python function. Answer with code only.\n\n{beginning}",
        answer=tests,
        beginning=beginning,
        extra={"entry_point": entry},
    )


def _mbpp_item(number: int, place: str, row: Mapping[str, Any]) -> BenchmarkItem:
    asked = text_field(row, ("text", "prompt"), place)
    tests = "\n".join(text_list_field(row, "test_list", place))
    imports, setup = row.get("test_imports") or [], row.get("test_setup_code") or ""
    for name, value, kind in (("test_imports", imports, list), ("test_setup_code", setup, str)):
        if not isinstance(value, kind):
            raise InputError(f"{place}: {name} is {str(value)[:40]}", "code", "correct this row")
    return BenchmarkItem(
        number=number,
        name=f"MBPP/{text_field(row, 'task_id', place)}",
        prompt=f"{asked}\nYour code should pass these tests:\n\n{tests}\n\nAnswer with code only.",
        answer="\n".join(filter(None, [*map(str, imports), setup.strip(), tests])) + "\n",
    )


def _mbpp_test_item(number: int, place: str, row: Mapping[str, Any]) -> BenchmarkItem | None:
    identifier = text_field(row, "task_id", place)
    if not identifier.isdecimal():
        raise InputError(f"{place}: task_id is {identifier[:20]!r}", "a whole number", "correct this row")
    return _mbpp_item(number, place, row) if int(identifier) in _MBPP_TEST else None


def _code_in(text: str, entry_point: str) -> Found:
    """The code of an answer; one that defines the function goes before others."""
    whole = text.strip("\r\n").rstrip()
    if not whole:
        return Found(strict=None, flexible=None)
    only = _ONLY_FENCE.fullmatch(whole.strip())
    if only is not None and "```" not in only[1]:
        return Found(strict=only[1], flexible=only[1])
    blocks = _FENCE.findall(f"{whole}\n")
    wanted = [block for block in blocks if entry_point and _definition(entry_point).search(block)]
    code = [*blocks, *wanted][-1] if blocks else whole
    return Found(strict=whole if not blocks and _is_code(whole) else None, flexible=code.rstrip() or None)


def _program(answer: Answer) -> str:
    """HumanEval: what stands before the function in the prompt, and the function, whole or only its body."""
    beginning, entry = answer.item.beginning, answer.item.extra["entry_point"]
    start = _definition(entry).search(beginning)
    assert start is not None, "checked when the row was read"
    if _definition(entry).search(answer.text):
        return f"{beginning[: start.start()]}\n{answer.text}\n"
    return f"{beginning.rstrip()}\n{_as_body(answer.text)}\n"


def _as_body(code: str) -> str:
    """Code indented as the body of a function, however it was indented."""
    if code[:1].isspace():
        return textwrap.indent(textwrap.dedent(code), "    ")
    whole, first_line_bare = textwrap.indent(code, "    "), f"    {code}"
    # The white space before the first line is easily lost while that of the others is not.
    return first_line_bare if not _parses_as_body(whole) and _parses_as_body(first_line_bare) else whole


def _definition(name: str) -> re.Pattern[str]:
    return re.compile(rf"^(?:async[ \t]+)?def[ \t]+{re.escape(name)}[ \t]*\(", re.MULTILINE)


def _is_code(text: str) -> bool:
    """Whether a text is Python, by itself or as the body of a function."""
    return _parses(text) or _parses_as_body(_as_body(text))


def _parses_as_body(code: str) -> bool:
    return _parses(f"def body():\n{code}\n")


def _parses(code: str) -> bool:
    try:
        ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # what the parser says of hostile text
        return False
    return True


def _check_sandbox() -> None:
    """Whether a right program passes: where none can, every model would score 0.

    Raises:
        InputError: a system without what the sandbox needs.
        ThinklingError: it does not work here.
    """
    verdict = run_tests("one = 1", "assert one == 1", seconds=SECONDS)
    if not verdict.passed:
        raise ThinklingError(f"the sandbox cannot run a program here: {verdict.reason}")


def _run_all(programs: Sequence[tuple[str, str]]) -> list[bool]:
    """Whether each program passes its tests, as many at a time as there are cores."""

    def passes(program_and_tests: tuple[str, str]) -> bool:
        program, tests = program_and_tests
        return run_tests(program, tests, seconds=SECONDS).passed

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        return list(pool.map(passes, programs))
