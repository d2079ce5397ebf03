"""The pre-flight check: its numbers, its verdict, and that it leaves the model as it was."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from small_decoder import small_decoder, small_tokenizer

from thinkling.data.chat_template import Message, prompt_ids
from thinkling.errors import InputError
from thinkling.lm.language_model import LanguageModel
from thinkling.lm.rl.attempts import Attempts
from thinkling.lm.rl.config import GrpoConfig
from thinkling.lm.rl.preflight import Preflight, preflight, summarised
from thinkling.lm.rl.prompts import Prompt
from thinkling.lm.rl.recipe import GrpoRecipe
from thinkling.lm.run_files import CHAT, PRETRAINING, description
from thinkling.tasks.reward import RewardProblem

GRPO = GrpoConfig(group_size=4, prompts_per_step=3, max_tokens=12, max_resamples=2)
RECIPE = GrpoRecipe(grpo=GRPO, slots=16)


def small_model(stage: str = CHAT) -> LanguageModel:
    tokenizer = small_tokenizer()
    network = small_decoder(tokenizer.vocab_size)
    return LanguageModel(network, tokenizer, description(network.config, stage), stage)


def prompts_of(model: LanguageModel, texts: list[str]) -> list[Prompt]:
    return [
        Prompt(
            number=number,
            tokens=tuple(prompt_ids(model.tokenizer, [Message(role="user", content=text)])),
            problem=RewardProblem(text=text, answer="19", task="sum" if number % 2 else ""),
        )
        for number, text in enumerate(texts)
    ]


def by_length(problem: RewardProblem, completion_text: str, reasoning: str, well_formed: bool) -> float:
    """Right about every other time, whatever a random model says."""
    return float(len(completion_text) % 2)


def attempts(right: int, *, n: int = 8, form: int = 8, cut: int = 0) -> Attempts:
    answers = (1.0,) * right + (0.0,) * (n - right)
    rewards = tuple(answer + 0.1 * (place < form) for place, answer in enumerate(answers))
    return Attempts(
        answers=answers, rewards=rewards, well_formed=form, truncated=cut, tokens=80, thinking_tokens=40
    )


def of(*tried: Attempts, recipe: GrpoRecipe = RECIPE) -> Preflight:
    return summarised(tried, ["sum"] * len(tried), recipe)


def test_numbers_of_known_attempts() -> None:
    found = of(attempts(0), attempts(8), attempts(4), attempts(1))
    assert (found.n, found.samples) == (4, 8)
    assert found.pass_at_1.value == pytest.approx((0 + 1 + 0.5 + 0.125) / 4)
    assert found.pass_at_8.value == 0.75
    assert found.pass_at_8.low < 0.75 < found.pass_at_8.high
    assert found.pass_rates == (0.0, 1.0, 0.5, 0.125)
    # Of 70 groups of four among eight attempts, one is all right and one all wrong where four are right; 35 are all
    # wrong where one is right.
    assert found.groups_all_right == pytest.approx((1 + 1 / 70) / 4)
    assert found.groups_all_wrong == pytest.approx((1 + 1 / 70 + 35 / 70) / 4)
    assert found.groups_without_signal == pytest.approx(found.groups_all_right + found.groups_all_wrong)
    share = found.groups_without_signal
    assert found.draws_per_group == pytest.approx(1 + share + share**2)
    assert found.wasted_groups == pytest.approx(share**3)
    assert (found.parse_rate, found.truncated, found.mean_tokens, found.mean_thinking_tokens) == (1, 0, 10, 5)
    assert found.ok


def test_the_format_is_a_signal_too() -> None:
    """Groups without a right answer still have one where some attempts are well-formed and others are not."""
    found = of(attempts(0, form=4), attempts(0, form=4))
    assert found.groups_all_wrong == 1
    assert found.groups_without_signal == pytest.approx(2 / 70)


def test_without_dynamic_sampling_no_group_is_drawn_again() -> None:
    recipe = replace(RECIPE, grpo=replace(GRPO, dynamic_sampling=False))
    found = of(attempts(0), attempts(4), recipe=recipe)
    assert found.draws_per_group == 1
    assert found.wasted_groups == pytest.approx(found.groups_without_signal)


@pytest.mark.parametrize(
    ("tried", "ok", "words"),
    [
        ([attempts(0)] * 19 + [attempts(1)], False, "too rare to learn from"),
        ([attempts(8)] * 40, False, "harder problems"),
        ([attempts(8)] * 10 + [attempts(0)] * 10, False, "sometimes solved"),
        ([attempts(4)] * 5, True, ""),
        ([attempts(4)] * 4 + [attempts(0)] * 6, True, "difficulty filter"),
        ([attempts(4, cut=3)] * 5, True, "cut off at 12 tokens"),
        ([attempts(4, form=5)] * 5, True, "<think>"),
    ],
)
def test_verdict_and_advice(tried: list[Attempts], ok: bool, words: str) -> None:
    found = of(*tried)
    assert found.ok == ok
    assert words in " ".join(found.advice)
    assert bool(found.advice) == bool(words)


def test_a_whole_check_leaves_the_model_as_it_was() -> None:
    model = small_model()
    model.network.compute_dtype = torch.bfloat16
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    prompts, told = prompts_of(model, ["12 plus 7?", "sum?", "What is it?", "a number"]), []
    found = preflight(model, prompts, by_length, RECIPE, progress=lambda done, of: told.append((done, of)))
    assert told == [(done, 4) for done in range(1, 5)]
    assert 0 < found.pass_at_1.value < 1
    assert found.by_task["sum"].n == found.by_task["text"].n == 2
    assert 0 < found.mean_tokens <= 12
    assert found.cost is not None
    assert found.cost.rollout_seconds > 0
    assert found.cost.update_seconds > 0
    assert found.cost.seconds_per_step == pytest.approx(
        found.cost.rollout_seconds + found.cost.update_seconds
    )
    assert found.cost.memory_bytes > 10 * sum(value.numel() for value in before.values())
    after = model.network.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert all(parameter.grad is None for parameter in model.network.parameters())
    assert model.network.compute_dtype == torch.bfloat16
    assert not model.network.training


def test_draws_depend_on_seed_and_problem_only() -> None:
    """Neither the other problems nor the slots change what is sampled for one."""
    model = small_model()
    prompts = prompts_of(model, ["12 plus 7?", "sum?", "What is it?", "a number"])
    whole = preflight(model, prompts, by_length, RECIPE, measure=False)
    part = preflight(model, prompts[2:], by_length, replace(RECIPE, slots=3), measure=False)
    assert part.pass_rates == whole.pass_rates[2:]
    other = replace(RECIPE, train=replace(RECIPE.train, seed=1))
    assert preflight(model, prompts, by_length, other, measure=False).pass_rates != whole.pass_rates


@pytest.mark.parametrize("changes", [{"updates_per_rollout": 3}, {"kl_beta": 0.0}])
def test_steps_of_other_kinds_are_measured_too(changes: dict[str, float]) -> None:
    model = small_model()
    recipe = replace(RECIPE, grpo=replace(GRPO, **changes), train=replace(RECIPE.train, accumulation=2))
    cost = preflight(model, prompts_of(model, ["12?", "7?"]), by_length, recipe).cost
    assert cost is not None
    share = cost.rollout_seconds / recipe.grpo.updates_per_rollout
    assert cost.seconds_per_step == pytest.approx(share + cost.update_seconds)


def test_peak_memory_is_that_of_the_block() -> None:
    """In a process of its own: other tests have told the allocator to keep what was freed."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("only Linux can forget a former peak")
    program = """
import torch
from thinkling.lm.rl.step_cost import PeakMemory

def peak(values):
    with PeakMemory(torch.device("cpu")) as found:
        torch.ones(values)
    return found.bytes

before, large, after = peak(1), peak(1 << 27), peak(1)
print(large - before, after - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    large, after = map(int, done.stdout.split())
    assert large > 0.9 * (4 << 27)
    assert after < 0.1 * (4 << 27)


def raises(problem: RewardProblem, completion_text: str, reasoning: str, well_formed: bool) -> float:
    raise ZeroDivisionError


def not_a_number(problem: RewardProblem, completion_text: str, reasoning: str, well_formed: bool) -> float:
    return float("nan")


@pytest.mark.parametrize(("reward", "words"), [(raises, "ZeroDivisionError"), (not_a_number, "nan")])
def test_a_broken_reward_is_found_before_anything_is_tried(
    reward: object, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_model()
    monkeypatch.setattr("thinkling.lm.rl.preflight.PolicyEngine", None)
    with pytest.raises(InputError, match=words):
        preflight(model, prompts_of(model, ["12?"]), reward, RECIPE)  # type: ignore[arg-type]  # a test's


def test_a_reward_that_fails_now_and_then_is_counted() -> None:
    """Answers that the reward cannot judge count as wrong, and the user hears of it."""

    def moody(problem: RewardProblem, completion_text: str, reasoning: str, well_formed: bool) -> float:
        if len(completion_text) > 2:
            raise ValueError("too long for me")
        return 1.0

    model = small_model()
    found = preflight(model, prompts_of(model, ["12?", "7?"]), moody, RECIPE, measure=False)
    assert found.reward_failures > 0
    assert "too long for me" in " ".join(found.advice)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"samples": 7}, "8 or more"),
        ({"samples": 8, "recipe": replace(RECIPE, grpo=replace(GRPO, group_size=12))}, "12 or more"),
        ({"least_pass_at_8": 1.5}, "0 to 1"),
        ({"prompts": []}, "no problem"),
        ({"model": "plain"}, "lm-sft"),
        ({"answer": ""}, "without an answer"),
        ({"long": True}, "fits into the context"),
    ],
)
def test_what_is_refused(changes: dict[str, object], words: str) -> None:
    model = small_model(PRETRAINING if changes.pop("model", None) else CHAT)
    prompts = prompts_of(model, ["12?"])
    if "answer" in changes:
        problem = replace(prompts[0].problem, answer=changes.pop("answer"))
        prompts = [replace(prompts[0], problem=problem)]
    if changes.pop("long", False):
        prompts = [replace(prompts[0], tokens=prompts[0].tokens * 20)]
    recipe = changes.pop("recipe", RECIPE)
    prompts = changes.pop("prompts", prompts)  # type: ignore[assignment]  # a test's
    with pytest.raises(InputError, match=words):
        preflight(model, prompts, by_length, recipe, **changes)  # type: ignore[arg-type]  # a test's


def test_groups_of_one_are_refused() -> None:
    with pytest.raises(InputError, match="group_size"):
        GrpoConfig(group_size=1)
