"""`thinkling export web`: a folder of static files, complete, and nothing else replaced."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import sys
import tarfile
import urllib.request
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "puzzles"))

from random_network import write_random_run

from thinkling.cli.main import main
from thinkling.errors import InputError
from thinkling.puzzles.onnx_solver import OnnxSolver
from thinkling.serving import web_runtime
from thinkling.serving.web_export import PAGE, export_web
from thinkling.serving.web_runtime import FILES, LICENSE, cache_folder, runtime_files


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files that are called like those of onnxruntime-web."""
    folder = tmp_path_factory.mktemp("ort")
    for name in FILES:
        (folder / name).write_text(f"this is {name}", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def folder(runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `run` and its export `site`."""
    folder = tmp_path_factory.mktemp("web")
    write_random_run(folder / "run")
    words = ["--out", folder / "site", "--ort", runtime, "--name", "small one"]
    assert main(["export", "web", str(folder / "run"), *map(str, words)]) == 0
    return folder


def test_the_folder_is_complete(folder: Path, runtime: Path) -> None:
    site = folder / "site"
    assert (site / "index.html").read_bytes() == (PAGE / "index.html").read_bytes()
    named = {path.name for path in PAGE.iterdir() if path.is_file()} - {"index.html"}
    assert {path.name for path in (site / "page").iterdir()} == named
    assert {path.name for path in (site / "ort").iterdir()} == {*FILES, LICENSE}
    assert "MIT License" in (site / "ort" / LICENSE).read_text(encoding="utf-8")
    for name in FILES:
        assert (site / "ort" / name).read_bytes() == (runtime / name).read_bytes()
    # Whatever the page names first is there.
    for address in re.findall(
        r'(?:href|src)="(page/[^"]+)"', (site / "index.html").read_text(encoding="utf-8")
    ):
        assert (site / address).is_file(), address


def test_the_page_is_told_how_to_think(folder: Path) -> None:
    told = json.loads((folder / "site" / "manifest.json").read_text(encoding="utf-8"))
    assert (told["backend"], told["product"], told["name"]) == ("onnx", "puzzles", "small one")
    assert told["description"]["task"] == {"name": "sudoku", "size": 4}
    assert told["description"]["can_search"] is True
    assert told["halting"]["learning"] == "halt_only"
    assert told["identifiers"] == []
    model = OnnxSolver.from_file(folder / "site" / told["model"], threads=1)
    assert told["graph"] == {"positions": model.positions, "width": model.width}
    assert told["examples"]
    for example in told["examples"]:
        model.task.validate(model.task.parse(example["puzzle"]))


def test_only_an_earlier_export_is_replaced(folder: Path, runtime: Path, tmp_path: Path) -> None:
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter").write_text("years of work", encoding="utf-8")
    file = tmp_path / "file"
    file.write_text("text", encoding="utf-8")
    for out in (other, file, folder / "run"):
        with pytest.raises(InputError, match="holds something else"):
            export_web(folder / "run", out, runtime=runtime)
    assert (other / "chapter").exists()
    (folder / "site" / "old").write_text("of the last export", encoding="utf-8")
    written = export_web(folder / "run", folder / "site", runtime=runtime)
    assert not (folder / "site" / "old").exists()
    assert written.checked
    assert written.model.path == folder / "site" / "model.onnx"
    assert written.bytes == sum(
        path.stat().st_size for path in (folder / "site").rglob("*") if path.is_file()
    )
    assert json.loads((folder / "site" / "manifest.json").read_text(encoding="utf-8"))["name"] == "run"


def test_bad_input_leaves_nothing(folder: Path, runtime: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("question\n11..............\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"bad\.csv line 2"):
        export_web(folder / "run", tmp_path / "site", runtime=runtime, examples=bad)
    with pytest.raises(InputError, match=r"without ort\.wasm\.min\.mjs"):
        export_web(folder / "run", tmp_path / "site", runtime=tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        export_web(tmp_path / "nowhere", tmp_path / "site", runtime=runtime)
    with pytest.raises(InputError, match="--int8 without --data"):
        export_web(folder / "run", tmp_path / "site", runtime=runtime, int8=True)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.csv"]


def package(names: tuple[str, ...] = FILES) -> bytes:
    """A package of npm's kind."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in (*names, "../../outside"):
            entry = tarfile.TarInfo(f"package/dist/{name}")
            entry.size = len(name)
            archive.addfile(entry, io.BytesIO(name.encode()))
    return packed.getvalue()


def test_the_runtime_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = package()
    asked: list[str] = []

    def answer(address: str, timeout: float) -> io.BytesIO:
        asked.append(address)
        return io.BytesIO(content)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(urllib.request, "urlopen", answer)
    with pytest.raises(InputError, match=r"with the SHA-512.*--ort"):  # another package than the one expected
        runtime_files()
    assert not cache_folder().exists()
    digest = base64.b64encode(hashlib.sha512(content).digest()).decode()
    monkeypatch.setattr(web_runtime, "SHA512", digest)
    first = runtime_files()
    assert {name: first[name] for name in FILES} == {name: name.encode() for name in FILES}
    assert runtime_files() == first
    assert asked == [web_runtime.ADDRESS] * 2
    # A file of the cache that has changed is not used.
    (cache_folder() / FILES[0]).write_text("something else", encoding="utf-8")
    assert runtime_files() == first
    assert len(asked) == 3
    assert not (tmp_path / "outside").exists()


def test_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(address: str, timeout: float) -> io.BytesIO:
        raise OSError("no route to host")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(InputError, match=r"no route to host.*--ort"):
        runtime_files()
