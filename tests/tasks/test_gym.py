"""Data sets of reasoning-gym, with a small stand-in for the package: the extra is not needed to test."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from thinkling.data.array_store import read_dataset
from thinkling.errors import InputError
from thinkling.puzzles.datasets.table import import_gym
from thinkling.tasks.gym import gym_names, gym_rows
from thinkling.tasks.registry import get_task

BEFORE, AFTER = "Reverse these letters.\nThey are: ", "\nAnswer with the letters only."


class Reversing:
    """Item i is drawn from (seed, i): three letters of four, so that some come twice."""

    def __init__(self, size: int, seed: int) -> None:
        self.seed = seed

    def __getitem__(self, index: int) -> dict[str, Any]:
        number = (self.seed * 7919 + index * 31) % 64
        word = "".join("wxyz"[number // 4**place % 4] for place in range(3))
        return {"question": f"{BEFORE}{word}!{AFTER}", "answer": word[::-1], "metadata": {}}


class Broken(Reversing):
    def __getitem__(self, index: int) -> dict[str, Any]:
        if self.seed == 1:
            raise ValueError("no such thing")
        return {"question": "which?", "answer": None if index else "this"}


@pytest.fixture
def gym(monkeypatch: pytest.MonkeyPatch) -> None:
    package, factory = ModuleType("reasoning_gym"), ModuleType("reasoning_gym.factory")
    kinds = {"reversing": Reversing, "broken": Broken}

    def create_dataset(name: str, **settings: Any) -> Any:
        if settings["seed"] == 2:
            raise TypeError("bad settings")
        return kinds[name](**settings)

    package.create_dataset = create_dataset  # type: ignore[attr-defined]  # a stand-in
    factory.DATASETS = dict.fromkeys(kinds)  # type: ignore[attr-defined]  # a stand-in
    monkeypatch.setattr("importlib.metadata.version", lambda name: {"reasoning-gym": "0.0.test"}[name])
    monkeypatch.setitem(sys.modules, "reasoning_gym", package)
    monkeypatch.setitem(sys.modules, "reasoning_gym.factory", factory)


def test_rows_depend_on_seed_and_index(gym: None) -> None:
    assert gym_names() == ("broken", "reversing")
    first = list(gym_rows("reversing", seed=0, count=10))
    assert first == list(gym_rows("reversing", seed=0, count=20))[:10]
    assert first != list(gym_rows("reversing", seed=3, count=10))


def test_an_import_leaves_the_instructions_and_equal_questions_out(gym: None, tmp_path) -> None:
    told = import_gym("reversing", tmp_path / "out", count=200, seed=5)
    assert told["train"] + told["test"] == 64
    assert told["left_out"] == {"duplicates": 136, "overlap": 0}
    data = read_dataset(tmp_path / "out")
    task = get_task(data.task_settings)
    assert (task.alphabet, task.length, task.frame) == ("wxyz", 3, (BEFORE, f"!{AFTER}"))
    train, test = task.format_rows(data.train.inputs), task.format_rows(data.test.inputs)
    assert not set(train) & set(test)
    assert [text[::-1] for text in train] == task.format_rows(data.train.labels)
    assert task.parse(f"{BEFORE}wxy!{AFTER}").tolist() == task.parse("wxy").tolist()
    assert (data.info["generator"], data.info["reasoning_gym"]) == ("reasoning-gym reversing", "0.0.test")
    assert import_gym("reversing", tmp_path / "again", count=200, seed=5)["sha256"] == told["sha256"]


def test_progress_is_told(gym: None, tmp_path) -> None:
    told: list[tuple[int, int]] = []
    import_gym(
        "reversing", tmp_path / "out", count=5, progress=lambda done, wanted: told.append((done, wanted))
    )
    assert told == [(done, 5) for done in range(5)]


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        (
            "reversin",
            {},
            "--gym 'reversin'; allowed: one of reasoning-gym's 2 data sets; did you mean 'reversing'",
        ),
        ("broken", {}, "--gym broken: item 1 has the answer 'None'"),
        ("broken", {"seed": 1}, "--gym broken: item 0 cannot be made .ValueError: no such thing"),
        ("broken", {"seed": 2}, "--gym broken: cannot be made .TypeError: bad settings"),
        ("reversing", {"count": 0}, "--count 0"),
        ("reversing", {"length": 2}, "up to 3 characters; allowed: 2; give a larger --length"),
    ],
)
def test_what_cannot_be_imported(
    gym: None, tmp_path, name: str, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        import_gym(name, tmp_path / "out", **settings)
    assert list(tmp_path.iterdir()) == []


def test_without_the_package_the_command_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(
        InputError, match=r"without the package reasoning-gym.*pip install 'thinkling\[gym\]'"
    ):
        import_gym("mini_sudoku", tmp_path / "out")
