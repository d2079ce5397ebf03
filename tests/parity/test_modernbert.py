"""A ModernBERT checkpoint gives the logits of Transformers' own implementation, with random weights on a CPU."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import ModernBertConfig, ModernBertForMaskedLM

from thinkling.cli.main import main
from thinkling.data.batch import TextBatch
from thinkling.errors import InputError
from thinkling.thinking_bert.config import ThinkingBertConfig
from thinkling.thinking_bert.model import ThinkingBert
from thinkling.thinking_bert.modernbert_weights import (
    from_modernbert,
    initialise_low_level,
    load_modernbert,
    modernbert_config,
    read_modernbert,
)
from thinkling.thinking_bert.presets import PRESETS

TINY = {
    "vocab_size": 97,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "num_hidden_layers": 5,
    "max_position_embeddings": 640,
    "local_attention": 8,
    **{f"{name}_token_id": 0 for name in ("pad", "bos", "eos", "cls", "sep")},
}


def official(**changes: Any) -> ModernBertForMaskedLM:
    """A ModernBERT whose weights are large enough for every part to matter, norms and decoder bias included.

    Not larger: at twice this size Transformers itself is 1e-4 away from its own logits in double precision.
    """
    generator = torch.Generator().manual_seed(0)
    model = ModernBertForMaskedLM(ModernBertConfig(**{**TINY, **changes}, attn_implementation="eager")).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.empty_like(parameter).normal_(generator=generator)
            parameter.copy_(1 + 0.3 * noise if "norm" in name else 0.15 * noise)
    return model


def settings(model: ModernBertForMaskedLM) -> dict[str, Any]:
    """The contents of the config.json that Transformers would write."""
    read: dict[str, Any] = json.loads(model.config.to_json_string())
    return read


def our_logits(network: ThinkingBert, inputs: Tensor, lengths: Tensor) -> Tensor:
    """Logits of all places of rows that are padded behind their length."""
    place = torch.arange(inputs.shape[1])
    documents = (place < lengths[:, None]).long()
    positions = place.expand_as(inputs)
    batch = TextBatch(inputs=inputs, documents=documents, positions=positions, labels=positions)
    with torch.inference_mode():
        _, output = network.segment(network.fresh_carry(*inputs.shape), batch)
    return output.logits


def difference(model: ModernBertForMaskedLM, network: ThinkingBert, lengths: list[int]) -> float:
    """The largest difference of a logit at a place that is no padding."""
    counts = torch.tensor(lengths)
    longest = max(lengths)
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randint(1, model.config.vocab_size, (len(lengths), longest), generator=generator)
    real = torch.arange(longest) < counts[:, None]
    inputs = torch.where(real, inputs, 0)
    with torch.inference_mode():
        theirs = model(input_ids=inputs, attention_mask=real.long()).logits
    assert theirs[real].std() > 0.5, "logits too small to tell a difference"
    return float((our_logits(network, inputs, counts) - theirs)[real].abs().max())


@pytest.mark.parametrize("lengths", [[1], [4], [9, 3], [40, 17, 5, 40], [600, 520]], ids=str)
def test_logits(lengths: list[int]) -> None:
    """Rows within the local window and far longer, with padding; from 512 positions on another kernel takes over."""
    model = official()
    network = from_modernbert(settings(model), model.state_dict(), max_length=640)
    assert difference(model, network, lengths) < 1e-5


def test_the_comparison_can_tell_a_window_that_is_one_wider() -> None:
    model = official()
    other = {**settings(model), "local_attention": 10}
    assert difference(model, from_modernbert(other, model.state_dict()), [40]) > 0.1


@pytest.mark.parametrize(
    "changes",
    [
        {"local_attention": 7},
        {"local_attention": 2},
        {"global_attn_every_n_layers": 2},
        {"global_attn_every_n_layers": 1},
        {"layer_types": ["full_attention"] + ["sliding_attention"] * 4},
        {"hidden_activation": "silu"},
        {"norm_eps": 1e-2},
        {"global_rope_theta": 500.0, "local_rope_theta": 30.0},
        {"decoder_bias": False},
        {"num_attention_heads": 2, "num_hidden_layers": 1},
    ],
    ids=str,
)
def test_logits_with_other_settings(changes: dict[str, Any]) -> None:
    model = official(**changes)
    network = from_modernbert(settings(model), model.state_dict(), max_length=64)
    assert difference(model, network, [40, 17]) < 1e-5


def test_the_older_words_for_the_settings() -> None:
    """The config.json on the hub is older than Transformers 5 and has neither layer_types nor rope_parameters."""
    older = {**TINY, "global_attn_every_n_layers": 2, "global_rope_theta": 700.0, "local_rope_theta": 20.0}
    model = official(**older)
    assert modernbert_config(older, max_length=64) == modernbert_config(settings(model), max_length=64)
    assert modernbert_config({**older, "local_rope_theta": None}, max_length=64).local_rope_base == 700.0


def test_the_preset_is_modernbert_base() -> None:
    published = json.loads(ModernBertConfig().to_json_string())
    assert modernbert_config(published, max_length=8192) == PRESETS["768"]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_can_be_built(name: str) -> None:
    with torch.device("meta"):
        network = ThinkingBert(PRESETS[name])
    params = sum(parameter.numel() for parameter in network.parameters())
    assert params > 1_000_000
    if name.startswith("768"):  # ModernBERT-base has 149,655,232 with its head; the halt head comes on top
        assert 149_655_232 < params < 149_670_000


@pytest.mark.parametrize("with_decoder", [True, False])
def test_a_folder_as_transformers_writes_it(tmp_path: Path, with_decoder: bool) -> None:
    model = official()
    if with_decoder:
        (tmp_path / "config.json").write_text(model.config.to_json_string(), encoding="utf-8")
        tensors = {name: tensor.clone().contiguous() for name, tensor in model.state_dict().items()}
        save_file(tensors, tmp_path / "model.safetensors")
    else:
        model.save_pretrained(tmp_path)
        assert "decoder.weight" not in read_modernbert(tmp_path)[1]
    network = load_modernbert(tmp_path, max_length=64)
    assert difference(model, network, [12]) < 1e-5
    assert not network.training


def test_only_two_files_of_an_address_are_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = official()
    model.save_pretrained(tmp_path)
    asked = []

    def fetched(address: str) -> Path:
        asked.append(address)
        return tmp_path / address.rsplit("/", 1)[1]

    monkeypatch.setattr("thinkling.thinking_bert.modernbert_weights.fetched", fetched)
    network = load_modernbert(Path("hf://owner/name@main/sub"), max_length=64)
    assert asked == [f"hf://owner/name@main/sub/{name}" for name in ("config.json", "model.safetensors")]
    assert difference(model, network, [12]) < 1e-5


def test_a_folder_with_a_pickle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"without model\.safetensors"):
        read_modernbert(tmp_path)
    with pytest.raises(InputError, match=r"without config\.json"):
        read_modernbert(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"norm_bias": True}, "norm_bias True"),
        ({"attention_bias": True}, "attention_bias True"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings False"),
        ({"hidden_activation": "relu"}, "hidden_activation 'relu'"),
        ({"classifier_activation": "relu"}, "classifier_activation 'relu'"),
        ({"model_type": "modernbert-decoder"}, "modernbert-decoder"),
        ({"layer_types": ["sliding_attention"] * 5}, "layer_types sliding"),
        ({"layer_types": ["full_attention"]}, "layer_types full"),
        ({"rope_parameters": {"full_attention": {"rope_type": "yarn"}}}, "rope_type 'yarn'"),
        ({"rope_scaling": {"rope_type": "linear"}}, "rope_scaling"),
        ({"max_position_embeddings": 63}, "max_length 64"),
    ],
)
def test_settings_that_would_change_the_numbers_are_refused(changes: dict[str, Any], part: str) -> None:
    with pytest.raises(InputError, match=part):
        modernbert_config({**TINY, **changes}, max_length=64)


def test_missing_sizes_are_named() -> None:
    with pytest.raises(InputError, match="without hidden_size, num_hidden_layers"):
        modernbert_config(
            {name: TINY[name] for name in ("vocab_size", "num_attention_heads", "intermediate_size")},
            max_length=8,
        )


def test_every_tensor_that_does_not_match_is_named() -> None:
    model = official()
    config, weights = settings(model), dict(model.state_dict())
    fewer = {name: tensor for name, tensor in weights.items() if ".layers.4." not in name}
    with pytest.raises(InputError) as caught:
        from_modernbert(config, fewer)
    dropped = set(weights) - set(fewer)
    assert len(dropped) == 6
    assert all(f"{name} is missing" in str(caught.value) for name in dropped)
    with pytest.raises(InputError, match=r"classifier\.weight is not in a ModernBERT of 5 layers"):
        from_modernbert(config, {**weights, "classifier.weight": torch.zeros(2, 32)}, max_length=64)
    with pytest.raises(InputError, match=r"decoder\.weight differs"):
        from_modernbert(config, {**weights, "decoder.weight": torch.zeros(97, 32)}, max_length=64)
    with pytest.raises(InputError, match=r"has shape \[31\]"):
        from_modernbert(config, {**weights, "head.norm.weight": torch.zeros(31)}, max_length=64)


def thinking(config: Mapping[str, Any], **changes: Any) -> ThinkingBert:
    """A network with a high level that fits a checkpoint."""
    wanted = {"high_level": "pooled-windows", "high_layers": 2, "L_cycles": 2, **changes}
    architecture: ThinkingBertConfig = replace(modernbert_config(config, max_length=64), **wanted)
    return ThinkingBert(architecture, torch.Generator().manual_seed(2))


def test_a_low_level_of_fewer_layers_takes_the_first_ones() -> None:
    model = official()
    config, weights = settings(model), model.state_dict()
    network = thinking(config, low_layers=3)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    start = initialise_low_level(network, config, weights)
    assert (start.layers, start.checkpoint_layers) == (3, 5)
    assert {name.split(".")[2] for name in start.left_out} == {"3", "4"}
    assert len(start.left_out) == 12
    after = network.state_dict()
    assert {name.split(".")[0] for name in start.untouched} == {"high", "q_head"}
    for name in after:
        assert torch.equal(after[name], before[name]) == (name in start.untouched), name
    assert torch.equal(after["low.layers.2.mlp.gate_up_proj.weight"], weights["model.layers.2.mlp.Wi.weight"])
    assert torch.equal(after["low.final_norm.weight"], weights["model.final_norm.weight"])


def test_a_low_level_without_iteration_is_the_checkpoint() -> None:
    model = official()
    config = settings(model)
    network = thinking(config, high_level="none", L_cycles=1)
    start = initialise_low_level(network, config, model.state_dict())
    assert (start.left_out, start.untouched) == ((), ("q_head.weight", "q_head.bias"))
    assert difference(model, network, [30, 7]) < 1e-5


@pytest.mark.parametrize("vocab_size", [50, 97])
def test_another_vocabulary_keeps_its_embeddings(vocab_size: int) -> None:
    """Also one of as many tokens: they are other tokens."""
    model = official()
    config, weights = settings(model), model.state_dict()
    network = thinking(config, vocab_size=vocab_size)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    start = initialise_low_level(network, config, weights, embeddings=False)
    assert start.left_out == ("model.embeddings.tok_embeddings.weight", "decoder.bias")
    after = network.state_dict()
    for name in ("tok_embeddings.weight", "decoder_bias"):
        assert name in start.untouched
        assert torch.equal(after[name], before[name])
    assert torch.equal(after["low.layers.1.attn.o_proj.weight"], weights["model.layers.1.attn.Wo.weight"])


def test_training_starts_from_a_checkpoint(tmp_path: Path) -> None:
    """`thinkling train … --modernbert FOLDER`: after a step at rate 0 the layers are still those of the checkpoint."""
    model = official()
    model.save_pretrained(tmp_path / "modernbert")
    (tmp_path / "corpus.txt").write_text(
        "\n\n".join(f"a text, number {n}" for n in range(60)), encoding="utf-8"
    )
    config = modernbert_config(settings(model), max_length=16)
    sizes = {
        "model.vocab-size": 280,
        "model.max-length": 16,
        "model.hidden-size": config.hidden_size,
        "model.num-heads": config.num_heads,
        "model.inner-size": config.inner_size,
        "model.low-layers": 2,
        "model.local-attention": config.local_attention,
        "model.global-every": config.global_every,
        "model.global-rope-base": config.global_rope_base,
        "model.local-rope-base": config.local_rope_base,
        "stages.0.length": 12,
        "stages.1.length": 14,
        "stages.2.length": 16,
        "train.steps": 1,
        "train.learning-rate": 0.0,
        "train.muon-learning-rate": 0.0,
        "validation-rows": 2,
    }
    words = [word for name, value in sizes.items() for word in (f"--{name}", str(value))]
    run = tmp_path / "run"
    words += ["--data", str(tmp_path / "corpus.txt"), "--modernbert", str(tmp_path / "modernbert")]
    assert main(["train", "thinking-bert-quick", "--out", str(run), "--quiet", *words]) == 0
    trained = load_file(run / "model.safetensors")
    theirs = model.state_dict()
    assert torch.equal(
        trained["low.layers.1.attn.qkv_proj.weight"], theirs["model.layers.1.attn.Wqkv.weight"]
    )
    assert json.loads((run / "config.json").read_text())["modernbert_layers"] == 2


def test_a_network_with_other_settings_is_refused() -> None:
    model = official()
    config, weights = settings(model), model.state_dict()
    with pytest.raises(InputError, match=r"inner_size \d+ instead of 24, .*norm_eps 1e-05 instead of 0\.1"):
        initialise_low_level(thinking(config, inner_size=24, norm_eps=0.1), config, weights)
    with pytest.raises(InputError, match="vocab_size 97 instead of 50"):
        initialise_low_level(thinking(config, vocab_size=50), config, weights)
    with pytest.raises(InputError, match="5 layers for low_layers 6"):
        initialise_low_level(thinking(config, low_layers=6), config, weights)
