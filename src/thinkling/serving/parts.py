"""What each product brings to the server: its routes, its thread, its description and its examples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter

from thinkling.errors import InputError
from thinkling.serving.examples import (
    QUESTIONS,
    TEXTS,
    Example,
    examples_of_file,
    puzzle_examples,
    text_examples,
)
from thinkling.serving.metrics import Metrics
from thinkling.serving.service_thread import Service
from thinkling.serving.settings import ServerSettings

if TYPE_CHECKING:
    from thinkling.lm.language_model import LanguageModel
    from thinkling.puzzles.puzzle_model import PuzzleModel
    from thinkling.thinking_bert.encoder_model import EncoderModel

DESCRIPTIONS = {
    "puzzles": "A model that solves puzzles by refining its answer segment by segment.",
    "thinking_bert": "An encoder that fills masks of a text in rounds of thought.",
    "lm": "A language model that writes its reasoning before its answer.",
}
"""One line about each product."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A product, ready to be served."""

    product: str
    """Its name in config.json."""
    details: dict[str, Any]
    """What `/v1/models` says of the model beyond its name."""
    examples: list[Example]
    """What the page offers to begin with."""
    routers: tuple[APIRouter, ...]
    """Its routes."""
    service: Service
    """What answers; started and closed with the application."""


def part_of(model: Any, settings: ServerSettings, metrics: Metrics, examples: Path | None = None) -> Part:
    """The part of a loaded model.

    Args:
        model: as `thinkling.load` returns it. Nobody else may use it meanwhile.
        settings: limits and defaults.
        metrics: gets the instruments of the part.
        examples: for puzzles a CSV file whose questions the page offers, in place of the made ones.

    Raises:
        InputError: a language model that was not trained on conversations, a classifier, or a file of examples that
            does not fit the model.
    """
    # Each product's code is imported only where it is served.
    from thinkling.puzzles.puzzle_model import PuzzleModel

    if isinstance(model, PuzzleModel):
        return _puzzle_part(model, settings, metrics, examples)
    if examples is not None:
        raise InputError(f"--examples {examples}", "a model of puzzles", "leave it out")
    from thinkling.thinking_bert.classifier_model import ClassifierModel
    from thinkling.thinking_bert.encoder_model import EncoderModel

    if isinstance(model, ClassifierModel):
        raise InputError(
            "a run that classifies texts",
            "one that solves puzzles, fills masks or talks",
            "use it on the command line: thinkling classify",
        )
    if isinstance(model, EncoderModel):
        return _fill_part(model, settings, metrics)
    return _chat_part(model, settings, metrics)


def _puzzle_part(
    model: PuzzleModel, settings: ServerSettings, metrics: Metrics, examples: Path | None
) -> Part:
    from thinkling.serving.puzzle_description import describe
    from thinkling.serving.puzzle_routes import puzzle_router
    from thinkling.serving.puzzle_team import PuzzleTeam

    service = PuzzleTeam(model, settings, metrics)
    return Part(
        product="puzzles",
        details=describe(model, settings),
        examples=puzzle_examples(model.task) if examples is None else examples_of_file(examples, model.task),
        routers=(puzzle_router(service, model, settings),),
        service=service,
    )


def _fill_part(model: EncoderModel, settings: ServerSettings, metrics: Metrics) -> Part:
    from thinkling.serving.fill_routes import fill_router
    from thinkling.serving.fill_service import FillService

    service = FillService(model, settings, metrics)
    return Part(
        product="thinking_bert",
        details={
            "product": "thinking_bert",
            "params": model.params,
            "limit": model.halting.max_steps,
            "max_steps": settings.max_steps,
            "max_tokens": model.network.config.max_length - 2,
        },
        examples=text_examples(TEXTS),
        routers=(fill_router(service, settings),),
        service=service,
    )


def _chat_part(model: LanguageModel, settings: ServerSettings, metrics: Metrics) -> Part:
    from thinkling.lm.run_files import CHAT
    from thinkling.serving.chat_routes import chat_router
    from thinkling.serving.generation_service import GenerationService

    if model.stage != CHAT:
        raise InputError(
            f"a run of the stage {model.stage!r}",
            f"one that was trained on conversations ({CHAT!r})",
            "train it on some first: thinkling train lm-sft",
        )
    context = model.network.config.max_length
    service = GenerationService(
        lambda: model.engine(slots=settings.slots), most_open=settings.slots + settings.max_waiting
    )
    return Part(
        product="lm",
        details={"product": "lm", "params": model.params, "max_model_len": context},
        examples=text_examples(QUESTIONS),
        routers=(chat_router(service, model.tokenizer, context, settings),),
        service=service,
    )
