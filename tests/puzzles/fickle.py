"""A network that solves some copies of a puzzle and not others: what breadth is for, without any training."""

from __future__ import annotations

import hashlib

import numpy as np
import torch

from thinkling.data.batch import PuzzleBatch
from thinkling.puzzles.hrm import HRM, HRMConfig
from thinkling.puzzles.puzzle_model import PuzzleModel
from thinkling.tasks.sudoku import Sudoku
from thinkling.thinking.carry import Carry, SegmentOutput
from thinkling.thinking.halting import HaltingConfig

TASK = Sudoku(4)
CONFIG = HRMConfig(vocab_size=6, seq_len=16, hidden_size=16, num_heads=2, H_layers=1, L_layers=1)
MAX_STEPS = 6


class Fickle(HRM):
    """Solves a copy after one to four segments, or never; which, depends on its tokens and on the carry it is given.

    It is sure of itself exactly when it is right, but for one copy in eight, where it is sure and wrong.
    """

    def segment(self, carry: Carry, batch: PuzzleBatch) -> tuple[Carry, SegmentOutput]:
        steps = torch.where(carry.halted, 0, carry.steps) + 1
        fresh = carry.halted.view(-1, 1, 1)
        z_H = torch.where(fresh, self.H_init, carry.z_H)
        answers, sure = [], []
        for row, state, step in zip(batch.inputs.numpy(), z_H, steps.tolist(), strict=True):
            word = hashlib.sha256(row.tobytes() + f"{float(state[0, 0]):.4f}".encode()).digest()
            right = word[0] < 128 and step >= 1 + word[1] % 4
            answer = TASK.solve(row, limit=1)[0].astype(np.int64)
            answers.append(answer if right else np.where(row == 1, answer[::-1], row))
            sure.append(4.0 if right or (word[2] < 32 and step > 2) else -4.0 + 0.01 * word[3])
        logits = 5 * torch.nn.functional.one_hot(torch.from_numpy(np.stack(answers)), 6).float()
        new = Carry(z_H=z_H, z_L=carry.z_L, steps=steps, halted=torch.zeros_like(carry.halted))
        q_halt = torch.tensor(sure)
        return new, SegmentOutput(logits=logits, q_halt=q_halt, q_continue=-q_halt)


def fickle_model() -> PuzzleModel:
    """A model of 4x4 Sudoku that solves about half of all copies."""
    halting = HaltingConfig(learning="halt_only", max_steps=MAX_STEPS)
    return PuzzleModel(Fickle(CONFIG), TASK, halting, {"architecture": "hrm", "model": {}})
