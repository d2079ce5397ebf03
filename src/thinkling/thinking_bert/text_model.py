"""What a trained encoder and a trained classifier have in common: network, tokenizer, settings, and a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from thinkling.artifacts.weights import load_into, read_model_weights, write_model_folder
from thinkling.data.tokenizer import TextTokenizer
from thinkling.nn.precision import ComputeDtype, pick_device, resolve_dtype
from thinkling.thinking.halting import HaltingConfig
from thinkling.thinking_bert.classifier import TextClassifier
from thinkling.thinking_bert.model import ThinkingBert
from thinkling.thinking_bert.run_files import TOKENIZER, RunFiles

N = TypeVar("N", bound=ThinkingBert | TextClassifier)


class TextModel(Generic[N]):
    """A network with what it takes to use it."""

    def __init__(
        self, network: N, tokenizer: TextTokenizer, halting: HaltingConfig, config: Mapping[str, Any]
    ) -> None:
        network.eval()
        self.network = network
        self.tokenizer = tokenizer
        self.halting = halting
        self.config = dict(config)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a folder that `thinkling.load` opens: config.json, tokenizer.json and safetensors weights."""
        write_model_folder(Path(folder), self.config, self.network.state_dict())
        self.tokenizer.save(Path(folder) / TOKENIZER)

    @property
    def params(self) -> int:
        """Trained values, embeddings included."""
        return sum(parameter.numel() for parameter in self.network.parameters())


def with_weights(
    network: N, files: RunFiles, *, device: str, compute_dtype: ComputeDtype, averaged: bool
) -> N:
    """A network of a run's sizes with the run's weights, on its device.

    Args:
        network: made from the run's config.
        files: the run.
        device: auto, cpu, cuda or mps.
        compute_dtype: dtype of matrix products.
        averaged: take the averaged weights where there are any.

    Raises:
        InputError: the weights are damaged or of another network.
    """
    load_into(network, read_model_weights(files.folder, averaged=averaged))
    place = pick_device(device)
    network.to(place)
    network.compute_dtype = resolve_dtype(compute_dtype, place)
    return network
