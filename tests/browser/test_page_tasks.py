"""Mazes, ARC grids and tables on the page, and whether its rules agree with those of the tasks in Python."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from page_stand_in import PLACE, StandIn, description, manifest, stream

from thinkling.tasks.arc_grid import crop, encode
from thinkling.tasks.maze import Maze
from thinkling.tasks.sudoku import Sudoku
from thinkling.tasks.table import Table

MAZE = "S   " + " ## " + " #  " + "   G"
WAY = "Sooo" + " ##o" + " # o" + "   G"
GRID = [[1, 2, 0], [0, 5, 0]]
TABLE = {
    "name": "table",
    "tokens": "characters",
    "alphabet": "0123456789+",
    "length": 9,
    "align": "right",
    "shape": [1, 9],
}


def show(page: Any, server: StandIn) -> None:
    """The page, with this server behind it."""
    server.serve(page)
    page.goto(PLACE)
    page.wait_for_selector(".cell")


def centre(page: Any, place: int) -> tuple[float, float]:
    """The middle of a cell of the first board."""
    box = page.locator(".board").first.locator(".cell").nth(place).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def draw(page: Any, places: list[int]) -> None:
    """Draws through cells with the pointer held down."""
    page.mouse.move(*centre(page, places[0]))
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*centre(page, place), steps=3)
    page.mouse.up()


def test_a_maze_is_drawn_with_the_pointer_and_its_way_is_shown(blank: Any) -> None:
    about = description({"name": "maze", "rows": 4, "columns": 4}, (4, 4))
    server = StandIn(
        manifest(about, [{"name": "One", "puzzle": MAZE}]),
        stream(["So  " + WAY[4:], WAY], [[0.4] * 16, [0.9] * 16], "verified"),
    )
    show(blank, server)
    draw(blank, [8, 9, 10])
    blank.get_by_role("button", name="Start").click()
    draw(blank, [4])
    blank.get_by_role("button", name="Open").click()
    for place in (15, 5, 9):  # the goal is never painted over
        draw(blank, [place])
    blank.click("button.solve")
    blank.wait_for_selector(".verdict[data-status=verified]")
    assert server.asked[0]["puzzle"] == "    " + "S # " + "# # " + "   G"
    assert blank.locator(".cell[data-kind=path]").count() == 5
    assert blank.locator(".board.settled").count() == 1


def test_a_maze_without_a_way_is_refused_before_the_server_is_asked(blank: Any) -> None:
    about = description({"name": "maze", "rows": 4, "columns": 4}, (4, 4))
    server = StandIn(manifest(about, [{"name": "One", "puzzle": MAZE}]))
    show(blank, server)
    draw(blank, [2, 6, 10, 14])
    draw(blank, [12])
    blank.click("button.solve")
    assert blank.inner_text(".verdict-word") == "Not yet"
    draw(blank, [13])
    blank.click("button.solve")
    assert "without a way" in blank.inner_text(".verdict-why")
    assert server.asked == []


def test_an_arc_grid_is_painted_resized_and_asked_under_its_name(blank: Any) -> None:
    about = description({"name": "arc", "canvas": 6, "augmentations": "stored"}, (6, 6), has_checker=False)
    answer = [[3, 3], [4, 4], [5, 5]]
    example = {"name": "007bbfb7", "puzzle": json.dumps(GRID), "puzzle_id": "007bbfb7"}
    server = StandIn(
        manifest(about, [example]), stream(["[]", json.dumps(answer)], [[0.5] * 36, [0.9] * 36], "unverified")
    )
    show(blank, server)
    blank.get_by_role("button", name="magenta").click()
    draw(blank, [1, 2])
    blank.get_by_label("rows").fill("3")
    blank.get_by_label("rows").press("Enter")
    blank.locator(".board").first.locator(".cell").nth(8).focus()
    blank.keyboard.press("9")
    blank.click("button.solve")
    blank.wait_for_selector(".verdict[data-status=unverified]")
    assert json.loads(server.asked[0]["puzzle"]) == [[1, 6, 6], [0, 5, 0], [0, 0, 9]]
    assert server.asked[0]["puzzle_id"] == "007bbfb7"
    kinds = (
        blank.locator(".board")
        .nth(1)
        .locator(".cell")
        .evaluate_all("cells => cells.map(c => c.dataset.kind)")
    )
    assert kinds == [f"colour-{colour}" for row in answer for colour in row]


def test_a_table_s_question_is_written_and_answered(blank: Any) -> None:
    about = description(TABLE, (1, 9), has_checker=False)
    server = StandIn(
        manifest(about, [{"name": "sum", "puzzle": "1+1"}]),
        stream(["7", "41"], [[0.5] * 9] * 2, "unverified"),
    )
    show(blank, server)
    blank.get_by_label("Question", exact=True).last.fill("12+29")
    blank.click("button.solve")
    blank.wait_for_selector(".verdict[data-status=unverified]")
    assert server.asked[0]["puzzle"] == "12+29"
    assert blank.locator(".board").nth(1).locator(".cell").all_text_contents()[-2:] == ["4", "1"]
    blank.click("button.edit")
    blank.get_by_label("Question", exact=True).last.fill("12-29")
    assert '"-" at place 3' in blank.inner_text(".verdict-why")


def test_an_error_of_the_server_is_text_and_never_markup(blank: Any) -> None:
    about = description({"name": "sudoku", "size": 4}, (4, 4))
    refused = json.dumps({"error": {"message": "<b onclick=alert(1)>no</b>"}})
    server = StandIn(manifest(about, [{"name": "One", "puzzle": "1" + "." * 15}]), refused, status=503)
    show(blank, server)
    blank.click("button.solve")
    blank.wait_for_selector(".verdict[data-status=refused]")
    assert blank.inner_text(".verdict-why") == "<b onclick=alert(1)>no</b>"
    server.status, server.answer = 200, "event: segment\ndata: {}"
    blank.click("button.solve")
    blank.get_by_text("broke off").wait_for()


RULES = """async ([settings, cases]) => {
    const { taskOf } = await import('./page/tasks.js');
    const task = taskOf(settings);
    return cases.map(([question, answer]) => task.check(question, answer));
}"""


def spoiled(answers: np.ndarray, tokens: int, seed: int) -> np.ndarray:
    """The same answers, most of them with one or two places changed."""
    generator = np.random.default_rng(seed)
    answers = answers.copy()
    for row in range(0, len(answers), 4):
        for other in range(row + 1, min(row + 4, len(answers))):
            places = generator.integers(answers.shape[1], size=generator.integers(1, 3))
            answers[other, places] = generator.integers(tokens, size=len(places))
    return answers


def test_the_page_judges_as_the_tasks_do(blank: Any) -> None:
    about = description({"name": "sudoku", "size": 4}, (4, 4))
    show(blank, StandIn(manifest(about, [{"name": "One", "puzzle": "1" + "." * 15}])))
    from small_puzzles import puzzles  # its folder is on the path by now

    sudoku = Sudoku(4)
    questions = np.repeat(np.stack([sudoku.parse(text) for text in puzzles(50)]), 4, axis=0)
    answers = spoiled(np.stack([sudoku.solve(question)[0] for question in questions]), 6, 1)
    maze = Maze(4, 4)
    ways = [
        WAY,
        "S   o## o#  oooG",
        "Soooo##o # o   G",
        MAZE,
        "S" + WAY[1:],
    ]
    mazes = np.stack([maze.parse(MAZE)] * 200)
    drawn = np.stack([maze.encode_answer(ways[number % len(ways)]) for number in range(200)])
    drawn = spoiled(drawn, 6, 2)
    for task, asked, said in ((sudoku, questions, answers), (maze, mazes, drawn)):
        expected = task.check_batch(asked, said).tolist()
        assert {True, False} == set(expected)
        cases = list(zip(asked.tolist(), said.tolist(), strict=True))
        assert blank.evaluate(RULES, [task.settings(), cases]) == expected


TEXTS = """async ([settings, texts]) => {
    const { taskOf } = await import('./page/tasks.js');
    const task = taskOf(settings);
    return texts.map(text => [task.parse(text), task.write(task.parse(text))]);
}"""


def test_the_page_reads_and_writes_as_the_tasks_do(blank: Any) -> None:
    about = description({"name": "sudoku", "size": 4}, (4, 4))
    show(blank, StandIn(manifest(about, [{"name": "One", "puzzle": "1" + "." * 15}])))
    grids = [GRID, [[9]], [[0] * 6] * 6]
    read = blank.evaluate(TEXTS, [{"name": "arc", "canvas": 6}, [json.dumps(grid) for grid in grids]])
    for grid, (tokens, text) in zip(grids, read, strict=True):
        expected = encode(np.array(grid, dtype=np.uint8), 6)
        assert tokens == expected.tolist()
        assert json.loads(text) == crop(expected).tolist()
    for settings, texts in (
        (TABLE, ["12+29", "123456789", "7"]),
        ({**TABLE, "align": "left"}, ["12+29", "123456789", "7"]),
        ({**TABLE, "tokens": "integers", "alphabet": [3, -1, 20], "separator": ", "}, ["3, 20, -1", "20"]),
    ):
        table = Table(**{key: value for key, value in settings.items() if key != "name"})
        for text, (tokens, written) in zip(texts, blank.evaluate(TEXTS, [settings, texts]), strict=True):
            assert tokens == table.parse(text).tolist()
            assert written == table.format(table.parse(text))


SYMMETRIES = """async ([settings, question, answer]) => {
    const { taskOf } = await import('./page/tasks.js');
    const task = taskOf(settings);
    const found = [];
    for (let count = 0; count < 50; count++) {
        const view = task.view(Math.random);
        const copy = view.apply(answer);
        found.push([task.check(view.apply(question), copy), String(view.back(copy)) === String(answer)]);
    }
    return found;
}"""


@pytest.mark.parametrize("size", [4, 6, 9])
def test_a_symmetric_copy_is_a_puzzle_and_leads_back(blank: Any, size: int) -> None:
    about = description({"name": "sudoku", "size": 4}, (4, 4))
    show(blank, StandIn(manifest(about, [{"name": "One", "puzzle": "1" + "." * 15}])))
    sudoku = Sudoku(size)
    question = np.ones(size * size, dtype=np.uint8)
    answer = sudoku.solve(question, limit=1)[0]
    question[::3] = answer[::3]
    found = blank.evaluate(SYMMETRIES, [sudoku.settings(), question.tolist(), answer.tolist()])
    assert found == [[True, True]] * 50


FAKE_RUNTIME = """
// Right after three segments; before, one more cell a segment is wrong.
export const env = { wasm: {} };
export class Tensor { constructor(type, data, dims) { Object.assign(this, { type, data, dims }); } }
const solution = [1, 2, 3, 4, 3, 4, 1, 2, 2, 1, 4, 3, 4, 3, 2, 1];
export const InferenceSession = {
  async create(model) {
    if (!model.endsWith('model.onnx')) throw new Error('another file was asked for');
    return { inputNames: ['inputs', 'z_H', 'z_L', 'fresh'], run };
  },
};
async function run({ inputs, z_H, z_L, fresh }) {
  if (!(inputs.data instanceof BigInt64Array) || inputs.dims[1] !== 16) throw new Error('inputs');
  const [count] = inputs.dims;
  const next = new Float32Array(z_H.data.length);
  const logits = new Float32Array(count * 16 * 6);
  const q = new Float32Array(count);
  for (let row = 0; row < count; row++) {
    const step = fresh.data[row] ? 1 : Math.round(z_H.data[row * 8]) + 1;
    for (let place = 0; place < 8; place++) next[row * 8 + place] = step;
    for (let cell = 0; cell < 16; cell++) {
      const wrong = step < 3 && cell === step;
      logits[(row * 16 + cell) * 6 + (wrong ? 2 : solution[cell] + 1)] = 5;
    }
    q[row] = step < 3 ? -3 : 3;
  }
  return {
    next_z_H: { data: next }, next_z_L: { data: z_L.data }, q_halt: { data: q }, q_continue: { data: q },
    logits: { data: logits, dims: [count, 16, 6] },
  };
}
"""


def exported(**more: Any) -> StandIn:
    """A folder of an exported model, with a runtime that pretends."""
    about = description({"name": "sudoku", "size": 4}, (4, 4), limit=8)
    told = manifest(
        about,
        [{"name": "One", "puzzle": "1..4" + "." * 12}],
        backend="onnx",
        model="model.onnx",
        graph={"positions": 16, "width": 0.5},
        halting={"learning": "halt_only", "threshold": 0.5, "confirmations": 0},
        **more,
    )
    return StandIn(told, files={"ort/ort.wasm.min.mjs": FAKE_RUNTIME})


def test_the_same_page_thinks_without_a_server(blank: Any) -> None:
    """In a worker, with the loop of halting in JavaScript; nothing is asked of /v1/solve."""
    server = exported()
    show(blank, server)
    for rule, segments in (("valid", 3), ("q", 3), ("never", 5)):
        blank.locator(".how").evaluate("fold => fold.open = true")
        blank.get_by_label("Stop when").select_option(rule)
        blank.get_by_label("Segments at most").fill("5")
        blank.click("button.solve")
        blank.wait_for_selector(".verdict[data-status=verified]")
        assert blank.locator(".bar.used").count() == segments
        assert f"{segments} of 5" in blank.inner_text(".figures")
        assert blank.locator(".way-dot").count() == segments
    assert blank.get_by_label("Search where").count() == 0, "what the browser cannot do is not offered"
    assert server.asked == []


def test_a_runtime_that_is_missing_is_told(blank: Any) -> None:
    server = exported(ort="ort/gone.mjs")
    show(blank, server)
    blank.click("button.solve")
    blank.wait_for_selector(".verdict[data-status=refused]")
    assert "could not be opened" in blank.inner_text(".verdict-why")
