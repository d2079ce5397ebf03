"""A puzzle model for tests of the server: a network that knows every 4x4 Sudoku, after as many segments as asked."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch
from small_server import serving
from torch import Tensor, nn

from thinkling.data.batch import PuzzleBatch
from thinkling.puzzles.puzzle_model import PuzzleModel
from thinkling.serving.settings import ServerSettings
from thinkling.tasks.sudoku import Sudoku
from thinkling.tasks.sudoku_generator import make_candidates
from thinkling.thinking.carry import Carry, SegmentOutput, fresh_carry
from thinkling.thinking.halting import HaltingConfig

LIMIT = 8
WIDTH = 4


def puzzles(count: int, first: int = 0, blanks: int = 8) -> list[str]:
    """Different 4x4 Sudokus with one solution each."""
    made = make_candidates(4, (blanks, blanks), 7, first, count)
    return [Sudoku(4).format(question + 1) for question in made.questions]


def segments_needed(tokens: np.ndarray) -> int:
    """After how many segments the network is right about a question: 1 to 5, another one for each copy of it."""
    return 1 + int((tokens.astype(np.int64) * np.arange(1, len(tokens) + 1)).sum()) % 5


class KnowingNetwork(nn.Module):
    """Right after `needed(question)` segments, wrong before.

    Args:
        needed: of a question's tokens [L].
        pause: seconds that a segment takes.
    """

    def __init__(
        self, needed: Callable[[np.ndarray], int] = segments_needed, pause: float = 0.0, size: int = 4
    ) -> None:
        super().__init__()
        self.task = Sudoku(size)
        self.needed, self.pause = needed, pause
        self.compute_dtype = torch.float32
        self.device = torch.device("cpu")
        self.puzzle_emb = None
        self.config = SimpleNamespace(total_len=self.task.seq_len, hidden_size=WIDTH, mixing="mlp")
        self.fail_next_segment = False
        self.rows_a_segment: list[int] = []
        self._known: dict[bytes, np.ndarray] = {}

    def fresh_carry(self, batch_size: int) -> Carry:
        return fresh_carry(batch_size, self.task.seq_len, WIDTH, dtype=torch.float32, device=self.device)

    def started_carry(self, batch_size: int) -> Carry:
        carry = self.fresh_carry(batch_size)
        return carry.with_halted(torch.zeros_like(carry.halted))

    def segment(self, carry: Carry, batch: PuzzleBatch) -> tuple[Carry, SegmentOutput]:
        if self.fail_next_segment:
            self.fail_next_segment = False
            raise RuntimeError("a secret of the machine")
        time.sleep(self.pause)
        self.rows_a_segment.append(len(batch.inputs))
        steps = torch.where(carry.halted, 0, carry.steps) + 1
        answers, right = self._answers(batch.inputs, steps)
        logits = 8.0 * nn.functional.one_hot(answers, self.task.vocab_size).float()
        z_H = torch.cos(steps[:, None, None] * torch.arange(1, WIDTH + 1) + answers[..., None])
        q = torch.where(right, 4.0, -4.0)
        carry = Carry(z_H=z_H, z_L=carry.z_L, steps=steps, halted=torch.zeros_like(carry.halted))
        return carry, SegmentOutput(logits=logits, q_halt=q, q_continue=-q)

    def _answers(self, inputs: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
        answers, right = [], []
        for row, step in zip(inputs.numpy(), steps.tolist(), strict=True):
            right.append(step >= self.needed(row))
            answers.append(self._solution(row) if right[-1] else np.where(row == 1, 2, row))
        return torch.from_numpy(np.stack(answers).astype(np.int64)), torch.tensor(right)

    def _solution(self, row: np.ndarray) -> np.ndarray:
        key = row.tobytes()
        if key not in self._known:
            self._known[key] = self.task.solve(row, limit=1)[0]
        return self._known[key]


def knowing_model(**settings: Any) -> PuzzleModel:
    """A model with such a network."""
    network: Any = KnowingNetwork(**settings)
    halting = HaltingConfig(learning="halt_only", max_steps=LIMIT)
    return PuzzleModel(network, network.task, halting, {"architecture": "hrm"})


@dataclass
class Client:
    """Plain HTTP."""

    address: str

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and body: JSON where it is some, else text."""
        connection = http.client.HTTPConnection(self.address, timeout=10)
        try:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            if body is not None and not isinstance(body, bytes):
                body = json.dumps(body).encode()
            if body is not None:
                given.setdefault("Content-Type", "application/json")
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            content = answer.read()
            kind = answer.headers.get("content-type", "")
            return answer.status, json.loads(content) if kind.startswith(
                "application/json"
            ) else content.decode()
        finally:
            connection.close()

    def solve(self, **fields: Any) -> tuple[int, Any]:
        return self.call("POST", "/v1/solve", fields)

    def events(self, **fields: Any) -> list[tuple[str, Any]]:
        """The events of a streamed answer."""
        status, text = self.call("POST", "/v1/solve", fields | {"stream": True})
        assert status == 200, text
        return events_of(text)


def events_of(text: str) -> list[tuple[str, Any]]:
    """Names and data of server-sent events."""
    found = []
    for block in text.removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


@contextlib.contextmanager
def serving_puzzles(model: PuzzleModel, settings: ServerSettings) -> Iterator[Client]:
    """A live server of a model."""
    with serving(model, settings) as address:
        yield Client(urlsplit(address).netloc)
