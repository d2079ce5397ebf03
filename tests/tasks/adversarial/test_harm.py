"""Programs that try to take the machine's time, memory, files, processes or network; none of them solves its task."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

HARM = {
    "a fork bomb": "import os\nwhile True: os.fork()",
    "a fork bomb that forgives": "import os\nwhile True:\n    try: os.fork()\n    except BaseException: pass",
    "a thread bomb": "import threading, time\n"
    "while True: threading.Thread(target=time.sleep, args=(60,)).start()",
    "threads that go on": "import threading\ndef spin():\n    while True: pass\n"
    "for _ in range(8): threading.Thread(target=spin, daemon=True).start()\nraise ValueError",
    "a memory bomb": "x = []\nwhile True: x.append(bytearray(10_000_000))",
    "one large object": "x = bytearray(10**12)",
    "a large power": "x = 9 ** 9 ** 9",
    "memory without a name": "import os\nfd = os.memfd_create('x')\nwhile True: os.write(fd, b'x' * 10**6)",
    "memory that is shared": "import mmap\nx = [mmap.mmap(-1, 10**8) for _ in range(100)]",
    "an endless loop": "while True: pass",
    "an endless loop in C": "import itertools, collections\ncollections.deque(itertools.repeat(0), maxlen=0)",
    "a regular expression": "import re\nre.match('(a+)+$', 'a' * 60 + 'b')",
    "sleep": "import time\ntime.sleep(1000)",
    "a lock": "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()",
    "reading from nobody": "import os\nsource, sink = os.pipe()\nos.read(source, 1)",
    "a gigabyte of output": "import sys\nfor _ in range(1000): sys.stdout.write('x' * 10**6)",
    "a gigabyte of errors": "import os\nfor _ in range(1000): os.write(2, b'x' * 10**6)",
    "a gigabyte of output when called": "def solve(x):\n    for _ in range(1000): print('x' * 10**6)",
    "a gigabyte in a file": "with open('x', 'wb') as file:\n    for _ in range(1000): file.write(b'x' * 10**6)",
    "many files": "import itertools\nfor i in itertools.count(): open(f'x{i}', 'w').close()",
    "many folders": "import os, itertools\nfor i in itertools.count(): os.mkdir(f'x{i}')",
    "deep folders": "import os\nwhile True: os.mkdir('x'); os.chdir('x')",
    "many descriptors": "import os\nx = [os.dup(1) for _ in range(100_000)]",
    "another program": "import subprocess\nsubprocess.run(['/bin/sh', '-c', 'sleep 60'])",
    "another program in its place": "import os\nos.execv('/bin/sleep', ['sleep', '60'])",
    "os.system": "import os\nif os.system('sleep 60 &'): raise ValueError\nraise ValueError",
    "a child that outlives": "import os, time\nif os.fork() == 0:\n    os.setsid()\n"
    "    if os.fork() == 0: time.sleep(60)\nraise ValueError",
    "posix_spawn": "import os\nos.posix_spawn('/bin/sleep', ['sleep', '60'], {})",
    "multiprocessing": "import multiprocessing, time\n"
    "multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,)).start()",
    "another session": "import os\nos.setsid()\nraise ValueError",
    "kills its parent": "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)",
    "kills its group": "import os, signal\nos.killpg(0, signal.SIGKILL)",
    "kills everybody": "import os, signal\nos.kill(-1, signal.SIGKILL)",
    "stops its parent": "import os, signal\nos.kill(os.getppid(), signal.SIGSTOP)",
    "signals through a descriptor": "import fcntl, os, signal\nsource, sink = os.pipe()\n"
    "fcntl.fcntl(source, fcntl.F_SETOWN, os.getppid())\nraise ValueError",
    "ignores signals": "import signal\n"
    "for s in signal.valid_signals():\n    try: signal.signal(s, signal.SIG_IGN)\n    except OSError: pass\n"
    "while True: pass",
    "raises its limits": "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
    "is kind to nobody": "import os\nos.nice(-20)",
    "deletes files": "import shutil\nshutil.rmtree('/', ignore_errors=True)\nshutil.rmtree('..')",
    "deletes the neighbour": "import os\nos.remove('../kept.txt')",
    "changes the neighbour": "open('../kept.txt', 'w').write('changed')",
    "moves the neighbour": "import os\nos.rename('../kept.txt', 'kept.txt')",
    "links to the neighbour": "import os\nos.symlink('../kept.txt', 'x')\nopen('x', 'w').write('changed')",
    "changes rights": "import os\nos.chmod('../kept.txt', 0)",
    "changes the standard library": "import json\nopen(json.__file__, 'a').write('#')",
    "makes a device": "import os, stat\nos.mknod('x', stat.S_IFBLK | 0o600, os.makedev(8, 0))",
    "mounts": "import ctypes\nctypes.CDLL(None).mount(b'none', b'/', b'tmpfs', 0, None)\nraise ValueError",
    "another root": "import os\nos.chroot('.')",
    "another user": "import os\nos.setuid(12345)",
    "a crash": "import sys\nsys.setrecursionlimit(10**9)\ndef f(): return f()\nf()",
    "a crash by faulthandler": "import faulthandler\nfaulthandler._sigsegv()",
    "an abort": "import os\nos.abort()",
}


@pytest.mark.parametrize("name", HARM)
def test_harm_ends_in_time_scores_nothing_and_leaves_nothing(run: Any, name: str) -> None:
    assert not run(HARM[name], "assert solve(2) == 4", seconds=0.5, memory_mb=96).passed


def test_processes_end_when_their_caller_does(tmp_path: Path) -> None:
    """A trainer that is killed cannot clean up."""
    program = "from thinkling.tasks.sandbox import run_tests\nrun_tests('while True: pass', '', seconds=60)"
    caller = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "TMPDIR": str(tmp_path)})

    def running() -> list[str]:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            # It may have ended since it was listed.
            with suppress(OSError):
                found.append(os.readlink(process / "cwd"))
        return [folder for folder in found if folder.startswith(str(tmp_path))]

    waited(lambda: len(running()) == 2)
    caller.kill()
    caller.wait()
    waited(lambda: not running())


def waited(happened: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.05)
