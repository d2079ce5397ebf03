"""Programs and tests that mean well: what tests may do with a program's names, and what the sandbox refuses."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from thinkling.errors import InputError
from thinkling.tasks.confined import jail, program_process, seccomp, tests_process, wire
from thinkling.tasks.confined.remote import Program
from thinkling.tasks.sandbox import run_tests

SHAPES = """
import math
from collections import Counter, namedtuple
from dataclasses import dataclass
from enum import Enum, IntEnum
from fractions import Fraction

calls = []

class Colour(Enum):
    RED = 1

class Level(IntEnum):
    LOW = 1

class Wrong(ValueError):
    pass

Pair = namedtuple("Pair", "left right")

@dataclass
class Point:
    x: int
    y: int = 0
    def __add__(self, other): return Point(self.x + other.x, self.y + other.y)
    def __mul__(self, k): return Point(self.x * k, self.y * k)
    def __lt__(self, other): return self.x < other.x
    def __len__(self): return 2
    def __iter__(self): return iter((self.x, self.y))
    def __getitem__(self, i): return (self.x, self.y)[i]
    def __contains__(self, v): return v in (self.x, self.y)
    def __str__(self): return f"<{self.x}, {self.y}>"

class Stack:
    def __init__(self): self.items = []
    def push(self, item): self.items.append(item)
    def pop(self): return self.items.pop()
    def __bool__(self): return bool(self.items)
    def __enter__(self): return self
    def __exit__(self, *raised): self.items.clear()

def note(x): calls.append(x)
def sort(xs): xs.sort()
def nested(d): d["a"].append(1)
def apply(f, x): return f(x)
def fold(f, xs):
    import functools
    return functools.reduce(f, xs)
def of_type(xs, kind): return [x for x in xs if isinstance(x, kind)]
def count(n):
    for i in range(n): yield i
def refuse(x): raise Wrong("no", x)
def length(node):
    n = 0
    while node is not None: n, node = n + 1, node.next
    return n
def relabel(node): node.value = 7
def hello(): print("hello")
async def later(x): return x + 1
"""

MEANT_WELL = {
    "plain data": "assert apply(len, [1, 2]) == 2 and fold(lambda a, b: a * b, [2, 3, 4]) == 24",
    "types and functions of the language": "import operator\nassert of_type([1, 'a'], str) == ['a']\n"
    "assert fold(operator.add, [1, 2]) == 3 and apply(str.upper, 'a') == 'A' and apply(math.sqrt, 4) == 2",
    "global variables": "note(1)\nnote(2)\nassert calls == [1, 2]",
    "in place": "xs = [3, 1, 2]\nys = xs\nsort(xs)\nassert ys == [1, 2, 3]\nd = {'a': []}\ninner = d['a']\nnested(d)\n"
    "assert inner == [1]",
    "generators": "assert list(count(3)) == [0, 1, 2]\ng = count(9)\nassert next(g) == 0 and next(g) == 1\n"
    "assert sum(apply(iter, [1, 2])) == 3",
    "objects": "p = Point(1, 2)\nassert p == Point(1, 2) and p != Point(2) and p + p == p * 2 == Point(2, 4)\n"
    "assert p.x == 1 and len(p) == 2 and list(p) == [1, 2] and p[1] == 2 and 2 in p and 5 not in p\n"
    "assert str(p) == '<1, 2>' and repr(p) == 'Point(x=1, y=2)' and max([p, Point(3)]).x == 3\n"
    "p.x = 5\nassert p.x == 5 and isinstance(p, Point) and not isinstance(3, Point) and p != 5",
    "state": "s = Stack()\nassert not s\ns.push(1); s.push([2])\nassert s.pop() == [2] and s and s.items == [1]\n"
    "with s as same:\n    assert same is s or same == s\nassert not s",
    "values of one's own": "assert Pair(1, 2) == (1, 2) and Pair(1, 2).left == 1 and Level.LOW == 1\n"
    "assert Colour.RED == Colour.RED and Colour.RED.value == 1\n"
    "assert apply(Counter, 'aab') == {'a': 2, 'b': 1} and Fraction(1, 2) + Fraction(1, 2) == 1",
    "large and odd values": "same = lambda x: x\nfor v in (10**400, -0.0, 1e-300, float('inf'), 2+3j, b'x',\n"
    "        '\\ud800', (1, (2,)), {1: {2}}, frozenset('a'), range(3), None, True, [[]], {'t': 'int'}, ...):\n"
    "    got = apply(same, v)\n    assert got == v and type(got) is type(v), v\n"
    "assert math.isnan(apply(same, float('nan')))",
    "exceptions": "try: refuse(3)\nexcept Wrong as error: assert error.args == ('no', 3)\nelse: assert False\n"
    "try: refuse(3)\nexcept ValueError: pass\n"
    "try: apply(lambda x: {}[x], 1)\nexcept KeyError as error: assert error.args == (1,)\nelse: assert False",
    "unittest": "import unittest\nclass Cases(unittest.TestCase):\n"
    "    def test_it(self):\n        self.assertEqual(apply(abs, -1), 1)\n"
    "        with self.assertRaises(ValueError): refuse(1)\n"
    "result = unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromTestCase(Cases))\n"
    "assert result.wasSuccessful() and result.testsRun == 1",
    "what is printed": "import io, contextlib\nout = io.StringIO()\n"
    "with contextlib.redirect_stdout(out): hello()\nassert out.getvalue() == 'hello\\n'",
    "objects of the tests": "class Node:\n    def __init__(self, value, next=None):\n"
    "        self.value, self.next = value, next\n"
    "chain = Node(1, Node(2, Node(3)))\nassert length(chain) == 3\nrelabel(chain)\nassert chain.value == 7",
    "async": "import asyncio\nassert asyncio.run(later(1)) == 2",
    "threads": "import threading\nts = [threading.Thread(target=note, args=(i,)) for i in range(5)]\n"
    "for t in ts: t.start()\nfor t in ts: t.join()\nassert sorted(calls) == [0, 1, 2, 3, 4]",
    "a program's name that the tests bind": "def apply(x): return x\nassert apply(3) == 3",
}


@pytest.mark.parametrize("name", MEANT_WELL)
def test_tests_see_the_program_s_names_as_if_they_stood_below_it(name: str) -> None:
    tests = MEANT_WELL[name]
    exec(SHAPES + tests, {"__name__": "__main__"}) if name not in ("unittest", "threads") else None
    verdict = run_tests(SHAPES, tests)
    assert verdict.passed, verdict.reason
    assert verdict.reason == "passed"
    assert not run_tests(SHAPES, f"{tests}\nassert apply(len, [1]) == 2").passed


@pytest.mark.parametrize("name", MEANT_WELL)
def test_the_two_sides_understand_each_other_in_one_process(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the processes do, without the processes."""
    module = types.ModuleType("__main__")
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setitem(sys.modules, "__main__", module)
    exec(SHAPES, module.__dict__)
    (answers, answer), (questions, question) = os.pipe(), os.pipe()

    def serve() -> None:
        with suppress(wire.LostError):
            program_process.Answers(wire.Channel(questions, answer), module).serve()

    thread = threading.Thread(target=serve, daemon=True)  # the tests wait for all others
    thread.start()
    try:
        tests_process.run_all(MEANT_WELL[name], Program(wire.Channel(answers, question)))
    finally:
        os.close(question)
        thread.join()
        for end in (answers, answer, questions):
            os.close(end)


def test_a_program_may_be_called_like_a_builtin() -> None:
    assert run_tests("def sum(a, b): return a - b", "assert sum(5, 2) == 3").passed
    # Beside another name of the program's, a builtin is the language's.
    assert not run_tests("def abs(x): return 0\ndef f(x): return 9.0", "assert abs(f(1) - 1.0) < 1e-9").passed
    assert not run_tests(
        "class math:\n    isclose = lambda *a: True\ndef f(x): return 9", "assert math.isclose(f(1), 1)"
    ).passed


def test_files_in_the_temporary_folder_are_the_program_s_own() -> None:
    program = "def f():\n    open('x', 'w').write('abc')\n    return open('x').read()"
    assert run_tests(program, "assert f() == 'abc'").passed


def test_a_verdict_is_the_same_each_time() -> None:
    """The order of a set of strings differs between two Pythons; a reward may not."""
    program = "def f(): return list({'a', 'b', 'c', 'd', 'e'})"
    assert len({run_tests(program, "assert f()[0] == 'a'").passed for _ in range(4)}) == 1


def test_threads_may_run_it_side_by_side() -> None:
    begun = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(
                lambda n: (
                    run_tests(
                        f"import time\ntime.sleep(0.4)\ndef f(): return {n}", f"assert f() == {n // 2 * 2}"
                    ).passed
                ),
                range(8),
            )
        )
    assert found == [True, False] * 4
    assert time.monotonic() - begun < 8 * 0.4 + 3
    assert threading.active_count() == 1 or not any("reward" in t.name for t in threading.enumerate())


@pytest.mark.parametrize(
    ("program", "tests", "limits", "words"),
    [
        ("", "", {"seconds": 0}, "seconds 0; allowed: more than 0"),
        ("", "", {"seconds": float("nan")}, "seconds nan"),
        ("", "", {"memory_mb": 1}, "memory_mb 1; allowed: 16 or more"),
        (b"", "", {}, "program bytes; allowed: a text"),
        ("", None, {}, "tests NoneType"),
    ],
)
def test_limits_that_cannot_be(program: object, tests: object, limits: dict[str, float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        run_tests(program, tests, **limits)  # type: ignore[arg-type]  # what is refused


SOURCES = Path(wire.__file__).parents[3]
KERNEL = """
import ctypes, os, socket, sys, tempfile
sys.path.append({sources!r})
from thinkling.tasks.confined import jail
if {alone!r}: jail._namespaces = lambda folder: False
told = jail.confine({folder!r}, memory_mb=200, seconds=5, caller=os.getppid())
if not (told.calls and told.files):
    print("not here"); sys.exit()
libc = ctypes.CDLL(None, use_errno=True)
tries = dict(
    fork=os.fork, kill=lambda: os.kill(os.getppid(), 0), execute=lambda: os.execv("/bin/true", ["true"]),
    socket=socket.socket, read=lambda: open("/etc/passwd"), write=lambda: open("/tmp/x", "w"),
    spawn=lambda: os.posix_spawn("/bin/true", ["true"], {{}}), unshare=lambda: called(libc.unshare, 0x20000),
    trace=lambda: called(libc.ptrace, 16, os.getppid(), 0, 0), keys=lambda: called(libc.syscall, 250, 0, 0),
    memory=lambda: called(libc.process_vm_readv, os.getppid(), 0, 0, 0, 0, 0),
    vfork=lambda: called(libc.syscall, 58), clone=lambda: called(libc.syscall, 56, 17, 0, 0, 0, 0),
    ring=lambda: called(libc.syscall, 425, 1, 0), mount=lambda: called(libc.umount2, b"/", 0),
)
if {alone!r}: tries |= dict(file=lambda: open("x", "w"), folder=lambda: os.mkdir("x"))
else: open("x", "w").write("mine")
def called(function, *arguments):
    if function(*arguments) == -1:
        raise OSError(ctypes.get_errno(), "refused")
for name, attempt in tries.items():
    try:
        attempt()
        print(name, "was let")
    except OSError as error:
        assert error.errno in (1, 13), (name, error)
os.write(1, b"done")
"""


@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"),
    reason="the numbers of its calls are this machine's",
)
@pytest.mark.parametrize("alone", [False, True])
def test_the_kernel_refuses_by_itself(tmp_path: Path, alone: bool) -> None:
    """Without the hooks that a program's process has besides, and where there are no namespaces either."""
    done = subprocess.run(
        [
            sys.executable,
            "-S",
            "-B",
            "-c",
            KERNEL.format(folder=str(tmp_path), alone=alone, sources=str(SOURCES)),
        ],
        capture_output=True,
        text=True,
        timeout=30,
    )
    if "not here" in done.stdout:
        pytest.skip("this kernel has no seccomp or no Landlock")
    assert (done.stdout, done.stderr) == ("done", "")


def test_a_filter_is_made_for_each_machine_and_none_is_too_long() -> None:
    for machine in ("x86_64", "aarch64"):
        for changes in (False, True):
            lines = seccomp.assembled(machine, file_changes=changes)
            assert len(lines) % 8 == 0
            assert len(lines) // 8 < 4096
    with pytest.raises(KeyError):
        seccomp.assembled("riscv64", file_changes=False)


def test_where_the_kernel_has_no_walls_files_outside_are_refused_by_a_hook(tmp_path: Path) -> None:
    hook = jail.kept_inside(str(tmp_path))
    hook("open", (str(tmp_path / "x"), "w", 0o101))
    hook("open", (subprocess.__file__, "r", 0))
    hook("open", (3, "r", 0))
    hook("compile", (b"", "x"))
    for event, arguments in (
        ("open", ("/etc/passwd", "r", 0)),
        ("open", (subprocess.__file__, "a", 0o2001)),
        ("os.listdir", ("/",)),
        ("os.remove", (str(tmp_path.parent / "x"), -1)),
        ("os.rename", (str(tmp_path / "x"), "/x", -1, -1)),
    ):
        with pytest.raises(PermissionError):
            hook(event, arguments)


@pytest.mark.parametrize(
    "message",
    [
        {"t": "name", "v": ["os", "system"]},
        {"t": "own", "v": 99},
        {"t": "module", "v": "thinkling"},
        {"t": "builtin", "v": "eval"},
        {"t": "set", "v": [[]]},
        {"t": "Decimal", "v": "x"},
        {"t": "bytes", "v": 3},
        {"v": 1},
        {"t": ["list"], "v": 1},
    ],
)
def test_what_cannot_be_read_is_no_value(message: object) -> None:
    def resolve(tag: str, value: object) -> object:
        raise wire.LostError(tag)

    with pytest.raises(wire.LostError):
        wire.unpack(message, resolve)
