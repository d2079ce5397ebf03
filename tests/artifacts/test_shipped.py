"""Models that come with the package: whole, small, explained, and found by their name alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from thinkling.artifacts.run_folder import WEIGHTS, find_fault, find_model_folder, read_config, shipped_run
from thinkling.artifacts.shipped import shipped_folder, shipped_names
from thinkling.artifacts.weights import load_weights
from thinkling.cli.solve import Arguments
from thinkling.errors import InputError

MOST_BYTES = 16_000_000


def found(name: str) -> Path:
    folder = shipped_folder(Path(name))
    assert folder is not None
    return folder


def test_there_is_a_sudoku_model() -> None:
    assert "sudoku" in shipped_names()


@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_model_is_whole_small_and_half_precision(name: str) -> None:
    folder = found(name)
    assert find_fault(folder) is None
    assert sum(file.stat().st_size for file in folder.iterdir()) <= MOST_BYTES
    assert {tensor.dtype for tensor in load_weights(folder / WEIGHTS).values()} == {torch.bfloat16}


@pytest.mark.parametrize("name", shipped_names())
def test_the_card_of_a_shipped_model_says_where_it_comes_from(name: str) -> None:
    card, config = (found(name) / "README.md").read_text(encoding="utf-8"), read_config(found(name))
    params = sum(tensor.numel() for key, tensor in load_weights(found(name) / WEIGHTS).items())
    widths = 2 * config["model"]["hidden_size"]  # the two initial states are drawn, not trained
    assert f"{params - widths:,} parameters" in card
    for needed in (
        "## Data",
        config["provenance"]["data_sha256"],
        "## Training",
        f"seed {config['training']['seed']}",
        config["provenance"]["hardware"]["processor"],
        "## Scores",
        "one chain",
        "## Licence",
        f"thinkling solve {name}",
    ):
        assert needed in card, needed


@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_model_tells_nothing_of_the_machine_s_folders(name: str) -> None:
    for file in ("config.json", "README.md"):
        text = (found(name) / file).read_text(encoding="utf-8")
        assert "/tmp" not in text
        assert "/home" not in text


@pytest.mark.parametrize(
    "path", ["", ".", "..", "../sudoku", "shipped/sudoku", "/sudoku", "sudoku/..", "SUDOKU", "sudoku.onnx"]
)
def test_only_a_bare_name_is_a_shipped_model(path: str) -> None:
    assert shipped_folder(Path(path)) is None


def test_a_name_stands_for_the_folder_in_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_model_folder("sudoku") == found("sudoku")
    (tmp_path / "sudoku").mkdir()
    (tmp_path / "sudoku/puzzles.csv").touch()
    assert find_model_folder("sudoku") == found("sudoku"), "a folder without a model is in nobody's way"


def test_a_run_folder_of_the_same_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever trains into `sudoku` means that run, also while it has no weights yet."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sudoku").mkdir()
    (tmp_path / "sudoku/config.json").write_text("{}")
    with pytest.raises(InputError, match=r"sudoku has no model\.safetensors"):
        find_model_folder("sudoku")
    (tmp_path / "sudoku" / WEIGHTS).touch()
    assert find_model_folder("sudoku") == Path("sudoku")
    assert shipped_run(Path("sudoku")) is None


def test_only_a_shipped_model_searches_without_being_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`thinkling solve` searched with a run folder of the same name, too."""
    monkeypatch.chdir(tmp_path)
    arguments = Arguments(run_folder=Path("sudoku"))
    assert arguments.searches
    (tmp_path / "sudoku").mkdir()
    (tmp_path / "sudoku/config.json").write_text("{}")
    assert not arguments.searches


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"sudokoo does not exist.*a run folder or 'sudoku'"):
        find_model_folder("sudokoo")


def test_models_are_looked_for_where_a_config_is(tmp_path: Path) -> None:
    assert shipped_names(tmp_path) == []
    for name in ("b", "a", "empty"):
        (tmp_path / name).mkdir()
    for name in ("a", "b"):
        (tmp_path / name / "config.json").touch()
    assert shipped_names(tmp_path) == ["a", "b"]
    assert shipped_folder(Path("b"), tmp_path) == tmp_path / "b"
    assert shipped_folder(Path("empty"), tmp_path) is None
