"""The README.md of a run: what the model is, what it reaches, how to use it, where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def model_card(
    config: Mapping[str, Any], *, params: int, step: int, train_seconds: float, metrics: Mapping[str, float]
) -> str:
    """Markdown text of the card.

    Args:
        config: contents of config.json.
        params: number of trained values, puzzle embeddings included.
        step: step the weights come from.
        train_seconds: training time, validation not counted.
        metrics: validation results of these weights.
    """
    task = config.get("task")
    subject = task.get("name") if isinstance(task, Mapping) else task
    title = " ".join(str(part) for part in (config.get("architecture", "model"), subject) if part)
    origin = config.get("provenance", {})
    rows = [f"| {name} | {value:.4g} |" for name, value in metrics.items()]
    return "\n".join(
        [
            f"# {title}",
            "",
            f"A small model that thinks, trained with Thinkling {origin.get('thinkling', '')}".rstrip() + ".",
            "",
            f"- product: {config.get('product', 'unknown')}",
            f"- architecture: {config.get('architecture', 'unknown')}",
            f"- parameters, embeddings included: {params:,}",
            f"- weights from step {step:,}, after {train_seconds:,.0f} s of training on {_machine(origin)}",
            "",
            "## Results on the validation examples",
            "",
            "| metric | value |",
            "| --- | --- |",
            *rows,
            "",
            "These weights were chosen by this result, so a test on fresh examples may come out lower.",
            "",
            "## Use",
            "",
            "```python",
            "import thinkling",
            "",
            'model = thinkling.load("this folder")',
            "```",
            "",
            "## Settings",
            "",
            *_settings(config),
            "",
            "## Origin",
            "",
            *(
                f"- {name}: {value}"
                for name, value in origin.items()
                if name != "hardware" and value is not None
            ),
            "",
        ]
    )


def _settings(config: Mapping[str, Any]) -> list[str]:
    lines = []
    for section in ("model", "task", "training"):
        values = config.get(section)
        if isinstance(values, Mapping):
            lines += [f"**{section}**: " + ", ".join(f"{name} {value}" for name, value in values.items()), ""]
    return lines[:-1]


def _machine(origin: Mapping[str, Any]) -> str:
    hardware = origin.get("hardware") or {}
    place = f"{hardware.get('processor', 'an unknown processor')} ({hardware.get('cores', '?')} cores)"
    return f"{hardware['gpu']}, {place}" if hardware.get("gpu") else place
