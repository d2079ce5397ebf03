"""What every tokenizer here shares: byte-level byte-pair encoding (Sennrich et al. 2016, arXiv 1508.07909).

A tokenizer says in `SPECIALS` which special tokens stand before the bytes, and in `_untrained` how a text is cut into
words before pairs are merged. No text is unknown, because every byte has a token.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from tokenizers import Tokenizer, pre_tokenizers, trainers

from thinkling.errors import InputError, ThinklingError

LARGEST_VOCABULARY = 2**20
"""More than any published vocabulary; a larger one is a mistake."""

_BATCH_CHARACTERS = 2_000_000
# A longer text is cut before it is encoded, so that one document of many megabytes needs little memory.
_LONGEST_PART = 100_000


def _byte_of_character() -> dict[str, int]:
    """GPT-2's printable stand-in of each byte, the other way round (`bytes_to_unicode` in its `encoder.py`)."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {chr(256 + place): byte for place, byte in enumerate(hidden)}


class BytePairTokenizer:
    """A vocabulary, and how text is cut into it.

    Attributes:
        vocab_size: tokens, special ones included; below what was asked of `train` where a corpus is small.
    """

    SPECIALS: ClassVar[tuple[str, ...]] = ()
    """The special tokens; the place of each is its id."""
    MADE_BY: ClassVar[str] = ""
    """How a user gets such a tokenizer."""
    _CUT: ClassVar[re.Pattern[str]]
    """A place in a text that no token reaches across."""

    def __init__(self, tokenizer: Any) -> None:
        """Around a `tokenizers.Tokenizer`; see `train` and `load`."""
        # Off by default, which would let a document write a special token into its own tokens.
        tokenizer.encode_special_tokens = True
        self._tokenizer = tokenizer
        self.vocab_size: int = tokenizer.get_vocab_size()
        characters = _byte_of_character()
        self._bytes: list[bytes] = [b""] * self.vocab_size
        for token, token_id in tokenizer.get_vocab().items():
            if token_id >= len(self.SPECIALS):
                self._bytes[token_id] = bytes(characters[character] for character in token)

    @classmethod
    def _untrained(cls) -> Any:
        """A `tokenizers.Tokenizer` of this kind without a vocabulary."""
        raise TypeError("a kind of tokenizer says how it cuts text")

    @classmethod
    def _parsed(cls, text: str) -> Any:
        """The `tokenizers.Tokenizer` in the content of a tokenizer.json; raises whatever its parser raises."""
        return Tokenizer.from_str(text)

    @classmethod
    def _foreign(cls, tokenizer: Any) -> str:
        """What makes a byte-level tokenizer one of another kind than this; empty where nothing does."""
        return ""

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> Self:
        """Learn a vocabulary from a stream of texts; the same texts give the same vocabulary.

        Args:
            texts: the documents. They are read once; what is kept are the different words and their counts.
            vocab_size: tokens to learn, special tokens and single bytes included.

        Raises:
            InputError: a vocabulary too small for the bytes, or unreasonably large.
        """
        cls.check_vocab_size(vocab_size)
        tokenizer = cls._untrained()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=list(cls.SPECIALS),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        tokenizer.train_from_iterator(cls._in_batches(texts), trainer)
        return cls(tokenizer)

    @classmethod
    def check_vocab_size(cls, vocab_size: int) -> None:
        """InputError unless a vocabulary may have this size."""
        smallest = len(cls.SPECIALS) + 256
        if not smallest <= vocab_size <= LARGEST_VOCABULARY:
            raise InputError(
                f"a vocabulary of {vocab_size} tokens",
                f"{smallest} ({len(cls.SPECIALS)} special tokens and 256 bytes) to {LARGEST_VOCABULARY}",
                "give another size, such as 16384",
            )

    @classmethod
    def load(cls, path: Path) -> Self:
        """A tokenizer that `save` wrote.

        Raises:
            InputError: no such file, a damaged one, or a tokenizer of another kind.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise InputError(f"{path}: no such file", "a tokenizer.json", cls.MADE_BY) from None
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read ({error})", "a tokenizer.json", cls.MADE_BY) from None
        try:
            tokenizer = cls._parsed(text)
        except Exception as error:  # the package raises bare Exceptions for whatever its parser meets
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InputError(f"{path}: damaged ({reason})", "a whole tokenizer.json", cls.MADE_BY) from None
        found = [tokenizer.id_to_token(place) for place in range(len(cls.SPECIALS))]
        if found != list(cls.SPECIALS):
            raise InputError(
                f"{path}: tokens 0 to {len(cls.SPECIALS) - 1} are {', '.join(map(str, found))}",
                f"the special tokens {', '.join(cls.SPECIALS)} in this order",
                cls.MADE_BY,
            )
        vocabulary = tokenizer.get_vocab()
        stands_for_bytes = {*_byte_of_character()}
        if (
            sorted(vocabulary.values()) != list(range(len(vocabulary)))
            or not stands_for_bytes <= {*vocabulary}
            or any(not stands_for_bytes.issuperset(token) for token in {*vocabulary} - {*cls.SPECIALS})
        ):
            raise InputError(
                f"{path}: a tokenizer of another kind", "byte-level byte-pair encoding", cls.MADE_BY
            )
        if foreign := cls._foreign(tokenizer):
            raise InputError(f"{path}: {foreign}", "as this program writes it", cls.MADE_BY)
        return cls(tokenizer)

    def save(self, path: Path) -> None:
        """Write tokenizer.json, which the package `tokenizers` reads too.

        Raises:
            ThinklingError: the disk refuses.
        """
        try:
            Path(path).write_text(self.to_json(), encoding="utf-8")
        except OSError as error:
            raise ThinklingError(f"cannot write {path}: {error}") from error

    def to_json(self) -> str:
        """The content of tokenizer.json."""
        text: str = self._tokenizer.to_str(pretty=True)
        return text + "\n"

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of many texts at once, on all cores; special tokens in them are ordinary text.

        Raises:
            InputError: half of a surrogate pair, which is no character.
        """
        parts = [[*self._parts(text)] for text in texts]
        try:
            encoded = self._tokenizer.encode_batch_fast(
                [part for text in parts for part in text], add_special_tokens=False
            )
        except (TypeError, UnicodeEncodeError):
            raise InputError(
                "a text with half of a surrogate pair", "text that UTF-8 can hold", "correct the text"
            ) from None
        following = iter(encoded)
        return [[token for _ in text for token in next(following).ids] for text in parts]

    def token(self, token_id: int) -> str:
        """A token for a reader, such as " France"; a special one by its name, part of a character as "<0xE2>"."""
        if 0 <= token_id < len(self.SPECIALS):
            return self.SPECIALS[token_id]
        raw = self._bytes[token_id]
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            return "".join(f"<0x{byte:02X}>" for byte in raw)

    @classmethod
    def _in_batches(cls, texts: Iterable[str]) -> Iterator[list[str]]:
        """Lists of parts of texts: the trainer works on a list with all cores."""
        batch: list[str] = []
        characters = 0
        for text in texts:
            for part in cls._parts(text):
                batch.append(part)
                characters += len(part)
                if characters >= _BATCH_CHARACTERS:
                    yield batch
                    batch, characters = [], 0
        if batch:
            yield batch

    @classmethod
    def _parts(cls, text: str) -> Iterator[str]:
        """The text, cut where no token can reach across."""
        begin = 0
        while len(text) - begin > _LONGEST_PART:
            cut = cls._CUT.search(text, begin + _LONGEST_PART)
            if cut is None:
                break
            yield text[begin : cut.start()]
            begin = cut.start()
        yield text[begin:]
