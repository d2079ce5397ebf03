"""`thinkling data import text`: a corpus to pre-train on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional

from thinkling.artifacts.hub import fetched
from thinkling.cli.arguments import CommandArguments
from thinkling.cli.work import progress_bar
from thinkling.data.array_store import check_output
from thinkling.data.corpus import documents
from thinkling.data.offline_corpus import documentation_file
from thinkling.data.text_store import TOKENIZERS, write_text_store

PYTHON_DOCS = "python-docs"
"""The word that stands for the corpus that every machine has; a file of this name is given as ./python-docs."""


@dataclass(frozen=True, kw_only=True)
class ImportArguments(CommandArguments):
    """Import documents from JSONL or plain text, learn a vocabulary from them and write their tokens."""

    source: Positional[str]
    """A .jsonl, .json or .txt file, also with .gz, or a folder of them; hf://datasets/OWNER/NAME fetches it.
    The word python-docs stands for the documentation strings of the Python packages on this machine."""
    out: Path
    """The folder to write."""
    purpose: Annotated[Literal["encoder", "lm"], tyro.conf.arg(name="for")] = "encoder"
    """What the tokens are for: encoder is a Thinking-BERT, lm a language model."""
    vocab_size: int = 16384
    """Tokens to learn, from 261, for a language model from 264; not used with --tokenizer."""
    tokenizer: Path | None = None
    """A tokenizer.json to use, or a folder with one, such as another corpus; learnt from SOURCE where not given."""
    validation_fraction: float = 0.02
    """The share of the documents to choose by."""
    test_fraction: float = 0.03
    """The share of the documents to report on."""
    seed: int = 0
    """Chooses which documents are for validation and for testing."""


def bring_in(arguments: ImportArguments) -> dict[str, Any]:
    """Import a corpus.

    Raises:
        InputError: a bad row, too few documents, a vocabulary that is too small, or something else at `out`.
    """
    # Before the source is fetched or searched, which may take minutes.
    check_output(arguments.out)
    kind = TOKENIZERS[arguments.purpose]
    kind.check_vocab_size(arguments.vocab_size)
    tokenizer = None
    if arguments.tokenizer is not None:
        place = fetched(arguments.tokenizer)
        tokenizer = kind.load(place / "tokenizer.json" if place.is_dir() else place)
    with corpus_source(arguments.source) as source, progress_bar("documents") as progress:
        store = write_text_store(
            lambda: documents(source),
            arguments.out,
            kind=kind,
            vocab_size=arguments.vocab_size,
            tokenizer=tokenizer,
            seed=arguments.seed,
            validation_share=arguments.validation_fraction,
            test_share=arguments.test_fraction,
            info={"source": arguments.source},
            progress=progress,
        )
    tokens = sum(len(part.tokens) for part in (store.train, store.validation, store.test))
    return {
        "dir": str(arguments.out),
        "train": len(store.train),
        "validation": len(store.validation),
        "test": len(store.test),
        "left_out": store.info["left_out"],
        "tokens": tokens,
        "vocab_size": store.tokenizer.vocab_size,
        "bytes": store.bytes,
        "bytes_per_token": round(store.bytes / tokens, 3),
        "sha256": store.sha256,
    }


@contextmanager
def corpus_source(source: str) -> Iterator[Path]:
    """Where the documents of a source, such as `python-docs`, are while the block lasts."""
    if source != PYTHON_DOCS:
        yield fetched(source)
        return
    with documentation_file() as path:
        yield path
