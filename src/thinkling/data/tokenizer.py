"""Text to token ids and back: byte-level byte-pair encoding (Sennrich et al. 2016, arXiv 1508.07909).

The pre-tokenizer cuts a text as GPT-2 does, so that a word carries the space before it, and every digit alone. It is
the one that `llama.cpp` and `transformers` know as SmolLM's. No text is unknown, because every byte has a token.

Text is data: a literal "<MASK>" in a document is seven ordinary characters. Only `encode(…, masks=True)`, which reads
what a user typed, takes it for a mask.

Shapes: V tokens of the vocabulary.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from thinkling.errors import InputError, ThinklingError

PAD, UNK, CLS, SEP, MASK = SPECIALS = ("<PAD>", "<UNK>", "<CLS>", "<SEP>", "<MASK>")
"""The special tokens; the place of each is its id."""

SMALLEST_VOCABULARY = len(SPECIALS) + 256
"""The special tokens and one token for each byte."""

LARGEST_VOCABULARY = 2**20
"""More than any published vocabulary; a larger one is a mistake."""

_MASKS = re.compile(r" ?(?:<mask>|<MASK>|\[MASK\])")
_MADE_BY_US = "make one with: thinkling data import text SOURCE --out DIR"
# A longer text is cut before it is encoded, so that one document of many megabytes needs little memory. A token never
# reaches from a character into the white space after it, so a cut there changes no token.
_LONGEST_PART = 100_000
_CUT = re.compile(r"(?<=\S)(?=[ \n])")
_BATCH_CHARACTERS = 2_000_000


def _byte_of_character() -> dict[str, int]:
    """GPT-2's printable stand-in of each byte, the other way round (`bytes_to_unicode` in its `encoder.py`)."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {chr(256 + place): byte for place, byte in enumerate(hidden)}


class TextTokenizer:
    """A vocabulary, and how text is cut into it.

    Attributes:
        vocab_size: V, special tokens included; below what was asked of `train` where a corpus is small.
        pad_id, unk_id, cls_id, sep_id, mask_id: ids of the special tokens.
        word_starts: [V] whether a token always begins a word: it begins with white space or punctuation.
        word_ends: [V] whether a word always ends with a token: it ends in punctuation or a line break. A word goes
            on from a token to the next one unless the first ends it or the second begins another.
    """

    pad_id, unk_id, cls_id, sep_id, mask_id = range(len(SPECIALS))

    def __init__(self, tokenizer: Any) -> None:
        """Around a `tokenizers.Tokenizer`; see `train` and `load`."""
        # Off by default, which would let a document write "<SEP>" into its own tokens.
        tokenizer.encode_special_tokens = True
        self._tokenizer = tokenizer
        self.vocab_size: int = tokenizer.get_vocab_size()
        characters = _byte_of_character()
        self._bytes: list[bytes] = [b""] * self.vocab_size
        for token, token_id in tokenizer.get_vocab().items():
            if token_id >= len(SPECIALS):
                self._bytes[token_id] = bytes(characters[character] for character in token)
        self.word_starts: NDArray[np.bool_] = np.array([_begins_word(raw) for raw in self._bytes])
        self.word_ends: NDArray[np.bool_] = np.array([_ends_word(raw) for raw in self._bytes])

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> TextTokenizer:
        """Learn a vocabulary from a stream of texts; the same texts give the same vocabulary.

        Args:
            texts: the documents. They are read once; what is kept are the different words and their counts.
            vocab_size: tokens to learn, special tokens and single bytes included.

        Raises:
            InputError: a vocabulary too small for the bytes, or unreasonably large.
        """
        check_vocab_size(vocab_size)
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
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=list(SPECIALS),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        tokenizer.train_from_iterator(_in_batches(texts), trainer)
        return cls(tokenizer)

    @classmethod
    def load(cls, path: Path) -> TextTokenizer:
        """A tokenizer that `save` wrote.

        Raises:
            InputError: no such file, a damaged one, or a tokenizer of another kind.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise InputError(f"{path}: no such file", "a tokenizer.json", _MADE_BY_US) from None
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read ({error})", "a tokenizer.json", _MADE_BY_US) from None
        try:
            tokenizer: Any = Tokenizer.from_str(text)
        except Exception as error:  # the package raises bare Exceptions for whatever its parser meets
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InputError(f"{path}: damaged ({reason})", "a whole tokenizer.json", _MADE_BY_US) from None
        found = [tokenizer.id_to_token(place) for place in range(len(SPECIALS))]
        if found != list(SPECIALS):
            raise InputError(
                f"{path}: tokens 0 to {len(SPECIALS) - 1} are {', '.join(map(str, found))}",
                f"the special tokens {', '.join(SPECIALS)} in this order",
                _MADE_BY_US,
            )
        vocabulary = tokenizer.get_vocab()
        stands_for_bytes = {*_byte_of_character()}
        if (
            sorted(vocabulary.values()) != list(range(len(vocabulary)))
            or not stands_for_bytes <= {*vocabulary}
            or any(not stands_for_bytes.issuperset(token) for token in {*vocabulary} - {*SPECIALS})
        ):
            raise InputError(
                f"{path}: a tokenizer of another kind", "byte-level byte-pair encoding", _MADE_BY_US
            )
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

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of many texts at once, on all cores; special tokens in them are ordinary text.

        Raises:
            InputError: half of a surrogate pair, which is no character.
        """
        parts = [[*_parts(text)] for text in texts]
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

    def token(self, token_id: int) -> str:
        """A token for a reader, such as " France"; a special one by its name, part of a character as "<0xE2>"."""
        if 0 <= token_id < len(SPECIALS):
            return SPECIALS[token_id]
        raw = self._bytes[token_id]
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            return "".join(f"<0x{byte:02X}>" for byte in raw)


def check_vocab_size(vocab_size: int) -> None:
    """InputError unless a vocabulary may have this size."""
    if not SMALLEST_VOCABULARY <= vocab_size <= LARGEST_VOCABULARY:
        raise InputError(
            f"a vocabulary of {vocab_size} tokens",
            f"{SMALLEST_VOCABULARY} ({len(SPECIALS)} special tokens and 256 bytes) to {LARGEST_VOCABULARY}",
            "give another size, such as 16384",
        )


def _in_batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """Lists of parts of texts: the trainer works on a list with all cores."""
    batch: list[str] = []
    characters = 0
    for text in texts:
        for part in _parts(text):
            batch.append(part)
            characters += len(part)
            if characters >= _BATCH_CHARACTERS:
                yield batch
                batch, characters = [], 0
    if batch:
        yield batch


def _parts(text: str) -> Iterator[str]:
    """The text, cut where no token can reach across."""
    begin = 0
    while len(text) - begin > _LONGEST_PART:
        cut = _CUT.search(text, begin + _LONGEST_PART)
        if cut is None:
            break
        yield text[begin : cut.start()]
        begin = cut.start()
    yield text[begin:]


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
