"""llama.cpp itself, through its Python binding `llama-cpp-python`: reads a GGUF file, and quantises one.

Everything here runs on the CPU, with keys and values kept in fp32, so that its numbers can be compared with ours.

Shapes: S positions, V vocabulary.
"""

from __future__ import annotations

import ctypes
import importlib
from collections import deque
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinkling.artifacts.run_folder import write_whole
from thinkling.errors import InputError, ThinklingError
from thinkling.lm.gguf.fields import TYPES, GgufType

_FP32 = 0  # ggml_type GGML_TYPE_F32
_REMEMBERED = 50


def llama_cpp_or_none() -> Any:
    """The package `llama_cpp`, or None where it is not installed."""
    try:
        return importlib.import_module("llama_cpp")
    except ImportError:
        return None


def needed_llama_cpp(purpose: str) -> Any:
    """The package `llama_cpp`.

    Args:
        purpose: what it is wanted for.

    Raises:
        InputError: it is not installed.
    """
    package = llama_cpp_or_none()
    if package is None:
        raise InputError(
            f"{purpose} without the package llama-cpp-python",
            "llama-cpp-python, which is installed on request and needs a C++ compiler",
            "pip install 'thinkling[gguf]'",
        )
    return package


@cache
def _listener(package: Any) -> tuple[Any, deque[str]]:
    """What llama.cpp calls with its messages, which else go to standard error, and the last of them."""
    said: deque[str] = deque(maxlen=_REMEMBERED)

    def listen(_level: int, text: bytes, _data: Any) -> None:
        said.append(text.decode("utf-8", errors="replace").strip())

    return package.llama_log_callback(listen), said


def _listen(package: Any) -> None:
    callback, said = _listener(package)
    said.clear()
    package.llama_log_set(callback, ctypes.c_void_p(0))


def _last_words(package: Any) -> str:
    """What llama.cpp last complained about, to stand behind an error."""
    words = [text for text in _listener(package)[1] if "error" in text or "failed" in text]
    return f" ({words[0]})" if words else ""


class LlamaCpp:
    """A GGUF file opened by llama.cpp; a context manager, which frees its memory.

    Raises:
        ThinklingError: llama.cpp cannot read the file.
    """

    def __init__(self, path: Path, context: int, threads: int | None = None) -> None:
        """Open a file.

        Args:
            path: the GGUF file.
            context: most positions that will be read at once.
            threads: of the CPU; llama.cpp's own choice where not given.
        """
        package = needed_llama_cpp(f"{path} in llama.cpp")
        try:
            _listen(package)
            self._llama = package.Llama(
                model_path=str(path),
                n_ctx=context,
                n_batch=context,
                n_ubatch=context,
                n_threads=threads,
                n_threads_batch=threads,
                n_gpu_layers=0,
                logits_all=True,
                type_k=_FP32,
                type_v=_FP32,
                verbose=False,
            )
        except (ValueError, RuntimeError, AssertionError) as error:
            raise ThinklingError(f"llama.cpp cannot read {path}: {error}{_last_words(package)}") from error

    def __enter__(self) -> LlamaCpp:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._llama.close()

    def tokens(self, text: str, *, special: bool = False) -> list[int]:
        """The ids of a text; with `special`, markers in it become their tokens."""
        ids: list[int] = self._llama.tokenize(text.encode(), add_bos=False, special=special)
        return ids

    def logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Scores of the next token at each position of a sequence of its own, [S, V]."""
        self._llama.reset()
        return self.more_logits(ids)

    def more_logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """The same for tokens that follow what has been read."""
        before = self._llama.n_tokens
        self._llama.eval([*ids])
        found: NDArray[np.float32] = self._llama.scores[before : before + len(ids)].copy()
        return found

    def greedy(self, prompt: Sequence[int], most: int) -> list[int]:
        """The likeliest tokens one after another, up to `most` or to one that ends the answer."""
        found: list[int] = []
        scores = self.logits(prompt)
        while True:
            found.append(int(scores[-1].argmax()))
            if len(found) == most or self.ends(found[-1]):
                return found
            scores = self.more_logits(found[-1:])

    @property
    def end_of_answer(self) -> int:
        """The token that the file names as the end of an answer."""
        return int(self._llama.token_eos())

    def ends(self, token: int) -> bool:
        """Whether llama.cpp ends an answer at this token."""
        package = importlib.import_module("llama_cpp")
        return bool(package.llama_vocab_is_eog(self._llama._model.vocab, token))


def quantise(source: Path, target: Path, kind: GgufType) -> None:
    """Make a quantised file of an unquantised one with llama.cpp's own quantiser.

    Raises:
        InputError: the package is missing.
        ThinklingError: llama.cpp refuses.
    """
    package = needed_llama_cpp(f"--type {kind}")
    _listen(package)
    settings = package.llama_model_quantize_default_params()
    settings.ftype = TYPES[kind]

    def write(temporary: Path) -> None:
        code = package.llama_model_quantize(
            str(source).encode(), str(temporary).encode(), ctypes.byref(settings)
        )
        if code != 0:
            raise ThinklingError(
                f"llama.cpp could not quantise to {kind} (code {code}{_last_words(package)})"
            )

    write_whole(target, write)
