"""A process that compares answers with packages which take any text and may take any time: math-verify, reasoning-gym.

It answers one question after another and is killed when one takes too long. Both packages hand parts of an answer to
Python's own evaluation, so the process is confined like a program under test.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable
from typing import Any

from thinkling.tasks.confined import wire
from thinkling.tasks.confined.jail import confine

_ORPHAN_SECONDS = 60.0
"""Wall-clock time after which a question ends the process whoever waits for it."""


def main(source: int, sink: int) -> None:
    """Answer questions until nobody asks any more.

    Args:
        source: descriptor to read questions from, the first of which is the job.
        sink: descriptor to write answers to.
    """
    channel = wire.Channel(source, sink)
    job = channel.receive()
    sys.path += job["path"]
    warnings.simplefilter("ignore")
    logging.disable()
    # Loaded before the process is confined, which it is before it sees an answer.
    check = CHECKS[job["kind"]]()
    confine(job["folder"], memory_mb=job["memory_mb"], seconds=None, caller=None, readable=job["path"])
    channel.send({"ready": True})
    while True:
        try:
            question = channel.receive()
        except wire.LostError:
            # Threads of packages must not keep it.
            os._exit(0)
        # Its caller kills it much earlier, if there still is one.
        signal.setitimer(signal.ITIMER_REAL, _ORPHAN_SECONDS)
        try:
            right = bool(check(**question))
        except Exception:  # an answer that a package stumbles over is none
            right = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        channel.send({"right": right})


def _math() -> Callable[..., bool]:
    """Equivalence by math-verify (huggingface/Math-Verify); its own time limit needs `signal.alarm` and is off."""
    package = importlib.import_module("math_verify")
    settings = [package.LatexExtractionConfig(), package.ExprExtractionConfig()]

    def parsed(text: str) -> Any:
        for form in (f"${text}$", text):
            found = package.parse(form, settings, fallback_mode="no_fallback", parsing_timeout=None)
            if found:
                return found
        return []

    def check(expected: str, given: str) -> bool:
        gold, answer = parsed(expected), parsed(given)
        return bool(gold and answer and package.verify(gold, answer, strict=True, timeout_seconds=None))

    return check


def _gym() -> Callable[..., bool]:
    """The scorers of reasoning-gym; only the full score counts, because some give a part of it for the right answer
    somewhere in a text."""
    package = importlib.import_module("reasoning_gym")
    made: dict[str, Any] = {}

    def check(dataset: str, entry: dict[str, Any], given: str) -> bool:
        if "question" not in entry:
            settings = {"size": entry["index"] + 1, "seed": entry["seed"]}
            entry = package.create_dataset(dataset, **settings)[entry["index"]]
        if dataset not in made:
            made[dataset] = package.create_dataset(dataset, size=1, seed=0)
        return float(made[dataset].score_answer(given, entry)) >= 1.0

    return check


CHECKS: dict[str, Callable[[], Callable[..., bool]]] = {"math": _math, "gym": _gym}
"""What a checker is asked to load."""
