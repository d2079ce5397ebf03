"""Which documents of a corpus are learnt from, chosen by and reported on.

Blank documents and copies of earlier ones are left out, so that no text is both learnt and tested.

Shapes: D documents, left-out ones included.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from thinkling.data.sampling import uniforms
from thinkling.errors import InputError

TRAIN, VALIDATION, TEST = range(3)
LEFT_OUT = 255
"""In place of a part: the document is blank, or equal to an earlier one."""


def kept_documents(texts: Iterable[str]) -> NDArray[np.bool_]:
    """[D] whether each document is kept: neither blank nor equal to an earlier one.

    Raises:
        InputError: half of a surrogate pair, which is no character.
    """
    seen: set[bytes] = set()
    kept = bytearray()
    for text in texts:
        try:
            digest = hashlib.blake2b(text.strip().encode(), digest_size=16).digest()
        except UnicodeEncodeError:
            raise InputError(
                f"document {len(kept)} with half of a surrogate pair",
                "text that UTF-8 can hold",
                "correct the text",
            ) from None
        kept.append(bool(text.strip()) and digest not in seen)
        seen.add(digest)
    return np.frombuffer(bytes(kept), dtype=np.bool_)


def parts_of(
    kept: NDArray[np.bool_], seed: int, validation_share: float, test_share: float
) -> NDArray[np.uint8]:
    """[D] the part of each document, a function of the seed and of its number; LEFT_OUT where it is not kept.

    A part that would be empty gets the one document that is nearest to it.

    Raises:
        InputError: fewer documents than parts.
    """
    count = int(kept.sum())
    fewest = 1 + (validation_share > 0) + (test_share > 0)
    if count < fewest:
        what = "1 document" if count == 1 else f"{count or 'no'} documents"
        raise InputError(
            f"a corpus of {what} (blank ones and copies not counted)",
            f"{fewest} or more: at least one for each part",
            "add documents, or separate those in a .txt file by blank lines",
        )
    draws = uniforms(seed, np.arange(count), 1)[:, 0]
    test = max(int((draws < test_share).sum()), int(test_share > 0))
    validation = max(int((draws < test_share + validation_share).sum()) - test, int(validation_share > 0))
    while test + validation >= count:  # a small corpus, large shares
        test, validation = (test - 1, validation) if test > validation else (test, validation - 1)
    order = np.argsort(draws, kind="stable")
    chosen = np.full(count, TRAIN, dtype=np.uint8)
    chosen[order[:test]] = TEST
    chosen[order[test : test + validation]] = VALIDATION
    split = np.full(len(kept), LEFT_OUT, dtype=np.uint8)
    split[kept] = chosen
    return split


def read_again(texts: Iterable[str], split: NDArray[np.uint8]) -> Iterator[tuple[str, int]]:
    """The documents that are kept, each with its part.

    Raises:
        InputError: not as many documents as before.
    """
    count = 0
    for text in texts:
        if count < len(split) and split[count] != LEFT_OUT:
            yield text, int(split[count])
        count += 1
    if count != len(split):
        raise InputError(
            f"a corpus of {len(split)} documents that had {count} when it was read again",
            "one that does not change while it is read",
            "import it again when nobody writes to it",
        )
