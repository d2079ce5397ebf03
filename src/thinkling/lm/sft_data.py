"""Conversations as rows to train on: whole examples packed together, with a loss on what assistants say.

Shapes: N examples, T their tokens in all, R rows, K rows asked for, L positions of a row.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thinkling.data.chat_template import example_ids
from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.data.conversations import Conversation, conversations, part_of
from thinkling.data.packing import best_fit, counting
from thinkling.data.sampling import example_of_item
from thinkling.data.token_rows import IGNORED, TokenRows
from thinkling.data.whole_folder import file_sha256
from thinkling.errors import InputError
from thinkling.tasks.problem_check import check_answer


@dataclass(frozen=True, kw_only=True)
class SftExamples:
    """Conversations as tokens, each without what follows the last learned token."""

    tokens: NDArray[np.int32]
    """[T] example after example."""
    learned: NDArray[np.bool_]
    """[T] whether a token is an assistant's."""
    starts: NDArray[np.int64]
    """[N + 1] where each example begins, and the end of the last."""
    prompts: tuple[bytes, ...]
    """N hashes of what stands before the first learned token: equal ones are the same question."""
    too_long: int = 0
    """Examples that were left out since they do not fit into the context."""
    first_too_long: str = ""
    """The first of them: file, line, and number of tokens."""

    def __len__(self) -> int:
        return len(self.prompts)

    def select(self, which: NDArray[np.int64]) -> SftExamples:
        """The examples with these numbers, in this order; what was left out is not counted again."""
        sizes = np.diff(self.starts)[which]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        places = np.repeat(self.starts[which] - starts[:-1], sizes) + np.arange(starts[-1])
        return SftExamples(
            tokens=self.tokens[places],
            learned=self.learned[places],
            starts=starts,
            prompts=tuple(self.prompts[number] for number in which),
        )


@dataclass(frozen=True, kw_only=True)
class SftData:
    """What a model is fine-tuned and chosen on; no question is in both parts."""

    train: SftExamples
    """Examples to learn from."""
    validation: SftExamples
    """Examples to choose the best weights by."""
    too_long: int
    """Examples that were left out since they do not fit into the context."""
    first_too_long: str
    """The first of them: file, line, and number of tokens."""
    overlap: int
    """Examples that were left out of training since their questions are among those of validation."""
    sha256: str
    """Of the files."""


def read_sft_data(
    data: Path, tokenizer: ChatTokenizer, *, length: int, validation_share: float, seed: int
) -> SftData:
    """Conversations for training and validation.

    Args:
        data: a file of conversations; or a folder with `train.jsonl` and perhaps `validation.jsonl`, which is then
            what models are chosen by (a `test.jsonl` is not read); or a folder of other such files.
        tokenizer: of the model.
        length: longest example, in tokens; longer ones are left out and counted.
        validation_share: share of the questions that is cut off for validation where there is no file of its own.
        seed: which ones are cut off depends on it and on the questions.

    Raises:
        InputError: a file is missing, damaged or malformed (naming the line), the answer to a generated problem is
            wrong, or too few examples are left to train and to validate with.
    """
    train_file, validation_file = _files(Path(data))
    train = tokenised(conversations(train_file), tokenizer, length)
    validation = (
        None if validation_file is None else tokenised(conversations(validation_file), tokenizer, length)
    )
    read = [train] if validation is None else [train, validation]
    if not len(train):
        raise InputError(
            f"{data}: none of {train.too_long} examples fits into {length} tokens"
            if train.too_long
            else f"{data}: no conversation",
            f"examples of at most {length} tokens",
            "use a model with a longer context, or shorter examples",
        )
    if validation is None:
        held = _cut_off(train.prompts, validation_share, seed)
        validation = train.select(np.flatnonzero(held))
    else:
        known = set(validation.prompts)
        held = np.array([prompt in known for prompt in train.prompts], dtype=np.bool_)
    overlap = int(held.sum()) if validation_file else 0
    train = train.select(np.flatnonzero(~held))
    if not (len(train) and len(validation)):
        raise InputError(
            f"{data}: {len(train)} examples for training and {len(validation)} for validation",
            "at least one different question for each",
            "use more examples, or another validation_share",
        )
    return SftData(
        train=train,
        validation=validation,
        too_long=sum(part.too_long for part in read),
        first_too_long=next((part.first_too_long for part in read if part.too_long), ""),
        overlap=overlap,
        sha256=_sha256([file for file in (train_file, validation_file) if file is not None]),
    )


def tokenised(rows: Iterable[Conversation], tokenizer: ChatTokenizer, length: int) -> SftExamples:
    """Conversations as tokens; those that a row of `length` positions cannot hold are left out whole and counted.

    Raises:
        InputError: the answer to a generated problem is wrong; names file and line.
    """
    # Arrays of numbers, since lists of Python's own would take eight times the memory.
    tokens, learned, starts = array("i"), bytearray(), array("q", [0])
    prompts: list[bytes] = []
    too_long, first_too_long = 0, ""
    for row in rows:
        _verify(row)
        ids, asked = example_ids(tokenizer, row.messages)
        # What follows the last learned token (a line end, or a user's last word) teaches nothing.
        end = len(asked) - asked[::-1].index(True)
        # The last one is a label only: a row need not hold it.
        if end - 1 > length:
            too_long += 1
            first_too_long = first_too_long or f"{row.place}: {end - 1} tokens"
            continue
        tokens.extend(ids[:end])
        learned.extend(asked[:end])
        starts.append(len(tokens))
        question = np.array(ids[: asked.index(True)], dtype=np.int32).tobytes()
        prompts.append(hashlib.blake2b(question, digest_size=16).digest())
    return SftExamples(
        tokens=np.array(tokens, dtype=np.int32),
        learned=np.array(learned, dtype=np.bool_),
        starts=np.array(starts, dtype=np.int64),
        prompts=tuple(prompts),
        too_long=too_long,
        first_too_long=first_too_long,
    )


class SftRows:
    """Rows of `length` positions, each with whole examples: the longest first, each into the row with the least room.

    Row k of the training run is a function of (seed, k): every epoch has the same rows in an order of its own.
    """

    def __init__(self, examples: SftExamples, length: int, *, pad_id: int, seed: int = 0) -> None:
        """Decides which row every example lies in.

        Args:
            examples: none longer than a row.
            length: positions of a row.
            pad_id: fills what is left of a row.
            seed: of the order of rows.
        """
        self.length, self.pad_id, self.seed = length, pad_id, seed
        self.examples = examples
        self._sizes = np.diff(examples.starts) - 1  # the last token of an example is a label only
        rows = best_fit(self._sizes, length)
        self._order = np.argsort(rows, kind="stable")
        """[N] the examples, row by row."""
        count = int(rows.max()) + 1 if len(rows) else 0
        self._first = np.searchsorted(rows[self._order], np.arange(count + 1))
        """[R + 1] the first of each row among them."""

    def __len__(self) -> int:
        """How many rows an epoch has: R."""
        return len(self._first) - 1

    @property
    def fill(self) -> float:
        """The share of positions that hold a token."""
        return float(self._sizes.sum() / max(1, len(self) * self.length))

    def rows(self, step: int, part: slice, of: int) -> TokenRows:
        """Rows `part` of the `of` rows of a step.

        Args:
            step: number of the step, from 1.
            part: which of its rows.
            of: rows of a step.
        """
        items = (step - 1) * of + np.arange(of, dtype=np.int64)[part]
        return self.numbered(example_of_item(self.seed, items, len(self)))

    def numbered(self, which: NDArray[np.int64]) -> TokenRows:
        """The rows with these numbers. [K] -> [K, L] each."""
        which = np.asarray(which, dtype=np.int64)
        first, count = self._first[which], self._first[which + 1] - self._first[which]
        number = counting(count)
        row = np.repeat(np.arange(len(which)), count)
        example = self._order[np.repeat(first, count) + number]
        sizes = self._sizes[example]
        # Where in its row an example begins: what lies before it in the batch, less what lies before its row.
        before = np.cumsum(sizes) - sizes
        column = before - before[np.searchsorted(row, row)]
        inside = counting(sizes)
        target = np.repeat(row * self.length + column, sizes) + inside
        source = np.repeat(self.examples.starts[example], sizes) + inside
        following = self.examples.tokens[source + 1]
        shape = (len(which), self.length)
        inputs = np.full(shape, self.pad_id, dtype=np.int64)
        labels = np.full(shape, IGNORED, dtype=np.int64)
        documents = np.zeros(shape, dtype=np.int64)
        inputs.reshape(-1)[target] = self.examples.tokens[source]
        labels.reshape(-1)[target] = np.where(self.examples.learned[source + 1], following, IGNORED)
        documents.reshape(-1)[target] = np.repeat(number + 1, sizes)
        return TokenRows(inputs=inputs, labels=labels, documents=documents)


def _verify(row: Conversation) -> None:
    """Refuses a wrong answer to a generated problem: it would be learned."""
    if not row.task:
        return
    question, answer = row.messages[-2].content, row.messages[-1].content
    try:
        check_answer(row.task, question, answer)
    except InputError as error:
        raise error.at(row.place) from None


def _files(data: Path) -> tuple[Path, Path | None]:
    """The training and the validation file; None where the latter is to be cut off."""
    if not data.is_dir():
        return data, None
    train = part_of(data, "train")
    return (data, None) if train is None else (train, part_of(data, "validation"))


def _cut_off(prompts: tuple[bytes, ...], share: float, seed: int) -> NDArray[np.bool_]:
    """Which examples are for validation: a share of the different questions, copies of a question together. [N]."""
    different = [*dict.fromkeys(prompts)]
    generator = np.random.Generator(np.random.Philox(key=[seed, len(different)]))
    count = min(len(different) - 1, max(1, round(share * len(different))))
    chosen: Set[bytes] = {different[place] for place in generator.permutation(len(different))[:count]}
    return np.array([prompt in chosen for prompt in prompts], dtype=np.bool_)


def _sha256(files: list[Path]) -> str:
    """Of the contents of files and folders."""
    digest = hashlib.sha256()
    for file in files:
        parts = sorted(path for path in file.rglob("*") if path.is_file()) if file.is_dir() else [file]
        for path in parts:
            digest.update(bytes.fromhex(file_sha256(path)))
    return digest.hexdigest()
