"""What two programs are compared on: strings to cut into tokens, prompts to go on from, and a text to predict."""

from __future__ import annotations

import random
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from thinkling.data.chat_template import Message, example_ids, prompt_ids
from thinkling.data.chat_tokenizer import SHOWN, SPECIALS, ChatTokenizer
from thinkling.data.corpus import documents
from thinkling.data.offline_corpus import documentation_strings
from thinkling.errors import InputError
from thinkling.tasks.problem import Problem, problem_tasks, problems

STRINGS = 10_000
"""How many strings are cut."""
NUMBERS = 100_000
"""Every whole number below this one is in them."""
_IN_A_STRING = 100
_SEPARATORS = (" ", ",", ", ", "\n", "+", ".", " x ", "\t", ";-", "e")
_LETTERS = "aeinrst ETAOé "
_MARKS = " \n\t.,;:!?'\"-+*/=()[]{}<>|_#@$%&\\~^`\r"
_DOCUMENTS = 40
_PROBLEMS = 200


def strings(count: int = STRINGS, seed: int = 0) -> Iterator[str]:
    """Strings that a tokenizer may stumble over: all numbers, words, marks, white space, every script of Unicode.

    Special tokens occur in no string, because as text they are cut differently on purpose.
    """
    rng = random.Random(seed)
    numbers = list(range(NUMBERS))
    rng.shuffle(numbers)
    made = 0
    for start in range(0, NUMBERS, _IN_A_STRING):
        between = _SEPARATORS[made % len(_SEPARATORS)]
        yield between.join(map(str, numbers[start : start + _IN_A_STRING]))
        made += 1
    for text in islice(documentation_strings(), min(count // 5, max(count - made, 0))):
        yield _without_markers(text[:400])
        made += 1
    written = [
        chr(code)
        for code in range(1, sys.maxunicode + 1)
        if unicodedata.category(chr(code)) not in ("Cn", "Cs", "Co")
    ]
    while made < count:
        pools: list[Sequence[str]] = [written, _LETTERS, _MARKS, "0123456789", " \n\t\r\u00a0\u3000"]
        weights = [rng.random() ** 3 for _ in pools]
        length = rng.choice((1, 2, 3, 8, 20, 60))
        drawn = rng.choices(pools, weights, k=length)
        yield _without_markers("".join(rng.choice(pool) for pool in drawn))
        made += 1


def conversations() -> Iterator[str]:
    """Text with special tokens that are what they say, one beside another, in and between words."""
    rng = random.Random(0)
    for marker in SPECIALS:
        for before, after in (("", ""), ("a", "b"), (" ", " "), ("\n", "\n"), ("1", "2"), ("<", ">")):
            yield f"{before}{marker}{after}"
    for _ in range(100):
        yield "".join(rng.choice((*SPECIALS, *SHOWN, "a", " ", "\n", "12", "<|im", "é")) for _ in range(12))


def prompts(tokenizer: ChatTokenizer, *, chat: bool) -> list[list[int]]:
    """Tokens to go on from: questions with the turn of the assistant begun, or beginnings of documents."""
    if chat:
        asked = [Message(role="user", content=problem.text) for problem in _problems(64)]
        return [prompt_ids(tokenizer, [message]) for message in asked]
    beginnings = [" ".join(text.split()[:6]) for text in islice(documentation_strings(), 64)]
    return [[tokenizer.bos_id, *tokenizer.encode(text)] for text in beginnings]


def text_to_predict(tokenizer: ChatTokenizer, *, chat: bool, source: Path | None) -> list[list[int]]:
    """The tokens of documents whose perplexity is measured, each from its first token on.

    Args:
        tokenizer: the model's.
        chat: whether the model has learned conversations.
        source: the user's text; where not given, problems held out from training for a model of conversations, and
            the documentation strings of Python's library for another.

    Raises:
        InputError: the source cannot be read, or is empty.
    """
    if source is not None:
        texts = list(islice(documents(source), _DOCUMENTS))
    elif chat:
        return [
            example_ids(
                tokenizer,
                [
                    Message(role="user", content=problem.text),
                    Message(role="assistant", content=problem.answer, reasoning=problem.reasoning),
                ],
            )[0]
            for problem in _problems(_PROBLEMS)
        ]
    else:
        texts = list(islice(documentation_strings(), _DOCUMENTS))
    if not texts:
        raise InputError(f"{source}: no text", "one document or more", "give another --text")
    return [[tokenizer.bos_id, *ids, tokenizer.eos_id] for ids in tokenizer.encode_batch(texts)]


def _problems(count: int) -> Iterator[Problem]:
    return problems(list(problem_tasks()), 0, 0, count, "validation")


def _without_markers(text: str) -> str:
    for marker in SPECIALS:
        text = text.replace(marker, "")
    return text
