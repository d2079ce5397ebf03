"""Reading published files: every layout, and what is wrong with a row."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from thinkling.errors import InputError
from thinkling.lm.benchmarks.rows import benchmark_file, code_field, rows, text_field, text_list_field

ROWS = [{"question": "a?", "answer": "1"}, {"question": "é?", "answer": "2"}]


def lines(values: list[Any]) -> str:
    return "".join(json.dumps(value) + "\n\n" for value in values)


def test_json_lines_lists_and_gzip_read_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(lines(ROWS))
    (tmp_path / "b.json").write_text(json.dumps(ROWS, indent=1))
    (tmp_path / "c.json").write_text(lines(ROWS))
    with gzip.open(tmp_path / "d.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write(lines(ROWS))
    for name in ("a.jsonl", "b.json", "c.json", "d.jsonl.gz"):
        assert [row for _, row in rows(tmp_path / name)] == ROWS
    assert [place for place, _ in rows(tmp_path / "a.jsonl")][1].endswith("a.jsonl line 3")
    assert [place for place, _ in rows(tmp_path / "b.json")][1].endswith("b.json row 2")


def test_parquet_reads_the_same(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "test-00000-of-00001.parquet")
    assert [row for _, row in rows(tmp_path / "test-00000-of-00001.parquet")] == ROWS
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(InputError, match=r"broken\.parquet"):
        list(rows(tmp_path / "broken.parquet"))


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "test.parquet").touch()
    with pytest.raises(InputError, match="pip install"):
        list(rows(tmp_path / "test.parquet"))


def test_the_file_with_the_test_questions_of_a_folder(tmp_path: Path) -> None:
    for name in ("main/train-00000-of-00001.parquet", "main/test-00000-of-00001.parquet", "README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert benchmark_file(tmp_path).name == "test-00000-of-00001.parquet"
    (tmp_path / "test.jsonl").touch()
    assert benchmark_file(tmp_path).name == "test.jsonl", "JSON needs no further package"
    (tmp_path / "latest.jsonl").touch()
    assert benchmark_file(tmp_path).name == "test.jsonl", "a longer word is another word"
    (tmp_path / "gsm8k_test.jsonl").touch()
    with pytest.raises(InputError, match="give the path"):
        benchmark_file(tmp_path)
    alone = tmp_path / "alone"
    alone.mkdir()
    with pytest.raises(InputError, match="no such file"):
        benchmark_file(alone)
    (alone / "HumanEval.jsonl.gz").touch()
    assert benchmark_file(alone).name == "HumanEval.jsonl.gz"
    with pytest.raises(InputError, match="no such file or folder"):
        benchmark_file(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("a.csv", "question,answer", "unknown kind"),
        ("a.jsonl", '{"question": 1\n', "line 1: no JSON"),
        ("a.jsonl", '{"question": "1"}\n[1]\n', "line 2"),
        ("a.json", "[1, 2", "no JSON"),
        ("a.json", "[1, 2]", "row 1"),
    ],
)
def test_what_is_refused(tmp_path: Path, name: str, content: str, named: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=named):
        list(rows(tmp_path / name))


def test_fields() -> None:
    row = {"a": " x ", "b": 3.0, "c": None, "d": " ", "e": "\ud800", "f": ["1"], "g": [1], "h": "  code\n"}
    assert text_field(row, "a", "p") == "x"
    assert text_field(row, ("z", "b"), "p") == "3"
    assert text_list_field(row, "f", "p") == ["1"]
    assert code_field(row, "h", "p") == "  code\n"
    for name in "cdefz":
        with pytest.raises(InputError, match="p: "):
            text_field(row, name, "p")
    for name in "agz":
        with pytest.raises(InputError, match=f"p: {name} is"):
            text_list_field(row, name, "p")
