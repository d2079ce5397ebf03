"""Conversations to learn from, read one at a time from JSON lines of several kinds.

The kind of a row is told by its fields:

    {"messages": [{"role", "content"}, …]}                     as it is
    {"problem" or "question", "reasoning" or "solution", "answer"}
                                                               a user's message, and an assistant's with its reasoning
    {"question", "answer": "… <<3*4=12>>12 … #### 12"}         GSM8K (Cobbe et al. 2021, arXiv 2110.14168): what stands
                                                               before the last line is reasoning, without the marks
    {"problem", "solution", "messages"?}                       NuminaMath: the answer is what the solution puts in a box
    {"conversations": [{"from", "value"}, …]}                  OpenHermes

Every error names the file and the line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thinkling.data.chat_template import Message, messages_of
from thinkling.data.corpus import corpus_files, numbered_lines
from thinkling.errors import InputError

_SUFFIXES = (".jsonl", ".json")
_QUESTIONS = ("problem", "question")
_REASONINGS = ("reasoning", "solution")
_ALLOWED = (
    'one JSON object a line with "messages", with "problem" or "question" and "answer", '
    'or with "conversations"'
)
_OPENHERMES_ROLES = {"human": "user", "gpt": "assistant"}
_CALCULATOR_MARK = re.compile(r"<<[^<>]*>>")
_GSM8K_ANSWER = re.compile(r"^####(.*)\Z", re.MULTILINE | re.DOTALL)
_IN_THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?")


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """Some messages, and where they are from."""

    messages: tuple[Message, ...]
    """In their order."""
    task: str = ""
    """The task whose judge can tell whether the last message is right; empty where there is none."""
    place: str
    """File and line, for messages to the user."""


def conversations(source: Path) -> Iterator[Conversation]:
    """The conversations of a file (.jsonl, .json, also .gz), or of all such files below a folder by their names.

    At most one conversation is in memory.

    Raises:
        InputError: no such file, an unknown kind, a damaged archive, bytes that are not UTF-8, or a row that is none of
            the kinds above, with an unknown role or an empty turn; names file and line.
    """
    for path in _files(Path(source)):
        with closing(numbered_lines(path)) as lines:
            for number, line in lines:
                if line.strip():
                    yield _conversation(f"{path} line {number}", line)


def part_of(folder: Path, name: str) -> Path | None:
    """The file of a folder that holds the part `name` (train, validation, test); None where there is none."""
    names = [f"{name}{suffix}{packed}" for suffix in _SUFFIXES for packed in ("", ".gz")]
    return next((folder / file for file in names if (folder / file).is_file()), None)


def _files(source: Path) -> list[Path]:
    found = [
        path for path in corpus_files(source) if path.name.lower().removesuffix(".gz").endswith(_SUFFIXES)
    ]
    if not found:
        raise InputError(
            f"{source}: no conversations" if source.is_dir() else f"{source}: plain text",
            "a file that ends in .jsonl or .json, or in one of these and .gz, or a folder of such files",
            "convert it, or check the path",
        )
    return found


def _conversation(place: str, line: str) -> Conversation:
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: no JSON ({error})", _ALLOWED, "correct this line") from None
    if not isinstance(row, dict):
        raise InputError(f"{place}: {line.strip()[:40]}", _ALLOWED, "correct this line")
    if "conversations" in row and "messages" not in row:
        return Conversation(messages=_checked(_openhermes(row["conversations"], place), place), place=place)
    question = next((name for name in _QUESTIONS if name in row), None)
    if "messages" in row and not _repeats_solution(row):
        return Conversation(messages=_checked(row["messages"], place), place=place)
    if question is None or not {"answer", "solution"} & row.keys():
        fields = ", ".join(map(repr, row)) or "none"
        raise InputError(f"{place}: a row with the fields {fields[:80]}", _ALLOWED, "correct this line")
    return _problem(row, question, place)


def _problem(row: Mapping[str, Any], question: str, place: str) -> Conversation:
    """A question with its answer, and with the reasoning where there is one."""
    reasoning_field = next((name for name in _REASONINGS if name in row), None)
    reasoning = "" if reasoning_field is None else _text(row, reasoning_field, place)
    if "answer" in row:
        answer = _text(row, "answer", place)
        if reasoning_field is None:
            reasoning, answer = _gsm8k(answer)
    else:
        reasoning, answer = _boxed(reasoning)
    turns = [
        {"role": "user", "content": _text(row, question, place)},
        {"role": "assistant", "content": answer, "reasoning_content": reasoning},
    ]
    task = row.get("task") or ""
    if not isinstance(task, str):
        raise InputError(
            f"{place}: task is {json.dumps(task)[:40]}", "the name of a task", "correct this line"
        )
    return Conversation(messages=_checked(turns, place), task=task, place=place)


def _gsm8k(answer: str) -> tuple[str, str]:
    """Reasoning and answer of GSM8K, without the marks that call a calculator; other answers as they are."""
    found = _GSM8K_ANSWER.search(answer)
    if found is None:
        return "", answer
    reasoning, number = _CALCULATOR_MARK.sub("", answer[: found.start()]).strip(), found[1].strip()
    return reasoning, number.replace(",", "") if _IN_THOUSANDS.fullmatch(number) else number


def _boxed(solution: str) -> tuple[str, str]:
    r"""Reasoning and answer of a solution that puts its answer into `\boxed{}`; without one all of it is the answer."""
    start = solution.rfind(r"\boxed{")
    if start < 0:
        return "", solution
    depth, begin = 1, start + len(r"\boxed{")
    for place in range(begin, len(solution)):
        depth += (solution[place] == "{") - (solution[place] == "}")
        if depth == 0:
            inside = solution[begin:place].strip()
            return (solution, inside) if inside else ("", solution)
    return "", solution


def _repeats_solution(row: Mapping[str, Any]) -> bool:
    """Whether the messages of a row are only its problem and its solution once more, as in NuminaMath."""
    messages = row["messages"]
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        return False
    said = [(message.get("role"), message.get("content")) for message in messages]
    return said == [("user", row.get("problem")), ("assistant", row.get("solution"))]


def _openhermes(turns: Any, place: str) -> list[dict[str, Any]]:
    """The messages of OpenHermes by our names; a name that is not OpenHermes' stays, and is refused as a role."""
    allowed = 'a list of {"from", "value"}'
    if not isinstance(turns, list):
        raise InputError(f"{place}: conversations is {json.dumps(turns)[:40]}", allowed, "correct this line")
    rows = []
    for turn in turns:
        if not isinstance(turn, dict) or not {"from", "value"} <= turn.keys():
            raise InputError(f"{place}: {json.dumps(turn)[:40]}", allowed, "correct this line")
        role = turn["from"]
        rows.append(
            {
                "role": _OPENHERMES_ROLES.get(role, role) if isinstance(role, str) else role,
                "content": turn["value"],
            }
        )
    return rows


def _checked(rows: Any, place: str) -> tuple[Message, ...]:
    messages = tuple(messages_of(rows, place))
    if not any(message.role == "assistant" for message in messages):
        raise InputError(
            f"{place}: no assistant's message",
            "at least one, which is learned",
            "correct or remove this line",
        )
    return messages


def _text(row: Mapping[str, Any], name: str, place: str) -> str:
    """A field as text, without the white space around it; a number in the shortest form that gives it back."""
    value = row[name]
    if value is None and name in _REASONINGS:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise InputError(
            f"{place}: {name} is {json.dumps(value)[:40]}", "a text or a number", "correct this line"
        )
    if not value.strip() and name not in _REASONINGS:
        raise InputError(f"{place}: {name} is empty", "a text", "correct or remove this line")
    return value.strip()
