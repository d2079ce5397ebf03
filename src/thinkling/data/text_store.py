"""A tokenised corpus on disk: the tokens of all documents one behind the other, memory-mapped.

    DIR/tokenizer.json                             trained on the documents of `train` only
    DIR/{train,validation,test}/tokens.npy         the tokens, without those that frame a document
    DIR/{train,validation,test}/starts.npy         where each document begins, and the end
    DIR/thinkling.json                             written last: counts, seed, SHA-256 of every file

Its tokens are those of an encoder, or of a language model where the manifest says "for": "lm".

The folder appears under its name when it is whole; an import that is interrupted changes nothing.

Shapes: N tokens, D documents.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from thinkling.data.array_store import MANIFEST, check_output
from thinkling.data.byte_pair import BytePairTokenizer
from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.data.corpus_splits import LEFT_OUT, TRAIN, kept_documents, parts_of, read_again
from thinkling.data.tokenizer import TextTokenizer
from thinkling.data.whole_folder import check_file, whole_folder, write_manifest
from thinkling.errors import InputError

if TYPE_CHECKING:
    # A store without further words is an encoder's. Only the checker of types needs a package for that.
    from typing_extensions import TypeVar as TypeVarWithDefault

    T = TypeVarWithDefault("T", bound=BytePairTokenizer, default=TextTokenizer)
else:
    T = TypeVar("T", bound=BytePairTokenizer)

KIND = "text"
"""What the manifest says such a folder holds."""

TOKENIZERS: Mapping[str, type[BytePairTokenizer]] = {"encoder": TextTokenizer, "lm": ChatTokenizer}
"""The kind of tokenizer by what a corpus is for."""

_FOR = "for"  # the key of the manifest; none in an encoder's

SPLITS = ("train", "validation", "test")
"""The folders of the parts; the place of each is its number in `corpus_splits`."""

_ALLOWED = "a folder with a tokenised corpus"
_REMAKE = "import it again: thinkling data import text SOURCE --out DIR"
_HASHED_BY_DEFAULT = 64 * 2**20
_BATCH_CHARACTERS = 2_000_000


@dataclass(frozen=True, kw_only=True)
class TokenDocuments:
    """Documents as token ids."""

    tokens: NDArray[np.uint16] | NDArray[np.uint32]
    """[N] the tokens of all documents, one document behind the other."""
    starts: NDArray[np.int64]
    """[D + 1] where each document begins; the last entry is N."""
    bytes: int = 0
    """Size of the texts as UTF-8; 0 where it is not known."""

    def __len__(self) -> int:
        """How many documents: D."""
        return len(self.starts) - 1

    def __getitem__(self, number: int) -> NDArray[np.uint16] | NDArray[np.uint32]:
        """The tokens of one document."""
        if not 0 <= number < len(self):
            raise IndexError(number)
        return self.tokens[self.starts[number] : self.starts[number + 1]]


@dataclass(frozen=True, kw_only=True)
class TextStore(Generic[T]):
    """A tokenised corpus in three parts."""

    tokenizer: T
    """What the tokens mean."""
    train: TokenDocuments
    """Documents to learn from."""
    validation: TokenDocuments
    """Documents to choose by."""
    test: TokenDocuments
    """Documents to report on."""
    sha256: str
    """SHA-256 of the content, as in the manifest."""
    folder: Path
    """Where it is."""
    bytes: int
    """Size of all texts as UTF-8."""
    info: dict[str, Any]
    """The manifest."""


def is_text_store(folder: Path) -> bool:
    """Whether a folder holds a tokenised corpus; nothing but its manifest is looked at."""
    return _manifest_of(folder) is not None


def purpose_of_text_store(folder: Path) -> str | None:
    """What a tokenised corpus is for, a key of `TOKENIZERS`; None where the folder holds none.

    Nothing but its manifest is looked at. A purpose that a later version may know comes back as it is.
    """
    manifest = _manifest_of(folder)
    return None if manifest is None else str(manifest.get(_FOR, "encoder"))


def _manifest_of(folder: Path) -> dict[str, Any] | None:
    try:
        manifest: Any = json.loads((Path(folder) / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and manifest.get("kind") == KIND else None


@overload
def read_text_store(folder: Path, *, verify: bool | None = None) -> TextStore[TextTokenizer]: ...
@overload
def read_text_store(folder: Path, *, kind: type[T], verify: bool | None = None) -> TextStore[T]: ...
def read_text_store(
    folder: Path, *, kind: type[Any] = TextTokenizer, verify: bool | None = None
) -> TextStore[Any]:
    """A tokenised corpus, arrays memory-mapped.

    Args:
        folder: the folder.
        kind: the kind of its tokenizer, one of `TOKENIZERS`; `BytePairTokenizer` takes any of them.
        verify: whether to compare every file with its hash in the manifest and every token with the vocabulary; None
            does so up to 64 MiB. Sizes are always compared.

    Raises:
        InputError: no such corpus, one for a model of another kind, or a file that is missing, damaged or cut short;
            names the file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "not a folder" if folder.exists() else "no such folder"
        raise InputError(f"{folder}: {what}", _ALLOWED, _REMAKE)
    info = _manifest_of(folder)
    if info is None:
        raise InputError(f"{folder}: no tokenised corpus", _ALLOWED, _REMAKE)
    stored = _stored_kind(folder, str(info.get(_FOR, "encoder")), kind)
    try:
        files = {
            str(name): (int(entry["bytes"]), str(entry["sha256"])) for name, entry in info["files"].items()
        }
        sizes = {split: int(info["bytes"][split]) for split in SPLITS}
        sha256 = str(info["sha256"])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _bad_file(folder / MANIFEST, "is not a manifest of this program") from None
    hashing = sum(size for size, _ in files.values()) <= _HASHED_BY_DEFAULT if verify is None else verify
    for name, (size, digest) in files.items():
        check_file(folder / name, size, digest if hashing else None, _REMAKE)
    tokenizer = stored.load(folder / "tokenizer.json")
    highest = tokenizer.vocab_size if hashing else None
    parts = {split: _read_split(folder / split, sizes[split], highest) for split in SPLITS}
    return TextStore(
        tokenizer=tokenizer, sha256=sha256, folder=folder, bytes=sum(sizes.values()), info=info, **parts
    )


def _stored_kind(folder: Path, purpose: str, wanted: type[Any]) -> type[BytePairTokenizer]:
    """The kind of tokenizer of a corpus with this purpose, where it is the one that is wanted."""
    stored = TOKENIZERS.get(purpose)
    if stored is not None and issubclass(stored, wanted):
        return stored
    known = [name for name, each in TOKENIZERS.items() if issubclass(each, wanted)]
    raise InputError(
        f"{folder}: a corpus tokenised for {purpose!r}",
        f"one for {' or '.join(map(repr, known))}",
        f"import it again: thinkling data import text SOURCE --for {known[0]} --out DIR",
    )


def _read_split(folder: Path, size: int, vocab_size: int | None) -> TokenDocuments:
    tokens, starts = _load_array(folder / "tokens.npy"), _load_array(folder / "starts.npy")
    if len(starts) < 1 or starts[0] != 0 or starts[-1] != len(tokens) or (np.diff(starts) < 0).any():
        raise _bad_file(folder / "starts.npy", f"does not count up from 0 to {len(tokens)}")
    if vocab_size is not None and len(tokens) and int(tokens.max()) >= vocab_size:
        raise _bad_file(folder / "tokens.npy", f"holds a token outside 0..{vocab_size - 1}")
    return TokenDocuments(tokens=tokens, starts=starts.astype(np.int64), bytes=size)


def _load_array(path: Path) -> NDArray[Any]:
    try:
        # Memory-mapping an empty array fails, so the few bytes of one are read instead.
        mode: Literal["r"] | None = "r" if path.stat().st_size > 1024 else None
        loaded: Any = np.load(path, mmap_mode=mode, allow_pickle=False)
    except FileNotFoundError:
        raise _bad_file(path, "missing") from None
    except (OSError, ValueError, EOFError) as error:
        raise _bad_file(path, f"damaged or cut short ({error})") from None
    if not isinstance(loaded, np.ndarray) or loaded.dtype.kind not in "iu" or loaded.ndim != 1:
        raise _bad_file(path, "holds no list of whole numbers")
    return np.asanyarray(loaded)


def _bad_file(path: Path, what: str) -> InputError:
    return InputError(f"{path}: {what}", "a complete data set file", _REMAKE)


@overload
def write_text_store(
    texts: Callable[[], Iterable[str]],
    out: Path,
    *,
    vocab_size: int = 16384,
    tokenizer: TextTokenizer | None = None,
    seed: int = 0,
    validation_share: float = 0.02,
    test_share: float = 0.03,
    info: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TextStore[TextTokenizer]: ...
@overload
def write_text_store(
    texts: Callable[[], Iterable[str]],
    out: Path,
    *,
    kind: type[T],
    vocab_size: int = 16384,
    tokenizer: T | None = None,
    seed: int = 0,
    validation_share: float = 0.02,
    test_share: float = 0.03,
    info: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TextStore[T]: ...
def write_text_store(
    texts: Callable[[], Iterable[str]],
    out: Path,
    *,
    kind: type[Any] = TextTokenizer,
    vocab_size: int = 16384,
    tokenizer: Any = None,
    seed: int = 0,
    validation_share: float = 0.02,
    test_share: float = 0.03,
    info: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TextStore[Any]:
    """Tokenise a corpus: all of it or, after an error, nothing.

    The corpus is read three times: to find equal documents, to learn the vocabulary from those for training, and to
    tokenise. What is in memory are the different words with their counts, about 100 bytes for each document, and a few
    megabytes of text.

    Which part a document goes to is a function of the seed and of its number. A part that would be empty, which
    happens in a small corpus only, gets the one document that is nearest to it. A blank document and one equal to an
    earlier one are left out, so that no text is both learnt and tested.

    Args:
        texts: called once for each reading; gives the documents, the same ones in the same order each time.
        out: the folder; see `array_store.check_output` for what may be there already.
        kind: the kind of tokenizer, one of `TOKENIZERS`.
        vocab_size: tokens to learn, where no tokenizer is given.
        tokenizer: an existing vocabulary to use.
        seed: decides which documents are for validation and for testing.
        validation_share: share of the documents to choose by; 0 for none.
        test_share: share of the documents to report on; 0 for none.
        info: more for the manifest (where the corpus is from); it does not enter the hash.
        progress: called with the documents done and their number while tokenising.

    Raises:
        InputError: something else at `out`, an impossible size or share, too few documents, or what `texts` raises.
        ThinklingError: the disk refuses.
    """
    out = Path(out)
    check_output(out)
    kind.check_vocab_size(vocab_size)
    shares = (validation_share, test_share)
    if min(shares) < 0 or not sum(shares) < 1:
        raise InputError(
            f"shares of {validation_share} for validation and {test_share} for testing",
            "each 0 or more, together less than 1",
            "lower them",
        )
    split = parts_of(kept_documents(texts()), seed, validation_share, test_share)
    if tokenizer is None:
        training = (text for text, part in read_again(texts(), split) if part == TRAIN)
        tokenizer = kind.train(training, vocab_size)
    purpose = next(name for name, each in TOKENIZERS.items() if isinstance(tokenizer, each))
    with whole_folder(out) as folder:
        tokenizer.save(folder / "tokenizer.json")
        with ExitStack() as closing_all:
            writers = {
                name: closing_all.enter_context(closing(_SplitWriter(folder / name, tokenizer.vocab_size)))
                for name in SPLITS
            }
            done, total = 0, int((split != LEFT_OUT).sum())
            for batch in _batches(read_again(texts(), split)):
                encoded = tokenizer.encode_batch([text for text, _ in batch])
                for (text, part), tokens in zip(batch, encoded, strict=True):
                    writers[SPLITS[part]].add(tokens, len(text.encode()))
                done += len(batch)
                if progress is not None:
                    progress(done, total)
        counts = {
            "vocab_size": tokenizer.vocab_size,
            "seed": seed,
            "validation_share": validation_share,
            "test_share": test_share,
            "documents": {name: len(writer.starts) - 1 for name, writer in writers.items()},
            "tokens": {name: writer.starts[-1] for name, writer in writers.items()},
            "bytes": {name: writer.bytes for name, writer in writers.items()},
            "left_out": len(split) - total,
        }
        described = {"kind": KIND} if purpose == "encoder" else {"kind": KIND, _FOR: purpose}
        write_manifest(folder / MANIFEST, {**described, **(info or {}), **counts})
    return read_text_store(out, kind=kind, verify=False)


def _batches(documents: Iterable[tuple[str, int]]) -> Iterator[list[tuple[str, int]]]:
    """Documents in lists of some megabytes, which are tokenised on all cores."""
    batch: list[tuple[str, int]] = []
    characters = 0
    for document in documents:
        batch.append(document)
        characters += len(document[0])
        if characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


class _SplitWriter:
    """tokens.npy and starts.npy of one part, written as the documents come."""

    def __init__(self, folder: Path, vocab_size: int) -> None:
        folder.mkdir()
        self._folder = folder
        self._dtype = np.dtype("<u2" if vocab_size <= 2**16 else "<u4")
        self._file = (folder / "tokens.npy").open("wb")
        self._write_header(0)
        self._header = self._file.tell()
        self.starts = array("q", [0])
        self.bytes = 0

    def _write_header(self, count: int) -> None:
        description = {"descr": self._dtype.str, "fortran_order": False, "shape": (count,)}
        npy.write_array_header_1_0(self._file, description)

    def add(self, tokens: list[int], size: int) -> None:
        """The next document, of `size` bytes."""
        self._file.write(np.array(tokens, dtype=self._dtype).tobytes())
        self.starts.append(self.starts[-1] + len(tokens))
        self.bytes += size

    def close(self) -> None:
        """Writes how many tokens there are, now that it is known, and where the documents begin."""
        with self._file:
            self._file.seek(0)
            self._write_header(self.starts[-1])
            # numpy leaves room in the header for a count of any length.
            assert self._file.tell() == self._header
        np.save(self._folder / "starts.npy", np.array(self.starts, dtype=np.int64))
