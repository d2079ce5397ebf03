"""A trained language model as a user holds it: answers prompts, one or many at once, with its reasoning apart."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from thinkling.artifacts.weights import load_into, read_model_weights, write_model_folder
from thinkling.data.chat_template import Message, prompt_ids
from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.errors import InputError
from thinkling.lm.answer_text import TextKind
from thinkling.lm.config import DecoderConfig
from thinkling.lm.engine import DEFAULT_SLOTS, GenerationEngine
from thinkling.lm.hf_files import write_hf_files
from thinkling.lm.model import Decoder
from thinkling.lm.request import Completion, Finish, Request
from thinkling.lm.run_files import CHAT, read_run
from thinkling.lm.sampling import SamplingConfig
from thinkling.nn.cpu_kernels import cpu_kernels
from thinkling.nn.precision import ComputeDtype, pick_device, resolve_dtype

Prompt: TypeAlias = str | Sequence[Message]
"""A conversation that ends with a user's message; a string is a single such message, or, for a model of the stage
"pretraining", a text to go on with."""


@dataclass(frozen=True, kw_only=True)
class AnswerSettings:
    """How a prompt is answered."""

    max_tokens: int = 256
    """Tokens of reasoning and answer together at most."""
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    """How tokens are chosen."""
    thinking: bool = True
    """Whether the model may think before it answers."""
    think_budget: int | None = None
    """Tokens of thinking at most; None: as many as fit."""
    stop: tuple[str, ...] = ()
    """Strings that end the answer and are cut off."""


@dataclass(frozen=True, kw_only=True)
class Generated:
    """An answer."""

    text: str
    """The answer itself."""
    reasoning: str
    """What was thought before it; empty where nothing was."""
    tokens: int
    """Tokens of reasoning and answer, with the markers."""
    thinking_tokens: int
    """Tokens of reasoning."""
    prompt_tokens: int
    """Tokens of the prompt."""
    tokens_per_second: float
    """New tokens a second, of all prompts that were answered together."""
    finish: Finish
    """Why it ended."""
    well_formed: bool
    """Whether there is an answer, and any reasoning was opened and closed once, before it."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Some text of an answer that is being written."""

    kind: TextKind
    """Whether it belongs to the reasoning or to the answer."""
    text: str
    """The text; empty in the last piece where nothing was left."""
    generated: Generated | None = None
    """The whole answer, in the last piece."""


@dataclass(frozen=True, kw_only=True)
class Vote:
    """The answer that most of several samples give."""

    text: str
    """The answer, as the first sample with it wrote it; empty where no sample gave one."""
    share: float
    """Which part of all samples gave it."""
    shares: Mapping[str, float]
    """The same for every answer, the most frequent first; samples without an answer are left out."""
    samples: tuple[Generated, ...]
    """All samples."""


class LanguageModel:
    """A decoder ready to use. Made by `thinkling.load`."""

    def __init__(
        self, network: Decoder, tokenizer: ChatTokenizer, config: Mapping[str, Any], stage: str = CHAT
    ) -> None:
        """Around a network.

        Args:
            network: the network.
            tokenizer: how it cuts text.
            config: all of config.json.
            stage: how far it has been trained.
        """
        network.eval()
        self.network, self.tokenizer, self.stage = network, tokenizer, stage
        self.config = dict(config)
        self._engine: GenerationEngine | None = None
        self._compiled = False

    @classmethod
    def from_folder(
        cls,
        run: Path | str,
        *,
        device: str = "auto",
        compute_dtype: ComputeDtype = "auto",
        averaged: bool = True,
    ) -> LanguageModel:
        """The model of a run folder, of a checkpoint inside one, or of a folder written by `save_pretrained`.

        Args:
            run: the folder, or an `hf://` address.
            device: auto, cpu, cuda or mps.
            compute_dtype: dtype of matrix products.
            averaged: take the averaged weights where there are any.

        Raises:
            InputError: a file is missing, damaged, or does not fit the others.
        """
        files = read_run(run)
        network = Decoder(files.model)
        load_into(network, read_model_weights(files.folder, averaged=averaged))
        place = pick_device(device)
        network.to(place)
        network.compute_dtype = resolve_dtype(compute_dtype, place)
        return cls(network, files.tokenizer, files.config, files.stage)

    @property
    def params(self) -> int:
        """Trained values, the embedding table counted once."""
        return self.network.params

    @property
    def architecture(self) -> DecoderConfig:
        """Its sizes."""
        return self.network.config

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a folder that `thinkling.load` and Transformers open.

        Raises:
            ThinklingError: the disk refuses.
        """
        write_model_folder(Path(folder), self.config, self.network.state_dict())
        write_hf_files(Path(folder), self.tokenizer, self.network.config)

    def engine(self, *, slots: int = DEFAULT_SLOTS, capacity: int | None = None) -> GenerationEngine:
        """A generation engine of its own, for those who take tokens as they come; see `GenerationEngine`."""
        return GenerationEngine(
            self.network, self.tokenizer, slots=slots, capacity=capacity, compile=self._compiled
        )

    def compile(self) -> None:
        """From now on generate with kernels compiled on this machine: on a CPU faster, and alike up to rounding.

        Raises:
            InputError: not on a CPU, or without a C++ compiler.
        """
        cpu_kernels(self.network.device, self.network.compute_dtype)
        self._compiled, self._engine = True, None

    def request(self, prompt: Prompt, settings: AnswerSettings | None = None, *, sample: int = 0) -> Request:
        """What a prompt is for the engine.

        Args:
            prompt: text or conversation.
            settings: how to answer it.
            sample: number of the answer, where several are wanted.

        Raises:
            InputError: an empty prompt or conversation, a conversation for a model that has not been trained on any,
                or a special token in a text.
        """
        settings = settings or AnswerSettings()
        return Request(
            prompt=self._prompt_ids(prompt, thinking=settings.thinking),
            max_tokens=settings.max_tokens,
            sampling=settings.sampling,
            sample=sample,
            think_budget=settings.think_budget,
            stop=settings.stop,
        )

    def generate(self, prompt: Prompt, settings: AnswerSettings | None = None, **changes: Any) -> Generated:
        """Answer a prompt.

        Args:
            prompt: text or conversation.
            settings: how to answer it.
            changes: settings by their names, such as max_tokens=64.

        Raises:
            InputError: as for `request`, or the prompt fills the context.
        """
        return self.answer([self.request(prompt, replace(settings or AnswerSettings(), **changes))])[0]

    def generate_many(
        self,
        prompts: Sequence[Prompt],
        settings: AnswerSettings | None = None,
        *,
        place: str = "prompt",
        first_number: int = 1,
        **changes: Any,
    ) -> list[Generated]:
        """Answer many prompts at once, in their order.

        Args:
            prompts: texts or conversations.
            settings: how to answer them.
            place: what errors call a prompt, before its number.
            first_number: the first prompt's number.
            changes: settings by their names.

        Raises:
            InputError: as for `generate`, naming the prompt; nothing has been answered then.
        """
        settings = replace(settings or AnswerSettings(), **changes)
        requests = []
        for number, prompt in enumerate(prompts, first_number):
            try:
                requests.append(self.request(prompt, settings))
                self._own_engine.check(requests[-1])
            except InputError as error:
                raise error.at(f"{place} {number}") from None
        return self.answer(requests)

    def stream(
        self, prompt: Prompt, settings: AnswerSettings | None = None, **changes: Any
    ) -> Iterator[Piece]:
        """Answer a prompt piece by piece; the last piece carries the whole answer.

        A caller that stops listening ends the generation.

        Raises:
            InputError: as for `generate`, when the first piece is asked for.
        """
        # An engine of its own: whoever reads the pieces may ask for other answers in between.
        engine = GenerationEngine(self.network, self.tokenizer, slots=1, reader=self._own_engine.reader)
        start = time.perf_counter()
        number = engine.add(self.request(prompt, replace(settings or AnswerSettings(), **changes)))
        try:
            while engine.busy:
                for event in engine.step():
                    whole = None
                    if (done := event.completion) is not None:
                        whole = self._generated(done, len(done.tokens), time.perf_counter() - start)
                    if whole is not None or event.text_piece:
                        yield Piece(kind=event.kind, text=event.text_piece, generated=whole)
        finally:
            engine.cancel(number)

    def vote(self, prompt: Prompt, n: int, settings: AnswerSettings | None = None, **changes: Any) -> Vote:
        """Sample n answers and take the most frequent one (self-consistency, Wang et al. 2022, arXiv 2203.11171).

        Answers are compared up to case and white space; of equally frequent ones the first to appear wins.

        Args:
            prompt: text or conversation.
            n: how many.
            settings: how to answer; a temperature of 0 is taken as 1, because all samples would be the same.
            changes: settings by their names.

        Raises:
            InputError: as for `generate`, or fewer than one answer.
        """
        if n < 1:
            raise InputError(f"{n} samples", "1 or more", "ask for another number")
        settings = replace(settings or AnswerSettings(), **changes)
        if settings.sampling.temperature == 0:
            settings = replace(settings, sampling=replace(settings.sampling, temperature=1.0))
        samples = self.answer([self.request(prompt, settings, sample=number) for number in range(n)])
        first: dict[str, str] = {}
        counts: Counter[str] = Counter()
        for generated in samples:
            if text := generated.text.strip():
                key = " ".join(text.split()).casefold()
                counts[first.setdefault(key, text)] += 1
        ranked = counts.most_common()
        return Vote(
            text=ranked[0][0] if ranked else "",
            share=ranked[0][1] / n if ranked else 0.0,
            shares={text: count / n for text, count in ranked},
            samples=tuple(samples),
        )

    def answer(self, requests: Sequence[Request]) -> list[Generated]:
        """Answer requests at once, in their order.

        Raises:
            InputError: a prompt that fills the context; nothing has been answered then.
        """
        start = time.perf_counter()
        done = self._own_engine.run(requests)
        seconds = time.perf_counter() - start
        tokens = sum(len(completion.tokens) for completion in done)
        return [self._generated(completion, tokens, seconds) for completion in done]

    @property
    def _own_engine(self) -> GenerationEngine:
        if self._engine is None:
            self._engine = self.engine()
        return self._engine

    def _prompt_ids(self, prompt: Prompt, *, thinking: bool) -> list[int]:
        if not prompt or (isinstance(prompt, str) and not prompt.strip()):
            raise InputError("an empty prompt", "a text, or a conversation", "give a text")
        if self.stage == CHAT:
            messages = [Message(role="user", content=prompt)] if isinstance(prompt, str) else prompt
            return prompt_ids(self.tokenizer, messages, enable_thinking=thinking)
        if not isinstance(prompt, str):
            raise InputError(
                f"a conversation for a model of the stage {self.stage!r}",
                "a text to go on with",
                "train it on conversations first: thinkling train lm-sft",
            )
        return [self.tokenizer.bos_id, *self.tokenizer.encode(prompt)]

    def _generated(self, completion: Completion, tokens: int, seconds: float) -> Generated:
        return Generated(
            text=completion.text,
            reasoning=completion.reasoning,
            tokens=len(completion.tokens),
            thinking_tokens=completion.thinking_tokens,
            prompt_tokens=completion.prompt_tokens,
            tokens_per_second=round(tokens / max(seconds, 1e-9), 1),
            finish=completion.finish,
            well_formed=self._well_formed(completion),
        )

    def _well_formed(self, completion: Completion) -> bool:
        """An answer, with at most one pair of markers around the reasoning before it."""
        tokens, opening, closing = completion.tokens, self.tokenizer.think_id, self.tokenizer.end_think_id
        markers = [token for token in tokens if token in (opening, closing)]
        before = tokens[: tokens.index(opening)] if opening in tokens else []
        return (
            bool(completion.text.strip())
            and markers in ([], [opening, closing])
            and not self.tokenizer.decode(before).strip()
        )
