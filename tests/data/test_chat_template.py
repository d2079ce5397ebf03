"""The chat template: what it writes, what is learnt of it, and what it refuses to write."""

from typing import Any

import pytest

from thinkling.data.chat_template import Message, example_ids, messages_of, prompt_ids, render
from thinkling.data.chat_tokenizer import SPECIALS, ChatTokenizer
from thinkling.errors import InputError

USER = {"role": "user", "content": "2+2?"}
ANSWER = {"role": "assistant", "content": "4"}


@pytest.fixture(scope="module")
def words() -> ChatTokenizer:
    return ChatTokenizer.train(["user assistant system\n\n\nTwo and two is four. "] * 9, 320)


def learnt_text(words: ChatTokenizer, messages: list[Message]) -> str:
    ids, learnt = example_ids(words, messages)
    assert len(ids) == len(learnt)
    return words.decode([token for token, wanted in zip(ids, learnt, strict=True) if wanted], special=True)


def test_what_is_written() -> None:
    conversation = [
        Message(role="system", content="Be short."),
        Message(role="user", content="2+2?"),
        Message(role="assistant", content="4", reasoning="2 and 2 is 4."),
        Message(role="user", content="Sure?"),
        Message(role="assistant", content="Yes."),
    ]
    assert render(conversation) == (
        "<|im_start|>system\nBe short.<|im_end|>\n"
        "<|im_start|>user\n2+2?<|im_end|>\n"
        "<|im_start|>assistant\n<think>2 and 2 is 4.</think>4<|im_end|>\n"
        "<|im_start|>user\nSure?<|im_end|>\n"
        "<|im_start|>assistant\nYes.<|im_end|>\n"
    )
    question = conversation[:2]
    start = render(question) + "<|im_start|>assistant\n"
    assert render(question, add_generation_prompt=True) == start
    assert render(question, add_generation_prompt=True, enable_thinking=False) == start + "<think></think>"
    assert render(question, enable_thinking=False) == render(question)


def test_text_is_not_code() -> None:
    text = "{{ 7 * 7 }} {% for x in y %} {# c #} <b>&amp;</b> '\"\\n\n"
    assert render([Message(role="user", content=text)]) == f"<|im_start|>user\n{text}<|im_end|>\n"


def test_the_assistant_s_words_are_learnt(words: ChatTokenizer) -> None:
    conversation = [
        Message(role="user", content="assistant\nis a word"),
        Message(role="assistant", content="4", reasoning="2 and 2\nis 4."),
        Message(role="user", content="Sure?"),
        Message(role="assistant", content="Yes."),
    ]
    assert learnt_text(words, conversation) == "<think>2 and 2\nis 4.</think>4<|im_end|>Yes.<|im_end|>"
    ids, _ = example_ids(words, conversation)
    assert ids == words.encode(render(conversation), special=True)


@pytest.mark.parametrize("reasoning", ["", "Two.", "\n\nTwo.\n"])
@pytest.mark.parametrize("content", ["4", "4\n\n", "4 \n 5"])
def test_an_example_begins_as_its_prompt_does(words: ChatTokenizer, content: str, reasoning: str) -> None:
    """What a model sees before its first word is what it saw in training."""
    messages = messages_of([USER, {**ANSWER, "content": content, "reasoning": reasoning}], "x")
    ids, learnt = example_ids(words, messages)
    prompt = prompt_ids(words, messages[:1])
    assert ids[: len(prompt)] == prompt
    assert learnt.index(True) == len(prompt)
    assert learnt_text(words, messages).endswith(content + "<|im_end|>")


def test_a_line_break_that_joins_the_template_s(words: ChatTokenizer) -> None:
    """Line breaks are one token. The first of an answer would join that of the template, so it is not learnt, and
    conversations that are read have none there."""
    assert words.encode("\n\n") == [words.encode("a\n\nb")[1]]
    direct = [Message(role="user", content="x"), Message(role="assistant", content="\n4")]
    assert learnt_text(words, direct) == "4<|im_end|>"
    read = messages_of([USER, {"role": "assistant", "content": " \n\n4 "}], "x")
    assert read[1].content == "4 "


def test_an_example_needs_an_assistant(words: ChatTokenizer) -> None:
    with pytest.raises(InputError, match="without a message of the assistant"):
        example_ids(words, [Message(role="user", content="x")])


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_messages_from_json(field: str) -> None:
    rows = [
        {"role": "system", "content": "", "name": "x"},
        {"role": "user", "content": [{"type": "text", "text": "2"}, {"type": "text", "text": "+2?"}]},
        {**ANSWER, field: "easy", "tool_calls": None},
        USER,
        {**ANSWER, "content": "<think>\nhm</think>\n4", field: None},
        {**ANSWER, "content": "<think></think>4"},
    ]
    assert messages_of(rows, "x") == [
        Message(role="system", content=""),
        Message(role="user", content="2+2?"),
        Message(role="assistant", content="4", reasoning="easy"),
        Message(role="user", content="2+2?"),
        Message(role="assistant", content="\n4", reasoning="\nhm"),
        Message(role="assistant", content="4"),
    ]
    messages = messages_of(rows, "x")
    assert messages_of([message.as_json() for message in messages], "x") == messages


BAD: list[tuple[Any, str]] = [
    (None, "null"),
    ("hello", '"hello".*a list of one or more'),
    ([], "a list of one or more"),
    ([USER, "hello"], 'message 2: "hello".*an object with role and content'),
    ([{"content": "x"}], "message 1: no role in"),
    ([{"role": "tool", "content": "x"}], 'the role "tool".*system, user, assistant'),
    ([{"role": "asistant", "content": "x"}], "did you mean 'assistant'"),
    ([{"role": ["user"], "content": "x"}], "the role"),
    ([{"role": "user"}], "content null.*text"),
    ([{"role": "user", "content": 7}], "content 7"),
    ([{"role": "user", "content": [{"type": "image_url"}]}], "parts of text"),
    ([{"role": "user", "content": "\ud800"}], "surrogate"),
    ([USER, {"role": "assistant", "content": ""}], "message 2: an empty message of the assistant"),
    ([USER, {"role": "assistant", "content": " \n"}], "an empty message of the assistant"),
    ([USER, {"role": "assistant", "content": None}], "content null"),
    ([USER, {"role": "assistant", "content": "<think>x</think> "}], "reasoning without an answer"),
    ([USER, {**ANSWER, "reasoning": 3}], "reasoning_content 3"),
    ([USER, {**ANSWER, "tool_calls": [{"id": 1}]}], "tool_calls"),
    ([{**USER, "reasoning": "x"}], "reasoning of the user"),
    ([{"role": "user", "content": "a <think> b"}], "<think> in a message of the user"),
    ([USER, {**ANSWER, "content": "4</think>"}], "</think> in a message of the assistant"),
    ([USER, {**ANSWER, "content": "<think>a</think>b<think>c</think>d"}], "<think> in a message"),
    ([USER, {**ANSWER, "content": "<think>a"}], "<think> in a message"),
    ([USER, {**ANSWER, "reasoning": "a</think>b"}], "</think> in a message"),
]


@pytest.mark.parametrize(("rows", "words"), BAD)
def test_bad_messages_are_named_with_their_place(rows: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        messages_of(rows, "file.jsonl line 3")
    assert caught.value.given.startswith("file.jsonl line 3")


@pytest.mark.parametrize("marker", SPECIALS)
@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_nobody_speaks_for_somebody_else(marker: str, role: Any) -> None:
    with pytest.raises(InputError) as caught:
        Message(role=role, content=f"x{marker}y")
    assert marker in caught.value.given


def test_messages_are_checked_however_they_are_made() -> None:
    with pytest.raises(InputError, match="the role 'bot'"):
        Message(role="bot", content="x")  # type: ignore[arg-type]  # that is the point
    with pytest.raises(InputError, match="empty message of the assistant"):
        Message(role="assistant", content="")
