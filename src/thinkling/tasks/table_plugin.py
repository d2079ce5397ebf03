"""Plug-ins of tables: a Python file of the user that knows what the questions mean.

It may define any of these functions; questions and answers are texts as in the table.

    def symmetry(question, answer, random):     another question with its answer, chosen by a random.Random;
        return question, answer                  applied to every training example
    def check(question, answer):                 whether the answer is right: True or False
        return True
    def validate(question):                      what is wrong with a question; None where nothing is
        return None
    def canonical(question):                     a text that all symmetric copies of a question share; the import
        return question                          keeps such questions on one side of the split

The code runs only when the user names the file, on the command line (`--task FILE`) or with `load_plugin`. Data sets
and runs record the name of the file and its SHA-256, never the code, and nothing is run from there.
"""

from __future__ import annotations

import hashlib
import importlib.abc
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from thinkling.errors import InputError, nearest

HOOKS: Mapping[str, tuple[int, str]] = {
    "symmetry": (3, "(question, answer, random), returning a question and its answer"),
    "check": (2, "(question, answer), returning True or False"),
    "validate": (1, "(question), returning what is wrong, or None"),
    "canonical": (1, "(question), returning a text"),
    "view": (2, "(question, random), returning a question and a function from its answer to the other's"),
}
"""The functions of a plug-in: how many arguments, and the signature."""

_CORRECT = "correct the plug-in"


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """The functions of a plug-in that the user has named."""

    path: Path
    """The file."""
    sha256: str
    """SHA-256 of the file as it was read."""
    symmetry: Callable[[str, str, Random], Any] | None = None
    """Another example from one."""
    check: Callable[[str, str], Any] | None = None
    """Whether an answer is right."""
    validate: Callable[[str], Any] | None = None
    """What is wrong with a question."""
    canonical: Callable[[str], Any] | None = None
    """What symmetric questions share."""
    view: Callable[[str, Random], Any] | None = None
    """Another way to ask, with the way back for the answer."""

    @property
    def record(self) -> dict[str, str]:
        """What data sets and runs keep of it."""
        return {"file": self.path.name, "sha256": self.sha256}

    def run_symmetry(self, question: str, answer: str, random: Random) -> tuple[str, str]:
        """A symmetric copy of an example; InputError naming file and line where the plug-in fails."""
        found = self._run("symmetry", question, answer, random)
        if isinstance(found, (tuple, list)) and len(found) == 2:
            first, second = found
            if isinstance(first, str) and isinstance(second, str):
                return first, second
        raise self._wrong_type("symmetry", found, "two texts: a question and its answer")

    def run_check(self, question: str, answer: str) -> bool:
        """Whether an answer is right; InputError naming file and line where the plug-in fails."""
        found = self._run("check", question, answer)
        if type(found) is bool or type(found).__name__ in ("bool_", "bool"):  # NumPy's too
            return bool(found)
        raise self._wrong_type("check", found, "True or False")

    def run_validate(self, question: str) -> str | None:
        """What is wrong with a question; InputError naming file and line where the plug-in fails."""
        found = self._run("validate", question)
        if found is None or isinstance(found, str):
            return found
        raise self._wrong_type("validate", found, "a text that says what is wrong, or None")

    def run_canonical(self, question: str) -> str:
        """What symmetric questions share; InputError naming file and line where the plug-in fails."""
        found = self._run("canonical", question)
        if isinstance(found, str):
            return found
        raise self._wrong_type("canonical", found, "a text")

    def run_view(self, question: str, random: Random) -> tuple[str, Callable[[str], str]]:
        """Another question and the way back for its answer; InputError naming the file where the plug-in fails."""
        found = self._run("view", question, random)
        if (
            not isinstance(found, (tuple, list))
            or len(found) != 2
            or not isinstance(found[0], str)
            or not callable(found[1])
        ):
            raise self._wrong_type("view", found, "a question and a function")
        asked, undo = found

        def back(answer: str) -> str:
            try:
                text = undo(answer)
            except (Exception, SystemExit) as error:
                what = f"gave a function that raised {type(error).__name__} for {answer!r:.80}: {error}"
                raise self.fault("view", what, "a function that takes whatever a model says") from error
            if not isinstance(text, str):
                raise self.fault("view", f"gave a function that returned {repr(text)[:80]}", "a text")
            return text

        return asked, back

    def fault(self, hook: str, what: str, allowed: str) -> InputError:
        """What is wrong with a function of the plug-in, with file and line."""
        return InputError(f"{self.path} line {self._line(hook)}: {hook} {what}", allowed, _CORRECT)

    def _run(self, hook: str, *arguments: Any) -> Any:
        function: Callable[..., Any] = getattr(self, hook)
        try:
            return function(*arguments)
        except (Exception, SystemExit) as error:
            line = _last_line(error, self.path) or self._line(hook)
            texts = [repr(argument) for argument in arguments if isinstance(argument, str)]
            raise InputError(
                f"{self.path} line {line}: {hook}({', '.join(texts)}) raised {type(error).__name__}: {error}",
                f"a function {hook}{HOOKS[hook][1]}",
                _CORRECT,
            ) from error

    def _wrong_type(self, hook: str, found: Any, allowed: str) -> InputError:
        return self.fault(hook, f"returned {repr(found)[:80]}", allowed)

    def _line(self, hook: str) -> int:
        code = getattr(inspect.unwrap(getattr(self, hook)), "__code__", None)
        return code.co_firstlineno if code is not None else 1


class _FromBytes(importlib.abc.SourceLoader):
    """Runs the very bytes whose hash was taken, and writes no cache."""

    def __init__(self, path: Path, source: bytes) -> None:
        self.path = path
        self.source = source

    def get_filename(self, fullname: str) -> str:
        return str(self.path)

    def get_data(self, path: Any) -> bytes:
        return self.source


def load_plugin(path: Path) -> Plugin:
    """Run a plug-in file and take its functions.

    Raises:
        InputError: no such file, no Python, it fails, or it defines nothing that a table knows; names the line.
    """
    path = Path(path)
    allowed = "a Python file with symmetry, check, validate, canonical or view"
    try:
        source = path.read_bytes()
    except OSError as error:
        raise InputError(f"--task {path}: {error.strerror}", allowed, "check the path") from None
    sha256 = hashlib.sha256(source).hexdigest()
    module = _run_module(path, source, f"thinkling_plugin_{sha256[:12]}", allowed)
    hooks = {name: getattr(module, name) for name in HOOKS if callable(getattr(module, name, None))}
    if not hooks:
        own = [name for name, value in vars(module).items() if inspect.isfunction(value)]
        hint = next(
            (nearest(name, HOOKS) for name in own if "mean" in nearest(name, HOOKS)), "define one of them"
        )
        raise InputError(f"{path}: none of {', '.join(HOOKS)} is defined", allowed, hint)
    plugin = Plugin(path=path, sha256=sha256, **hooks)
    for name, (count, signature) in HOOKS.items():
        if name in hooks and not _takes(hooks[name], count):
            raise plugin.fault(name, f"does not take {count} arguments", f"{name}{signature}")
    return plugin


def _run_module(path: Path, source: bytes, name: str, allowed: str) -> ModuleType:
    loader = _FromBytes(path, source)
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module  # dataclasses in the file look themselves up here
    try:
        loader.exec_module(module)
    except SyntaxError as error:
        del sys.modules[name]
        raise InputError(f"{path} line {error.lineno}: {error.msg}", allowed, _CORRECT) from None
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        line = _last_line(error, path) or 1
        raise InputError(
            f"{path} line {line}: {type(error).__name__}: {error}", f"{allowed} that can be run", _CORRECT
        ) from error
    finally:
        if before is not None:
            sys.modules[name] = before
    return module


def _takes(function: Callable[..., Any], count: int) -> bool:
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:
        return True  # a builtin that does not tell
    return True


def _last_line(error: BaseException, path: Path) -> int | None:
    """The innermost line of the file in an error's traceback."""
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
    ]
    return lines[-1] if lines else None
