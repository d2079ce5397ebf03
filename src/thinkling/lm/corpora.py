"""The corpora of one training run, all cut by one tokenizer."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.data.corpus import documents
from thinkling.data.corpus_splits import TRAIN, kept_documents, parts_of, read_again
from thinkling.data.text_store import TextStore, is_text_store, read_text_store, write_text_store
from thinkling.errors import InputError
from thinkling.training.distributed import on_rank_0

TOKENISED = "text"
"""Folder inside a run that holds what was given as plain text."""

_SEED = 0
_SHARES = (0.02, 0.03)  # of the documents, for validation and for testing

LMTextStore = TextStore[ChatTokenizer]


def corpora(
    sources: Sequence[Path], out: Path, vocab_size: int, tokenizer: ChatTokenizer | None = None
) -> list[LMTextStore]:
    """Every corpus as tokens: as it is, or made in the run folder from plain text.

    One tokenizer serves all: the one that is given, else that of the tokenised corpora, else one that is learned from
    all of the plain text together.

    Args:
        sources: tokenised corpora (`thinkling data import text SOURCE --for lm`), text files or folders of them.
        out: the run folder.
        vocab_size: tokens to learn, where a tokenizer is trained.
        tokenizer: the vocabulary of the model, where it has one.

    Raises:
        InputError: no source, one that cannot be read, or two with different tokenizers.
    """
    if not sources:
        raise InputError("no corpus", "one or more", "add --data DIR")
    finished = {number: source for number, source in enumerate(sources) if is_text_store(source)}
    plain = {number: source for number, source in enumerate(sources) if number not in finished}
    stores = {number: read_text_store(source, kind=ChatTokenizer) for number, source in finished.items()}
    for store in stores.values():
        tokenizer = tokenizer or store.tokenizer
        if store.tokenizer.to_json() != tokenizer.to_json():
            raise InputError(
                f"{store.folder}, cut by another tokenizer than the model or the first corpus",
                "one tokenizer for all corpora of a run",
                "import it again with --tokenizer, or leave it out",
            )
    for number, source in plain.items():
        folder = out / TOKENISED if len(sources) == 1 else out / TOKENISED / str(number + 1)
        stores[number] = _tokenised(source, folder, vocab_size, tokenizer, [*plain.values()])
        tokenizer = tokenizer or stores[number].tokenizer
    return [stores[number] for number in range(len(sources))]


def joined_sha256(stores: Sequence[LMTextStore]) -> str:
    """One hash of the content of all corpora, in their order."""
    if len(stores) == 1:
        return stores[0].sha256
    return hashlib.sha256("".join(store.sha256 for store in stores).encode()).hexdigest()


def names_of(stores: Sequence[LMTextStore]) -> list[str]:
    """A short name for each corpus: that of its folder, or of the file it was made from, made unique by a number."""
    names = [Path(str(store.info.get("source", store.folder))).name.split(".")[0] for store in stores]
    return [
        f"{name}_{number + 1}" if names.count(name) > 1 or not name else name
        for number, name in enumerate(names)
    ]


def _tokenised(
    source: Path, folder: Path, vocab_size: int, tokenizer: ChatTokenizer | None, together: Sequence[Path]
) -> LMTextStore:
    """Plain text as tokens, made once."""
    given = "" if tokenizer is None else hashlib.sha256(tokenizer.to_json().encode()).hexdigest()
    asked = {"source": str(source.resolve()), "asked_vocab_size": vocab_size}
    if not is_text_store(folder):

        def write() -> None:
            folder.parent.mkdir(parents=True, exist_ok=True)
            # One corpus trains its tokenizer while it is written, from the same documents.
            trained = tokenizer
            if trained is None and len(together) > 1:
                texts = itertools.chain.from_iterable(map(_training_texts, together))
                trained = ChatTokenizer.train(texts, vocab_size)
            write_text_store(
                lambda: documents(source),
                folder,
                kind=ChatTokenizer,
                vocab_size=vocab_size,
                tokenizer=trained,
                seed=_SEED,
                validation_share=_SHARES[0],
                test_share=_SHARES[1],
                info=asked,
            )

        on_rank_0(write, str(folder), torch.device("cpu"))
    store = read_text_store(folder, kind=ChatTokenizer)
    found = {name: store.info.get(name) for name in asked}
    if found != asked:
        raise InputError(
            f"{asked['source']} with a vocabulary of {vocab_size}",
            f"{found['source']} with one of {found['asked_vocab_size']}, which {folder} was made from",
            f"use another --out, or remove {folder}",
        )
    if given and hashlib.sha256(store.tokenizer.to_json().encode()).hexdigest() != given:
        raise InputError(
            f"{folder}, cut by another tokenizer", "the tokenizer of this run", f"remove {folder}"
        )
    return store


def _training_texts(source: Path) -> Iterator[str]:
    """The documents of a corpus that are learnt from, as `write_text_store` chooses them."""
    split = parts_of(kept_documents(documents(source)), _SEED, *_SHARES)
    return (text for text, part in read_again(documents(source), split) if part == TRAIN)
