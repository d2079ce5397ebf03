"""Rows of benchmarks and the n-grams that are looked for."""

import gzip
import json
from pathlib import Path

import pytest

from thinkling.errors import InputError
from thinkling.lm.contamination import Benchmark, benchmark_rows, benchmarks, ngrams_of


def test_what_does_not_count_and_what_does() -> None:
    first = ngrams_of("Anna   has 3 apples, and É eats 12.", 3)
    assert first == ngrams_of("anna has 3 APPLES — and e eats 12!", 3)
    assert first != ngrams_of("Anna has 4 apples, and É eats 12.", 3)
    assert len(first) == 6
    assert ngrams_of("two words", 3) == []


def test_kinds_of_rows(tmp_path: Path) -> None:
    rows = [
        {"question": "q", "answer": "a", "id": 7},
        {"problem": "p", "solution": "s"},
        {"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "v"}]},
        {"text": "t"},
    ]
    path = tmp_path / "b.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    assert list(benchmark_rows(path)) == [(1, "q a"), (2, "p s"), (3, "u v"), (4, "t")]


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("{", "line 2: no JSON"),
        ("[1]", "line 2: no question"),
        ('{"answer": "4"}', "fields: 'answer'"),
        ('{"question": " "}', "no question"),
        ('{"messages": []}', "no question"),
    ],
)
def test_a_row_without_a_question_is_named(line: str, part: str, tmp_path: Path) -> None:
    path = tmp_path / "b.jsonl"
    path.write_text('{"question": "q"}\n' + line + "\n")
    with pytest.raises(InputError, match=part):
        list(benchmark_rows(path))


def test_names_of_benchmarks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("gsm8k.test.jsonl", "a=b.jsonl"):
        (tmp_path / name).write_text("")
    assert benchmarks(["gsm8k.test.jsonl", "math=gsm8k.test.jsonl", "a=b.jsonl"]) == (
        Benchmark("gsm8k", "gsm8k.test.jsonl"),
        Benchmark("math", "gsm8k.test.jsonl"),
        Benchmark("a=b", "a=b.jsonl"),
    )
    with pytest.raises(InputError, match="no name"):
        benchmarks(["=gsm8k.test.jsonl"])
