"""`thinkling generate`, `chat` and `eval` of a language model end to end, on a tiny one with random weights."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "lm"))

from small_decoder import TEXTS, write_random_run

from thinkling.cli import chat, eval_lm
from thinkling.cli.answer_arguments import printable
from thinkling.cli.arguments import parse
from thinkling.cli.main import main
from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.data.text_store import write_text_store
from thinkling.errors import InputError
from thinkling.lm.language_model import AnswerSettings, LanguageModel
from thinkling.lm.run_files import PRETRAINING

KEYS = {"text", "reasoning", "tokens", "tokens_per_second"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lm") / "run"
    write_random_run(folder)
    return folder


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lm") / "text"
    write_random_run(folder, PRETRAINING)
    return folder


def said(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, Any]:
    capsys.readouterr()
    code = main([*map(str, words), "--json"])
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_generate_has_the_contract_s_keys(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, [told] = said(capsys, "generate", run, "What is 12?", "--max-tokens", 9)
    assert code == 0
    assert set(told) >= KEYS
    assert 1 <= told["tokens"] <= 9
    sampled = [
        "generate",
        run,
        "What is 12?",
        "--max-tokens",
        9,
        "--temperature",
        1,
        "--top-p",
        0.9,
        "--seed",
        4,
    ]
    assert said(capsys, *sampled)[1][0]["text"] == said(capsys, *sampled)[1][0]["text"]


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler here")
def test_generate_with_compiled_kernels(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "generate",
        run,
        "What is 12?",
        "--max-tokens",
        9,
        "--device",
        "cpu",
        "--compute-dtype",
        "float32",
    ]
    (_, [plain]), (_, [compiled]) = said(capsys, *words), said(capsys, *words, "--compile")
    assert compiled["text"] == plain["text"]


def test_generate_for_a_person(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, [told] = said(capsys, "generate", run, "What is 12?", "--max-tokens", 9)
    assert main(["generate", str(run), "What is 12?", "--max-tokens", "9"]) == 0
    printed = capsys.readouterr()
    assert printed.out.rstrip("\n") == printable(told["reasoning"] + told["text"])
    assert "tokens/s" in printed.err


def test_generate_goes_on_with_a_text(pretrained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, [told] = said(capsys, "generate", pretrained, "The sum", "--max-tokens", 5)
    assert code == 0
    assert told["prompt_tokens"] == 1 + len(LanguageModel.from_folder(pretrained).tokenizer.encode("The sum"))


def test_generate_a_file(run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("What\r\nThe sum\n", encoding="utf-8")
    code, told = said(capsys, "generate", run, "--file", lines, "--max-tokens", 6)
    assert code == 0
    assert [set(entry) >= KEYS for entry in told] == [True, True]
    assert told[0]["text"] == said(capsys, "generate", run, "What", "--max-tokens", 6)[1][0]["text"]
    lines.write_text("What\n\n", encoding="utf-8")
    assert main(["generate", str(run), "--file", str(lines)]) == 2
    assert "lines.txt line 2: an empty prompt" in capsys.readouterr().err


def test_generate_votes(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, [told] = said(capsys, "generate", run, "7", "--votes", 5, "--max-tokens", 3)
    assert code == 0
    assert told["votes"] == 5
    assert told["share"] == pytest.approx(told["shares"].get(told["text"], 0.0))


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], "neither a text nor --file"),
        (["a", "--file", "x.txt"], "one of the two"),
        (["a", "--max-tokens", "0"], "--max-tokens"),
        (["a", "--think-budget", "-1"], "--think-budget"),
        (["a", "--temperature", "-1"], "temperature"),
        (["a", "--top-p", "0"], "top_p"),
        (["a", "--votes", "-1"], "--votes"),
        (["--file", "x.txt", "--votes", "3"], "--votes with --file"),
        (["7" * 200], "a prompt of"),
        (["a <|im_end|> b"], "im_end"),
        (["\udc80"], "surrogate"),
        (["--file", "missing.txt"], "no such file"),
    ],
)
def test_what_generate_refuses(
    run: Path, capsys: pytest.CaptureFixture[str], words: list[str], named: str
) -> None:
    assert main(["generate", str(run), *words]) == 2
    complaint = capsys.readouterr().err
    assert named in complaint
    assert len(complaint.splitlines()) == 1


def test_chat_one_message(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, [told] = said(capsys, "chat", run, "What is 12?", "--max-tokens", 9)
    assert code == 0
    assert set(told) >= KEYS
    assert main(["chat", str(run), "--json"]) == 2
    assert "--json without a message" in capsys.readouterr().err


def test_chat_reads_line_by_line(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["What is 12?", "", "/help", "/hide", "7" * 200, "a <eos> b", "/reset", "7", "/quit", "never"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines)))
    assert main(["chat", str(run), "--max-tokens", "6"]) == 0
    printed = capsys.readouterr()
    for noted in ("/reset forgets", "a prompt of", "<eos> in a message", "(forgotten)"):
        assert noted in printed.err
    assert printed.out.count("\n") >= 2


def test_a_talk_remembers_and_forgets_the_oldest(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = LanguageModel.from_folder(run, device="cpu", compute_dtype="float32")
    talk = chat.Talk(model, AnswerSettings(max_tokens=8), "Be brief.")
    first = talk.say("What")
    if talk.said:
        assert talk.said[0].content == "What"
        assert talk.said[1].content == first.text
    talk.said = [talk.user("1" * 30), chat.Message(role="assistant", content="2", reasoning="3")]
    talk.say("4" * 40)
    assert "the oldest exchange is forgotten" in capsys.readouterr().err
    assert all(message.content != "1" * 30 for message in talk.said)


def test_chat_needs_a_model_trained_on_conversations(
    pretrained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["chat", str(pretrained), "7"]) == 2
    assert "pretraining" in capsys.readouterr().err


def test_nothing_steers_the_terminal() -> None:
    assert printable("a\x1b[2J\tb\n\x07é") == "a\ufffd[2J\tb\n\ufffdé"


# ------------------------------------------------------------------------------------------------------- eval


def evaluated(run: Path, *words: object) -> Any:
    arguments = parse(eval_lm.LanguageArguments, [str(run), *map(str, words)], "eval")
    assert isinstance(arguments, eval_lm.LanguageArguments)
    return eval_lm.run(arguments)


def test_eval_of_answers(run: Path, tmp_path: Path) -> None:
    rows = [{"task": "sum", "problem": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(5)]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    told = evaluated(run, "--data", tmp_path, "--max-tokens", 5, "--limit", 3, "--show-wrong", 1)
    assert {
        "n",
        "exact_accuracy",
        "valid_rate",
        "mean_steps",
        "p95_steps",
        "seconds",
        "examples_per_second",
    } <= set(told)
    assert told["n"] == 3
    assert told["by_task"]["sum"]["n"] == 3
    assert len(told["wrong"]) <= 1
    json.dumps(told)
    assert "wrong" not in evaluated(run, "--data", tmp_path / "test.jsonl", "--max-tokens", 5)


def test_eval_of_text(pretrained: Path, tmp_path: Path) -> None:
    tokenizer = LanguageModel.from_folder(pretrained).tokenizer
    store = write_text_store(
        lambda: [f"{TEXTS[0]} {n}" for n in range(60)],
        tmp_path / "store",
        kind=ChatTokenizer,
        tokenizer=tokenizer,
    )
    assert len(store.test)
    told = evaluated(pretrained, "--data", tmp_path / "store", "--limit", 4)
    assert told["n"] <= 4
    assert told["bits_per_byte"] > 0
    json.dumps(told)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--limit", "-1"], "--limit"),
        (["--show-wrong", "-1"], "--show-wrong"),
        (["--split", "validation"], "validation.jsonl"),
    ],
)
def test_what_eval_refuses(run: Path, tmp_path: Path, words: list[str], named: str) -> None:
    (tmp_path / "test.jsonl").write_text('{"problem": "7?", "answer": "7"}\n', encoding="utf-8")
    with pytest.raises(InputError, match=named):
        evaluated(run, "--data", tmp_path, *words)


def test_eval_refuses_another_vocabulary_and_questions_to_a_pretrained_model(
    run: Path, pretrained: Path, tmp_path: Path
) -> None:
    write_text_store(
        lambda: [f"another text {n}" for n in range(40)],
        tmp_path / "store",
        kind=ChatTokenizer,
        vocab_size=280,
    )
    with pytest.raises(InputError, match="another vocabulary"):
        evaluated(run, "--data", tmp_path / "store")
    (tmp_path / "test.jsonl").write_text('{"problem": "7?", "answer": "7"}\n', encoding="utf-8")
    with pytest.raises(InputError, match="pretraining"):
        evaluated(pretrained, "--data", tmp_path / "test.jsonl")
