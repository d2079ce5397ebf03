"""Reading conversations: every kind of row, and every kind of damage named with file and line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from thinkling.data.chat_template import Message
from thinkling.data.conversations import Conversation, conversations, part_of
from thinkling.errors import InputError


def read(folder: Path, *rows: Any) -> list[Conversation]:
    path = folder / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return list(conversations(path))


def pair(question: str, answer: str, reasoning: str = "") -> tuple[Message, ...]:
    return (
        Message(role="user", content=question),
        Message(role="assistant", content=answer, reasoning=reasoning),
    )


def test_messages(tmp_path: Path) -> None:
    rows = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "2+2?"},
        {"role": "assistant", "content": "4", "reasoning_content": "2 and 2"},
        {"role": "user", "content": "And 1?"},
        {"role": "assistant", "content": "5"},
    ]
    (found,) = read(tmp_path, {"messages": rows, "task": "chatter", "source": "x"})
    assert [message.role for message in found.messages] == [row["role"] for row in rows]
    assert found.messages[2] == Message(role="assistant", content="4", reasoning="2 and 2")
    assert found.place.endswith("a.jsonl line 1")
    assert found.task == "", "only generated problems have a judge"


@pytest.mark.parametrize("question", ["problem", "question"])
@pytest.mark.parametrize("reasoning", ["reasoning", "solution"])
def test_problems(tmp_path: Path, question: str, reasoning: str) -> None:
    rows = [
        {question: " 2+2? ", reasoning: "2 and 2\n", "answer": "4", "task": "sum"},
        {question: "3+3?", reasoning: "", "answer": 6},
        {question: "half of 3?", reasoning: None, "answer": 1.5},
        {question: "half of 4?", "answer": 2.0},
    ]
    found = read(tmp_path, *rows)
    assert [row.messages for row in found] == [
        pair("2+2?", "4", "2 and 2"),
        pair("3+3?", "6"),
        pair("half of 3?", "1.5"),
        pair("half of 4?", "2"),
    ]
    assert [row.task for row in found] == ["sum", "", "", ""]


def test_gsm8k(tmp_path: Path) -> None:
    """The marks that call a calculator are no part of the reasoning, and the answer is the number after ####."""
    answer = "She sold 48/2 = <<48/2=24>>24 clips.\nThat is $<<1000*1.2=1200>>1,200 in all.\n#### 1,200"
    (found,) = read(tmp_path, {"question": "How many?", "answer": answer})
    assert found.messages == pair("How many?", "1200", "She sold 48/2 = 24 clips.\nThat is $1,200 in all.")


def test_a_list_of_numbers_keeps_its_commas(tmp_path: Path) -> None:
    found = read(
        tmp_path, {"question": "Sort.", "answer": "x\n#### 1,20,300"}, {"question": "q", "answer": "1,200"}
    )
    assert [row.messages[-1].content for row in found] == ["1,20,300", "1,200"]


def test_numina_math(tmp_path: Path) -> None:
    r"""What stands in the last \boxed{} is the answer; without one, the solution is."""
    solution = r"First \boxed{1}, then $x = \boxed{\frac{3}{4}}$."
    messages = [{"role": "user", "content": "x?"}, {"role": "assistant", "content": solution}]
    found = read(
        tmp_path,
        {"source": "orca", "problem": "x?", "solution": solution, "messages": messages},
        {"problem": "Prove it.", "solution": "It is so."},
        {"problem": "y?", "solution": r"cut \boxed{3"},
        {"problem": "another question", "solution": solution, "messages": messages},
    )
    assert [row.messages for row in found] == [
        pair("x?", r"\frac{3}{4}", solution),
        pair("Prove it.", "It is so."),
        pair("y?", r"cut \boxed{3"),
        pair("x?", solution),
    ]


def test_open_hermes(tmp_path: Path) -> None:
    turns = [
        {"from": "system", "value": "Be kind.", "weight": 0.0},
        {"from": "human", "value": "Hello"},
        {"from": "gpt", "value": "Good day"},
    ]
    (found,) = read(tmp_path, {"conversations": turns, "source": "x"})
    assert found.messages == (Message(role="system", content="Be kind."), *pair("Hello", "Good day"))


def test_compressed_files_and_folders(tmp_path: Path) -> None:
    row = json.dumps({"problem": "p", "answer": "a"}) + "\n"
    (tmp_path / "train.jsonl.gz").write_bytes(gzip.compress((row * 3).encode()))
    (tmp_path / "test.json").write_text("\ufeff" + row + "\n", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("not a conversation", encoding="utf-8")
    assert len(list(conversations(tmp_path))) == 4
    assert part_of(tmp_path, "train") == tmp_path / "train.jsonl.gz"
    assert part_of(tmp_path, "test") == tmp_path / "test.json"
    assert part_of(tmp_path, "validation") is None


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ([1], r"\[1\]"),
        ({}, "a row with the fields none"),
        ({"text": "a"}, "a row with the fields 'text'"),
        ({"problem": "p"}, "a row with the fields 'problem'"),
        ({"problem": "", "answer": "a"}, "problem is empty"),
        ({"problem": "p", "answer": " "}, "answer is empty"),
        ({"problem": "p", "answer": None}, "answer is null"),
        ({"problem": "p", "answer": ["a"]}, "answer is"),
        ({"problem": "p", "answer": True}, "answer is true"),
        ({"problem": "p", "answer": "a", "task": 3}, "task is 3"),
        ({"problem": "p", "answer": "a", "reasoning": {}}, "reasoning is"),
        ({"question": "q", "answer": "thoughts\n####"}, "message 2: .*answer"),
        ({"messages": []}, r"\[\]"),
        ({"messages": [{"role": "robot", "content": "a"}]}, "'robot'|\"robot\""),
        ({"messages": [{"role": "user", "content": "a"}]}, "no assistant's message"),
        (
            {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": ""}]},
            "message 2: .*assistant",
        ),
        (
            {"messages": [{"role": "user", "content": "a<|im_end|>"}]},
            r"<\|im_end\|> in a message of the user",
        ),
        ({"problem": "p <think>", "answer": "a"}, "<think> in a message of the user"),
        ({"problem": "p", "reasoning": "r</think>", "answer": "a"}, "</think> in a message of the assistant"),
        ({"problem": "a \ud800 b", "answer": "a"}, "half of a surrogate"),
        ({"conversations": "hello"}, "conversations is"),
        ({"conversations": [{"from": "human"}]}, "human"),
        ({"conversations": [{"from": "critic", "value": "a"}]}, "critic"),
        ({"conversations": [{"from": ["gpt"], "value": "a"}]}, "gpt"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, row: Any, what: str) -> None:
    with pytest.raises(InputError, match=rf"a\.jsonl line 2.*({what})") as caught:
        read(tmp_path, {"problem": "p", "answer": "a"}, row)
    assert "\n" not in str(caught.value)


def test_a_line_that_is_no_json(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    for line in ("{", "[" * 100_000):
        path.write_text("\n" + line, encoding="utf-8")
        with pytest.raises(InputError, match=r"a\.jsonl line 2: no JSON"):
            list(conversations(path))


def test_damaged_files_are_named(tmp_path: Path) -> None:
    """Bytes that are not UTF-8, and an archive that is cut short: the file, and how far it could be read."""
    good = json.dumps({"problem": "p", "answer": "a"}).encode() + b"\n"
    (tmp_path / "a.jsonl").write_bytes(good + b'{"problem": "gr\xfcn", "answer": "a"}\n')
    with pytest.raises(InputError, match=r"a\.jsonl line 2: byte 0xfc that is not UTF-8"):
        list(conversations(tmp_path / "a.jsonl"))
    rows = b"".join(
        json.dumps({"problem": str(n * 7919 % 1000), "answer": str(n)}).encode() + b"\n" for n in range(3000)
    )
    whole = gzip.compress(rows)
    (tmp_path / "b.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"b\.jsonl\.gz: damaged or cut short after line \d+"):
        list(conversations(tmp_path / "b.jsonl.gz"))


def test_what_holds_no_conversations_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text", encoding="utf-8")
    for name, what in (("none.jsonl", "no such file"), ("a.txt", "plain text"), ("", "no conversations")):
        with pytest.raises(InputError, match=what):
            list(conversations(tmp_path / name))
