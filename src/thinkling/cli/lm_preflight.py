"""`thinkling lm preflight`: whether reinforcement learning can teach a model anything, and what a step takes."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from thinkling.artifacts.hub import fetched
from thinkling.cli.arguments import CommandArguments
from thinkling.cli.lm_plan import size_in_words, time_in_words
from thinkling.cli.output import Report
from thinkling.errors import InputError
from thinkling.lm.load import load
from thinkling.lm.rl.curriculum import HIGHEST, LOWEST, Filtered, check_filter, write_filtered
from thinkling.lm.rl.preflight import LEAST_PASS_AT_K, Preflight, check_samples, preflight
from thinkling.lm.rl.preflight_problems import GYM, check_tasks, file_prompts, generated_prompts
from thinkling.lm.rl.prompts import Prompt
from thinkling.lm.rl.recipe import GrpoRecipe
from thinkling.lm.run_files import CHAT, read_run
from thinkling.tasks.reward import get_reward

ASKED = 128
"""Problems that are tried, where neither a number nor a file to write is given."""
NOT_WORTH_IT = 4
"""Exit code where there is nothing to learn from."""
_SAID_EVERY_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Arguments(CommandArguments):
    """Let a model try problems as it would in reinforcement learning, and say whether it can learn from them: pass@1,
    pass@8, well-formed answers, groups without signal, time and memory of a step. Leaves with 4 where it cannot. With
    --out, also keep the problems of the right difficulty."""

    run_folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(name="run", metavar="RUN")]
    """The run folder of a model that was trained on conversations."""
    task: str = ""
    """Generated problems to try: names by comma (sum, product, …), or gym:NAME."""
    data: Path | None = None
    """Problems with answers, as `thinkling train lm-grpo` reads them, in place of --task."""
    problems: int | None = None
    """Try so many problems, 0: all of the data (not given: 128, or all of the data with --out)."""
    samples: int = 8
    """Attempts at each."""
    least_pass_at_8: float = LEAST_PASS_AT_K
    """Below this pass@8 the answer is no."""
    out: Path | None = None
    """Write the problems of --data whose sampled pass rate lies between --low and --high, with that rate; a folder
    where --data is one."""
    low: float = LOWEST
    """Lowest pass rate to keep."""
    high: float = HIGHEST
    """Highest pass rate to keep."""
    no_step: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Do not measure what a step takes."""
    recipe: Annotated[GrpoRecipe, tyro.conf.arg(name="")] = field(default_factory=GrpoRecipe)
    """How the model would be trained; the same flags as those of `thinkling train lm-grpo`."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """No progress line."""


def run(arguments: Arguments) -> Report:
    """Try, judge, and perhaps write.

    Raises:
        InputError: the run, the task, the data or the settings cannot be used; found before anything is tried.
        ThinklingError: the disk refuses.
    """
    names = _checked(arguments)
    recipe = arguments.recipe
    if names and names[0].startswith(GYM) and recipe.reward == "task":
        recipe = dataclasses.replace(recipe, reward=names[0])
    reward = get_reward(recipe.reward)
    files = read_run(arguments.run_folder, CHAT)
    context, data = files.model.max_length, None
    if arguments.data is not None:
        data = fetched(arguments.data)
        count = arguments.problems if arguments.problems is not None else 0 if arguments.out else ASKED
        if arguments.out is not None:
            check_filter(data, arguments.out, arguments.low, arguments.high)
        prompts = file_prompts(data, files.tokenizer, reward, recipe, context=context, count=count)
    else:
        count = ASKED if arguments.problems is None else arguments.problems
        prompts = generated_prompts(
            names, files.tokenizer, context=context, count=count, seed=recipe.train.seed
        )
    model = load(arguments.run_folder, device=arguments.device, compute_dtype=recipe.train.compute_dtype)
    found = preflight(
        model,
        prompts,
        reward,
        recipe,
        samples=arguments.samples,
        least_pass_at_8=arguments.least_pass_at_8,
        measure=not arguments.no_step,
        progress=None if arguments.quiet else _progress(),
    )
    filtered = None
    if arguments.out is not None and data is not None:
        filtered = _written(arguments, data, prompts, found)
    advice = _advice(found, filtered, arguments)
    ok = found.ok and (filtered is None or filtered.kept > 0)
    return Report(
        values=_values(arguments, model.params, recipe, found, filtered, ok, advice),
        text=_for_a_person(found, filtered, ok, advice),
        exit_code=0 if ok else NOT_WORTH_IT,
    )


def _checked(arguments: Arguments) -> list[str]:
    """The names of the tasks, after what can be refused without looking at any file."""
    names = [name.strip() for name in arguments.task.split(",") if name.strip()]
    if bool(names) == (arguments.data is not None):
        given = f"--task {arguments.task} and --data {arguments.data}" if names else "no problems"
        raise InputError(given, "one of --task NAME and --data FILE", "say what to try")
    if names:
        check_tasks(names)
        if arguments.out is not None:
            raise InputError(
                f"--out {arguments.out} with --task",
                "--out with --data, whose problems are filtered",
                "make the problems first: thinkling data make problems --out DIR",
            )
    if arguments.problems is not None and arguments.problems < (1 if names else 0):
        least = "1 or more" if names else "0 (all) or more"
        raise InputError(f"--problems {arguments.problems}", least, "give another --problems")
    check_samples(arguments.samples, arguments.recipe)
    if not 0 <= arguments.least_pass_at_8 <= 1:
        raise InputError(f"--least-pass-at-8 {arguments.least_pass_at_8}", "0 to 1", "give another share")
    return names


def _progress() -> Callable[[int, int], None]:
    """Says now and then on standard error how many problems are done."""
    begun = said = time.monotonic()

    def tell(done: int, of: int) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= _SAID_EVERY_SECONDS:
            said = now
            left = (now - begun) / done * (of - done)
            print(
                f"{done:,} of {of:,} problems tried, {time_in_words(left)} left", file=sys.stderr, flush=True
            )

    return tell


def _written(arguments: Arguments, data: Path, prompts: Sequence[Prompt], found: Preflight) -> Filtered:
    assert arguments.out is not None, "asked for"
    return write_filtered(
        data,
        arguments.out,
        {prompt.place: rate for prompt, rate in zip(prompts, found.pass_rates, strict=True)},
        samples=found.samples,
        low=arguments.low,
        high=arguments.high,
    )


def _advice(found: Preflight, filtered: Filtered | None, arguments: Arguments) -> list[str]:
    said = list(found.advice)
    if filtered is not None and not filtered.kept:
        said.insert(
            0,
            f"no problem has a pass rate from {arguments.low:g} to {arguments.high:g}, and nothing was written: "
            f"{filtered.too_easy} are easier and {filtered.too_hard} harder; take more --samples, a wider range, or "
            "other problems",
        )
    return said


def _values(
    arguments: Arguments,
    params: int,
    recipe: GrpoRecipe,
    found: Preflight,
    filtered: Filtered | None,
    ok: bool,
    advice: Sequence[str],
) -> dict[str, Any]:
    shares = ("parse_rate", "truncated", "mean_tokens", "mean_thinking_tokens", "groups_without_signal")
    groups = ("groups_all_right", "groups_all_wrong", "draws_per_group", "wasted_groups", "reward_failures")
    kept = sum(arguments.low <= rate <= arguments.high for rate in found.pass_rates)
    return {
        "run": str(arguments.run_folder),
        "params": params,
        "ok": ok,
        "n": found.n,
        "samples": found.samples,
        "pass_at_1": found.pass_at_1.value,
        "pass_at_1_interval": [found.pass_at_1.low, found.pass_at_1.high],
        "pass_at_8": found.pass_at_8.value,
        "pass_at_8_interval": [found.pass_at_8.low, found.pass_at_8.high],
        "by_task": {name: dataclasses.asdict(part) for name, part in found.by_task.items()},
        **{name: getattr(found, name) for name in (*shares, *groups)},
        "share_in_range": kept / found.n,
        **({} if found.cost is None else dataclasses.asdict(found.cost)),
        "group_size": recipe.grpo.group_size,
        "prompts_per_step": recipe.grpo.prompts_per_step,
        "reward": recipe.reward,
        "filtered": None if filtered is None else dataclasses.asdict(filtered),
        "advice": list(advice),
        "seconds": round(found.seconds, 1),
    }


def _for_a_person(found: Preflight, filtered: Filtered | None, ok: bool, advice: Sequence[str]) -> Any:
    from rich.console import Group
    from rich.table import Table

    table = Table.grid(padding=(0, 3))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    one, eight = found.pass_at_1, found.pass_at_8
    rows = [
        ("problems", f"{found.n:,}, {found.samples} attempts at each, {time_in_words(found.seconds)}"),
        ("pass@1", f"{one.value:.3f}  (95 %: {one.low:.3f} to {one.high:.3f})"),
        ("pass@8", f"{eight.value:.3f}  (95 %: {eight.low:.3f} to {eight.high:.3f})"),
        *(
            (f"  {name}", f"pass@1 {part.pass_at_1:.3f}, pass@8 {part.pass_at_8:.3f} of {part.n:,}")
            for name, part in found.by_task.items()
            if len(found.by_task) > 1
        ),
        ("well-formed answers", f"{found.parse_rate:.1%}"),
        ("cut-off answers", f"{found.truncated:.1%}"),
        (
            "tokens of an answer",
            f"{found.mean_tokens:.1f}, {found.mean_thinking_tokens:.1f} of them thinking",
        ),
        (
            "groups without signal",
            f"{found.groups_without_signal:.1%}  (all right {found.groups_all_right:.1%}, all wrong "
            f"{found.groups_all_wrong:.1%})",
        ),
        (
            "groups drawn",
            f"{found.draws_per_group:.2f} for each that is used, {found.wasted_groups:.1%} of these without signal",
        ),
    ]
    if found.cost is not None:
        cost = found.cost
        rows += [
            (
                "a step",
                f"{cost.seconds_per_step:.2f} seconds: {cost.rollout_seconds:.2f} of a rollout, "
                f"{cost.update_seconds:.2f} of an update",
            ),
            ("memory", size_in_words(cost.memory_bytes) if cost.memory_bytes else "unknown"),
        ]
    if filtered is not None:
        rows.append(
            (
                "kept",
                f"{filtered.kept:,} problems{f' in {filtered.path}' if filtered.path else ''}; {filtered.too_easy:,} "
                f"were too easy, {filtered.too_hard:,} too hard",
            )
        )
    for name, value in rows:
        table.add_row(name, value)
    verdict = "reinforcement learning can learn from this" if ok else "not worth starting"
    return Group(table, "", verdict, *(f"  - {line}" for line in advice))
