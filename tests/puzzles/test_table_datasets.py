"""Importing a table: what is learned from the rows, what is left out, which rows are refused, and that it scales."""

import csv
import random
import resource
import time
from dataclasses import replace

import numpy as np
import pytest

from thinkling.data.array_store import read_dataset, write_dataset
from thinkling.data.json_tables import read_json_lines
from thinkling.errors import InputError, ThinklingError
from thinkling.puzzles.datasets import table_rows
from thinkling.puzzles.datasets.check import check_dataset
from thinkling.puzzles.datasets.table import import_table
from thinkling.tasks.registry import get_task
from thinkling.tasks.table_plugin import load_plugin


def csv_file(tmp_path, rows, header=("question", "answer"), name="table.csv"):
    path = tmp_path / name
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def sums(count, seed=0, digits=3):
    draw = random.Random(seed)
    pairs = {(draw.randrange(10**digits), draw.randrange(10**digits)) for _ in range(2 * count)}
    return [(f"{a}+{b}=", str(a + b)) for a, b in sorted(pairs)][:count]


def rows_of(folder):
    """What the data set says, as text: training rows and test rows."""
    data = read_dataset(folder)
    task = get_task(data.task_settings)
    return [
        list(zip(task.format_rows(part.inputs), task.format_rows(part.labels), strict=True))
        for part in (data.train, data.test)
    ]


def test_every_row_comes_back_on_one_side_in_the_order_of_the_file(tmp_path):
    rows = sums(500)
    told = import_table(csv_file(tmp_path, rows), tmp_path / "out", seed=3)
    train, test = rows_of(tmp_path / "out")
    assert (told["train"], told["test"], len(test)) == (450, 50, 50)
    assert sorted(train + test) == sorted(rows)
    assert [row for row in rows if row in set(train)] == train
    assert (told["length"], told["vocab_size"]) == (8, 14)
    assert check_dataset(tmp_path / "out") == {
        "train": 450,
        "test": 50,
        "duplicates": 0,
        "overlap": 0,
        "faults": [],
    }
    info = read_dataset(tmp_path / "out").info
    assert (info["seed"], info["file"]) == (3, "table.csv")


def test_the_split_depends_on_seed_and_question_only(tmp_path):
    rows = sums(300)
    tests = []
    for name, given, seed in (("a", rows, 0), ("b", rows[::-1], 0), ("c", rows, 1)):
        import_table(csv_file(tmp_path, given), tmp_path / name, seed=seed)
        tests.append(sorted(rows_of(tmp_path / name)[1]))
    assert tests[0] == tests[1] != tests[2]
    again = import_table(csv_file(tmp_path, rows), tmp_path / "d")
    assert again["sha256"] == read_dataset(tmp_path / "a").sha256


@pytest.mark.parametrize("align", ["left", "right"])
def test_quoted_text_of_any_script_survives(tmp_path, align):
    rows = [('a,b "c"\nd', " x "), ("日本", "🙂"), ("ä", "\t"), ("=1+1", "'"), ("long " * 20, "y")]
    import_table(csv_file(tmp_path, rows), tmp_path / "out", test_fraction=0, align=align)
    assert rows_of(tmp_path / "out") == [rows, []]


def test_more_symbols_than_a_byte_holds(tmp_path):
    rows = [("".join(map(chr, range(0x4E00 + i, 0x4E00 + i + 300))), str(i)) for i in range(4)]
    import_table(csv_file(tmp_path, rows), tmp_path / "out", test_fraction=0)
    assert rows_of(tmp_path / "out")[0] == rows
    assert read_dataset(tmp_path / "out").train.inputs.dtype.itemsize == 2


def test_integers_and_json_lines(tmp_path):
    path = tmp_path / "sort.jsonl"
    path.write_text(
        '{"q": [30, -2, 7], "a": "-2,7,30"}\n\n{"a": [1], "q": 1, "note": null}\n{"q": "007, 1", "a": "1, 7"}\n'
    )
    told = import_table(path, tmp_path / "out", question="q", answer="a", tokens="integers", test_fraction=0)
    task = get_task(read_dataset(tmp_path / "out").task_settings)
    assert (task.alphabet, told["length"]) == ((-2, 1, 7, 30), 3)
    assert rows_of(tmp_path / "out")[0] == [("30 -2 7", "-2 7 30"), ("1", "1"), ("7 1", "1 7")]


def test_columns_may_have_any_name(tmp_path):
    path = csv_file(tmp_path, [("x", "1", "2")], header=("id", " Frage", "ANTWORT"))
    import_table(path, tmp_path / "out", question="frage", answer="Antwort", test_fraction=0)
    assert rows_of(tmp_path / "out")[0] == [("1", "2")]


def test_a_shape_and_a_length_pad_every_row(tmp_path):
    rows = [("123412341234123", "1"), ("1", "2")]
    told = import_table(csv_file(tmp_path, rows), tmp_path / "grid", shape=(4, 4), test_fraction=0)
    assert told["length"] == 16
    assert get_task(read_dataset(tmp_path / "grid").task_settings).shape == (4, 4)
    assert (
        import_table(csv_file(tmp_path, rows), tmp_path / "long", length=20, test_fraction=0)["length"] == 20
    )
    assert rows_of(tmp_path / "long")[0] == rows_of(tmp_path / "grid")[0] == rows


def test_duplicates_are_left_out_and_counted(tmp_path):
    rows = [("1", "a"), ("2", "b"), ("1", "a"), ("3", "c"), ("1", "a")]
    told = import_table(csv_file(tmp_path, rows), tmp_path / "out", test_fraction=0)
    assert told["left_out"] == {"duplicates": 2, "overlap": 0}
    assert rows_of(tmp_path / "out")[0] == [("1", "a"), ("2", "b"), ("3", "c")]


def test_rows_with_one_fingerprint_are_told_apart(tmp_path, monkeypatch):
    """Fingerprints only find candidates: should two texts share one, both stay."""
    monkeypatch.setattr(table_rows, "fingerprint", lambda text: bytes(8))
    rows = [("1", "a"), ("2", "b"), ("1", "a"), ("2", "b"), ("3", "c")]
    told = import_table(csv_file(tmp_path, rows), tmp_path / "out", test_fraction=0)
    assert (told["train"], told["left_out"]["duplicates"]) == (3, 2)


def test_a_test_file_keeps_its_rows_and_training_loses_its_questions(tmp_path):
    train = csv_file(tmp_path, [("1", "a"), ("2", "b"), ("2", "b"), ("3", "c")])
    test = csv_file(tmp_path, [("3", "c"), ("4", "d"), ("4", "d")], name="test.csv")
    told = import_table(train, tmp_path / "out", test=test)
    assert told["left_out"] == {"duplicates": 2, "overlap": 1}
    assert rows_of(tmp_path / "out") == [[("1", "a"), ("2", "b")], [("3", "c"), ("4", "d")]]
    clash = csv_file(tmp_path, [("1", "a"), ("3", "x")])
    with pytest.raises(
        InputError, match=r"table.csv line 3: the question of .*test.csv line 2 with another answer"
    ):
        import_table(clash, tmp_path / "none", test=test)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "table.csv: an empty file"),
        ("question,answer\n", "table.csv: no row below the header"),
        ("qestion,answer\n1,2\n", "table.csv line 1: no column 'question'.*did you mean 'qestion'"),
        ("question,answer\n1,2\n1,\n", "table.csv line 3: no answer"),
        (
            "question,answer\n1,2\n\n1,3\n",
            "table.csv line 4: the question of .*table.csv line 2 with another answer",
        ),
        ('question,answer\n"a\nb",2\n1,3\n1,4\n', "table.csv line 5: the question of .*table.csv line 4"),
        (b"question,answer\n1,2\n1,\xff3\n", "table.csv line 3: byte 0xff that is not UTF-8"),
        ("question,answer\n1,123456\n", "table.csv line 2: answer of 6 characters; allowed: 4, --length 4"),
        ("question,answer\n1,2\n12345,1\n", "table.csv line 3: question of 5 characters"),
        ("question,answer\n1,\0\n", "table.csv line 2: answer with the character NUL"),
        ('question,answer\n"1,2\n', "table.csv line 2: unexpected end of data"),
    ],
)
def test_bad_rows_are_refused_with_file_and_line_and_nothing_is_left(tmp_path, content, words):
    path = tmp_path / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=words) as caught:
        import_table(path, tmp_path / "out", length=4)
    assert str(tmp_path) in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["table.csv"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"q": "1", "a": "2"}\n{"q": 1\n', "line 2: no JSON"),
        ('["q"]\n', r"line 1: \[\"q\"\]; allowed: one JSON object a line with 'q', 'a'"),
        ('{"q": "1", "b": "2"}\n', "line 1: no key 'a' among 'q', 'b'"),
        ("{}\n", "line 1: no key 'q' among none"),
        ('{"q": 1.5, "a": "2"}\n', "line 1: q is 1.5; allowed: a text, a whole number"),
        ('{"q": true, "a": "2"}\n', "line 1: q is true"),
        ('{"q": [1, [2]], "a": "2"}\n', "line 1: q is "),
        ('{"q": [1, false], "a": "2"}\n', "line 1: q is "),
        ('{"q": "1", "a": ""}\n', "line 1: no a"),
        ("[" * 100_000, "line 1: no JSON"),
    ],
)
def test_bad_json_lines(tmp_path, content, words):
    path = tmp_path / "rows.jsonl"
    path.write_text(content)
    with pytest.raises(InputError, match=f"rows.jsonl {words}"):
        list(read_json_lines(path, ("q", "a")))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"length": -1}, "--length -1"),
        ({"length": 10**6}, "--length 1000000"),
        ({"shape": (2, 2), "length": 5}, "--shape 2x2 with --length 5"),
        ({"shape": (1000, 1000)}, "--shape 1000x1000; allowed: up to"),
        ({"shape": (1, 2)}, "question of 4 characters; allowed: 2"),
        ({"test_fraction": 1.0}, "--test-fraction 1.0"),
        ({"seed": -1}, "--seed -1"),
        ({"tokens": "words"}, "--tokens 'words'"),
        ({"tokens": "integers"}, r"line 2: question with '1\+1=' at place 1"),
    ],
)
def test_impossible_settings(tmp_path, settings, words):
    path = csv_file(tmp_path, [("1+1=", "2")])
    with pytest.raises(InputError, match=words):
        import_table(path, tmp_path / "out", **settings)
    assert [entry.name for entry in tmp_path.iterdir()] == ["table.csv"]


def test_one_row_is_for_training_and_two_are_shared(tmp_path):
    one = import_table(csv_file(tmp_path, [("1", "2")]), tmp_path / "one")
    two = import_table(csv_file(tmp_path, [("1", "2"), ("2", "3")]), tmp_path / "two")
    assert (one["train"], one["test"], two["train"], two["test"]) == (1, 0, 1, 1)
    same = csv_file(tmp_path, [("1", "2")], name="same.csv")
    with pytest.raises(InputError, match="no row left to train on"):
        import_table(same, tmp_path / "none", test=same)


def test_too_many_different_integers_are_no_alphabet(tmp_path, monkeypatch):
    monkeypatch.setattr(table_rows, "MOST_SYMBOLS", 20)
    path = csv_file(tmp_path, [(str(i), "1") for i in range(30)])
    with pytest.raises(
        InputError, match="30 different integers; allowed: up to 20; write large numbers digit by"
    ):
        import_table(path, tmp_path / "out", tokens="integers")


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    path = csv_file(tmp_path, [("1", "2")])
    monkeypatch.setattr(table_rows.Rows, "_write", full)
    with pytest.raises(ThinklingError, match=r"No space left.*nothing was changed"):
        import_table(path, tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["table.csv"]


# --- with a plug-in ---------------------------------------------------------------------------------------------------

PLUGIN = """
def check(question, answer):
    return answer == str(sum(map(int, question.rstrip("=").split("+"))))

def canonical(question):
    return "+".join(sorted(question.rstrip("=").split("+")))
"""


def plugin(tmp_path, code=PLUGIN):
    (tmp_path / "sums.py").write_text(code)
    return load_plugin(tmp_path / "sums.py")


def test_symmetric_questions_stay_on_one_side(tmp_path):
    rows = [(f"{a}+{b}=", str(a + b)) for a in range(20) for b in range(20)]
    import_table(csv_file(tmp_path, rows), tmp_path / "out", plugin=plugin(tmp_path), test_fraction=0.3)
    train, test = rows_of(tmp_path / "out")
    assert 100 <= len(test) <= 140
    mirrored = {"+".join(question.rstrip("=").split("+")[::-1]) + "=" for question, _ in test}
    assert not mirrored & {question for question, _ in train}
    record = read_dataset(tmp_path / "out").task_settings["plugin"]
    assert record["file"] == "sums.py"
    assert len(record["sha256"]) == 64


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (PLUGIN, r"line 3: the plug-in's checker refuses the answer '5' to '2\+2='"),
        ("def validate(question):\n    return 'too small'\n", "line 2: question: too small"),
        (
            "def validate(question):\n    return 1 / 0\n",
            "line 2: .*sums.py line 2: validate.*ZeroDivisionError",
        ),
        (
            "def symmetry(q, a, r):\n    return q + '?', a\n",
            "sums.py line 1: symmetry returned this question",
        ),
    ],
)
def test_rows_and_plugins_that_do_not_fit_are_refused(tmp_path, code, words):
    path = csv_file(tmp_path, [("1+1=", "2"), ("2+2=", "5"), ("13+13=", "26")])
    loaded = plugin(tmp_path, code)
    with pytest.raises(InputError, match=words):
        import_table(path, tmp_path / "out", plugin=loaded)
    assert not (tmp_path / "out").exists()


# --- checks -----------------------------------------------------------------------------------------------------------


def test_a_check_finds_what_is_wrong(tmp_path):
    import_table(csv_file(tmp_path, sums(60)), tmp_path / "out")
    data = read_dataset(tmp_path / "out")
    inputs, labels = np.array(data.train.inputs), np.array(data.train.labels)
    inputs[1], labels[1] = inputs[0], labels[0]
    inputs[2] = inputs[0]
    inputs[3, 0] = 0
    inputs[4, -1] = 1
    labels[5] = np.where(labels[5] == 1, 0, labels[5])
    labels[6] = 0
    test = replace(data.test, inputs=np.concatenate([inputs[:1], data.test.inputs[1:]]))
    train = replace(data.train, inputs=inputs, labels=labels)
    write_dataset(tmp_path / "bad", train, test, task_settings=data.task_settings)
    found = check_dataset(tmp_path / "bad")
    assert (found["duplicates"], found["overlap"]) == (2, 1)
    told = "\n".join(found["faults"])
    for expected in (
        "train/all__inputs.npy row 1: the question of train row 0\n",
        "train/all__inputs.npy row 2: the question of train row 0 with another answer",
        "train/all__inputs.npy row 3: its symbols do not stand together",
        "train/all__inputs.npy row 4: an end token in a question",
        "train/all__labels.npy row 5: no end token beside the answer",
        "train/all__labels.npy row 6: no symbol",
        "test/all__inputs.npy row 0: the question of train row 0 with another answer",
    ):
        assert expected in told


# --- size -------------------------------------------------------------------------------------------------------------


def test_a_million_rows_would_take_less_than_a_minute_and_little_memory(tmp_path):
    """A tenth of it here."""
    rows = 100_000
    path = tmp_path / "big.csv"
    path.write_text("question,answer\n" + "".join(f"{i}+{7 * i}=,{8 * i}\n" for i in range(rows)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    told = import_table(path, tmp_path / "out", align="right")
    assert told["train"] + told["test"] == rows
    assert time.perf_counter() - start < 6
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 120_000  # KiB
