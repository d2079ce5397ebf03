"""The model as it is now writes completions, group by group, and each is judged.

Shapes: G completions of a prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.lm.engine import GenerationEngine
from thinkling.lm.model import Decoder
from thinkling.lm.request import Completion, Request
from thinkling.lm.rl.config import GrpoConfig
from thinkling.lm.rl.prompts import Prompt
from thinkling.lm.sampling import SamplingConfig


class PolicyEngine:
    """A generation engine whose requests are groups, and whose weights are those of a model in training."""

    def __init__(
        self,
        model: Decoder,
        tokenizer: ChatTokenizer,
        *,
        slots: int,
        compile: bool = False,
        ignore_eos: bool = False,
    ) -> None:
        """Around a model.

        Args:
            model: whose weights are taken over by `refresh`.
            tokenizer: its tokenizer.
            slots: completions in work at once.
            compile: use kernels compiled on this machine.
            ignore_eos: whether completions never end by themselves, so that all are equally long.

        Raises:
            InputError: kernels that cannot be compiled.
        """
        self.model, self.tokenizer, self._ignore_eos = model, tokenizer, ignore_eos
        self._made = partial(GenerationEngine, model, tokenizer, slots=slots, compile=compile)
        self._engine = self._made()
        self._asked: dict[int, tuple[int, int]] = {}
        """The group and the sample of each request in the engine."""
        self._written: dict[int, list[Completion | None]] = {}

    @property
    def busy(self) -> bool:
        """Whether any completion is waiting or in work."""
        return self._engine.busy

    def refresh(self) -> None:
        """Write with the model's weights as they are now; what was left in work is given up."""
        for number in self._asked:
            self._engine.cancel(number)
        self._asked, self._written = {}, {}
        if self._engine.reader.dtype == self.model.compute_dtype:
            self._engine.refresh()
        else:  # keys and values are kept in the dtype of the products
            self._engine = self._made()

    def ask(self, group: int, prompt: Prompt, seed: int, config: GrpoConfig) -> None:
        """Let a group wait for its completions.

        Args:
            group: what `finished` calls it; a group of this name must not be in work.
            prompt: what to complete.
            seed: of the draws; the completions of a group differ by the number of the sample.
            config: how many, how long, at which temperature.

        Raises:
            InputError: the prompt fills the context.
        """
        assert group not in self._written, "a group is asked for once at a time"
        self._written[group] = [None] * config.group_size
        for sample in range(config.group_size):
            number = self._engine.add(
                Request(
                    prompt=list(prompt.tokens),
                    max_tokens=config.max_tokens,
                    sampling=SamplingConfig(temperature=config.temperature, seed=seed),
                    sample=sample,
                    think_budget=config.think_budget,
                    ignore_eos=self._ignore_eos,
                )
            )
            self._asked[number] = (group, sample)

    def run(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer requests apart from any group, in their order, when nothing else is in work.

        Raises:
            InputError: a prompt fills the context.
        """
        return self._engine.run(requests)

    def finished(self) -> list[tuple[int, list[Completion]]]:
        """One more token for each completion in work; the groups that this was the last token of, in their order."""
        whole = []
        for event in self._engine.step():
            if event.completion is None:
                continue
            group, sample = self._asked.pop(event.number)
            written = self._written[group]
            written[sample] = event.completion
            if all(each is not None for each in written):
                del self._written[group]
                whole.append((group, [each for each in written if each is not None]))
        return sorted(whole, key=lambda pair: pair[0])


def well_formed(completion: Completion, tokenizer: ChatTokenizer) -> bool:
    """Whether a completion begins with its reasoning, between one pair of markers, gives an answer, and ends.

    No other special token may stand in it: a mark of a turn inside an answer would speak for somebody else.
    """
    *inside, last = completion.tokens
    opening, closing = tokenizer.think_id, tokenizer.end_think_id
    specials = [token for token in inside if token < len(tokenizer.SPECIALS)]
    return (
        specials == [opening, closing]
        and inside[0] == opening
        and last in tokenizer.stop_ids
        and bool(completion.reasoning.strip())
        and bool(completion.text.strip())
    )
