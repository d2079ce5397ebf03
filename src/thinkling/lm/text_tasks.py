"""Small tasks that show, while a language model is trained on text, what else it has learned.

Shapes: K rows, L positions of a row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.data.text_store import TokenDocuments
from thinkling.data.token_rows import IGNORED, TokenRows
from thinkling.lm.engine import GenerationEngine
from thinkling.lm.model import Decoder
from thinkling.lm.request import Request
from thinkling.lm.sampling import SamplingConfig
from thinkling.lm.text_evaluate import token_losses
from thinkling.tasks.problem import judged, problems

CHOICES = 4
"""Continuations to choose from; one in four is right by chance."""

_CONTEXT, _CONTINUATION = 32, 16
_QUESTIONS = 64
_EXAMPLES = 2
_ANSWER_TOKENS = 24


def continuation_accuracy(
    network: Decoder, documents: TokenDocuments, tokenizer: ChatTokenizer, *, seed: int = 0
) -> float | None:
    """How often the true next 16 tokens of a text are likelier than those of three other texts.

    Args:
        network: the network.
        documents: held-out documents; of at most 64 of them one place each is asked about.
        tokenizer: whose tokens they are.
        seed: chooses documents and places.

    Returns:
        A share, about 0.25 by chance; None where fewer than four documents are long enough.
    """
    generator = np.random.default_rng(seed)
    needed = _CONTEXT + _CONTINUATION
    sizes = np.diff(documents.starts)
    long_enough = np.flatnonzero(sizes >= needed)
    if len(long_enough) < CHOICES or network.config.max_length < needed:
        return None
    chosen = generator.permutation(long_enough)[:_QUESTIONS]
    place = [int(generator.integers(0, sizes[number] - needed + 1)) for number in chosen]
    pieces = np.stack(
        [
            np.asarray(documents[number][at : at + needed], dtype=np.int64)
            for number, at in zip(chosen.tolist(), place, strict=True)
        ]
    )
    count = len(pieces)
    # The true continuation first, then those of the next questions' texts.
    order = (np.arange(count)[:, None] + np.arange(CHOICES)) % count
    begin = np.concatenate([np.full((count, 1), tokenizer.bos_id), pieces[:, :_CONTEXT]], axis=1)
    whole = np.concatenate([np.repeat(begin, CHOICES, axis=0), pieces[order.ravel(), _CONTEXT:]], axis=1)
    labels = whole[:, 1:].copy()
    labels[:, :_CONTEXT] = IGNORED
    inputs = whole[:, :-1]
    rows = TokenRows(inputs=inputs, labels=labels, documents=np.ones_like(inputs))
    losses, _ = token_losses(network, rows)
    return float((losses.sum(1).reshape(count, CHOICES).argmin(1) == 0).mean())


def problem_accuracy(
    network: Decoder, tokenizer: ChatTokenizer, tasks: Sequence[str], *, seed: int = 0
) -> float:
    """The share of generated problems that are answered rightly after two solved ones.

    Args:
        network: the network.
        tokenizer: its tokenizer.
        tasks: names of generated tasks, see `tasks.problem`.
        seed: of the problems; they are those of the validation part, which no training data has.

    Raises:
        InputError: an unknown task.
    """
    asked = []
    for name in tasks:
        made = list(problems([name], seed, 0, _QUESTIONS // len(tasks) + _EXAMPLES, split="validation"))
        shown = "".join(_solved(one.text, one.answer) for one in made[:_EXAMPLES])
        asked += [(one, shown + _solved(one.text, "").rstrip()) for one in made[_EXAMPLES:]]
    room = network.config.max_length - _ANSWER_TOKENS
    requests = [
        Request(
            prompt=[tokenizer.bos_id, *tokenizer.encode(prompt)][-room:],
            max_tokens=_ANSWER_TOKENS,
            stop=("\n",),
        )
        for _, prompt in asked
    ]
    answers = GenerationEngine(network, tokenizer).run(requests)
    right = [
        judged(one.task, one.text, one.answer, answer.text.strip())
        for (one, _), answer in zip(asked, answers, strict=True)
    ]
    return sum(right) / max(1, len(right))


def _solved(question: str, answer: str) -> str:
    return f"Question: {question}\nAnswer: {answer}\n\n"


def samples(
    network: Decoder, tokenizer: ChatTokenizer, prompts: Sequence[str], *, tokens: int, temperature: float
) -> list[str]:
    """How a network goes on after each prompt: the prompt with what follows.

    Args:
        network: the network.
        tokenizer: its tokenizer.
        prompts: beginnings of texts; an empty one is the beginning of any text.
        tokens: how many to add at most.
        temperature: of the draws; 0: always the likeliest token.
    """
    requests = [
        Request(
            prompt=[tokenizer.bos_id, *tokenizer.encode(prompt)],
            max_tokens=tokens,
            sampling=SamplingConfig(temperature=temperature),
            sample=number,
        )
        for number, prompt in enumerate(prompts)
    ]
    answers = GenerationEngine(network, tokenizer).run(requests)
    return [prompt + answer.text for prompt, answer in zip(prompts, answers, strict=True)]
