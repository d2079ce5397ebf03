"""Problems of the right difficulty: those that a model solves sometimes, with the sampled pass rate in their rows.

A problem that is always solved, or never, has groups without signal: it costs completions and teaches nothing. DAPO
(Yu et al. 2025, arXiv 2503.14476, section 3.2) leaves such groups out while it trains; leaving out the problems
beforehand saves drawing them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from thinkling.artifacts.run_folder import write_text
from thinkling.data.array_store import MANIFEST, check_output
from thinkling.data.conversations import part_of
from thinkling.data.corpus import corpus_files, numbered_lines
from thinkling.data.whole_folder import whole_folder, write_manifest
from thinkling.errors import InputError, ThinklingError
from thinkling.lm.problem_files import SPLITS

LOWEST, HIGHEST = 0.2, 0.8
"""Pass rates of the problems that are kept."""
PASS_RATE, PASS_SAMPLES = "pass_rate", "pass_samples"
"""Fields of a kept row: the share of right attempts, and of how many."""
_KIND = "problems by difficulty"


@dataclass(frozen=True, kw_only=True)
class Filtered:
    """What the difficulty filter made of a data set."""

    path: Path | None
    """What was written; None where no problem was kept, and nothing is written."""
    kept: int
    """Problems between the two pass rates."""
    too_easy: int
    """Problems above."""
    too_hard: int
    """Problems below."""


def check_filter(data: Path, out: Path, low: float, high: float) -> None:
    """Whether filtered problems may be written, before any problem is tried.

    Raises:
        InputError: pass rates that cannot be, or something else at `out`.
    """
    if not 0 <= low <= high <= 1:
        raise InputError(f"--low {low} and --high {high}", "0 <= low <= high <= 1", "give other pass rates")
    if Path(data).is_dir():
        check_output(Path(out))
    elif Path(out).exists() or not Path(out).name.endswith(".jsonl"):
        raise InputError(
            f"--out {out}{' exists' if Path(out).exists() else ''}",
            "a new file that ends in .jsonl, as the data is a file",
            "use another --out",
        )


def write_filtered(
    data: Path,
    out: Path,
    pass_rates: Mapping[str, float],
    *,
    samples: int,
    low: float = LOWEST,
    high: float = HIGHEST,
) -> Filtered:
    """Write the problems that are solved neither too seldom nor too often, as they are, with their pass rates.

    Args:
        data: a file of problems; or a folder with `train.jsonl`, which alone is filtered, while the validation and
            test parts are copied; or a folder of other such files, which become one `train.jsonl`.
        out: a new file, or a folder where `data` is one.
        pass_rates: the pass rate of each problem that was tried, by its place ("FILE line N"); rows without one are
            left out.
        samples: attempts that each rate is the share of.
        low: lowest pass rate that is kept.
        high: highest pass rate that is kept.

    Raises:
        InputError: as for `check_filter`.
        ThinklingError: the disk refuses; nothing is left behind.
    """
    data, out = Path(data), Path(out)
    check_filter(data, out, low, high)
    easy = sum(rate > high for rate in pass_rates.values())
    hard = sum(rate < low for rate in pass_rates.values())
    kept = {place: rate for place, rate in pass_rates.items() if low <= rate <= high}
    written = out if kept else None
    if kept and data.is_dir():
        _write_folder(data, out, kept, samples)
    elif kept:
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            write_text(out, "".join(_rows(data, kept, samples)))
        except OSError as error:
            raise ThinklingError(
                f"cannot write {out}: {error}; free some space or use another --out"
            ) from error
    return Filtered(path=written, kept=len(kept), too_easy=easy, too_hard=hard)


def _write_folder(data: Path, out: Path, kept: Mapping[str, float], samples: int) -> None:
    train = part_of(data, "train")
    with whole_folder(out) as folder:
        with (folder / "train.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(_rows(train or data, kept, samples))
        if train is not None:
            for name in SPLITS[1:]:
                if (part := part_of(data, name)) is not None:
                    shutil.copyfile(part, folder / part.name)
        write_manifest(folder / MANIFEST, {"kind": _KIND, "samples": samples})


def _rows(source: Path, kept: Mapping[str, float], samples: int) -> Iterator[str]:
    """The kept rows as lines of JSON, all their fields as they were."""
    for path in corpus_files(source):
        with closing(numbered_lines(path)) as lines:
            for number, line in lines:
                rate = kept.get(f"{path} line {number}")
                if rate is not None:
                    row = json.loads(line) | {PASS_RATE: round(rate, 4), PASS_SAMPLES: samples}
                    yield json.dumps(row, ensure_ascii=False) + "\n"
