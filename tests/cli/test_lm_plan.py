"""`thinkling lm plan`."""

import json
import subprocess
import sys
from typing import Any

import pytest

from thinkling.cli.lm_plan import size_in_words, time_in_words
from thinkling.cli.main import main


def run(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    assert main(["lm", "plan", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("name", "total"), [("500m", 489_300_736), ("1B", 953_244_672), ("3b", 2_875_377_664)]
)
def test_a_plan_has_everything(name: str, total: int, capsys: pytest.CaptureFixture[str]) -> None:
    plan = run(capsys, name)
    assert plan["params"]["total"] == total
    assert sum(size for part, size in plan["params"].items() if part != "total") == total
    assert {(item["stage"], item["precision"]) for item in plan["stages"]} == {
        (stage, precision)
        for stage in ("pre-training", "fine-tuning", "reinforcement learning")
        for precision in ("fp32", "bf16")
    }
    assert plan["length"] == 8192
    assert plan["kv_cache"][-1]["length"] == plan["config"]["max_length"]
    assert set(plan["gguf"]) == {"bf16", "f16", "q8_0", "q4_k_m", "q4_0"}
    assert plan["gguf"]["bf16"] > plan["gguf"]["q8_0"] > plan["gguf"]["q4_k_m"] > plan["gguf"]["q4_0"]
    assert [item["tokens"] for item in plan["budgets"]] == [10**10, 5 * 10**10, 10**11]
    names = [item["hardware"]["name"] for item in plan["hardware"]]
    assert names == ["rtx5090", "h100", "h200", "trn2.48xlarge", "graviton4", "pi5"]
    for item in plan["hardware"]:
        assert len(item["runs"]) == (3 if item["fits"] else 0)
        assert any(line.startswith(f"{item['hardware']['name']}: ") for line in plan["assumptions"])


def test_own_assumptions(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("5m", "--length", 512, "--rows", 4, "--tokens", 1000000, "--hardware", "h100", "--machines", 2)
    plan = run(capsys, *words, "--price", "h100=1", "--utilisation", 0.5)
    (only,) = plan["hardware"]
    assert (plan["length"], plan["rows"], plan["machines"]) == (512, 4, 2)
    seconds = plan["budgets"][0]["flops"] / (2 * 0.5 * 989.4e12)
    assert only["runs"] == [
        {"tokens": 10**6, "seconds": pytest.approx(seconds), "dollars": pytest.approx(seconds / 3600 * 2)}
    ]


def test_what_a_person_sees(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["lm", "plan", "3b"]) == 0
    shown = capsys.readouterr().out
    for part in (
        "2,875,377,664 parameters",
        "too much",
        "recomputing",
        "GGUF q4_k_m",
        "10B tokens",
        "$/h",
        "assumptions",
    ):
        assert part in shown, part


def test_a_plan_builds_nothing() -> None:
    """Not even on the meta device: torch is not needed."""
    program = (
        "import sys; from thinkling.lm import plan_stages, gguf_sizes, hardware, presets; "
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("500mb", "did you mean '500m'"),
        ("500m --length 10000", "1..8192"),
        ("500m --rows 0", "--rows 0"),
        ("500m --tokens 0", "--tokens 0"),
        ("500m --tokens", "--tokens"),
        ("500m --hardware h1000", "hardware 'h1000'"),
        ("500m --price 3", "--price '3'"),
        ("500m --machines 0", "--machines 0"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(words: str, part: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lm", "plan", *words.split()]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert part in captured.err


def test_numbers_in_words() -> None:
    assert [size_in_words(size) for size in (2048, 3 << 20, 5 << 30)] == ["2 KiB", "3 MiB", "5 GiB"]
    assert [time_in_words(seconds) for seconds in (5, 600, 86400, 864000, 3.2e8, 1e11)] == [
        "5 seconds",
        "10.0 minutes",
        "24.0 hours",
        "10.0 days",
        "10.1 years",
        "3,171 years",
    ]
