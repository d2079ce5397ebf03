"""`thinkling lm quick`: every stage of the line, in miniature."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from thinkling.cli.main import main
from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.data.text_store import read_text_store
from thinkling.lm import quick
from thinkling.lm.load import load

SMALL = {
    "model.vocab-size": 300,
    "model.hidden-size": 32,
    "model.num-layers": 2,
    "model.num-heads": 2,
    "model.head-dim": 16,
    "model.inner-size": 64,
    "documentation-bytes": 40_000,
    "worked-texts": 100,
    "pretrain-steps": 3,
    "problems": 60,
    "epochs": 1,
    "held-out": 4,
}


def line(out: Path, **changes: object) -> list[str]:
    settings = {**SMALL, **{name.replace("_", "-"): value for name, value in changes.items()}}
    words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    return ["lm", "quick", "--out", str(out), "--quiet", "--json", *words]


def test_from_text_to_answers_of_llama_cpp_and_again_without_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("llama_cpp", reason="compared with llama.cpp itself")
    assert main(line(tmp_path / "line")) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["checked"]
    assert said["n"] == 4
    assert 0 <= said["exact_accuracy"] <= 1
    assert said["llama_cpp"]["same_answers"] >= 0.5  # a model that knows nothing is undecided between tokens
    assert Path(said["gguf"]).stat().st_size > 0
    model = load(said["run"])
    assert model.params == said["params"]
    corpora = [
        read_text_store(tmp_path / "line" / "corpus" / name, kind=ChatTokenizer)
        for name in ("documentation", "worked")
    ]
    assert {store.tokenizer.to_json() for store in corpora} == {model.tokenizer.to_json()}

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a finished stage is done again")

    monkeypatch.setattr(quick, "write_problems", forbidden)
    monkeypatch.setattr(quick, "write_text_store", forbidden)
    assert main(line(tmp_path / "line")) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["exact_accuracy"] == said["exact_accuracy"]
    assert again["max_abs_diff"] == said["max_abs_diff"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"problems": 0}, "problems 0"), ({"epochs": 0}, "epochs 0"), ({"model_num_heads": 3}, "num_heads 3")],
)
def test_impossible_settings_write_nothing(
    tmp_path: Path, changes: dict[str, object], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = line(
        tmp_path / "line", **{name.replace("model_", "model."): value for name, value in changes.items()}
    )
    assert main(words) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "line").exists()


def test_the_worked_texts_are_not_those_of_fine_tuning() -> None:
    recipe = quick.QuickRecipe(worked_texts=50)
    texts = [*quick._worked(recipe)]
    assert len(texts) == 50
    assert all("\nAnswer: " in text for text in texts)
