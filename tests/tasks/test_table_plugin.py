"""The plug-in of a table: what it may do, that it runs only when named, and that its faults name file and line."""

import hashlib
import json
import sys
import time

import numpy as np
import pytest

from thinkling.errors import InputError
from thinkling.puzzles.plugins import with_plugin
from thinkling.tasks.registry import get_task
from thinkling.tasks.sudoku import Sudoku
from thinkling.tasks.table import Table
from thinkling.tasks.table_plugin import load_plugin

SUMS = Table(alphabet="+0123456789=", length=8)
CODE = """
def _parts(question):
    return question.rstrip("=").split("+")

def symmetry(question, answer, random):
    left, right = _parts(question)
    return (f"{right}+{left}=" if random.random() < 0.5 else question), answer

def check(question, answer):
    left, right = _parts(question)
    return answer == str(int(left) + int(right))

def validate(question):
    return None if question.count("+") == 1 and question.endswith("=") else "write a sum such as 1+2="

def canonical(question):
    return "+".join(sorted(_parts(question)))
"""


def written(tmp_path, code, name="sums.py"):
    path = tmp_path / name
    path.write_text(code)
    return path


@pytest.fixture
def sums(tmp_path):
    return SUMS.with_plugin(load_plugin(written(tmp_path, CODE)))


def test_a_checker_judges_texts(sums):
    assert sums.has_checker
    assert sums.check("4+5=", "9")
    assert not sums.check("4+5=", "10")
    assert not sums.check("4+5=", "nine")
    inputs, labels = sums.encode_rows(["4+5=", "1+1="], ["9", "3"])
    assert sums.check_batch(inputs, labels).tolist() == [True, False]
    assert sums.judge_batch(inputs, labels)["valid"].tolist() == [True, False]
    assert "refuses the answer '3' to '1+1='" in sums.why_wrong(inputs[1], labels[1])


def test_a_question_may_be_refused(sums):
    sums.validate(sums.parse("4+5="))
    with pytest.raises(InputError, match=r"question: write a sum such as 1\+2="):
        sums.validate(sums.parse("4+5"))


def test_symmetries_depend_on_the_numbers_only_and_keep_what_is_not_scored(sums):
    inputs, labels = sums.encode_rows(["4+5=", "123+45="] * 50, ["9", "168"] * 50)
    labels = np.where(labels == 0, -100, labels.astype(np.int32))
    draws = np.random.default_rng(0).random((100, 1))
    assert sums.augment_numbers == 1
    new_inputs, new_labels, ids = sums.augment(inputs.astype(np.int32), labels, np.arange(100), draws)
    assert (new_inputs.dtype, new_labels.dtype, ids.tolist()) == (np.int32, np.int32, list(range(100)))
    texts = sums.format_rows(new_inputs)
    assert set(texts) == {"4+5=", "5+4=", "123+45=", "45+123="}
    assert new_labels.tolist() == labels.tolist()
    again = sums.augment(inputs[::-1], labels[::-1], np.arange(100), draws[::-1])[0]
    assert again[::-1].tolist() == new_inputs.tolist()


def test_twenty_thousand_examples_a_second(sums):
    inputs, labels = sums.encode_rows(["4+5="] * 4000, ["9"] * 4000)
    draws = np.random.default_rng(0).random((4000, 1))
    start = time.perf_counter()
    sums.augment(inputs, labels, np.zeros(4000), draws)
    assert 4000 / (time.perf_counter() - start) > 10_000  # 20,000 where nothing else runs


def test_the_record_is_name_and_hash_and_nothing_runs_from_it(tmp_path, sums):
    record = {"file": "sums.py", "sha256": hashlib.sha256(CODE.encode()).hexdigest()}
    settings = json.loads(json.dumps(sums.settings()))
    assert settings["plugin"] == record
    again = get_task(settings)
    assert isinstance(again, Table)
    assert (again.code, again.has_checker, again.augment_numbers) == (None, False, 0)
    assert again.settings() == settings


def test_a_record_with_a_path_runs_nothing(tmp_path):
    """A data set from elsewhere could name any file on this machine."""
    trap = written(
        tmp_path, f"open({str(tmp_path / 'ran')!r}, 'w')\ndef check(q, a): return True\n", "trap.py"
    )
    settings = {**SUMS.settings(), "plugin": {"file": str(trap), "sha256": "0" * 64}}
    task = get_task(settings)
    assert with_plugin(task, None) is task
    assert not (tmp_path / "ran").exists()


def test_training_wants_the_plugin_of_the_import_and_other_work_does_not(sums):
    recorded = get_task(sums.settings())
    with pytest.raises(InputError, match=r"imported with the plug-in sums.py.*add --task sums.py"):
        with_plugin(recorded, None, training=True)
    assert with_plugin(recorded, None) is recorded
    assert with_plugin(SUMS, None, training=True) is SUMS


def test_another_file_than_recorded_is_told(tmp_path, sums, capsys):
    recorded = get_task(sums.settings())
    told: list[str] = []
    same = with_plugin(recorded, tmp_path / "sums.py", training=True, warn=told.append)
    assert (told, same.has_checker) == ([], True)
    other = written(tmp_path, CODE + "\n", "other.py")
    changed = with_plugin(recorded, other, warn=told.append)
    assert len(told) == 1
    assert "other.py is not the plug-in sums.py" in told[0]
    assert changed.settings()["plugin"]["file"] == "other.py"
    with_plugin(recorded, other)
    assert "other.py is not the plug-in" in capsys.readouterr().err


def test_only_tables_take_a_plugin(tmp_path):
    with pytest.raises(InputError, match="for task sudoku; allowed: a plug-in for a table"):
        with_plugin(Sudoku(4), written(tmp_path, CODE))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def chekc(q, a): return True\n", r"none of symmetry, check.*did you mean 'check'"),
        ("x = 1\n", "none of symmetry, check, validate, canonical, view is defined.*define one"),
        ("check = 1\n", "none of"),
        ("def check(q, a:\n", "line 1: "),
        ("import math\n\nmath.nothing\n", "line 3: AttributeError"),
        ("raise SystemExit\n", "line 1: SystemExit"),
        (
            "\ndef check(question): return True\n",
            r"line 2: check does not take 2 arguments; allowed: check\(question",
        ),
        ("def validate(q):\n    return 3\n", "line 1: validate returned 3; allowed: a text that says"),
        ("def validate(q):\n    x = 1\n    return q[99]\n", r"line 3: validate\('1\+1='\) raised IndexError"),
        ("def check(q, a):\n    return 'yes'\n", "line 1: check returned 'yes'; allowed: True or False"),
        ("def check(q, a):\n    raise SystemExit(3)\n", r"line 2: check\('1\+1=', '2'\) raised SystemExit"),
        ("def symmetry(q, a, r):\n    return q\n", "line 1: symmetry returned '1.1='; allowed: two texts"),
        ("def symmetry(q, a, r):\n    return q, 2\n", "line 1: symmetry returned .*two texts"),
        (
            "def symmetry(q, a, r):\n    return q, a + 'x'\n",
            "symmetry returned this answer with the character 'x'",
        ),
        ("def symmetry(q, a, r):\n    return q * 3, a\n", "symmetry returned this question of 12 characters"),
        ("def symmetry(q, a, r):\n    return '', a\n", "symmetry returned this question of 0 characters"),
        ("def canonical(q):\n    return None\n", "line 1: canonical returned None; allowed: a text"),
    ],
)
def test_faults_name_file_and_line(tmp_path, code, words):
    path = written(tmp_path, code)

    def used():
        plugin = load_plugin(path)
        task = SUMS.with_plugin(plugin)
        inputs, labels = task.encode_rows(["1+1="], ["2"])
        task.validate(inputs[0])
        task.check_batch(inputs, labels)
        task.augment(inputs, labels, np.zeros(1), np.zeros((1, 1)))
        plugin.run_canonical("1+1=")

    with pytest.raises(InputError, match=words) as caught:
        used()
    assert str(path) in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"--task .*none.py: No such file"):
        load_plugin(tmp_path / "none.py")


def test_a_plugin_may_hold_dataclasses_and_leaves_no_cache(tmp_path):
    code = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n\n"
        "@dataclass\nclass Part:\n    value: int\n\n"
        "def check(question, answer):\n    return Part(int(answer)).value == 2\n"
    )
    before = set(sys.modules)
    assert load_plugin(written(tmp_path, code)).run_check("1+1=", "2")
    assert [entry.name for entry in tmp_path.iterdir()] == ["sums.py"]
    assert len(set(sys.modules) - before) <= 1
