"""The process of the tests: runs them, with the program's names at hand, and says whether they ran to their end."""

from __future__ import annotations

import ast
import builtins
import importlib
import json
import os
import sys
import threading
import types
from typing import Any

from thinkling.tasks.confined import wire
from thinkling.tasks.confined.jail import confine
from thinkling.tasks.confined.remote import Program, ProgramError, Remote, described

_NAME = "__main__"
_BUILTINS = frozenset(dir(builtins))


def main(source: int, sink: int, verdict: int) -> None:
    """Run the tests that standard input describes.

    Args:
        source: descriptor to read answers of the program's process from.
        sink: descriptor to write questions to.
        verdict: descriptor for what is found: a line when the program begins, then one of JSON.
    """
    with open(0, "rb", closefd=False) as file:
        job = json.loads(file.read())
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    confine(job["folder"], memory_mb=job["memory_mb"], seconds=job["seconds"], caller=job["caller"])
    program = Program(wire.Channel(source, sink))
    passed, reason = False, ""
    try:
        program.wait_until_ready()
        os.write(verdict, b"ready\n")
        program.wait_for_end(job["proof"])
        run_all(job["tests"], program)
        program.finish()
        passed = True
    except ProgramError as error:
        reason = str(error)
    except wire.LostError as error:
        reason = f"the program's process {error}"
    except BaseException as error:  # SystemExit too: it is not an end
        reason = described(error)
    os.write(verdict, json.dumps({"passed": passed, "reason": reason}).encode())
    # Without an end that a test could have registered for.
    os._exit(0)


def run_all(tests: str, program: Program) -> None:
    """Run tests to their end, and their threads.

    Raises:
        BaseException: what they raise.
    """
    tree = ast.parse(tests, "<tests>")
    names = Names(program, tree)
    module = types.ModuleType(_NAME)
    sys.modules[_NAME] = module
    sys.argv = [""]
    names.update(module.__dict__)
    names.fetch()
    run = exec  # what this whole folder is for
    run(compile(tree, "<tests>", "exec", dont_inherit=True), names)
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()


class Names(dict[str, Any]):
    """The tests' global variables; what they do not define is the program's.

    A program may define `abs`, or a class called `math`. The tests mean the language's own, unless such a name is all
    that they use of the program.
    """

    def __init__(self, program: Program, tree: ast.Module) -> None:
        super().__init__()
        self._program = program
        read: set[str] = set()
        bound: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                bound.add(node.name)
            elif isinstance(node, ast.arg):
                bound.add(node.arg)
            elif isinstance(node, ast.alias):
                bound.add((node.asname or node.name).split(".")[0])
            elif isinstance(node, ast.ExceptHandler) and node.name:
                bound.add(node.name)
        attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
        bases = {node.value.id for node in attributes if isinstance(node.value, ast.Name)}
        within = {id(node.value) for node in attributes}
        bare = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in within}
        free = read - bound
        self._modules = ((bases - bare) & free & sys.stdlib_module_names) - _BUILTINS
        self._wanted = sorted(free - _BUILTINS)
        self._shadowing = not (free - _BUILTINS - self._modules)

    def fetch(self) -> None:
        """Take over functions and classes: the body of a class looks names up where nothing can be asked for."""
        for name in self._wanted:
            try:
                value = self[name]
            except KeyError:
                continue
            if isinstance(value, (Remote, type, types.ModuleType)):
                self[name] = value

    def __missing__(self, name: str) -> Any:
        """A name of the program, asked for anew each time: its value may have changed."""
        if name in _BUILTINS and not self._shadowing:
            raise KeyError(name)
        value = self._program.variable(name)
        if name in self._modules and not self._shadowing:
            return importlib.import_module(name)
        return value
