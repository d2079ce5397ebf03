"""A puzzle run becomes a folder of static files: the page, the model and what runs it. No server, nothing fetched.

DIR/index.html  manifest.json  model.onnx   page/*   ort/*
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from thinkling.artifacts.hub import fetched
from thinkling.data.puzzle_set import PuzzleSet
from thinkling.data.whole_folder import whole_folder
from thinkling.errors import InputError
from thinkling.puzzles.load import load
from thinkling.puzzles.onnx_export import PuzzleOnnxExport, export_puzzles
from thinkling.puzzles.puzzle_model import PuzzleModel
from thinkling.serving.examples import examples_of_file, puzzle_examples
from thinkling.serving.puzzle_description import describe
from thinkling.serving.settings import ServerSettings
from thinkling.serving.web_runtime import VERSION, runtime_files

PAGE = Path(__file__).parent / "page"
"""The page, which is the same as the server's."""
INDEX, DESCRIBED, MODEL = "index.html", "manifest.json", "model.onnx"
"""Files at the top of the folder."""
PAGE_FOLDER, RUNTIME_FOLDER = "page", "ort"
"""Folders in it."""


@dataclass(frozen=True, kw_only=True)
class WebExport:
    """What came out: the contract's keys of `thinkling export`."""

    path: Path
    """The folder."""
    bytes: int
    """Size of all its files."""
    max_abs_diff: float
    """Largest difference between the model's file in onnxruntime and the run in PyTorch, in one segment."""
    checked: bool
    """Whether the model's file may be used."""
    model: PuzzleOnnxExport
    """What is known of the model's file."""
    onnxruntime_web: str
    """Version of what runs it in the browser; empty where the user gave the files."""


def export_web(
    run: str | Path,
    out: Path,
    *,
    name: str = "",
    int8: bool = False,
    puzzles: PuzzleSet | None = None,
    examples: Path | None = None,
    runtime: Path | None = None,
) -> WebExport:
    """Write the folder, whole or not at all.

    Args:
        run: a run folder of puzzles, a checkpoint inside one, or an `hf://` address.
        out: the folder; an earlier export is replaced, anything else is not.
        name: how the page calls the model; the run's own name by default.
        int8: store matrices in 8 bits.
        puzzles: what the model's file is compared and, with `int8`, judged on.
        examples: a CSV file whose questions the page offers.
        runtime: a folder with the files of onnxruntime-web; None: from the cache or from npm's registry.

    Raises:
        InputError: a run of another kind, a missing package, a folder that is no earlier export, or no runtime.
        ThinklingError: the disk refuses.
    """
    place = fetched(run)
    _check_place(out, place)
    model = load(place, device="cpu", compute_dtype="float32")
    offered = puzzle_examples(model.task) if examples is None else examples_of_file(examples, model.task)
    files = runtime_files(runtime)
    title = name or place.resolve().name
    with whole_folder(out) as folder:
        written = export_puzzles(place, folder / MODEL, int8=int8, puzzles=puzzles)
        (folder / PAGE_FOLDER).mkdir()
        for path in sorted(PAGE.iterdir()):
            beside = folder if path.name == INDEX else folder / PAGE_FOLDER
            if path.is_file() and not path.name.startswith("."):
                (beside / path.name).write_bytes(path.read_bytes())
        (folder / RUNTIME_FOLDER).mkdir()
        for file, content in files.items():
            (folder / RUNTIME_FOLDER / file).write_bytes(content)
        told = json.dumps(manifest(model, title, offered), ensure_ascii=False, indent=1)
        (folder / DESCRIBED).write_text(told + "\n", encoding="utf-8")
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return WebExport(
        path=out,
        bytes=size,
        max_abs_diff=written.max_abs_diff,
        checked=written.checked,
        model=replace(written, path=out / MODEL),
        onnxruntime_web="" if runtime is not None else VERSION,
    )


def manifest(model: PuzzleModel, name: str, examples: list[dict[str, str]]) -> Mapping[str, Any]:
    """What the page must know before it thinks: what the server says, and how to run the graph."""
    config = model.network.config
    described = describe(model, ServerSettings())  # a browser is held to what a server allows
    return {
        "backend": "onnx",
        "product": "puzzles",
        "name": name,
        "description": {"id": name, "object": "model", **described},
        "examples": examples,
        "model": MODEL,
        "graph": {"positions": config.total_len, "width": config.hidden_size},
        "halting": described["halting"],
        "identifiers": list(model.identifiers),
    }


def _check_place(out: Path, run: Path) -> None:
    """Nothing but an earlier export may be replaced."""
    if not out.exists():
        return
    ours = False
    if out.is_dir() and out.resolve() != run.resolve():
        try:
            ours = json.loads((out / DESCRIBED).read_text(encoding="utf-8")).get("backend") == "onnx"
        except (OSError, ValueError, AttributeError):
            ours = not any(out.iterdir())
    if not ours:
        raise InputError(f"--out {out}, which holds something else", "a new folder", "give another --out")
