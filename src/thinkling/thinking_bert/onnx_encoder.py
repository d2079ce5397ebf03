"""An exported Thinking-BERT in onnxruntime: the same slot machine, the same halting, another engine for the rounds.

Shapes: B batch (slots), L positions of the row, P places to be predicted, D width, V vocabulary.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from thinkling.artifacts.onnx_file import OURS, metadata, open_session
from thinkling.artifacts.settings import settings_of
from thinkling.data.batch import TextBatch
from thinkling.data.tokenizer import TextTokenizer
from thinkling.errors import InputError
from thinkling.thinking.carry import Carry, SegmentOutput, fresh_carry
from thinkling.thinking.halting import HaltingConfig
from thinkling.thinking_bert.config import ThinkingBertConfig
from thinkling.thinking_bert.encoder_model import EncoderModel
from thinkling.thinking_bert.onnx_graph import INPUTS, OUTPUTS
from thinkling.thinking_bert.run_files import TOKENIZER

CONFIG_KEY, TOKENIZER_KEY = "thinkling.config", "thinkling.tokenizer"
"""Names under which the file keeps what `config.json` and `tokenizer.json` say."""


class OnnxNetwork(nn.Module):
    """One round in onnxruntime, with the interface of `ThinkingBert` and no parameters.

    Args:
        session: an `onnxruntime.InferenceSession` of a graph written by `write_onnx`.
        config: the architecture.
    """

    def __init__(self, session: Any, config: ThinkingBertConfig) -> None:
        super().__init__()
        self.config = config
        self.compute_dtype = torch.float32
        self.device = torch.device("cpu")
        self._session = session

    def fresh_carry(self, batch_size: int, length: int | None = None) -> Carry:
        """A carry of B slots, all halted, for rows of `length` tokens (None: the longest)."""
        positions, width = length or self.config.max_length, self.config.hidden_size
        return fresh_carry(batch_size, positions, width, dtype=self.compute_dtype, device=self.device)

    def segment(self, carry: Carry, batch: TextBatch) -> tuple[Carry, SegmentOutput]:
        """One round of every slot. Halted slots start anew.

        Args:
            carry: z_L, z_H [B, L, D].
            batch: inputs, documents [B, L], positions [B, P].

        Returns:
            the new carry, and logits [B, P, V] of the places to be predicted with the Q values [B].

        Raises:
            InputError: the row is longer than the model.
        """
        length = batch.inputs.shape[1]
        if length > self.config.max_length:
            raise InputError(
                f"a row of {length} tokens", f"at most {self.config.max_length}", "shorten or cut the text"
            )
        places = batch.positions.shape[1]
        # onnxruntime cannot divide what has no elements; a place that is not there counts for nothing.
        positions = batch.positions if places else batch.positions.new_full((len(batch.positions), 1), -1)
        going_on = (~carry.halted)[:, None, None]
        given = (
            *(tensor.to(torch.int64) for tensor in (batch.inputs, batch.documents, positions)),
            *(state * going_on for state in (carry.z_H, carry.z_L)),
        )
        feeds = {name: tensor.numpy() for name, tensor in zip(INPUTS, given, strict=True)}
        z_H, z_L, logits, q_halt, q_continue = map(torch.from_numpy, self._session.run(list(OUTPUTS), feeds))
        after = Carry(
            z_H=z_H,
            z_L=z_L,
            steps=torch.where(carry.halted, 0, carry.steps) + 1,
            halted=torch.zeros_like(carry.halted),
        )
        return after, SegmentOutput(logits=logits[:, :places], q_halt=q_halt, q_continue=q_continue)

    def answer_state(self, z_H: Tensor, z_L: Tensor) -> Tensor:
        """What the heads read of every token, [B, L, D]."""
        return z_L if self.config.high_level == "none" else z_H + z_L


class OnnxEncoder(EncoderModel):
    """An exported Thinking-BERT ready to use: `fill`, `fill_many`, `encode` and `encode_tokens` of `EncoderModel`."""

    network: OnnxNetwork  # type: ignore[assignment]  # it has the part of a ThinkingBert that an EncoderModel uses

    def __init__(
        self,
        network: OnnxNetwork,
        tokenizer: TextTokenizer,
        halting: HaltingConfig,
        config: Mapping[str, Any],
    ) -> None:
        super().__init__(network, tokenizer, halting, config)  # type: ignore[arg-type]  # see `network`

    @classmethod
    def from_file(cls, path: str | Path) -> OnnxEncoder:
        """The encoder of a file written by `thinkling export onnx`, which holds settings and tokenizer too.

        Raises:
            InputError: onnxruntime is not installed, or the file is missing, damaged or of another origin.
        """
        session = open_session(Path(path), threads=torch.get_num_threads())
        kept = metadata(session)
        try:
            config = json.loads(kept[CONFIG_KEY])
            tokenizer = kept[TOKENIZER_KEY]
            sizes, halting = config["model"], config["halting"]
        except (KeyError, TypeError, json.JSONDecodeError):
            raise InputError(
                f"{path} without the settings of a Thinking-BERT", OURS, "export the run again"
            ) from None
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / TOKENIZER).write_text(tokenizer, encoding="utf-8")
            words = TextTokenizer.load(Path(folder) / TOKENIZER)
        network = OnnxNetwork(session, settings_of(ThinkingBertConfig, sizes, "model"))
        return cls(network, words, settings_of(HaltingConfig, halting, "halting"), config)

    def save_pretrained(self, folder: str | Path) -> None:
        """An exported model has no weights to save.

        Raises:
            InputError: always.
        """
        raise InputError(
            f"an exported model, to be saved in {folder}",
            "a model of a run folder",
            "copy the ONNX file, or save the run that it was exported from",
        )

    @property
    def params(self) -> int:
        """Trained values of the network that was exported, embeddings included."""
        return int(self.config["params"])
