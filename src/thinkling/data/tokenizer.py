"""Text to token ids and back: byte-level byte-pair encoding (Sennrich et al. 2016, arXiv 1508.07909).

The pre-tokenizer cuts a text as GPT-2 does, so that a word carries the space before it, and every digit alone. It is
the one that `llama.cpp` and `transformers` know as SmolLM's. No text is unknown, because every byte has a token.

Text is data: a literal "<MASK>" in a document is seven ordinary characters. Only `encode(…, masks=True)`, which reads
what a user typed, takes it for a mask.

Shapes: V tokens of the vocabulary.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from thinkling.data.byte_pair import BytePairTokenizer

PAD, UNK, CLS, SEP, MASK = SPECIALS = ("<PAD>", "<UNK>", "<CLS>", "<SEP>", "<MASK>")
"""The special tokens; the place of each is its id."""

SMALLEST_VOCABULARY = len(SPECIALS) + 256
"""The special tokens and one token for each byte."""

_MASKS = re.compile(r" ?(?:<mask>|<MASK>|\[MASK\])")


class TextTokenizer(BytePairTokenizer):
    """A vocabulary, and how text is cut into it.

    Attributes:
        vocab_size: V, special tokens included; below what was asked of `train` where a corpus is small.
        pad_id, unk_id, cls_id, sep_id, mask_id: ids of the special tokens.
        word_starts: [V] whether a token always begins a word: it begins with white space or punctuation.
        word_ends: [V] whether a word always ends with a token: it ends in punctuation or a line break. A word goes
            on from a token to the next one unless the first ends it or the second begins another.
    """

    SPECIALS: ClassVar[tuple[str, ...]] = SPECIALS
    MADE_BY: ClassVar[str] = "make one with: thinkling data import text SOURCE --out DIR"
    # A token never reaches from a character into the white space after it.
    _CUT: ClassVar[re.Pattern[str]] = re.compile(r"(?<=\S)(?=[ \n])")

    pad_id, unk_id, cls_id, sep_id, mask_id = range(len(SPECIALS))

    def __init__(self, tokenizer: Any) -> None:
        """Around a `tokenizers.Tokenizer`; see `train` and `load`."""
        super().__init__(tokenizer)
        self.word_starts: NDArray[np.bool_] = np.array([_begins_word(raw) for raw in self._bytes])
        self.word_ends: NDArray[np.bool_] = np.array([_ends_word(raw) for raw in self._bytes])

    @classmethod
    def _untrained(cls) -> Any:
        tokenizer: Any = Tokenizer(models.BPE(unk_token=UNK))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
            ]
        )
        tokenizer.decoder = decoders.ByteLevel()
        # For readers of tokenizer.json that do not know how rows are made: one document, framed as in training.
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{CLS} $A {SEP}",
            pair=f"{CLS} $A {SEP} $B:1 {SEP}:1",
            special_tokens=[(CLS, SPECIALS.index(CLS)), (SEP, SPECIALS.index(SEP))],
        )
        return tokenizer

    def encode(self, text: str, *, masks: bool = False) -> list[int]:
        """The tokens of a text, without `<CLS>` and `<SEP>`.

        Args:
            text: the text.
            masks: whether "<mask>", "<MASK>" and "[MASK]" stand for the mask token. A space before one belongs to it,
                as in RoBERTa: "Paris is <mask>." asks for a token such as " big".

        Raises:
            InputError: half of a surrogate pair, which is no character.
        """
        if not masks:
            return self.encode_batch([text])[0]
        first, *rest = self.encode_batch(_MASKS.split(text))
        for part in rest:
            first += [self.mask_id, *part]
        return first

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens. `<PAD>`, `<CLS>` and `<SEP>` are left out, `<UNK>` and `<MASK>` shown by name.

        Bytes that are no whole character become U+FFFD.
        """
        written: list[bytes] = []
        for token in map(int, ids):
            if token in (self.unk_id, self.mask_id):
                written.append(SPECIALS[token].encode())
            elif token >= len(SPECIALS):
                written.append(self._bytes[token])
        return b"".join(written).decode("utf-8", errors="replace")


def check_vocab_size(vocab_size: int) -> None:
    """InputError unless a vocabulary of an encoder may have this size."""
    TextTokenizer.check_vocab_size(vocab_size)


def _begins_word(raw: bytes) -> bool:
    """Whether the first character is neither letter nor digit; a token inside a character continues a word."""
    if not raw:
        return True  # a special token
    first = raw[: _width(raw[0])].decode("utf-8", errors="ignore")
    return bool(first) and not first.isalnum()


def _ends_word(raw: bytes) -> bool:
    """Whether the last character is no letter, digit or space. A space stands alone before a number, and joins it."""
    if not raw:
        return True
    last = raw.decode("utf-8", errors="ignore")[-1:]
    complete = raw[-1] < 0x80 or (raw.endswith(last.encode()) and bool(last))
    return complete and not last.isalnum() and last != " "


def _width(lead: int) -> int:
    """Bytes of the UTF-8 character that begins with this byte."""
    return 1 if lead < 0xC0 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
