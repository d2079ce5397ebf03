"""The whole line on a laptop: tokenizer, pre-training, fine-tuning, in minutes, from nothing but this machine.

OUT/problems/      generated problems with worked reasoning, in three parts that share no question
OUT/corpus/        documentation of the installed Python packages, and problems as text; one tokenizer for both
OUT/pretraining/   the run that has read them
OUT/chat/          the run that answers
"""

from __future__ import annotations

import functools
import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from thinkling.data.array_store import MANIFEST
from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.data.mixture import Phase
from thinkling.data.offline_corpus import documentation_strings
from thinkling.data.text_store import is_text_store, read_text_store, write_text_store
from thinkling.errors import InputError
from thinkling.lm.config import DecoderConfig
from thinkling.lm.pretrain import train_recipe
from thinkling.lm.problem_files import write_problems
from thinkling.lm.recipe import PretrainRecipe
from thinkling.lm.sft import train_sft
from thinkling.lm.sft_recipe import SftRecipe
from thinkling.tasks.problem import problem_tasks, problems
from thinkling.training.config import TrainConfig
from thinkling.training.trainer import TrainResult

_LENGTH = 256
_OPTIMISER = TrainConfig(
    optimizer="muon",
    learning_rate=8e-3,
    muon_learning_rate=0.04,
    betas=(0.9, 0.98),
    weight_decay=0.05,
    decay_biases=False,
    grad_clip=1.0,
    warmup_steps=50,
    min_lr_ratio=0.02,
    log_every=20,
)


@dataclass(frozen=True, kw_only=True)
class QuickRecipe:
    """A model of about a million parameters that works out small problems, in minutes on two cores."""

    model: DecoderConfig = field(
        default_factory=lambda: DecoderConfig(
            vocab_size=2048,
            max_length=512,
            hidden_size=128,
            num_layers=5,
            num_heads=4,
            num_kv_heads=2,
            head_dim=32,
            inner_size=384,
        )
    )
    """Architecture."""
    documentation_bytes: int = 3_000_000
    """Size of the documentation that is read."""
    worked_texts: int = 20_000
    """Problems that are read as text in pre-training."""
    pretrain_steps: int = 500
    """Steps of pre-training, of 16 rows of 256 tokens."""
    problems: int = 100_000
    """Problems to fine-tune on."""
    epochs: float = 2.0
    """Times that each is learned from."""
    held_out: int = 500
    """Problems to report on."""
    seed: int = 0
    """Seed of everything."""

    def __post_init__(self) -> None:
        for name in ("documentation_bytes", "worked_texts", "pretrain_steps", "problems", "held_out"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)}", "1 or more", f"set --recipe.{name}")
        if self.epochs <= 0:
            raise InputError(f"epochs {self.epochs}", "above 0", "set --recipe.epochs")


def make_problems(recipe: QuickRecipe, out: Path) -> Path:
    """The generated problems; made once."""
    folder = out / "problems"
    if not (folder / MANIFEST).exists():
        counts = (recipe.problems, 500, recipe.held_out)
        write_problems(folder, list(problem_tasks()), counts=counts, seed=recipe.seed)
    return folder


def make_corpora(recipe: QuickRecipe, out: Path) -> list[Path]:
    """Documentation and worked problems as tokens, cut by one tokenizer that has learnt from both; made once."""
    folders = [out / "corpus" / name for name in ("documentation", "worked")]
    if all(map(is_text_store, folders)):
        return folders
    texts = [[*_up_to(documentation_strings(), recipe.documentation_bytes)], [*_worked(recipe)]]
    tokenizer = ChatTokenizer.train(itertools.chain.from_iterable(texts), recipe.model.vocab_size)
    for folder, documents in zip(folders, texts, strict=True):
        folder.parent.mkdir(parents=True, exist_ok=True)
        if is_text_store(folder):
            shutil.rmtree(folder)  # the other one was not finished; both are cut by one tokenizer
        write_text_store(
            functools.partial(iter, documents),
            folder,
            kind=ChatTokenizer,
            tokenizer=tokenizer,
            seed=recipe.seed,
            info={"source": folder.name},
        )
    return folders


def pretrain(recipe: QuickRecipe, corpora: list[Path], out: Path, *, quiet: bool = False) -> TrainResult:
    """Read the corpora: mostly documentation at first, worked problems at the end."""
    vocab_size = read_text_store(corpora[0], kind=ChatTokenizer).tokenizer.vocab_size
    settings = PretrainRecipe(
        model=replace(recipe.model, vocab_size=vocab_size),
        train=replace(
            _OPTIMISER,
            steps=recipe.pretrain_steps,
            min_lr_ratio=0.3,  # the rate rises again when problems are asked
            validate_every=0,
            checkpoint_every=250,
            seed=recipe.seed,
        ),
        length=_LENGTH,
        batch_size=16,
        phases=(
            Phase(share=0.3, weights=(0.8, 0.2)),
            Phase(share=0.6, weights=(0.4, 0.6)),
            Phase(share=0.1, weights=(0.1, 0.9)),
        ),
    )
    return train_recipe(settings, corpora, out / "pretraining", resume=True, quiet=quiet)


def fine_tune(recipe: QuickRecipe, problem_folder: Path, out: Path, *, quiet: bool = False) -> TrainResult:
    """Learn to answer: worked reasoning first, then the answer."""
    settings = SftRecipe(
        train=replace(_OPTIMISER, steps=1, validate_every=0, checkpoint_every=500, seed=recipe.seed),
        epochs=recipe.epochs,
        length=_LENGTH,
        batch_size=16,
    )
    return train_sft(settings, out / "pretraining", problem_folder, out / "chat", resume=True, quiet=quiet)


def _worked(recipe: QuickRecipe) -> Iterator[str]:
    """Problems with their solutions as plain text; their seed is not that of fine-tuning."""
    for one in problems(list(problem_tasks()), recipe.seed + 1, 0, recipe.worked_texts):
        yield f"{one.text}\n{one.reasoning}\nAnswer: {one.answer}"


def _up_to(texts: Iterator[str], size: int) -> Iterator[str]:
    """The first texts, as long as they have so many bytes together."""
    left = size
    for text in texts:
        left -= len(text.encode())
        if left < 0:
            return
        yield text
