"""The guide's commands parse, and what it says of sizes is so."""

import re
import shlex
from pathlib import Path

import pytest

from thinkling.cli import main as frame
from thinkling.lm.plan import parameters
from thinkling.lm.presets import PRESETS

GUIDE = (Path(__file__).resolve().parents[2] / "docs/language-model.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"^```bash\n(.*?)^```", GUIDE, re.M | re.S)
    for line in block.splitlines()
    if line.strip()
]


def test_the_guide_has_commands() -> None:
    assert len(COMMANDS) >= 15


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_parses(command: str) -> None:
    words = shlex.split(command)
    assert words[0] == "thinkling"
    frame.parse(words[1:])


def test_the_table_of_sizes() -> None:
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", GUIDE, re.M)
    assert [name for name, _ in rows] == list(PRESETS)
    for name, cells in rows:
        size = PRESETS[name]
        said = [cell.strip() for cell in cells.split("|")]
        count, unit = float(said[0][:-1]), {"M": 1e6, "B": 1e9}[said[0][-1]]
        assert count * unit == pytest.approx(parameters(size).total, rel=0.005)
        heads = f"{size.num_heads}, {size.num_kv_heads} of {size.head_dim}"
        numbers = (
            size.hidden_size,
            size.num_layers,
            heads,
            size.inner_size,
            size.vocab_size,
            size.max_length,
        )
        assert said[1:] == [value if isinstance(value, str) else f"{value:,}" for value in numbers]
