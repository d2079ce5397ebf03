"""Official checkpoints of any task: told by data or by themselves, puzzle embeddings never replaced silently."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import thinkling
from thinkling.cli.main import main
from thinkling.data.array_store import read_dataset, write_dataset
from thinkling.errors import InputError
from thinkling.puzzles.datasets.maze import make_maze
from thinkling.puzzles.datasets.sudoku import make_sudoku
from thinkling.puzzles.hrm import HRM, HRMConfig
from thinkling.puzzles.official_checkpoint import import_checkpoint
from thinkling.puzzles.trm import TRM, TRMConfig

MINI_ARC = Path(__file__).parents[1] / "golden/mini_arc"
WIDTH = 8


def checkpoint(
    folder: Path,
    *,
    kind: str = "trm",
    vocab_size: int = 12,
    ids: int = 13,
    data_path: str = "data/arc1concept-aug-1000",
    **arch: Any,
) -> Path:
    """A tiny model, saved as the official code saves it."""
    sizes: dict[str, Any] = {
        "vocab_size": vocab_size,
        "seq_len": 4,
        "num_puzzle_ids": ids,
        "puzzle_emb_dim": WIDTH,
        "hidden_size": WIDTH,
        "num_heads": 2,
        "L_layers": 1,
        "H_cycles": 1,
        "L_cycles": 1,
    }
    network = HRM(HRMConfig(**sizes, H_layers=1)) if kind == "hrm" else TRM(TRMConfig(**sizes))
    state = dict(network.state_dict())
    state["puzzle_emb.weights"] = torch.arange(ids * WIDTH, dtype=torch.float32).reshape(ids, WIDTH)
    official = {
        "_orig_mod.model.inner."
        + (name.replace("weight", "embedding_weight") if name.startswith("embed_tokens") else name): tensor
        for name, tensor in state.items()
    }
    official["_orig_mod.model.inner.puzzle_emb.local_weights"] = torch.zeros(4, WIDTH)
    official["_orig_mod.model.inner.puzzle_emb.local_ids"] = torch.zeros(4, dtype=torch.int32)
    settings = {
        "puzzle_emb_ndim": WIDTH,
        "hidden_size": WIDTH,
        "num_heads": 2,
        "expansion": 4.0,
        "H_cycles": 1,
        "L_cycles": 1,
        "H_layers": 1 if kind == "hrm" else 0,
        "L_layers": 1,
        "pos_encodings": "rope",
        "halt_max_steps": 16,
        **({} if kind == "hrm" else {"puzzle_emb_len": 1, "mlp_t": False}),
        **arch,
    }
    folder.mkdir()
    torch.save(official, folder / "step_7")
    paths = {"data_path": data_path} if kind == "hrm" else {"data_paths": [data_path]}
    (folder / "all_config.yaml").write_text(yaml.safe_dump({"arch": settings, **paths}))
    return folder


@pytest.fixture
def other_arc(tmp_path: Path) -> Path:
    """The golden ARC set with one puzzle more."""
    data = read_dataset(MINI_ARC)
    for examples in (data.train, data.test):
        object.__setattr__(
            examples,
            "metadata",
            type(examples.metadata)(**vars(examples.metadata) | {"num_puzzle_identifiers": 14}),
        )
    write_dataset(tmp_path / "other", data.train, data.test, [*data.identifiers, "one|||t1|||0123456789"])
    (tmp_path / "other/thinkling.json").unlink()
    return tmp_path / "other"


@pytest.mark.parametrize("kind", ["hrm", "trm"])
def test_an_arc_checkpoint_with_its_data(kind: Any, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "official", kind=kind)
    told = import_checkpoint(kind, folder, tmp_path / "run", MINI_ARC)
    assert told["unmatched"] == []
    assert told["puzzle_embedding_reset"] is False
    model = thinkling.load(tmp_path / "run")
    assert model.task.name == "arc"
    assert (model.network.config.seq_len, model.network.config.num_puzzle_ids) == (900, 13)
    assert model.network.puzzle_emb is not None
    assert model.network.puzzle_emb.weights[12, 0] == 12 * WIDTH
    names = read_dataset(MINI_ARC).identifiers
    assert json.loads((tmp_path / "run/identifiers.json").read_text()) == names
    assert model.identifiers == tuple(names)
    assert model.task.puzzle_id("25ff71a9") == names.index("25ff71a9")
    solution = model.solve("[[0,1],[2,3]]", steps=1, puzzle_name="25ff71a9")
    assert solution.status == "unverified"


def test_other_puzzles_are_named_and_reset_only_when_asked(tmp_path: Path, other_arc: Path) -> None:
    folder = checkpoint(tmp_path / "official")
    with pytest.raises(InputError) as error:
        import_checkpoint("trm", folder, tmp_path / "run", other_arc)
    for part in ("13 puzzle embeddings", "14 puzzles", "--reset-puzzle-embedding"):
        assert part in str(error.value)
    assert not (tmp_path / "run").exists()
    told = import_checkpoint("trm", folder, tmp_path / "run", other_arc, reset_puzzle_embedding=True)
    assert told["puzzle_embedding_reset"] is True
    model = thinkling.load(tmp_path / "run")
    assert model.network.puzzle_emb is not None
    rows = model.network.puzzle_emb.weights
    mean = torch.arange(13 * WIDTH, dtype=torch.float32).reshape(13, WIDTH).mean(0)
    assert rows.shape == (14, WIDTH)
    assert torch.allclose(rows, mean.expand(14, WIDTH))
    assert model.params == told["params"]
    assert json.loads((tmp_path / "run/config.json").read_text())["provenance"]["puzzle_embedding_reset"]


def test_names_beside_the_checkpoint_stand_for_data_and_are_compared_with_it(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "official")
    with pytest.raises(InputError, match=r"of ARC without the names of its puzzles.*--data DIR"):
        import_checkpoint("trm", folder, tmp_path / "run", None)
    names = read_dataset(MINI_ARC).identifiers
    (folder / "identifiers.json").write_text(json.dumps(names))
    import_checkpoint("trm", folder, tmp_path / "run", None)
    assert thinkling.load(tmp_path / "run").identifiers == tuple(names)
    import_checkpoint("trm", folder, tmp_path / "again", MINI_ARC)
    (folder / "identifiers.json").write_text(json.dumps([names[0], *reversed(names[1:])]))
    with pytest.raises(InputError, match=r"puzzle embedding 1 is of .*--reset-puzzle-embedding"):
        import_checkpoint("trm", folder, tmp_path / "third", MINI_ARC)
    (folder / "identifiers.json").write_text(json.dumps(names[:5]))
    with pytest.raises(InputError, match="13 puzzle embeddings for data with 5 puzzles"):
        import_checkpoint("trm", folder, tmp_path / "third", None)


@pytest.mark.parametrize("kind", ["hrm", "trm"])
def test_a_maze_checkpoint_tells_its_size(kind: Any, tmp_path: Path) -> None:
    folder = checkpoint(
        tmp_path / "official", kind=kind, vocab_size=6, ids=1, data_path="data/maze-30x30-hard-1k"
    )
    import_checkpoint(kind, folder, tmp_path / "run", None)
    model = thinkling.load(tmp_path / "run")
    assert model.task.settings() == {"name": "maze", "rows": 30, "columns": 30}
    assert model.network.config.seq_len == 900
    assert not (tmp_path / "run/identifiers.json").exists()
    maze = "S" + " " * 898 + "G"
    assert model.solve(maze, steps=1).status in ("verified", "unsolved")


def test_a_maze_checkpoint_with_data_of_any_size(tmp_path: Path) -> None:
    make_maze(tmp_path / "data", rows=6, columns=7, train=5, test=2)
    folder = checkpoint(tmp_path / "official", vocab_size=6, ids=1, data_path="data/mine")
    with pytest.raises(InputError, match=r"6 tokens.*--data"):
        import_checkpoint("trm", folder, tmp_path / "run", None)
    import_checkpoint("trm", folder, tmp_path / "run", tmp_path / "data")
    assert thinkling.load(tmp_path / "run").task.settings() == {"name": "maze", "rows": 6, "columns": 7}


def test_data_of_another_task_is_refused(tmp_path: Path) -> None:
    make_sudoku(tmp_path / "data", size=4, train=5, test=2)
    folder = checkpoint(tmp_path / "official")
    with pytest.raises(InputError, match=r"12 tokens with the data set .*sudoku with 6 tokens"):
        import_checkpoint("trm", folder, tmp_path / "run", tmp_path / "data")
    with pytest.raises(InputError, match="--data DIR"):
        import_checkpoint("trm", folder, tmp_path / "run", None, reset_puzzle_embedding=True)


def test_the_command(tmp_path: Path, other_arc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = checkpoint(tmp_path / "official")
    words = ["import", "trm", str(folder), "--out", str(tmp_path / "run"), "--data", str(other_arc), "--json"]
    assert main(words) == 2
    assert "--reset-puzzle-embedding" in capsys.readouterr().err
    assert main([*words, "--reset-puzzle-embedding"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["unmatched"], told["puzzle_embedding_reset"]) == ([], True)


def test_a_checkpoint_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`hf://` paths are fetched first, for `thinkling import` and `thinkling.load` alike."""
    checkpoint(tmp_path / "official", vocab_size=11, ids=1)
    asked: list[str] = []

    def fetch(place: str | Path) -> Path:
        asked.append(str(place))
        return Path(str(place).replace("hf:/me/", f"{tmp_path}/").replace("hf://me/", f"{tmp_path}/"))

    monkeypatch.setattr("thinkling.cli.import_weights.fetched", fetch)
    monkeypatch.setattr("thinkling.models.fetched", fetch)
    assert main(["import", "trm", "hf://me/official", "--out", str(tmp_path / "run"), "--json"]) == 0
    assert thinkling.load("hf://me/run").task.name == "sudoku"
    assert asked == ["hf:/me/official", "hf://me/run"]
