"""The package's C++, made for the processor at hand by the machine's compiler when it is asked for.

What is installed is Python only, so that one package fits every machine; each of these sources makes something faster
that works without it, too.
"""

from __future__ import annotations

import ctypes
import functools
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from thinkling.errors import InputError

_COMPILERS = ("g++", "clang++", "c++")
_ALWAYS = ("-O3", "-std=c++17", "-fopenmp-simd", "-shared", "-fPIC")
_FOR_THE_MACHINE = (("-march=native", "-fopenmp"), ("-march=native",), ("-mcpu=native",), ())
"""The first that the compiler accepts: not each has OpenMP's threads, nor the same name for this processor."""


class NotCompiledError(InputError):
    """There is no compiler here, or it does not accept the source."""


@functools.cache
def library(source: Path) -> Any:
    """Compile a source file and load it, once in a process; it takes a second or two.

    Raises:
        NotCompiledError: with the first line of why.
    """
    named = shlex.split(os.environ.get("CXX", ""))
    compiler = named or next(([name] for name in _COMPILERS if shutil.which(name)), [])
    fault = "" if compiler else "no C++ compiler"
    try:
        with tempfile.TemporaryDirectory(prefix="thinkling-", ignore_cleanup_errors=True) as folder:
            made = str(Path(folder, source.stem).with_suffix(".so"))
            for flags in _FOR_THE_MACHINE if compiler else ():
                command = [*compiler, *_ALWAYS, *flags, str(source), "-o", made]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode == 0:
                    return ctypes.CDLL(made)
                fault = done.stderr
    except OSError as error:  # no such compiler, nowhere to write, or nothing may be loaded from there
        fault = str(error)
    why = (fault.strip() or f"{compiler[0]} gave no reason").splitlines()[0]
    raise NotCompiledError(
        f"--compile on this machine ({why})",
        "a C++ compiler: g++ or clang++, or the one that the variable CXX names",
        "install one (on Debian: apt-get install g++), or leave --compile out",
    )
