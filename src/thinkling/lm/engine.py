"""Generation for many sequences at once: slots that are refilled as sequences end, over one cache of keys and values.

Shapes: R sequences in work, S positions of a prompt, V vocabulary.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.errors import InputError
from thinkling.lm.model import Decoder
from thinkling.lm.reader import DecoderReader
from thinkling.lm.request import Completion, Event, Request, RunningSequence
from thinkling.lm.sampling import Sampler

DEFAULT_SLOTS = 64
"""Sequences in work at once."""

_PROMPT_TOKENS_AT_ONCE = 4096
_PROMPT_PART = 512
"""A longer prompt is read alone and in parts of so many tokens, so that attention needs little memory."""
_FIRST_CAPACITY = 128


class GenerationEngine:
    """Answers requests with one model; used by one thread at a time.

    The sequences in work are the first rows of the cache: a row that ends is filled with the last one, so that no step
    copies or computes for a row that is not used.
    """

    def __init__(
        self,
        model: Decoder,
        tokenizer: ChatTokenizer,
        *,
        slots: int = DEFAULT_SLOTS,
        capacity: int | None = None,
        reader: DecoderReader | None = None,
        compile: bool = False,
    ) -> None:
        """Around a model; memory is taken as sequences need it.

        Args:
            model: the network; its weights may change between steps, followed by `refresh`.
            tokenizer: its tokenizer.
            slots: sequences in work at once.
            capacity: longest sequence in tokens, prompt included; None: the model's context.
            reader: that of another engine of the same model, so that its weights are not laid out twice.
            compile: use kernels compiled on this machine; where a reader is given, that one decides.

        Raises:
            InputError: no slot, a capacity beyond the model's context, or kernels that cannot be compiled.
        """
        context = model.config.max_length
        if slots < 1:
            raise InputError(f"slots {slots}", "1 or more", "give another number of slots")
        if capacity is not None and not 2 <= capacity <= context:
            raise InputError(f"capacity {capacity}", f"2 to {context}, the model's context", "give another")
        self.model, self.tokenizer = model, tokenizer
        self.slots, self.capacity = slots, capacity or context
        self._numbers = itertools.count()
        self._waiting: deque[RunningSequence] = deque()
        self._working: list[RunningSequence] = []
        self.reader = reader or DecoderReader(model, compile=compile)
        self._cache = self.reader.cache(1, min(_FIRST_CAPACITY, self.capacity))
        self._sampler: Sampler | None = None

    @property
    def busy(self) -> bool:
        """Whether any request is waiting or in work."""
        return bool(self._waiting or self._working)

    def refresh(self) -> None:
        """Use the model's weights as they are now. To be called after they changed, when nothing is in work."""
        assert not self._working, "keys and values in the cache come from the former weights"
        self.reader = DecoderReader(self.model, compile=self.reader.compiled)

    def check(self, request: Request) -> None:
        """Whether a request can be answered at all.

        Raises:
            InputError: an empty prompt, one that fills the context, or ids that are no tokens.
        """
        if not request.prompt:
            raise InputError("an empty prompt", "at least one token", "give a text")
        if len(request.prompt) >= self.capacity:
            raise InputError(
                f"a prompt of {len(request.prompt)} tokens",
                f"at most {self.capacity - 1}, so that an answer fits into the context of {self.capacity}",
                "shorten it",
            )
        vocabulary = self.model.config.vocab_size
        if min(request.prompt) < 0 or max(request.prompt) >= vocabulary:
            raise InputError(
                f"token ids from {min(request.prompt)} to {max(request.prompt)}",
                f"0 to {vocabulary - 1}",
                "use the tokenizer of the run",
            )

    def add(self, request: Request) -> int:
        """Let a request wait for a slot; the number that its events carry.

        Raises:
            InputError: as for `check`.
        """
        self.check(request)
        number = next(self._numbers)
        self._waiting.append(RunningSequence(number, request, self.tokenizer, self.capacity))
        return number

    def cancel(self, number: int) -> None:
        """Forget a request, so that its slot is free; nothing happens where it has ended."""
        self._waiting = deque(sequence for sequence in self._waiting if sequence.number != number)
        self._leave([row for row, sequence in enumerate(self._working) if sequence.number == number])

    def step(self) -> list[Event]:
        """One more token for each sequence in work; sequences that wait take the free slots first."""
        if not self.busy:
            return []
        with torch.inference_mode():
            tokens, logprobs = self._chosen()
        events = [
            sequence.take(token, logprob)
            for sequence, token, logprob in zip(
                self._working, tokens.tolist(), logprobs.tolist(), strict=True
            )
        ]
        self._leave([row for row, event in enumerate(events) if event.completion is not None])
        return events

    def run(self, requests: Iterable[Request]) -> list[Completion]:
        """Answer all requests, in their order.

        Raises:
            InputError: as for `check`; nothing has been started then.
        """
        assert not self.busy, "the events of other requests would be lost"
        wanted = list(requests)
        for request in wanted:
            self.check(request)
        numbers = [self.add(request) for request in wanted]
        done: dict[int, Completion] = {}
        try:
            while len(done) < len(wanted):
                done |= {
                    event.number: event.completion for event in self.step() if event.completion is not None
                }
        finally:  # whoever interrupts a run finds the engine empty
            self._waiting.clear()
            self._leave(range(len(self._working)))
        return [done[number] for number in numbers]

    def _chosen(self) -> tuple[Tensor, Tensor]:
        """The next token of each sequence in work, newcomers included, and its log-probability. [R] each."""
        continuing = len(self._working)
        newcomers = [self._waiting.popleft() for _ in range(min(len(self._waiting), self.slots - continuing))]
        # Alike prompts are read once; those of about the same length together.
        newcomers.sort(key=lambda sequence: (len(sequence.request.prompt), sequence.request.prompt))
        same = [list(group) for _, group in itertools.groupby(newcomers, key=lambda s: s.request.prompt)]
        readers, copies = [group[0] for group in same], [group[1:] for group in same]
        in_work = [*self._working, *readers, *itertools.chain.from_iterable(copies)]
        self._make_room(in_work)
        logits = [self._continue()] if continuing else []
        if readers:
            read = self._read(continuing, readers)
            source = [place for place, group in enumerate(copies) for _ in group]
            for row, place in enumerate(source, continuing + len(readers)):
                self._cache.copy(continuing + place, row)
            logits += [read, read[source]]
            self._sampler = None
        self._working = in_work
        if self._sampler is None:
            requests = [sequence.request for sequence in in_work]
            self._sampler = Sampler(
                [request.sampling for request in requests],
                [request.sample for request in requests],
                self.reader.device,
            )
        return self._sampler.choose(
            logits[0] if len(logits) == 1 else torch.cat(logits),
            [len(sequence.tokens) for sequence in in_work],
            [sequence.seen(self.reader.device) for sequence in in_work],
            {row: token for row, s in enumerate(in_work) if (token := s.forced_token) is not None},
        )

    def _make_room(self, in_work: Sequence[RunningSequence]) -> None:
        cache = self._cache
        longest = max(sequence.length for sequence in in_work)
        rows, capacity = cache.rows, cache.capacity
        if longest > capacity:
            capacity = min(max(longest, 2 * capacity), self.capacity)
        if len(in_work) > rows:
            rows = min(max(len(in_work), 2 * rows), self.slots)
        if (rows, capacity) != (cache.rows, cache.capacity):
            cache.grow(rows, capacity)

    def _continue(self) -> Tensor:
        """Scores after the last token of each sequence in work. [R, V]."""
        last = torch.tensor([sequence.tokens[-1] for sequence in self._working], device=self.reader.device)
        return self.reader.read(last[:, None], self._cache, slice(0, len(last)))

    def _read(self, first_row: int, sequences: Sequence[RunningSequence]) -> Tensor:
        """Scores after the prompts of sequences, the shortest first, which take the rows from `first_row` on."""
        logits = []
        self._cache.lengths[first_row : first_row + len(sequences)] = 0
        for group in _groups([len(sequence.request.prompt) for sequence in sequences]):
            prompts = [sequences[place].request.prompt for place in group]
            rows = slice(first_row + group[0], first_row + group[-1] + 1)
            counts = torch.tensor([len(prompt) for prompt in prompts])
            padded = torch.zeros(len(prompts), int(counts.max()), dtype=torch.int64)
            for line, prompt in zip(padded, prompts, strict=True):
                line[: len(prompt)] = torch.tensor(prompt)
            padded, counts = padded.to(self.reader.device), counts.to(self.reader.device)
            if len(prompts) > 1:
                logits.append(self.reader.read(padded, self._cache, rows, counts))
            else:
                parts = [
                    self.reader.read(padded[:, begin : begin + _PROMPT_PART], self._cache, rows)
                    for begin in range(0, padded.shape[1], _PROMPT_PART)
                ]
                logits.append(parts[-1])
        return torch.cat(logits)

    def _leave(self, rows: Iterable[int]) -> None:
        """Free the rows of sequences that have ended, those behind them moving up."""
        with torch.inference_mode():
            for row in sorted(rows, reverse=True):
                last = self._working.pop()
                if row < len(self._working):
                    self._cache.copy(len(self._working), row)
                    self._working[row] = last
                self._sampler = None


def _groups(lengths: Sequence[int]) -> list[list[int]]:
    """Places of prompts that are read together, from their lengths in ascending order."""
    groups: list[list[int]] = []
    for place, length in enumerate(lengths):
        together = (
            length <= _PROMPT_PART and groups and length * (len(groups[-1]) + 1) <= _PROMPT_TOKENS_AT_ONCE
        )
        if together:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups
