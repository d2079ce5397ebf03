"""Questions and answers from reasoning-gym, a collection of some hundred generators (an extra).

A data set's own scoring needs the entry that a question was made with, which cannot be told from the question's text:
there is no checker, but in a plug-in of the user.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import warnings
from collections.abc import Iterator
from typing import Any

from thinkling.errors import InputError, nearest

_INSTALL = "pip install 'thinkling[gym]'"


def _gym(part: str = "") -> Any:
    """The package, imported only now."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its data sets' own; nothing a user could do about
            return importlib.import_module(f"reasoning_gym{part}")
    except ImportError as error:
        raise InputError(
            f"--gym without the package reasoning-gym ({error})", "the extra `gym`", f"install it: {_INSTALL}"
        ) from None


def gym_names() -> tuple[str, ...]:
    """The data sets that reasoning-gym knows.

    Raises:
        InputError: it is not installed.
    """
    _gym()
    return tuple(sorted(_gym(".factory").DATASETS))


def gym_version() -> str:
    """The version of reasoning-gym."""
    _gym()
    # Not its __version__, which lags behind.
    return importlib.metadata.version("reasoning-gym")


def gym_rows(dataset: str, *, seed: int, count: int) -> Iterator[tuple[str, str]]:
    """Questions and answers of a data set: item i is drawn from (seed, i) as reasoning-gym does it.

    Raises:
        InputError: as for `gym_entries`.
    """
    for entry in gym_entries(dataset, seed=seed, count=count):
        yield entry["question"], entry["answer"]


def gym_entries(dataset: str, *, seed: int, count: int) -> Iterator[dict[str, Any]]:
    """Whole entries of a data set, with what its own judge needs: item i is drawn from (seed, i).

    Raises:
        InputError: reasoning-gym is not installed, it does not know the data set (says the nearest), it cannot make
            an item, or an item has no answer in text.
    """
    names = gym_names()
    if dataset not in names:
        raise InputError(
            f"--gym {dataset!r}", f"one of reasoning-gym's {len(names)} data sets", nearest(dataset, names)
        )
    try:
        made = _gym().create_dataset(dataset, size=count, seed=seed)
    except Exception as error:
        raise _broken(dataset, f"cannot be made ({type(error).__name__}: {error})") from error
    for index in range(count):
        try:
            entry = made[index]
        except Exception as error:
            raise _broken(
                dataset, f"item {index} cannot be made ({type(error).__name__}: {error})"
            ) from error
        question, answer = entry.get("question"), entry.get("answer")
        if not isinstance(question, str) or not isinstance(answer, str) or not question or not answer:
            raise _broken(dataset, f"item {index} has the answer {str(answer)[:40]!r}")
        yield dict(entry)


def _broken(dataset: str, what: str) -> InputError:
    return InputError(
        f"--gym {dataset}: {what}", "a data set with an answer in text to each question", "choose another one"
    )
