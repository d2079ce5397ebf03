"""Several chains of thought a question: what they differ by, when they join, and what they are good for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fickle import fickle_model
from small_run import short_recipe

import thinkling
from thinkling.data.array_store import read_split
from thinkling.data.batch import PuzzleBatch, Question
from thinkling.errors import InputError
from thinkling.puzzles.breadth import QuestionChains, Thinking, views_of
from thinkling.puzzles.breadth_evaluate import evaluate_thinking
from thinkling.puzzles.chain_pool import think
from thinkling.puzzles.examples import Examples
from thinkling.puzzles.puzzle_model import PuzzleModel, halt_rule
from thinkling.puzzles.train import train_recipe
from thinkling.tasks.sudoku import Sudoku
from thinkling.tasks.table import Table
from thinkling.thinking.carry import Carry, SegmentOutput
from thinkling.thinking.halting import HaltRule


@pytest.fixture(scope="module")
def model() -> PuzzleModel:
    return fickle_model()


@pytest.fixture(scope="module")
def examples(model: PuzzleModel, data: Path) -> Examples:
    return Examples(read_split(data, "test"), model.task, augment=False)


def thought(
    model: PuzzleModel, examples: Examples, thinking: Thinking, *, slots: int = 16, ordered: bool = True
) -> list[QuestionChains]:
    found = think(
        model.network,
        model.task,
        examples.questions(),
        thinking,
        halt_rule(thinking.halt_for(model.task), model.halting, model.task),
        max_steps=thinking.steps_or(model.halting.max_steps),
        slots=slots,
        trace=True,
        ordered=ordered,
    )
    pairs = list(found)
    assert not ordered or [number for number, _ in pairs] == list(range(len(examples)))
    return [question for _, question in sorted(pairs, key=lambda pair: pair[0])]


def test_chain_0_is_the_question_alone(model: PuzzleModel, examples: Examples) -> None:
    alone = thought(model, examples, Thinking(halt="never", steps=3))
    for vary in ("symmetry", "init", "noise"):
        chains = thought(model, examples, Thinking(halt="never", steps=3, samples=4, vary=vary))  # type: ignore[arg-type]  # one of them
        differ = 0
        for one, several in zip(alone, chains, strict=True):
            first, all_ = one.chains(), several.chains()
            assert all_.numbers.tolist() == [0, 1, 2, 3]
            assert all_.steps.tolist() == [3] * 4
            assert all_.answers[0].tolist() == first.answers[0].tolist()
            assert all_.q_halt[0] == pytest.approx(first.q_halt[0], abs=1e-5)
            differ += len({round(float(value), 6) for value in all_.q_halt}) > 1
        assert differ > len(examples) / 2, vary


def test_answers_of_symmetric_copies_come_back(model: PuzzleModel, examples: Examples) -> None:
    """What a chain answers in its own copy is valid there exactly if it is valid where the question stands."""
    chains = thought(model, examples, Thinking(halt="never", steps=4, samples=4))
    valid = others = 0
    for question in chains:
        result = question.chains()
        assert result.valid is not None
        valid += int(result.valid[0])
        others += int(result.valid[1:].sum())
        for place in np.flatnonzero(result.valid):
            label = examples.task.solve(question.tokens)[0]  # type: ignore[attr-defined]  # Sudoku's solver
            assert result.answers[place].tolist() == label.tolist()
    assert others > 0
    assert abs(others / 3 - valid) < 0.4 * len(chains), "a symmetric copy is about as hard"


@pytest.mark.parametrize("slots", [4, 5, 400])
def test_others_join_only_where_chain_0_has_not_ended(
    model: PuzzleModel, examples: Examples, slots: int
) -> None:
    thinking = Thinking(halt="valid", steps=6, samples=4, alone=2)
    joined = 0
    for question in thought(model, examples, thinking, slots=slots):
        chains = question.chains()
        if len(chains.numbers) == 1:
            assert chains.halted[0]
            continue
        joined += 1
        assert chains.numbers.tolist() == [0, 1, 2, 3]
        assert chains.steps[0] > 2 or chains.steps[1] > 0
        assert len(set(chains.steps[1:].tolist())) == 1
        if slots == 400 and chains.steps[0] < 6:
            assert chains.steps[1] == chains.steps[0] - 2
        if not chains.halted.any():
            assert (chains.steps == 6).all()
    assert 0 < joined < len(examples)


def test_the_result_does_not_depend_on_the_company(model: PuzzleModel, examples: Examples) -> None:
    thinking = Thinking(halt="valid", steps=4, samples=3, alone=0, seed=5)

    def told(slots: int, ordered: bool) -> list[tuple[object, ...]]:
        solutions = [q.solution() for q in thought(model, examples, thinking, slots=slots, ordered=ordered)]
        return [(one.answer, one.status) for one in solutions]

    wide = told(3 * len(examples), ordered=True)
    assert told(3, ordered=True) == wide
    assert told(10, ordered=False) == wide


def test_all_chains_end_with_the_first_valid_one(model: PuzzleModel, examples: Examples) -> None:
    for question in thought(model, examples, Thinking(halt="valid", steps=5, samples=4, alone=0), slots=200):
        chains = question.chains()
        assert chains.halted.any() or (chains.steps == 5).all()
        assert len(set(chains.steps.tolist())) == 1, "nobody thinks on when one has ended"


def test_breadth_removes_errors_and_says_so(model: PuzzleModel, examples: Examples) -> None:
    compare(model, examples, samples=8, most=20)


@pytest.mark.slow
def test_breadth_removes_half_of_the_errors_of_a_trained_model(data: Path, tmp_path: Path) -> None:
    train_recipe(short_recipe(200, checkpoint_every=200), data, tmp_path / "run", quiet=True)
    trained = thinkling.load(tmp_path / "run", compute_dtype="float32")
    compare(trained, Examples(read_split(data, "test"), trained.task, augment=False), samples=8, most=3)


def compare(model: PuzzleModel, examples: Examples, *, samples: int, most: float) -> None:
    """At most half of the errors of one chain, at no more than so many segments a question more."""
    rule = halt_rule("valid", model.halting, model.task)
    single, several = (
        evaluate_thinking(
            model, examples, Thinking(halt="valid", samples=count), rule, selects=["valid"], slots=64
        )[0]
        for count in (1, samples)
    )
    assert single.solved_by is not None
    assert several.solved_by is not None
    wrong = 1 - single.score.exact_accuracy
    assert wrong > 0.02, "a model without errors shows nothing"
    assert 1 - several.score.exact_accuracy <= wrong / 2
    assert several.mean_segments <= single.mean_segments + most
    assert single.solved_by["breadth"] == 0
    assert several.solved_by["breadth"] > 0
    assert sum(several.solved_by.values()) == pytest.approx(1)
    assert several.score.valid_rate == pytest.approx(1 - several.solved_by["nobody"])


def test_one_run_is_scored_by_several_selections(model: PuzzleModel, examples: Examples) -> None:
    thinking = Thinking(halt="never", steps=2, samples=3)
    rule = halt_rule("never", model.halting, model.task)
    scores = evaluate_thinking(
        model, examples, thinking, rule, selects=["q", "vote", "residual", "first", "valid"], slots=9
    )
    assert [score.select for score in scores] == ["q", "vote", "residual", "first", "valid"]
    by_name = {score.select: score for score in scores}
    assert {score.mean_segments for score in scores} == {6.0}
    best = by_name["valid"].score.exact_accuracy
    assert all(score.score.exact_accuracy <= best for score in scores)
    assert by_name["first"].score.exact_accuracy == by_name["q"].score.exact_accuracy
    written = by_name["vote"].as_json()
    assert written["solved_by"].keys() == {"network", "breadth", "nobody"}
    assert 0 <= written["calibration_error"] <= 1


def test_solutions_say_who_has_solved_them(model: PuzzleModel, examples: Examples) -> None:
    tokens = list(examples.puzzles.inputs)
    plain = list(model.solve_tokens(tokens))
    broad = list(model.solve_tokens(tokens, thinking=Thinking(samples=8)))
    assert {one.solved_by for one in plain} <= {"network", None}
    assert {one.samples for one in plain} == {1}
    assert [one.segments for one in plain] == [one.steps for one in plain]
    for one in plain + broad:
        assert (one.solved_by is not None) == (one.status == "verified")
    assert "breadth" in {one.solved_by for one in broad}
    found = [one for one in broad if one.solved_by == "breadth"]
    for one in found:
        assert one.segments > one.steps
        assert model.task.check(one.question, one.answer)


def test_a_trace_is_told_in_the_questions_own_places(model: PuzzleModel, examples: Examples) -> None:
    tokens = list(examples.puzzles.inputs)
    thinking = Thinking(samples=8)
    for solution in model.solve_tokens(tokens, thinking=thinking, states=True):
        assert len(solution.trace) == solution.steps
        assert solution.trace[-1].tokens.tolist() == solution.tokens.tolist()
        state = solution.trace[-1].z_H
        assert state is not None
        assert state.shape == (model.network.config.total_len, model.network.config.hidden_size)
    puzzle = model.task.format(examples.puzzles.inputs[0])
    assert model.solve(puzzle, thinking=Thinking(samples=3, halt="never", steps=2)).segments == 6
    assert model.solve(puzzle, halt="never", steps=3, thinking=Thinking(samples=2, alone=9)).segments == 6


def test_views_depend_on_seed_question_and_chain_only() -> None:
    task = Sudoku(9)
    tokens = np.arange(81) % 9 + 1
    few, many = (views_of(task, tokens, 0, Thinking(samples=count), 3) for count in (3, 6))
    assert (many.inputs[:3] == few.inputs).all()
    assert (views_of(task, tokens, 0, Thinking(samples=3), 4).inputs[1:] != few.inputs[1:]).any()
    assert (views_of(task, tokens, 0, Thinking(samples=3, seed=1), 3).inputs[1:] != few.inputs[1:]).any()
    assert (views_of(task, tokens, 0, Thinking(samples=3, vary="noise"), 3).inputs == tokens).all()


class Stopwatch:
    """A thinker that is never sure and counts its slots."""

    def __init__(self, model: PuzzleModel) -> None:
        self.model = model
        self.most = 0

    def fresh_carry(self, batch_size: int) -> Carry:
        return self.model.network.fresh_carry(batch_size)

    def segment(self, carry: Carry, batch: PuzzleBatch) -> tuple[Carry, SegmentOutput]:
        self.most = max(self.most, len(carry.steps))
        return self.model.network.segment(carry, batch)


def test_an_endless_stream_never_needs_more_than_the_slots(model: PuzzleModel, examples: Examples) -> None:
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield Question(inputs=examples.puzzles.inputs[taken % len(examples)])

    watch = Stopwatch(model)
    found = think(
        model.network,
        model.task,
        endless(),
        Thinking(samples=3, alone=1),
        HaltRule(name="never"),
        max_steps=2,
        slots=7,
        thinker=watch,
    )
    with torch.inference_mode():
        for _ in range(20):
            _, question = next(found)
            assert question.chains().segments == 6
    assert watch.most == 7
    assert taken <= 20 + 7 + 4 * 7


def test_bad_input_is_refused(model: PuzzleModel, examples: Examples) -> None:
    for settings, named in [
        ({"samples": 0}, "0 samples"),
        ({"samples": 5000}, "5000 samples"),
        ({"steps": 0}, "0 steps"),
        ({"noise": -1.0}, "noise of -1"),
        ({"noise": float("inf")}, "noise of inf"),
        ({"alone": -1}, "-1 segments alone"),
    ]:
        with pytest.raises(InputError, match=named):
            Thinking(**settings)  # type: ignore[arg-type]  # settings of several types
    with pytest.raises(InputError, match="8 samples with 4 slots"):
        next(model.solve_tokens(iter([examples.puzzles.inputs[0]]), slots=4, thinking=Thinking(samples=8)))
    table = Table(alphabet="ab", length=4)
    with pytest.raises(InputError, match="no symmetries with a way back"):
        Thinking(samples=2).check_task(table)
    with pytest.raises(InputError, match="--select valid for task table"):
        Thinking(select="valid").check_task(table)
    Thinking(samples=2, vary="init").check_task(table)
    assert replace(Thinking(), halt="q").alone_for(model.task) == 0
    assert Thinking().alone_for(table) == 0
    assert Thinking().alone_for(model.task) > 0
