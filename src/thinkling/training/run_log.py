"""What a run says while it runs: metrics.jsonl for programs, a progress line on standard error for people."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from thinkling.artifacts.run_folder import cannot_write, write_text

_SHOWN = {
    "loss": "loss",
    "exact_accuracy": "exact",
    "masked_accuracy": "masked",
    "token_accuracy": "right",
    "answer_reward": "reward",
    "entropy": "entropy",
    "length": "length",
    "mean_steps": "steps",
    "steps": "steps",
}
_PLAIN_EVERY_SECONDS = 10.0


class RunLog:
    """Rows of metrics.jsonl, and progress: a live line on a terminal, now and then a plain line elsewhere.

    Args:
        path: the metrics.jsonl to append to.
        enabled: False on ranks other than 0, where nothing is written or shown.
        quiet: no progress; rows and warnings as ever.
        counted: what the rate counts, in the plural.
    """

    def __init__(
        self, path: Path, *, enabled: bool = True, quiet: bool = False, counted: str = "examples"
    ) -> None:
        self._counted = counted
        self._path = path
        self._enabled = enabled
        self._quiet = quiet or not enabled
        self._seconds = 0.0
        self._plain_at = -math.inf
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def begin(self, step: int, seconds: float) -> None:
        """Start at a step; rows of later steps, left by a run killed after its checkpoint, are dropped."""
        self._seconds = seconds
        if not self._enabled:
            return
        rows = read_rows(self._path)
        text = "".join(json.dumps(row) + "\n" for row in rows if row["step"] <= step)
        write_text(self._path, text if step else "")
        if not self._quiet and self._console.is_terminal:
            self._bar = Progress(TextColumn("{task.description}"), BarColumn(), console=self._console)
            self._task = self._bar.add_task("training", total=1.0)
            self._bar.start()

    def train(
        self, step: int, seconds: float, share: float, examples: float, metrics: Mapping[str, float]
    ) -> None:
        """Record mean metrics since the last call, and show how far the run is.

        Args:
            step: the present step.
            seconds: training time.
            share: how much of the run is over, 0 to 1.
            examples: rows since the last call, over all ranks, for the rate.
            metrics: means since the last call.
        """
        rate = examples / max(seconds - self._seconds, 1e-9)
        self._seconds = seconds
        self._row("train", step, seconds, {**metrics, f"{self._counted}_per_second": rate})
        left = seconds * (1 - share) / share if share else math.nan
        shown = [f"{_SHOWN[name]} {value:.3f}" for name, value in metrics.items() if name in _SHOWN]
        self._progress(
            " ".join([f"step {step}", *shown, f"{rate:.0f} {self._counted}/s", f"ETA {_clock(left)}"]), share
        )

    def validation(self, step: int, seconds: float, metrics: Mapping[str, float]) -> None:
        """Record and show a validation."""
        self._row("validation", step, seconds, metrics)
        words = " ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        self.note(f"step {step} after {_clock(seconds)}: validation {words}")

    def note(self, text: str) -> None:
        """A line for people, unless quiet."""
        if not self._quiet:
            self._line(text)

    def warn(self, text: str) -> None:
        """A line for people, also when quiet."""
        if self._enabled:
            self._line(text)

    def close(self) -> None:
        """Take the live line off the terminal."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _progress(self, line: str, share: float) -> None:
        if self._bar is not None:
            self._bar.update(self._task, description=line, completed=share)
        elif not self._quiet and time.monotonic() - self._plain_at >= _PLAIN_EVERY_SECONDS:
            self._plain_at = time.monotonic()
            self._line(line)

    def _line(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def _row(
        self, kind: Literal["train", "validation"], step: int, seconds: float, metrics: Mapping[str, float]
    ) -> None:
        if not self._enabled:
            return
        numbers = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        row = {"step": step, "kind": kind, "seconds": round(seconds, 3), **numbers}
        try:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise cannot_write(self._path, error) from error


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The whole rows of a metrics.jsonl; a last line cut short by a kill is left out."""
    rows = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return rows


def _clock(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
