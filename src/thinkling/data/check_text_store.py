"""Checks of a tokenised corpus: files, duplicates, and overlap of what is learnt with what is tested."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from thinkling.data.byte_pair import BytePairTokenizer
from thinkling.data.text_store import SPLITS, read_text_store


def check_text_store(folder: Path) -> dict[str, Any]:
    """Checks a tokenised corpus. Two documents are equal where all their tokens are.

    Args:
        folder: the folder.

    Returns:
        `train`, `validation` and `test` (documents), `tokens`, `duplicates` (documents equal to an earlier one of the
        same part), `overlap` (documents equal to one of an earlier part), `faults` (all of these and every empty
        document, each by its part and number from 0). The corpus is sound where `faults` is empty.

    Raises:
        InputError: no such corpus, or a damaged file.
    """
    store = read_text_store(folder, kind=BytePairTokenizer, verify=True)
    parts = {"train": store.train, "validation": store.validation, "test": store.test}
    seen: dict[bytes, tuple[str, int]] = {}
    duplicates = overlap = 0
    faults = []
    for split in SPLITS:
        for number in range(len(parts[split])):
            tokens = np.asarray(parts[split][number])
            if not len(tokens):
                faults.append(f"{split} document {number}: empty")
                continue
            digest = hashlib.blake2b(tokens.tobytes(), digest_size=16).digest()
            if digest not in seen:
                seen[digest] = (split, number)
                continue
            where, earlier = seen[digest]
            duplicates += where == split
            overlap += where != split
            faults.append(f"{split} document {number}: equal to {where} document {earlier}")
    return {
        **{split: len(parts[split]) for split in SPLITS},
        "tokens": sum(len(part.tokens) for part in parts.values()),
        "duplicates": duplicates,
        "overlap": overlap,
        "faults": faults,
    }
