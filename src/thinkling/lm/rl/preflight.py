"""Whether reinforcement learning can teach a model anything, before hours are spent on finding out.

Letters: N problems, n attempts at each, G completions of a group in training.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from thinkling.errors import InputError
from thinkling.lm.answers_evaluate import NO_TASK
from thinkling.lm.benchmarks.estimates import Estimate, pass_at_k, wilson
from thinkling.lm.language_model import LanguageModel
from thinkling.lm.rl.attempts import Attempts, all_of_group, attempted, draws_per_group, same_in_group
from thinkling.lm.rl.policy_engine import PolicyEngine
from thinkling.lm.rl.prompts import Prompt
from thinkling.lm.rl.recipe import GrpoRecipe
from thinkling.lm.rl.step_cost import StepCost, measured_step
from thinkling.lm.run_files import CHAT
from thinkling.nn.precision import resolve_dtype
from thinkling.tasks.reward import CheckedReward, Reward, check_reward

K = 8
"""The k of pass@k that says whether there is anything to learn from."""
LEAST_PASS_AT_K = 0.1
"""Share of problems that must be solved in 8 attempts at least once."""
LEAST_MIXED = 0.05
"""Share of groups with right and wrong answers below which a step of 16 prompts has mostly nothing to compare."""
_MANY_CUT_OFF = 0.2
_FEW_WELL_FORMED = 0.8
_MUCH_WASTE = 0.5


@dataclass(frozen=True, kw_only=True)
class TaskPreflight:
    """The problems of one task."""

    n: int
    """Problems."""
    pass_at_1: float
    """Mean share of right attempts."""
    pass_at_8: float
    """Chance that one of 8 attempts is right."""


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """What a model makes of the problems that it would be trained on."""

    n: int
    """Problems, N."""
    samples: int
    """Attempts at each, n."""
    pass_at_1: Estimate
    """Mean share of right attempts, with its 95 % interval."""
    pass_at_8: Estimate
    """Chance that one of 8 attempts is right (unbiased), with its 95 % interval."""
    by_task: dict[str, TaskPreflight]
    """The same for each task."""
    parse_rate: float
    """Share of attempts that reason once, between the markers, and then answer."""
    truncated: float
    """Share of attempts that did not end by themselves."""
    mean_tokens: float
    """Tokens of an attempt."""
    mean_thinking_tokens: float
    """Of these, tokens of reasoning."""
    groups_without_signal: float
    """Expected share of groups whose rewards are all the same, which teach nothing."""
    groups_all_right: float
    """Expected share of groups with right answers only."""
    groups_all_wrong: float
    """Expected share of groups without a right answer."""
    draws_per_group: float
    """Groups that dynamic sampling draws in the mean for each one that is used."""
    wasted_groups: float
    """Expected share of used groups that have no signal after all draws."""
    pass_rates: tuple[float, ...]
    """[N] the sampled pass rate of each problem."""
    cost: StepCost | None
    """What a step takes; None where it was not measured."""
    reward_failures: int
    """Attempts that the reward could not judge, which count as wrong."""
    seconds: float
    """Wall-clock time of the attempts."""
    ok: bool
    """Whether there is something to learn from."""
    advice: tuple[str, ...] = field(default=())
    """What to do, or what to look at."""


def preflight(
    model: LanguageModel,
    prompts: Sequence[Prompt],
    reward: Reward,
    recipe: GrpoRecipe,
    *,
    samples: int = K,
    least_pass_at_8: float = LEAST_PASS_AT_K,
    measure: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Preflight:
    """Let a model try problems as it would in training, and make one step that changes nothing.

    Args:
        model: the model, trained on conversations; its weights stay as they are.
        prompts: the problems.
        reward: who would judge.
        recipe: how it would be trained.
        samples: attempts at each problem, n; no fewer than 8 and than the completions of a group.
        least_pass_at_8: below this pass@8 the answer is no.
        measure: whether to make steps, to say how long one takes and how much memory it needs.
        progress: told how many problems are done, and of how many.

    Raises:
        InputError: a model that has not been trained on conversations, no problem, too few attempts, a prompt that
            fills the context, or a reward that cannot judge the problems.
    """
    check_samples(samples, recipe)
    if not 0 <= least_pass_at_8 <= 1:
        raise InputError(f"least_pass_at_8 {least_pass_at_8}", "0 to 1", "give another share")
    if model.stage != CHAT:
        raise InputError(
            f"a model of the stage {model.stage!r}",
            "a model that was trained on conversations",
            "train it on conversations first (thinkling train lm-sft)",
        )
    check_reward(reward, [prompt.problem for prompt in prompts])
    network, usual = model.network, model.network.compute_dtype
    network.compute_dtype = resolve_dtype(recipe.train.compute_dtype, network.device)
    judge = CheckedReward(reward)
    try:
        begun = time.perf_counter()
        tried = _tried(model, prompts, judge, recipe, samples, progress)
        seconds, failures = time.perf_counter() - begun, judge.failures
        cost = measured_step(network, model.tokenizer, prompts, judge, recipe) if measure else None
    finally:
        network.compute_dtype = usual
    return summarised(
        tried,
        [prompt.problem.task for prompt in prompts],
        recipe,
        least_pass_at_8=least_pass_at_8,
        cost=cost,
        seconds=seconds,
        reward_failures=failures,
        last_failure=judge.last_failure,
    )


def _tried(
    model: LanguageModel,
    prompts: Sequence[Prompt],
    reward: Reward,
    recipe: GrpoRecipe,
    samples: int,
    progress: Callable[[int, int], None] | None,
) -> list[Attempts]:
    """The attempts at each problem, in the order of the problems."""
    found: dict[int, Attempts] = {}
    for place, tried in attempted(
        PolicyEngine(model.network, model.tokenizer, slots=recipe.slots, compile=recipe.compile),
        prompts,
        reward,
        recipe.grpo,
        samples=samples,
        seed=recipe.train.seed,
        in_hand=2 * recipe.slots,
    ):
        found[place] = tried
        if progress is not None:
            progress(len(found), len(prompts))
    return [found[place] for place in range(len(prompts))]


def check_samples(samples: int, recipe: GrpoRecipe) -> None:
    """InputError unless there are enough attempts to estimate pass@8 and what a group is like."""
    least = max(K, recipe.grpo.group_size)
    if samples < least:
        raise InputError(
            f"{samples} samples",
            f"{least} or more: pass@{K} and groups of {recipe.grpo.group_size} are estimated from them",
            "ask for more samples",
        )


def summarised(
    tried: Sequence[Attempts],
    tasks: Sequence[str],
    recipe: GrpoRecipe,
    *,
    least_pass_at_8: float = LEAST_PASS_AT_K,
    cost: StepCost | None = None,
    seconds: float = 0.0,
    reward_failures: int = 0,
    last_failure: str = "",
) -> Preflight:
    """What the attempts at all problems say.

    Args:
        tried: [N] the attempts at each problem.
        tasks: [N] the task of each; empty where there is none.
        recipe: how the model would be trained.
        least_pass_at_8: below this pass@8 the answer is no.
        cost: what a step takes.
        seconds: that the attempts took.
        reward_failures: attempts that the reward could not judge.
        last_failure: what went wrong with the last of them.
    """
    grpo, count, samples = recipe.grpo, len(tried), tried[0].n
    attempts = count * samples
    first = [each.pass_rate for each in tried]
    best = [pass_at_k(samples, each.right, K) for each in tried]
    size = grpo.group_size
    without = sum(same_in_group(each.rewards, size) for each in tried) / count
    right = sum(all_of_group(each.right, samples, size) for each in tried) / count
    wrong = sum(all_of_group(samples - each.right, samples, size) for each in tried) / count
    resamples = grpo.max_resamples if grpo.dynamic_sampling else 0
    pass_at_1, pass_at_8 = wilson(sum(first) / count, count), wilson(sum(best) / count, count)
    parse_rate = sum(each.well_formed for each in tried) / attempts
    truncated = sum(each.truncated for each in tried) / attempts
    no = _why_not(pass_at_8.value, right, wrong, least_pass_at_8)
    failed = []
    if reward_failures:
        failed = [
            f"the reward failed for {reward_failures} of {attempts} answers ({last_failure}); correct it"
        ]
    return Preflight(
        n=count,
        samples=samples,
        pass_at_1=pass_at_1,
        pass_at_8=pass_at_8,
        by_task=_by_task(tasks, first, best),
        parse_rate=parse_rate,
        truncated=truncated,
        mean_tokens=sum(each.tokens for each in tried) / attempts,
        mean_thinking_tokens=sum(each.thinking_tokens for each in tried) / attempts,
        groups_without_signal=without,
        groups_all_right=right,
        groups_all_wrong=wrong,
        draws_per_group=draws_per_group(without, resamples),
        wasted_groups=without ** (resamples + 1),
        pass_rates=tuple(first),
        cost=cost,
        reward_failures=reward_failures,
        seconds=seconds,
        ok=not no,
        advice=(*no, *failed, *_hints(parse_rate, truncated, 0.0 if no else right + wrong, grpo.max_tokens)),
    )


def _why_not(pass_at_8: float, right: float, wrong: float, least: float) -> list[str]:
    """Why nothing could be learned, with what to do; empty where something can."""
    if pass_at_8 < least:
        return [
            f"pass@{K} is {pass_at_8:.3f}, below {least:g}: right answers are too rare to learn from; fine-tune longer "
            "or on more worked reasoning (thinkling train lm-sft), or take easier problems"
        ]
    if right + wrong > 1 - LEAST_MIXED:
        if right > wrong:
            return [
                f"{right:.0%} of all groups are right throughout: there is little left to learn; take harder problems"
            ]
        return [
            f"only {1 - right - wrong:.1%} of all groups have right and wrong answers; raise grpo.group-size, or keep "
            "the problems that are sometimes solved (--out FILE)"
        ]
    return []


def _hints(parse_rate: float, truncated: float, without: float, max_tokens: int) -> list[str]:
    """What is worth a look, whether or not something can be learned."""
    said = []
    if truncated > _MANY_CUT_OFF:
        said.append(
            f"{truncated:.0%} of the answers are cut off at {max_tokens} tokens or at the context's end; raise "
            "grpo.max-tokens, or set grpo.think-budget"
        )
    if parse_rate < _FEW_WELL_FORMED:
        said.append(
            f"only {parse_rate:.0%} of the answers are one <think>…</think> and an answer; the format's reward will be "
            "learned first: fine-tune longer, or check the temperature"
        )
    if without > _MUCH_WASTE:
        said.append(
            f"{without:.0%} of all groups have only right or only wrong answers; the difficulty filter (--out FILE) "
            "keeps the problems that are sometimes solved"
        )
    return said


def _by_task(tasks: Sequence[str], first: Sequence[float], best: Sequence[float]) -> dict[str, TaskPreflight]:
    places: dict[str, list[int]] = {}
    for place, task in enumerate(tasks):
        places.setdefault(task or NO_TASK, []).append(place)
    return {
        name: TaskPreflight(
            n=len(which),
            pass_at_1=sum(first[place] for place in which) / len(which),
            pass_at_8=sum(best[place] for place in which) / len(which),
        )
        for name, which in sorted(places.items())
    }
