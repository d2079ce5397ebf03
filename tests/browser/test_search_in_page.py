"""The search of an exported page is the search of puzzles/search_tree.py: the same nodes, the same verdicts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from page_stand_in import PLACE, StandIn, description, manifest

from thinkling.puzzles.search_tree import DEFAULT_WIDTH, SearchTree
from thinkling.tasks.maze import GOAL, START, WALL, Maze
from thinkling.tasks.search_rules import rules_needed
from thinkling.tasks.sudoku import Sudoku
from thinkling.tasks.sudoku_generator import make_candidates
from thinkling.tasks.task import Task

HARD = "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4.."
"""A puzzle of which the rules alone settle no cell."""
NO_ANSWER = "82" + HARD[2:]
"""The same with a digit too many, which only branching shows to be wrong."""
MODELS = 8
"""Different answers that the model of a case gives, by the number of the node."""

Case = dict[str, Any]


def cases() -> list[Case]:
    """Questions with what a model says to them: something right, something wrong, sure and unsure of it."""
    asked: list[tuple[Task, NDArray[Any]]] = []
    for size, blanks, count in ((4, 12, 2), (6, 26, 4), (9, 56, 2)):
        sudokus = make_candidates(size, (blanks, blanks), 5, 0, count).questions + 1
        asked += [(Sudoku(size), question) for question in sudokus]
    for number in range(20):
        asked.append((Sudoku(9), renamed(NO_ANSWER if number % 3 == 0 else HARD, number)))
    for size, text in ((9, "." * 81), (4, "." * 16), (4, "11" + "." * 14)):
        asked.append((Sudoku(size), renamed(text, 0)))
    asked += [(Maze(7, 9), maze) for maze in mazes(7, 9, 6)]
    return [case(task, question, number) for number, (task, question) in enumerate(asked)]


def renamed(text: str, number: int) -> NDArray[np.int64]:
    """A puzzle's tokens with its digits renamed, every other time transposed."""
    size = round(len(text) ** 0.5)
    names = np.append(1, np.random.default_rng(number).permutation(size) + 2)
    tokens = names[[int(digit.replace(".", "0")) for digit in text]].reshape(size, size)
    return (tokens.T if number % 2 else tokens).reshape(-1).astype(np.int64)


def mazes(rows: int, columns: int, count: int) -> Iterator[NDArray[Any]]:
    """Mazes with several shortest paths, and one without any."""
    for number in range(count):
        free = np.random.default_rng(number).random(rows * columns) < (0.45 if number == 0 else 0.85)
        maze = np.where(free, 2, WALL)
        maze[0], maze[-1] = START, GOAL
        yield maze


def case(task: Task, question: NDArray[Any], number: int) -> Case:
    """A question with logits [MODELS][L * V] that are right in some cells, and what Python's search makes of them."""
    rng = np.random.default_rng(100 + number)
    vocabulary = task.vocab_size
    solutions = task.solve(question, limit=1) if isinstance(task, Sudoku) else []
    right = solutions[0].astype(np.int64) if len(solutions) else rng.integers(2, vocabulary, len(question))
    bank = rng.normal(size=(MODELS, len(question), vocabulary)) * 10.0 ** rng.integers(-1, 2)
    known = rng.random((MODELS, len(question), 1)) < 0.1 * (number % 5)
    bank = np.round(bank + known * 12.0 * np.eye(vocabulary)[right], 3)
    told = {
        "settings": task.settings(),
        "question": question.tolist(),
        "bank": bank.reshape(MODELS, -1).tolist(),
        "budget": 40 + number,
        "steps": 1 + number % 3,
        "width": (1, DEFAULT_WIDTH, 7)[number % 3],
    }
    tree = SearchTree(
        rules_needed(task), question, task.check_batch, budget=told["budget"], first_steps=told["steps"]
    )
    rounds = []
    while not tree.ended:
        nodes = tree.ask(told["width"])
        rounds.append([[node.number, node.steps, node.inputs.tolist()] for node in nodes])
        for node in nodes:
            logits = bank[node.number % MODELS]
            tree.tell(node.number, logits.argmax(1), logits, node.steps)
    assert tree.answer is not None
    verdict = [tree.outcome, tree.by_model, tree.segments, tree.nodes, tree.answer.tolist()]
    return told | {"found": {"rounds": rounds, "verdict": verdict}}


FOUND_HERE = """async (cases) => {
    const { SearchTree } = await import('./page/search_tree.js');
    const { rulesOf } = await import('./page/search_rules.js');
    const { taskOf } = await import('./page/tasks.js');
    return cases.map(({ settings, question, bank, budget, steps, width }) => {
        const task = taskOf(settings);
        const check = (answer) => task.check(question, answer), limits = { budget, firstSteps: steps };
        const tree = new SearchTree(rulesOf(settings), question, check, limits);
        const rounds = [];
        while (!tree.ended) {
            const nodes = tree.ask(width);
            rounds.push(nodes.map(({ number, steps, inputs }) => [number, steps, inputs]));
            for (const { number, steps } of nodes) {
                const logits = bank[number % bank.length], vocabulary = logits.length / question.length;
                const tokens = question.map((_, cell) => {
                    const said = logits.slice(cell * vocabulary, (cell + 1) * vocabulary);
                    return said.indexOf(Math.max(...said));
                });
                tree.tell(number, tokens, logits, steps);
            }
        }
        return { rounds, verdict: [tree.outcome, tree.byModel, tree.segments, tree.nodes, tree.answer] };
    });
}"""


def walks() -> list[Case]:
    """States of the rules along random decisions, with what each of them says."""
    found = []
    for number, maze in enumerate([*mazes(7, 9, 6), *mazes(5, 5, 6)]):
        found.append(walk(Maze(7, 9) if number < 6 else Maze(5, 5), maze, number))
    for number, size in enumerate((4, 6, 9, 9)):
        text = HARD if number == 3 else "." * size**2
        found.append(walk(Sudoku(size), renamed(text, number), number))
    return found


def walk(task: Task, question: NDArray[Any], number: int) -> Case:
    """Decisions `[fixed, cell, token]` on a question, and candidates, shown question and read answer after each."""
    rng = np.random.default_rng(200 + number)
    rules = rules_needed(task)
    moves = []
    answer = rng.integers(1, task.vocab_size, len(question))
    state, said = rules.start(question), []
    for _ in range(12):
        if state is None:
            break
        candidates = rules.candidates(state)
        said.append(
            [
                [np.flatnonzero(row).tolist() for row in candidates],
                rules.shown(question, state).tolist(),
                rules.read(question, state, answer).tolist(),
            ]
        )
        open_cells = np.flatnonzero(candidates.sum(1) > 1)
        # A cell that is settled, too, and a token that is none of its candidates: rules refuse them alike.
        cell = int(rng.choice(open_cells if len(open_cells) and rng.random() < 0.9 else len(question)))
        move = [bool(rng.random() < 0.5), cell, int(rng.integers(1, task.vocab_size))]
        moves.append(move)
        changed = (rules.fix if move[0] else rules.forbid)(state, cell, move[2])
        said.append(changed is not None)
        state = state if changed is None else changed
    told = {
        "settings": task.settings(),
        "question": question.tolist(),
        "moves": moves,
        "answer": answer.tolist(),
    }
    return told | {"found": said}


WALKED_HERE = """async (walks) => {
    const { rulesOf } = await import('./page/search_rules.js');
    return walks.map(({ settings, question, moves, answer }) => {
        const rules = rulesOf(settings), said = [];
        let state = rules.start(question);
        for (const [fixed, cell, token] of state === null ? [] : moves) {
            said.push([rules.candidates(state), rules.shown(question, state), rules.read(question, state, answer)]);
            const changed = (fixed ? rules.fix : rules.forbid)(state, cell, token);
            said.push(changed !== null);
            state = changed ?? state;
        }
        return said;
    });
}"""


KNOWN_HERE = """async (tasks) => {
    const { rulesOf } = await import('./page/search_rules.js');
    return tasks.map((settings) => rulesOf(settings) !== null);
}"""


def exported(page: Any, size: int, puzzle: str, runtime: str) -> None:
    """The page of an exported folder, with a runtime that pretends."""
    about = description({"name": "sudoku", "size": size}, (size, size), can_search=True)
    told = manifest(
        about,
        [{"name": "One", "puzzle": puzzle}],
        backend="onnx",
        model="model.onnx",
        graph={"positions": size * size, "width": 1},
        halting={"learning": "halt_only", "threshold": 0.5, "confirmations": 0},
    )
    StandIn(told, files={"ort/ort.wasm.min.mjs": runtime}).serve(page)
    page.goto(PLACE)
    page.wait_for_selector(".cell")


def test_the_tree_of_the_page_is_that_of_python(blank: Any) -> None:
    exported(blank, 4, "." * 16, "")
    asked = cases()
    outcomes = {each["found"]["verdict"][0] for each in asked}
    assert outcomes == {"answered", "no_answer", "budget"}, "cases of every kind"
    assert sum(len(each["found"]["rounds"]) for each in asked) > 200
    found = blank.evaluate(FOUND_HERE, [{**each, "found": None} for each in asked])
    for each, here in zip(asked, found, strict=True):
        assert here == each["found"], each["question"]


def test_the_rules_of_the_page_are_those_of_python(blank: Any) -> None:
    exported(blank, 4, "." * 16, "")
    asked = walks()
    assert sum(len(each["moves"]) for each in asked) > 100
    found = blank.evaluate(WALKED_HERE, [{**each, "found": None} for each in asked])
    for each, here in zip(asked, found, strict=True):
        assert here == each["found"], (each["settings"], each["question"])
    settings = [
        {"name": name, "size": 4, "rows": 4, "columns": 4} for name in ("sudoku", "maze", "arc", "table")
    ]
    assert blank.evaluate(KNOWN_HERE, settings) == [True, True, False, False]


IGNORANT_RUNTIME = """
// Knows nothing, and takes its time for it.
export const env = { wasm: {} };
export class Tensor { constructor(type, data, dims) { Object.assign(this, { type, data, dims }); } }
export const InferenceSession = { create: async () => ({ inputNames: ['inputs', 'z_H', 'z_L', 'fresh'], run }) };
async function run({ inputs, z_H, z_L }) {
  await new Promise((resolve) => setTimeout(resolve, 30));
  const [count, length] = inputs.dims, vocabulary = Math.sqrt(length) + 2;
  const q = new Float32Array(count);
  const logits = { data: new Float32Array(count * length * vocabulary), dims: [count, length, vocabulary] };
  const said = { q_halt: { data: q }, q_continue: { data: q }, logits };
  return { ...said, next_z_H: { data: z_H.data.slice() }, next_z_L: { data: z_L.data } };
}
"""


def search_with(page: Any, budget: int) -> None:
    """Choose the search and begin."""
    page.locator(".how").evaluate("fold => fold.open = true")
    page.get_by_label("Segments at most").fill("2")
    page.get_by_label("Search where").check()
    page.get_by_label("Segments for the search").fill(str(budget))
    page.click("button.solve")


def test_a_search_can_be_stopped_and_keeps_to_its_budget(blank: Any) -> None:
    """Found when segments that came faster than they were shown went on saying "Thinking" after the stop."""
    exported(blank, 9, HARD, IGNORANT_RUNTIME)
    search_with(blank, 20_000)
    blank.wait_for_function("document.querySelectorAll('.bar.used').length > 6")
    blank.click("button.solve")
    blank.wait_for_function("document.querySelector('.verdict-word').textContent === 'Stopped'")
    # Looking back at what there is does not make it think again.
    blank.locator(".scrub").press("Home")
    assert blank.inner_text(".verdict-word") == "Stopped"
    # The worker is free again: another search begins at once, and keeps to its budget.
    search_with(blank, 11)
    blank.wait_for_selector(".verdict[data-status=unsolved]")
    assert "11 in all" in blank.inner_text(".figures")
    assert "has spent its segments" in blank.inner_text(".verdict-why")
    # Where motion is welcome it is shown for longer than it has taken, and that is not called thinking.
    blank.emulate_media(reduced_motion="no-preference")
    search_with(blank, 11)
    blank.wait_for_function("document.querySelector('.verdict-word').textContent === 'Playing back'")
    blank.wait_for_selector(".verdict[data-status=unsolved]")
