"""Programs that do not solve their task and try to be told that they do."""

from __future__ import annotations

from typing import Any

import pytest

TESTS = "assert solve(2) == 4\nassert solve(3) == 9\nassert abs(solve(0.5) - 0.25) < 1e-6\n"
SQUARE = "def solve(x):\n    return x * x\n"

FAKES = {
    "leaves with code 0": "import os\nos._exit(0)",
    "leaves politely": "import sys\nsys.exit(0)",
    "leaves when called": "import os\ndef solve(x):\n    os._exit(0)",
    "leaves politely when called": "def solve(x):\n    raise SystemExit(0)",
    "leaves at exit": "import atexit, os\natexit.register(os._exit, 0)\nraise ValueError",
    "leaves by a signal": "import signal\nsignal.raise_signal(signal.SIGTERM)",
    "leaves by an alarm": "import signal, os\nsignal.signal(signal.SIGALRM, lambda *a: os._exit(0))\n"
    "signal.setitimer(signal.ITIMER_REAL, 0.05)\nwhile True: pass",
    "replaces AssertionError": "import builtins\nclass Never(BaseException): pass\n"
    "builtins.AssertionError = Never\ndef solve(x): return 0",
    "replaces exec and compile": "import builtins\nbuiltins.exec = lambda *a, **k: None\n"
    "builtins.compile = lambda *a, **k: compile('', '', 'exec')\ndef solve(x): return 0",
    "replaces every builtin": "import builtins\n"
    "for name in dir(builtins):\n"
    "    if name[0].islower(): setattr(builtins, name, lambda *a, **k: True)",
    "replaces all modules": "import sys\nclass Yes:\n    def __getattr__(self, name): return lambda *a, **k: True\n"
    "for name in list(sys.modules): sys.modules[name] = Yes()\ndef solve(x): return 0",
    "replaces json and operator": "import json, operator\njson.dumps = lambda *a, **k: '{\"passed\": true}'\n"
    "operator.eq = operator.truth = lambda *a: True\ndef solve(x): return 0",
    "replaces os.write": "import os\nos.write = lambda fd, data: len(data)\nraise ValueError",
    "a hook for exceptions": "import sys, os\nsys.excepthook = lambda *a: os._exit(0)\nraise ValueError",
    "equal to everything": "class Equal:\n    def __eq__(self, other): return True\n    __hash__ = None\n"
    "    def __sub__(self, other): return 0.0\n    def __abs__(self): return 0.0\n"
    "    def __lt__(self, other): return True\ndef solve(x): return Equal()",
    "a number equal to everything": "class Equal(int):\n    def __eq__(self, other): return True\n"
    "    def __sub__(self, other): return 0\ndef solve(x): return Equal(0)",
    "a text equal to everything": "class Equal(str):\n    def __eq__(self, other): return True\n"
    "    def __sub__(self, other): return 0\ndef solve(x): return Equal('')",
    "reflected arithmetic": "class Liar:\n    def __rsub__(self, o): return 0\n    def __sub__(self, o): return 0\n"
    "    def __eq__(self, o): return NotImplemented\ndef solve(x): return Liar()",
    "mock.ANY": "from unittest.mock import ANY, MagicMock\nsolve = MagicMock(return_value=ANY)",
    "a metaclass": "class Meta(type):\n    def __eq__(cls, other): return True\n    def __hash__(cls): return 1\n"
    "class Equal(metaclass=Meta): pass\ndef solve(x): return Equal",
    "redefines abs and assert": "def abs(x): return 0\ndef solve(x): return {2: 4, 3: 9}.get(x, 7.0)",
    "prints success": "print('passed'); print('{\"passed\": true}'); print('OK')\ndef solve(x): return 0",
    "writes success everywhere": "import os\nfor fd in range(256):\n    for text in (b'passed\\n', b'ready\\n',\n"
    '        b\'{"passed": true, "reason": ""}\', b\'\\x00\\x00\\x00\\x0a{"v": true}\'):\n'
    "        try: os.write(fd, text)\n        except OSError: pass\ndef solve(x): return 0",
    "closes everything": "import os\nos.closerange(0, 256)\ndef solve(x): return 0",
    "reads everything": "import os\nfor fd in range(256):\n    try:\n"
    "        os.set_blocking(fd, False); print(os.read(fd, 9999))\n    except OSError: pass\nraise ValueError",
    "replaces standard output": "import sys, io\nsys.stdout = sys.stderr = io.StringIO()\n"
    "sys.__stdout__ = None\ndef solve(x): return 0",
    "stops threads from being waited for": "import threading, time\n"
    "threading.Thread(target=time.sleep, args=(60,)).start()\n" + SQUARE,
    "a thread that answers": "import os, threading, time\ndef forge():\n"
    "    while True:\n        for fd in range(3, 20):\n            try:\n"
    "                os.write(fd, b'\\x00\\x00\\x00\\x0a{\"v\": true}')\n"
    "            except OSError: pass\nthreading.Thread(target=forge, daemon=True).start()\n"
    "time.sleep(0.1)\ndef solve(x): return 0",
    "never returns": "def solve(x):\n    while True: pass",
    "returns endlessly": "def solve(x):\n    while True: yield 4",
    "recurses": "def solve(x): return solve(x)",
    "raises a false name": "class AssertionError(Exception): pass\ndef solve(x): raise AssertionError",
    "raises KeyboardInterrupt": "def solve(x): raise KeyboardInterrupt",
    "raises GeneratorExit": "def solve(x): raise GeneratorExit",
    "raises StopIteration": "def solve(x): raise StopIteration(4)",
    "no program at all": "",
    "no Python": "def solve(x) return 4",
    "a null character": "x = '\0'",
    "half of a character": "x = '\ud800'",
    "returns a file": "def solve(x): return open('x', 'w')",
    "returns itself": "def solve(x):\n    a = []\n    a.append(a)\n    return a",
    "returns what is too long": "def solve(x): return 'x' * 20_000_000",
    "returns what is too deep": "def solve(x):\n    a = 4\n    for _ in range(100_000): a = [a]\n    return a",
    "claims a class that there is not": "def solve(x): return type('int', (object,), {'__module__': 'builtins'})",
    "an ending that was not": "import os, sys\nframe = sys._getframe()\nwhile frame:\n"
    "    for value in list(frame.f_locals.values()):\n"
    "        if hasattr(value, 'send'):\n            value.send({'proof': 'x'}); value.send({'v': True})\n"
    "    frame = frame.f_back\nwhile True: pass",
}


@pytest.mark.parametrize("name", FAKES)
def test_a_fake_does_not_pass(run: Any, name: str) -> None:
    verdict = run(FAKES[name], TESTS)
    assert not verdict.passed
    assert verdict.reason not in ("", "passed")


def test_the_tests_can_be_passed(run: Any) -> None:
    assert run(SQUARE, TESTS).passed


LOOKS = {
    "frames": "import sys\nframe = sys._getframe()\nwhile frame:\n"
    "    print(frame.f_locals, frame.f_globals, frame.f_code.co_consts)\n    frame = frame.f_back",
    "tracebacks": "try: 1 / 0\nexcept Exception as e:\n    frame = e.__traceback__.tb_frame\n"
    "    while frame:\n        print(dict(frame.f_locals), dict(frame.f_globals)); frame = frame.f_back",
    "the collector": "import gc\nprint(gc.get_objects())",
    "referrers": "import gc\nprint(gc.get_referrers(print))",
    "memory through /proc": "print(open('/proc/self/mem', 'rb').read(10))",
    "the memory of the parent": "import os\nprint(open(f'/proc/{os.getppid()}/mem', 'rb').read(10))",
    "the command line": "print(open('/proc/self/cmdline').read())",
    "descriptors": "import os\nprint(os.listdir('/proc/self/fd'))",
    "ctypes": "import ctypes\nprint(ctypes.string_at(id(1), 100))",
    "standard input": "import os\nos.lseek(0, 0, 0)\nprint(os.read(0, 10_000) or 1 / 0)",
}
"""Each prints what it finds, and raises where it is not let."""


@pytest.mark.parametrize("name", LOOKS)
def test_nothing_that_a_program_can_see_is_worth_seeing(run: Any, name: str) -> None:
    """What is told is told to the tests, which look for their own text and for anything as long as a proof."""
    told = (
        "import io, contextlib, re\nout = io.StringIO()\nwith contextlib.redirect_stdout(out):\n    look()\n"
    )
    told += "text = out.getvalue()\nassert 'a hidden expectation' not in text\n"
    told += "assert not re.search('[0-9a-f]{32}', text), text\nraise RuntimeError('seen')"
    body = "".join(f"    {line}\n" for line in LOOKS[name].splitlines())
    verdict = run(f"def look():\n{body}", told)
    assert not verdict.passed
    assert not verdict.reason.startswith("AssertionError")
    # The same before the program has ended, when the proof is still to be sent; its output is not of use to it.
    assert not run(f"{LOOKS[name]}\nraise ValueError", "").passed


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("1 / 0", "the program raised ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(0)", "the program raised SystemExit: 0"),
        ("import os; os._exit(0)", "(exit code 0)"),
        ("def solve(x): return 5", "AssertionError"),
        ("x = 1", "NameError"),
        ("while True: pass", "more than 1 seconds"),
        ("while True: print('x' * 1000)", "bytes of output"),
        ("x = [0] * 10**9", "MemoryError"),
    ],
)
def test_the_reason_says_what_happened(run: Any, program: str, reason: str) -> None:
    assert reason in run(program, "assert solve(2) == 4").reason


def test_a_test_that_forgives_everything_does_not_forgive_an_end(run: Any) -> None:
    """`except:` around a call hides what the call raises, and must not hide that nobody is there to be called."""
    assert not run("import os\ndef solve(x): os._exit(0)", "try:\n    solve(1)\nexcept: pass").passed
    assert run("def solve(x): raise ValueError", "try:\n    solve(1)\nexcept: pass").passed


def test_what_tests_lend_does_not_lead_to_their_names(run: Any) -> None:
    """A function that the tests hand over can be called, and its attributes, which lead to the tests, not be read."""
    reach = "def solve(f):\n    try: return f.{0}\n    except AttributeError: return 'refused'"
    for name in ("__globals__", "__code__", "__self__", "gi_frame", "secret"):
        tests = "secret = 1\ndef lent(): return 1\nassert solve(lent) == 'refused'\n"
        assert run(reach.format(name), tests).passed
    tests = "class Box:\n    def __init__(self): self.open, self._shut = 3, 4\nbox = Box()\nassert solve(box) == {}"
    assert run(reach.format("open"), tests.format("3")).passed
    assert run(reach.format("_shut"), tests.format("'refused'")).passed
