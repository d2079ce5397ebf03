"""Which benchmarks there are."""

from __future__ import annotations

from collections.abc import Callable

from thinkling.errors import InputError, nearest
from thinkling.lm.benchmarks.aqua import Aqua
from thinkling.lm.benchmarks.code import HumanEval, Mbpp
from thinkling.lm.benchmarks.generated import GeneratedProblems
from thinkling.lm.benchmarks.gym import GYM, GymProblems
from thinkling.lm.benchmarks.item import Benchmark
from thinkling.lm.benchmarks.math500 import Math500
from thinkling.lm.benchmarks.word_problems import gsm8k, svamp
from thinkling.tasks.problem import problem_tasks

_PUBLISHED: dict[str, Callable[[], Benchmark]] = {
    "gsm8k": gsm8k,
    "math500": Math500,
    "humaneval": HumanEval,
    "mbpp": Mbpp,
    "svamp": svamp,
    "aqua": Aqua,
}


def benchmark_names() -> tuple[str, ...]:
    """The names `get_benchmark` knows; `gym:` is followed by the name of a data set."""
    return (*_PUBLISHED, f"{GYM}NAME", *problem_tasks())


def is_benchmark(name: str) -> bool:
    """Whether there is a benchmark of this name; whether its data can be had is another question."""
    return name in _PUBLISHED or name.startswith(GYM) or name in problem_tasks()


def get_benchmark(name: str) -> Benchmark:
    """The benchmark of a name.

    Raises:
        InputError: there is none (says the nearest), or what it needs is not installed.
    """
    found: Benchmark
    if name in _PUBLISHED:
        found = _PUBLISHED[name]()
    elif name.startswith(GYM):
        found = GymProblems(name=name)
    elif name in problem_tasks():
        found = GeneratedProblems(name=name)
    else:
        known = benchmark_names()
        raise InputError(f"--task {name!r}", ", ".join(known), nearest(name, known))
    found.check()
    return found
