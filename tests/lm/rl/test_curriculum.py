"""The difficulty filter: which rows stay, and that they stay as they were."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from thinkling.data.array_store import MANIFEST
from thinkling.data.conversations import conversations
from thinkling.errors import InputError
from thinkling.lm.rl.curriculum import check_filter, write_filtered

ROWS = [
    {"problem": "What is 1 + 1?", "answer": "2", "task": "sum"},
    {"question": "How many?", "answer": "so many #### 12", "source": {"page": 3}},
    {"problem": "Größer?", "solution": r"\boxed{7}"},
    {"problem": "1?", "answer": 5, "pass_rate": 0.9},
    {"problem": "2?", "answer": "5"},
]
RATES = [0.0, 0.2, 0.5, 0.8, 0.875]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


def rates_of(source: Path) -> dict[str, float]:
    return {row.place: rate for row, rate in zip(conversations(source), RATES, strict=True)}


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", ["data.jsonl", "data.jsonl.gz"])
def test_rows_between_the_pass_rates_stay_as_they_were(tmp_path: Path, name: str) -> None:
    data = write(tmp_path / name, ROWS)
    done = write_filtered(data, tmp_path / "new" / "kept.jsonl", rates_of(data), samples=10)
    assert (done.kept, done.too_easy, done.too_hard) == (3, 1, 1)
    assert done.path == tmp_path / "new" / "kept.jsonl"
    assert read(done.path) == [
        row | {"pass_rate": rate, "pass_samples": 10} for row, rate in zip(ROWS[1:4], RATES[1:4], strict=True)
    ]
    assert [row.messages for row in conversations(done.path)] == [
        row.messages for row in [*conversations(data)][1:4]
    ], "other commands read the file as they read the first one"


def test_other_pass_rates_and_rows_that_were_not_tried(tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", ROWS)
    rates = rates_of(data)
    rates.pop(next(iter(rates)))
    done = write_filtered(data, tmp_path / "kept.jsonl", rates, samples=8, low=0.6, high=1.0)
    assert (done.kept, done.too_easy, done.too_hard) == (2, 0, 2)
    assert [row["pass_rate"] for row in read(tmp_path / "kept.jsonl")] == [0.8, 0.875]


def test_of_a_folder_the_training_part_is_filtered(tmp_path: Path) -> None:
    folder = tmp_path / "problems"
    folder.mkdir()
    data = write(folder / "train.jsonl", ROWS)
    held = write(folder / "validation.jsonl", ROWS[:1])
    write_filtered(folder, tmp_path / "kept", rates_of(data), samples=8)
    assert len(read(tmp_path / "kept" / "train.jsonl")) == 3
    assert (tmp_path / "kept" / "validation.jsonl").read_bytes() == held.read_bytes()
    manifest = json.loads((tmp_path / "kept" / MANIFEST).read_text())
    assert set(manifest["files"]) == {"train.jsonl", "validation.jsonl"}
    write_filtered(folder, tmp_path / "kept", rates_of(data), samples=8, low=0.5, high=0.5)
    assert len(read(tmp_path / "kept" / "train.jsonl")) == 1, "a data set of ours may be replaced"


def test_a_folder_of_other_files_becomes_one(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    write(folder / "a.jsonl", ROWS[:2])
    write(folder / "b.jsonl", ROWS[2:])
    done = write_filtered(folder, tmp_path / "kept", rates_of(folder), samples=8)
    assert done.kept == len(read(tmp_path / "kept" / "train.jsonl")) == 3


def test_where_nothing_is_kept_nothing_is_written(tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", ROWS)
    done = write_filtered(data, tmp_path / "kept.jsonl", rates_of(data), samples=8, low=0.6, high=0.7)
    assert (done.path, done.kept, done.too_easy, done.too_hard) == (None, 0, 2, 3)
    assert not (tmp_path / "kept.jsonl").exists()


@pytest.mark.parametrize(("low", "high"), [(0.8, 0.2), (-0.1, 0.5), (0.2, 1.1)])
def test_pass_rates_that_cannot_be(tmp_path: Path, low: float, high: float) -> None:
    with pytest.raises(InputError, match="--low"):
        check_filter(write(tmp_path / "data.jsonl", ROWS), tmp_path / "kept.jsonl", low, high)


def test_nothing_else_is_overwritten(tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", ROWS)
    other = write(tmp_path / "kept.jsonl", ROWS)
    with pytest.raises(InputError, match="exists"):
        check_filter(data, other, 0.2, 0.8)
    with pytest.raises(InputError, match=r"ends in \.jsonl"):
        check_filter(data, tmp_path / "kept", 0.2, 0.8)
    with pytest.raises(InputError, match="--out"):
        check_filter(tmp_path, tmp_path, 0.2, 0.8)
