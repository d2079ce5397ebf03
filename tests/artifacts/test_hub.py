"""hf:// addresses, with a hub made of folders: nothing here needs a network or the package."""

import sys
import types
from pathlib import Path

import pytest

from thinkling.artifacts.hub import HubAddress, fetched, read_address
from thinkling.errors import InputError


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A stand-in for `huggingface_hub` that knows one repository; its calls are collected."""
    calls = []
    (tmp_path / "snapshot/run").mkdir(parents=True)
    (tmp_path / "snapshot/run/config.json").write_text("{}")

    def snapshot_download(**asked):
        calls.append(asked)
        if asked["repo_id"] != "me/model":
            raise RuntimeError("404 Client Error\nRepository Not Found")
        return str(tmp_path / "snapshot")

    module = types.ModuleType("huggingface_hub")
    module.snapshot_download = snapshot_download
    module.calls = calls
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return module


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf://me/model", HubAddress(repository="me/model")),
        ("hf://me/model/", HubAddress(repository="me/model")),
        ("hf://me/model@v1.2", HubAddress(repository="me/model", revision="v1.2")),
        ("hf://me/model@main/a/b.csv", HubAddress(repository="me/model", revision="main", path="a/b.csv")),
        ("hf://me/my.model-2/run", HubAddress(repository="me/my.model-2", path="run")),
        (
            "hf://datasets/me/set/train.csv",
            HubAddress(repository="me/set", kind="dataset", path="train.csv"),
        ),
        (Path("hf://me/model/run"), HubAddress(repository="me/model", path="run")),
    ],
)
def test_addresses(text, expected):
    assert read_address(text) == expected
    assert read_address(str(expected)) == expected


@pytest.mark.parametrize("text", ["hf://me", "hf://", "hf://me/model/../x", "hf://me/mo del", "hf:// /x"])
def test_a_malformed_address_is_refused(text):
    with pytest.raises(InputError, match="OWNER/NAME"):
        read_address(text)


@pytest.mark.parametrize("text", ["runs/demo", "/tmp/hf/x", "hf", Path("x.csv")])
def test_paths_of_this_machine_are_left_alone(text):
    assert read_address(text) is None
    assert fetched(text) == Path(text)


def test_files_are_fetched(hub, tmp_path):
    assert fetched("hf://me/model@v1/run") == tmp_path / "snapshot/run"
    assert hub.calls == [
        {"repo_id": "me/model", "repo_type": "model", "revision": "v1", "allow_patterns": ["run", "run/*"]}
    ]
    assert fetched("hf://me/model") == tmp_path / "snapshot"
    assert hub.calls[1]["allow_patterns"] is None


def test_what_the_hub_does_not_have_is_named(hub):
    with pytest.raises(InputError, match=r"hf://me/model/walk: no such file"):
        fetched("hf://me/model/walk")
    with pytest.raises(InputError, match=r"hf://you/model: cannot be fetched \(404 Client Error\)"):
        fetched("hf://you/model")


def test_the_missing_package_is_named_with_its_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"pip install 'thinkling\[hub\]'"):
        fetched("hf://me/model")
