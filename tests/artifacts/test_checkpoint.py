"""Checkpoints: kills at every file operation, full disks, damaged files, and which folder a reader takes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from thinkling.artifacts import weights
from thinkling.artifacts.checkpoint import Checkpoint, load_checkpoint, publish, resumable, save_checkpoint
from thinkling.artifacts.run_folder import RunFolder, find_model_folder, read_config
from thinkling.errors import InputError, ThinklingError


def contents(step: int, **changes) -> Checkpoint:
    tensors = {"w": torch.full((3,), float(step))}
    return Checkpoint(
        **{
            "config": {"step": step},
            "weights": tensors,
            "averaged": tensors,
            "optimizer": tensors,
            "slots": tensors,
        }
        | {"state": {"step": step}}
        | changes
    )


def save(run: Path, step: int, name: str = "last") -> None:
    save_checkpoint(run / "checkpoints", name, contents(step), keep="previous" if name == "last" else None)


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_save_and_load(tmp_path):
    for step in (1, 2, 3):
        save(tmp_path, step)
    loaded = load_checkpoint(resumable(tmp_path))
    assert loaded.state == {"step": 3}
    assert loaded.weights["w"].tolist() == [3, 3, 3]
    assert load_checkpoint(tmp_path / "checkpoints" / "previous").state == {"step": 2}
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["last", "previous"]


KILLER = """
import os, pathlib, signal, sys
import torch
from thinkling.artifacts.checkpoint import Checkpoint, load_checkpoint, resumable, save_checkpoint

torch.set_num_threads(1)
run, left = pathlib.Path(sys.argv[1]), [10**9]

def deadly(function):
    def call(*args, **kwargs):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return call

for name in ("fsync", "mkdir", "rename", "replace", "unlink", "rmdir"):
    setattr(os, name, deadly(getattr(os, name)))

def save(step):
    tensors = {"w": torch.full((3,), float(step))}
    save_checkpoint(run / "checkpoints", "last", Checkpoint(
        config={}, weights=tensors, optimizer=tensors, slots=tensors, state={"step": step}), keep="previous")

kills = 0
for step in range(1, 200):
    child = os.fork()
    if child == 0:
        left[0] = step  # dies at the step-th file operation of this save, if the save has so many
        save(step)
        os._exit(0)
    killed = os.waitpid(child, 0)[1] != 0
    kills += killed
    found = resumable(run)
    saved = load_checkpoint(found).state["step"] if found else 0  # raises if anything found is not whole
    assert saved in ((step, last) if killed else (step,)) if step > 1 else saved in (0, 1), (step, saved)
    last = saved
    if not killed:
        break
print(kills)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks and kills")
def test_killed_at_every_file_operation(tmp_path):
    """SIGKILL at the first, second, third … file operation of a save, one kill after another: what is found
    afterwards is always whole, and is the old or the new checkpoint."""
    done = subprocess.run([sys.executable, "-c", KILLER, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 15


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), SafetensorError("I/O error: No space left on device")],
)
@pytest.mark.parametrize("at_file", [1, 3])
def test_full_disk(tmp_path, monkeypatch, error, at_file):
    """A disk that fills up while saving: clear words, nothing left behind, the old checkpoint whole."""
    save(tmp_path, 1)
    calls = []
    real = weights.save_file

    def full(tensors, path, metadata):
        calls.append(path)
        real(tensors, path, metadata)
        if len(calls) == at_file:
            raise error

    monkeypatch.setattr(weights, "save_file", full)
    with pytest.raises(ThinklingError, match="free some disk space") as caught:
        save(tmp_path, 2)
    assert caught.value.exit_code == 1
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["last"]
    assert load_checkpoint(resumable(tmp_path)).state == {"step": 1}
    save(tmp_path, 3)
    assert load_checkpoint(resumable(tmp_path)).state == {"step": 3}


@pytest.mark.parametrize(
    "file", ["model.safetensors", "optimizer.safetensors", "train_state.json", "manifest.json"]
)
@pytest.mark.parametrize("how", ["changed", "cut", "gone"])
def test_damaged_checkpoint(tmp_path, file, how):
    """A damaged file is named, with the checkpoint that is whole; that one loads by itself."""
    save(tmp_path, 1)
    save(tmp_path, 2)
    path = tmp_path / "checkpoints" / "last" / file
    if how == "gone":
        path.unlink()
    elif how == "cut" or file == "manifest.json":
        path.write_bytes(path.read_bytes()[:-9])
    else:
        spoil(path)
    if (file, how) == ("manifest.json", "gone"):  # half-written: ignored
        assert resumable(tmp_path) == tmp_path / "checkpoints" / "previous"
        return
    with pytest.raises(InputError) as caught:
        load_checkpoint(resumable(tmp_path))
    assert str(path) in caught.value.given
    good = tmp_path / "checkpoints" / "previous"
    assert str(good) in caught.value.next_step
    assert find_model_folder(good) == good
    assert load_checkpoint(good).state == {"step": 1}


def test_half_written_last_is_not_kept(tmp_path):
    """A `last` without its manifest must not push out a good `previous`."""
    for step in (1, 2):
        save(tmp_path, step)
    (tmp_path / "checkpoints" / "last" / "manifest.json").unlink()
    save(tmp_path, 3)
    assert load_checkpoint(tmp_path / "checkpoints" / "previous").state == {"step": 1}


def test_which_folder_a_reader_takes(tmp_path):
    """The run itself, else the best, else the last checkpoint, else an error."""
    checkpoints = tmp_path / "checkpoints"
    tmp_path.joinpath("config.json").write_text("{}")
    with pytest.raises(InputError, match=r"no model\.safetensors"):
        find_model_folder(tmp_path)
    save(tmp_path, 1)
    assert find_model_folder(tmp_path) == checkpoints / "last"
    (checkpoints / "last").rename(checkpoints / "last.new")  # killed before the rename
    assert find_model_folder(tmp_path) == checkpoints / "last.new"
    save(tmp_path, 2)
    save(tmp_path, 1, "best")
    assert find_model_folder(tmp_path) == checkpoints / "best"
    publish(checkpoints / "best", tmp_path)
    assert find_model_folder(tmp_path) == tmp_path
    assert read_config(tmp_path) == {"step": 1}
    assert RunFolder(tmp_path).config() == {"step": 1}
    assert RunFolder(tmp_path).has_anything()


def test_publish_on_a_full_disk(tmp_path, monkeypatch):
    """The checkpoint stays loadable and is named."""
    save(tmp_path, 1, "best")

    def full(tensors, path, metadata):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(weights, "save_file", full)
    with pytest.raises(ThinklingError, match="best is whole"):
        publish(tmp_path / "checkpoints" / "best", tmp_path)
    assert find_model_folder(tmp_path) == tmp_path / "checkpoints" / "best"


def test_damaged_run(tmp_path):
    """A damaged run folder names the file and the checkpoint to use; half-written ones are refused."""
    save(tmp_path, 1, "best")
    publish(tmp_path / "checkpoints" / "best", tmp_path)
    spoil(tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=r"model\.safetensors is damaged.*best is whole"):
        find_model_folder(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model\.safetensors is missing"):
        find_model_folder(tmp_path)
    (tmp_path / "checkpoints" / "best" / "manifest.json").unlink()
    with pytest.raises(InputError, match=r"half-written.*no other checkpoint"):
        find_model_folder(tmp_path / "checkpoints" / "best")
    with pytest.raises(InputError, match="does not exist"):
        find_model_folder(tmp_path / "nothing")
    with pytest.raises(InputError, match="is a file"):
        find_model_folder(tmp_path / "config.json")


@pytest.mark.parametrize(("text", "match"), [("{", "damaged"), ("[1]", "list"), (None, "missing")])
def test_bad_config(tmp_path, text, match):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match=match):
        read_config(tmp_path)


def test_run_without_config(tmp_path):
    weights.save_weights(tmp_path / "model.safetensors", {})
    with pytest.raises(InputError, match=r"config\.json is missing"):
        find_model_folder(tmp_path)
