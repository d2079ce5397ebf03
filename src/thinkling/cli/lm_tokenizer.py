"""`thinkling lm tokenizer`: the vocabulary of a language model."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.table import Table
from tyro.conf import Positional

from thinkling.cli.arguments import CommandArguments
from thinkling.cli.data_text import corpus_source
from thinkling.cli.output import Report
from thinkling.data.array_store import MANIFEST, check_output
from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.data.corpus import documents
from thinkling.data.whole_folder import whole_folder, write_manifest
from thinkling.errors import InputError
from thinkling.lm.hf_files import TOKENIZER
from thinkling.lm.tokenizer_training import Compression, compression, train_tokenizer


@dataclass(frozen=True, kw_only=True)
class Arguments(CommandArguments):
    """Learn the vocabulary of a language model from documents, and say how well it compresses each kind of text."""

    sources: Positional[tuple[str, ...]]
    """Each a .jsonl, .json or .txt file, also with .gz, or a folder of them; hf://datasets/OWNER/NAME fetches it.
    The word python-docs stands for the documentation strings of the Python packages on this machine."""
    out: Path
    """The folder to write."""
    vocab_size: int = 32_768
    """Tokens to learn, from 264. The sizes 1m, 5m, 15m and 50m of the model have 2048, 4096, 8192 and 16384."""
    megabytes: float = 1000.0
    """How much text of each source to learn from at most, in millions of characters; 0: all."""


def run(arguments: Arguments) -> Report:
    """Train, measure, write.

    Raises:
        InputError: no source, an impossible size, a bad row, or something else at `out`.
        ThinklingError: the disk refuses.
    """
    _check(arguments)
    start = time.perf_counter()
    characters = round(arguments.megabytes * 1e6)
    with ExitStack() as fetched:
        sources = {
            source: partial(documents, fetched.enter_context(corpus_source(source)))
            for source in arguments.sources
        }
        tokenizer = train_tokenizer(sources, arguments.vocab_size, characters=characters)
        seconds = time.perf_counter() - start
        measured = compression(tokenizer, sources, characters=characters)
    of_sources = measured[: len(sources)]
    values = {
        "vocab_size": tokenizer.vocab_size,
        "bytes_per_token": round(sum(m.bytes for m in of_sources) / sum(m.tokens for m in of_sources), 3),
        "domains": {
            m.name: {
                "bytes_per_token": round(m.bytes_per_token, 3),
                "bytes": m.bytes,
                "tokens": m.tokens,
                "held_out": m.held_out,
            }
            for m in measured
        },
    }
    with whole_folder(arguments.out) as folder:
        tokenizer.save(folder / TOKENIZER)
        write_manifest(folder / MANIFEST, {"kind": "tokenizer", "sources": list(sources), **values})
    return Report(
        values={"dir": str(arguments.out), **values, "seconds": round(seconds, 1)},
        text=_for_a_person(measured, tokenizer, arguments.out),
    )


def _check(arguments: Arguments) -> None:
    """Before a source is fetched or searched, which may take minutes."""
    if not arguments.sources:
        raise InputError("no source", "one file or folder of documents, or more", "name what to learn from")
    for source in arguments.sources:
        if arguments.sources.count(source) > 1:
            raise InputError(f"{source} twice", "each source once", "name it once")
    if not arguments.megabytes >= 0:
        raise InputError(f"--megabytes {arguments.megabytes}", "0 or more", "give another number")
    ChatTokenizer.check_vocab_size(arguments.vocab_size)
    check_output(arguments.out)


def _for_a_person(measured: list[Compression], tokenizer: ChatTokenizer, out: Path) -> Table:
    table = Table(
        box=None, padding=(0, 3, 0, 0), header_style="", title=f"{tokenizer.vocab_size:,} tokens in {out}"
    )
    table.title_justify = "left"
    for name in ("text", "bytes per token", "measured on"):
        table.add_column(name, no_wrap=True)
    for m in measured:
        where = f"{m.bytes:,} bytes" + ("" if m.held_out else " that were learnt from")
        table.add_row(Path(m.name).name, f"{m.bytes_per_token:.3f}", where)
    return table
