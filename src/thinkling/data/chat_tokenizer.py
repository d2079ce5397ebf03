"""Text of a language model to token ids and back: byte-level byte-pair encoding with the marks of a conversation.

The pre-tokenizer is Qwen2's as `llama.cpp` has it under the name `qwen2`, so a GGUF file needs nothing of its own. It
cuts every digit alone, so no token holds two digits, or a digit and a point or comma. Nothing is normalised: what was
encoded comes back byte for byte, which `llama.cpp` does too.

Text is data: a literal "<eos>" in a document is five ordinary characters. Only `encode(…, special=True)`, which reads
what the chat template wrote, takes it for the end of a document.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, ClassVar

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from thinkling.data.byte_pair import BytePairTokenizer

PAD, BOS, EOS, RESERVED, THINK, END_THINK, IM_START, IM_END = SPECIALS = (
    "<pad>",
    "<bos>",
    "<eos>",
    "<reserved>",
    "<think>",
    "</think>",
    "<|im_start|>",
    "<|im_end|>",
)
"""The special tokens; the place of each is its id."""

SHOWN = (THINK, END_THINK)
"""The special tokens that other programs print with the text, as Qwen3 has it, so that reasoning can be told from
the answer. `llama.cpp` calls such tokens user-defined, and the others control tokens."""

PRE_TOKENIZER = "qwen2"
"""What `llama.cpp` calls the pattern below (`tokenizer.ggml.pre`)."""

# src/llama-vocab.cpp, LLAMA_VOCAB_PRE_TYPE_QWEN2. Qwen's own file has (?i:'s|'t|…), which takes 'ſ for 's as well.
PATTERN = (
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""What a text is cut into before pairs are merged."""

_MARKERS = re.compile("|".join(map(re.escape, SPECIALS)))


class ChatTokenizer(BytePairTokenizer):
    """The vocabulary of a language model, and how text is cut into it.

    Attributes:
        vocab_size: tokens, special ones included; below what was asked of `train` where a corpus is small.
        pad_id, bos_id, eos_id, reserved_id, think_id, end_think_id, im_start_id, im_end_id: ids of the special tokens.
        stop_ids: the tokens at which generation ends.
    """

    SPECIALS: ClassVar[tuple[str, ...]] = SPECIALS
    MADE_BY: ClassVar[str] = "make one with: thinkling lm tokenizer SOURCE --out DIR"
    # A token may reach from punctuation over line breaks, and never from a character to a space after it.
    _CUT: ClassVar[re.Pattern[str]] = re.compile(r"(?<=\S)(?= )")

    pad_id, bos_id, eos_id, reserved_id, think_id, end_think_id, im_start_id, im_end_id = range(len(SPECIALS))
    stop_ids: ClassVar[tuple[int, ...]] = (SPECIALS.index(EOS), SPECIALS.index(IM_END))

    @classmethod
    def _untrained(cls) -> Any:
        tokenizer: Any = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(PATTERN), behavior="isolated", invert=False),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        tokenizer.decoder = decoders.ByteLevel()
        return tokenizer

    @classmethod
    def _parsed(cls, text: str) -> Any:
        # What other programs add for their own batches is left out.
        described = json.loads(text) | {"truncation": None, "padding": None}
        for token in described["added_tokens"]:
            # All of them are special here, because `encode_batch` passes over special ones only.
            token["special"] = True
        return Tokenizer.from_str(json.dumps(described))

    @classmethod
    def _foreign(cls, tokenizer: Any) -> str:
        found, expected = (json.loads(each.to_str()) for each in (tokenizer, cls._untrained()))
        for part in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
            if found[part] != expected[part]:
                return f"{part} {json.dumps(found[part])[:60]}"
        for setting, value in expected["model"].items():
            if setting not in ("vocab", "merges") and found["model"].get(setting) != value:
                return f"model.{setting} {found['model'].get(setting)!r}"
        if [token["content"] for token in found["added_tokens"]] != list(SPECIALS):
            return f"added tokens {', '.join(token['content'] for token in found['added_tokens'])}"
        return ""

    def to_json(self) -> str:
        """The content of tokenizer.json. `<think>` and `</think>` are no special tokens in it: see `SHOWN`."""
        described = json.loads(self._tokenizer.to_str())
        for token in described["added_tokens"]:
            token["special"] = token["content"] not in SHOWN
        return json.dumps(described, indent=2, ensure_ascii=False) + "\n"

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """The tokens of a text; nothing is added before or after it.

        Args:
            text: the text.
            special: whether the special tokens in it are what they say; ordinary characters where not.

        Raises:
            InputError: half of a surrogate pair, which is no character.
        """
        if not special:
            return self.encode_batch([text])[0]
        between = self.encode_batch(_MARKERS.split(text))
        ids = between[0]
        for marker, following in zip(_MARKERS.findall(text), between[1:], strict=True):
            ids += [SPECIALS.index(marker), *following]
        return ids

    def decode(self, ids: Sequence[int], *, special: bool = False) -> str:
        """The text of tokens; bytes that are no whole character become U+FFFD.

        Args:
            ids: the tokens.
            special: whether to show special tokens by their names; left out where not.
        """
        written = [
            SPECIALS[token].encode() if special and token < len(SPECIALS) else self.token_bytes(token)
            for token in map(int, ids)
        ]
        return b"".join(written).decode("utf-8", errors="replace")

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of a token, perhaps of part of a character; none for a special token.

        Nor has a number from `vocab_size` on, which a model with more rows than tokens may name, any text.
        """
        return self._bytes[token_id] if 0 <= token_id < self.vocab_size else b""
