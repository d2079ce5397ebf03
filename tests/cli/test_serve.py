"""`thinkling serve` end to end: a process of its own, the official client, and Ctrl+C."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from fastapi.testclient import TestClient

sys.path.insert(0, str(Path(__file__).parents[1] / "serving"))
sys.path.insert(0, str(Path(__file__).parents[1] / "thinking_bert"))

from small_encoder import write_random_run as write_random_encoder
from small_model import write_random_run
from small_server import small_tokenizer

from thinkling.cli import serve
from thinkling.cli.main import main
from thinkling.cli.serve import address, is_loopback, listening
from thinkling.errors import InputError
from thinkling.puzzles.laptop_recipes import sudoku_4x4
from thinkling.puzzles.puzzle_model import PuzzleModel, build
from thinkling.tasks.sudoku import Sudoku


@pytest.fixture(scope="module")
def chat_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serve") / "small-talk"
    write_random_run(folder, small_tokenizer())
    return folder


@pytest.fixture
def server(chat_run: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "thinkling", "serve", chat_run, "--port", "0", "--json"]
    process = subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_the_command_serves_until_it_is_told_to_stop(server: subprocess.Popen[str]) -> None:
    assert server.stdout is not None
    told = json.loads(server.stdout.readline())
    assert set(told) == {"url", "page", "model", "params"}
    assert told["url"].startswith("http://127.0.0.1:")
    assert told["url"] == f"{told['page']}v1"
    with openai.OpenAI(base_url=told["url"], api_key="any", timeout=20) as client:
        assert [model.id for model in client.models.list()] == ["small-talk"]
        answer = client.chat.completions.create(
            model="small-talk", messages=[{"role": "user", "content": "2+2?"}], max_tokens=8
        )
    assert answer.usage is not None
    assert 1 <= answer.usage.completion_tokens <= 8
    server.send_signal(signal.SIGINT)
    out, err = server.communicate(timeout=20)
    assert server.returncode == 0
    assert out == ""
    assert err.strip() == "stopped"


class NoServer:
    """In place of uvicorn: the application is made, and nobody is served."""

    made: dict[str, Any]

    def Config(self, app: Any, **settings: Any) -> Any:
        self.made = {"app": app, **settings}
        return self

    def Server(self, config: Any) -> Any:
        return self

    def run(self, sockets: list[socket.socket]) -> None:
        assert [each.getsockname()[1] > 0 for each in sockets] == [True]


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> NoServer:
    nobody = NoServer()
    monkeypatch.setattr(serve, "_uvicorn", lambda: nobody)
    return nobody


def test_on_this_machine_only_there_is_no_warning(
    no_server: NoServer, chat_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", str(chat_run), "--port", "0", "--name", "parrot"]) == 0
    said = capsys.readouterr()
    assert "parrot (" in said.out
    assert "http://127.0.0.1:" in said.out
    assert said.err == ""
    assert not no_server.made["access_log"]


def test_to_the_whole_network_there_is_a_loud_one(
    no_server: NoServer, chat_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", str(chat_run), "--port", "0", "--host", "0.0.0.0"]) == 0
    said = capsys.readouterr()
    assert "WARNING: listening at 0.0.0.0" in said.err
    assert "password" in said.err


def test_what_is_no_model_for_conversations_is_refused(
    no_server: NoServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", str(tmp_path / "nothing")]) == 2
    assert "nothing" in capsys.readouterr().err
    write_random_run(tmp_path / "run", small_tokenizer(), stage="pretraining")
    assert main(["serve", str(tmp_path / "run"), "--port", "0"]) == 2
    assert "lm-sft" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--slots", "0"], "slots 0"),
        (["--temperature", "9"], "temperature 9"),
        (["--think-budget", "-1"], "think_budget -1"),
        (["--port", "70000"], "--port 70000"),
        (["--port", "-1"], "--port -1"),
        (["--host", "192.0.2.7"], "--host 192.0.2.7"),
        (["--host", "a" * 300], "--host aaa"),
        (["--port", "http"], "--port 'http'"),
    ],
)
def test_bad_flags_are_named(
    chat_run: Path, flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", str(chat_run), *flags]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_a_port_that_is_taken_is_refused_before_the_model_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with listening("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", str(tmp_path / "nothing"), "--port", str(port)]) == 2
    assert f"--port {port}" in capsys.readouterr().err


def test_without_the_extra_the_command_says_how_to_install_it(
    chat_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("fastapi", "uvicorn"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["serve", str(chat_run), "--port", "0"]) == 2
    assert "pip install 'thinkling[serve]'" in capsys.readouterr().err


def test_the_command_s_help_needs_no_web_server() -> None:
    program = (
        "import sys; from thinkling.cli.main import main; main(['serve', '--help'])\n"
        "assert not {'torch', 'fastapi', 'uvicorn'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--think-budget" in done.stdout


def test_addresses_of_this_machine_are_known() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.1", "example.org")))
    with listening("localhost", 0) as listener:
        assert address(listener).endswith("/v1")
    with pytest.raises(InputError, match="65535"):
        listening("127.0.0.1", 65536)


@pytest.fixture(scope="module")
def puzzle_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network for 4x4 Sudoku that has learned nothing; its searches end all the same."""
    recipe = sudoku_4x4()
    task = Sudoku(4)
    settings = dataclasses.asdict(recipe.model)
    network = build("hrm", settings)
    network.initialize(0)
    config = {
        "product": "puzzles",
        "architecture": "hrm",
        "model": settings,
        "task": task.settings(),
        "halting": dataclasses.asdict(recipe.halting),
    }
    folder = tmp_path_factory.mktemp("serve") / "small-puzzles"
    PuzzleModel(network, task, recipe.halting, config).save_pretrained(folder)
    return folder


def test_puzzles_are_served_with_their_page(
    no_server: NoServer, puzzle_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = tmp_path / "mine.csv"
    examples.write_text("question\n1.3...4...2.4.1.\n")
    flags = ["--port", "0", "--examples", str(examples), "--max-puzzles", "2"]
    assert main(["serve", str(puzzle_run), *flags]) == 0
    assert "for a browser  http://127.0.0.1:" in capsys.readouterr().out
    with TestClient(no_server.made["app"], base_url="http://localhost") as client:
        assert client.get("/").status_code == 200
        manifest = client.get("/manifest.json").json()
        assert manifest["name"] == "small-puzzles"
        (example,) = manifest["examples"]
        body = {"puzzle": example["puzzle"], "search": True}
        (result,) = client.post("/v1/solve", json=body).json()["results"]
        assert result["status"] == "verified"
        assert client.post("/v1/solve", json={"puzzles": [example["puzzle"]] * 3}).status_code == 413


def test_masks_are_served_with_their_page(no_server: NoServer, tmp_path: Path) -> None:
    write_random_encoder(tmp_path / "encoder")
    assert main(["serve", str(tmp_path / "encoder"), "--port", "0"]) == 0
    with TestClient(no_server.made["app"], base_url="http://localhost") as client:
        assert client.get("/manifest.json").json()["product"] == "thinking_bert"
        assert client.post("/v1/fill", json={"text": "the <mask>"}).status_code == 200


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--max-steps", "0"], "max_steps 0"),
        (["--max-budget", "-1"], "max_budget -1"),
        (["--max-top-k", "0"], "max_top_k 0"),
        (["--max-choices", "0"], "max_choices 0"),
        (["--max-waiting-puzzles", "-1"], "max_waiting_puzzles -1"),
        (["--examples", "nowhere.csv"], "nowhere.csv"),
        (["--grid", "9x9"], "9x9"),
        (["--grid", "nine"], "--grid 'nine'"),
        (["--task", "plugin.py"], "plugin.py"),
        (["--compile"], "--compile"),
    ],
)
def test_bad_flags_for_puzzles_are_named(
    puzzle_run: Path, flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", str(puzzle_run), "--port", "0", *flags]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_flags_of_another_product_are_named(chat_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for flags in (["--examples", "mine.csv"], ["--grid", "9x9"]):
        assert main(["serve", str(chat_run), "--port", "0", *flags]) == 2
        assert flags[0] in capsys.readouterr().err
