"""report.md of a run and its learning curve, an SVG drawn by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from thinkling.artifacts.model_card import model_card
from thinkling.artifacts.run_folder import RunFolder, write_text
from thinkling.training.run_log import read_rows
from thinkling.training.train_state import Progress

Points = Sequence[tuple[float, float]]

_WIDTH, _PANEL, _LEFT, _RIGHT, _TOP, _GAP, _BOTTOM = 720, 170, 64, 16, 30, 42, 44
# Middle tones on no background: readable on white and on black; the text follows the viewer's colour scheme.
_COLOURS = ("#3b82f6", "#f97316")
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#555}.grid{stroke:#888;stroke-opacity:.3}.axis{stroke:#888}"
    "@media(prefers-color-scheme:dark){text{fill:#bbb}}"
)


def learning_curve(panels: Mapping[str, Mapping[str, Points]], x_label: str = "step") -> str:
    """An SVG with one panel below the other, sharing the horizontal axis.

    Args:
        panels: panel title -> curve name -> (x, y) points. Curves without points are left out.
        x_label: what the horizontal axis counts.
    """
    panels = {title: {name: p for name, p in curves.items() if p} for title, curves in panels.items()}
    panels = {title: curves for title, curves in panels.items() if curves}
    last = max((x for curves in panels.values() for p in curves.values() for x, _ in p), default=1.0) or 1.0
    height = _TOP + len(panels) * (_PANEL + _GAP) - _GAP + _BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}"'
        f' height="{height}"'
        ' role="img" aria-label="learning curve">',
        f"<style>{_STYLE}</style>",
    ]
    for index, (title, curves) in enumerate(panels.items()):
        parts += _panel(title, curves, last, _TOP + index * (_PANEL + _GAP))
    bottom = height - _BOTTOM
    for tick in _ticks(0, last):
        x = _x(tick, last)
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{tick:g}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{height - 6}" text-anchor="middle">{escape(x_label)}</text></svg>')
    return "\n".join(parts) + "\n"


def _panel(title: str, curves: Mapping[str, Points], last: float, top: float) -> list[str]:
    values = [y for points in curves.values() for _, y in points]
    low, high = min(0.0, *values), max(values)
    high = 1.0 if low >= 0 and 0.2 < high <= 1 else high if high > low else low + 1

    def place(y: float) -> float:
        return top + _PANEL * (1 - (y - low) / (high - low))

    right = _WIDTH - _RIGHT
    parts = [f'<text x="{_LEFT}" y="{top - 10}">{escape(title)}</text>']
    for tick in _ticks(low, high):
        y = place(tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    parts.append(f'<path class="axis" fill="none" d="M{_LEFT},{top} V{top + _PANEL} H{right}"/>')
    for number, (name, points) in enumerate(curves.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        line = " ".join(f"{_x(x, last):.1f},{place(y):.1f}" for x, y in points)
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{line}"/>')
        if len(points) == 1:
            parts.append(
                f'<circle r="3" fill="{colour}" cx="{_x(points[0][0], last):.1f}"'
                f' cy="{place(points[0][1]):.1f}"/>'
            )
        label = f'<text style="fill:{colour}" x="{right - 90 * number}" y="{top - 10}" text-anchor="end">'
        parts.append(f"{label}{escape(name)}</text>")
    return parts


def _x(x: float, last: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * x / last


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers inside [low, high], about five."""
    span = high - low
    unit = 10.0 ** (len(f"{span:.0f}") - 1) if span >= 1 else 10.0 ** -len(f"{1 / span:.0f}")
    step = next((unit * m for m in (0.1, 0.2, 0.5, 1, 2, 5) if span / (unit * m) <= 6), unit * 10)
    first = -(-low // step)
    return [round((first + i) * step, 10) for i in range(int((high - first * step) / step + 1e-9) + 1)]


def curves_of(rows: Sequence[Mapping[str, Any]], metric: str) -> dict[str, dict[str, Points]]:
    """Panels for `learning_curve` from the rows of metrics.jsonl: the validation metric, and the loss."""

    def points(kind: str, name: str) -> Points:
        chosen = (row for row in rows if row["kind"] == kind and row.get(name) is not None)
        return _thinned([(float(row["step"]), float(row[name])) for row in chosen])

    return {
        metric: {"training": points("train", metric), "validation": points("validation", metric)},
        "loss": {"training": points("train", "loss")},
    }


def _thinned(points: Points, most: int = 400) -> Points:
    """At most about `most` points: means of neighbours, so that a long run stays readable."""
    size = -(-len(points) // most) if points else 1
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]


def write_report(
    folder: RunFolder, config: Mapping[str, Any], done: Progress, *, params: int, metric: str
) -> None:
    """Write report.md, its picture and the model card into a run folder.

    Args:
        folder: the run.
        config: contents of its config.json.
        done: how far it is.
        params: number of trained values, puzzle embeddings included.
        metric: the validation metric to draw.

    Raises:
        OSError: the disk is full or not writable.
    """
    write_text(folder.curve, learning_curve(curves_of(read_rows(folder.metrics), metric)))
    write_text(folder.report, _report(config, done, params, folder.curve.name))
    card = model_card(
        config, params=params, step=done.best_step, train_seconds=done.seconds, metrics=done.best_metrics
    )
    write_text(folder.card, card)


def _report(config: Mapping[str, Any], done: Progress, params: int, curve: str) -> str:
    skipped = f" {done.guard.skipped} steps were skipped: their loss or gradient was not finite."
    return "\n".join(
        [
            f"# Training of {config.get('architecture', 'a model')}",
            "",
            f"{params:,} parameters (embeddings included), {done.step:,} steps, "
            f"{done.seconds:,.0f} s of training, "
            f"{done.validation_seconds:,.0f} s of validation. The weights in this folder are those of step "
            f"{done.best_step:,}, the best validation." + (skipped if done.guard.skipped else ""),
            "",
            f"![Learning curve]({curve})",
            "",
            "| validation | value |",
            "| --- | --- |",
            *(f"| {name} | {value:.4g} |" for name, value in done.best_metrics.items()),
            "",
            "| setting | value |",
            "| --- | --- |",
            *(f"| {name} | {value} |" for name, value in config.get("training", {}).items()),
            "",
        ]
    )
