"""Our decoder gives the logits of Transformers' own Qwen3, with random weights on a CPU in fp32, cache or not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

from thinkling.artifacts.weights import load_into, write_model_folder
from thinkling.data.chat_template import Message, prompt_ids
from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.lm.config import DecoderConfig
from thinkling.lm.hf_files import hf_config, write_hf_files
from thinkling.lm.model import Decoder
from thinkling.lm.run_files import CHAT, description

TINY = DecoderConfig(
    vocab_size=97,
    max_length=1024,
    hidden_size=48,
    num_layers=3,
    num_heads=4,
    num_kv_heads=2,
    head_dim=16,
    inner_size=80,
)
TOLERANCE = 1e-5
"""Largest difference of a logit of the order of 1 that still counts as equal, in fp32."""


def pair(config: DecoderConfig) -> tuple[Qwen3ForCausalLM, Decoder]:
    """Both with the same weights, large enough for every part to matter, norms included.

    Not larger: rounding grows with them, and with half as much again the two are 1e-5 apart.
    """
    official = Qwen3ForCausalLM(Qwen3Config(**hf_config(config), attn_implementation="eager")).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in official.named_parameters():
            noise = torch.empty_like(parameter).normal_(generator=generator)
            parameter.copy_(1 + 0.3 * noise if "norm" in name else 0.1 * noise)
    ours = Decoder(config)
    load_into(
        ours, {name: value for name, value in official.state_dict().items() if name != "lm_head.weight"}
    )
    return official, ours.eval()


def tokens(config: DecoderConfig, rows: int, length: int) -> Tensor:
    """[rows, length] random ids."""
    return torch.randint(0, config.vocab_size, (rows, length), generator=torch.Generator().manual_seed(1))


def theirs_and_ours(official: Qwen3ForCausalLM, ours: Decoder, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of every position, without a cache."""
    with torch.inference_mode():
        return official(input_ids=inputs).logits, ours.logits(ours(inputs))


@pytest.mark.parametrize(("rows", "length"), [(1, 1), (3, 40), (2, 600)])
def test_logits(rows: int, length: int) -> None:
    """From 513 positions on another kernel takes over."""
    theirs, mine = theirs_and_ours(*pair(TINY), tokens(TINY, rows, length))
    assert theirs.std() > 0.5, "logits too small to tell a difference"
    assert float((mine - theirs).abs().max()) < TOLERANCE


@pytest.mark.parametrize(
    "changes",
    [
        {"num_kv_heads": 4},
        {"num_kv_heads": 1},
        {"head_dim": 24},
        {"rope_base": 10_000.0},
        {"norm_eps": 1e-2},
        {"num_layers": 1, "inner_size": 16},
    ],
    ids=str,
)
def test_logits_with_other_settings(changes: dict[str, Any]) -> None:
    config = replace(TINY, **changes)
    theirs, mine = theirs_and_ours(*pair(config), tokens(config, 2, 33))
    assert float((mine - theirs).abs().max()) < TOLERANCE


@pytest.mark.parametrize("changes", [{"rope_base": 400_000.0}, {"norm_eps": 1e-3}], ids=str)
def test_the_comparison_can_tell_another_setting(changes: dict[str, Any]) -> None:
    official, ours = pair(TINY)
    other = Decoder(replace(TINY, **changes)).eval()
    other.load_state_dict(ours.state_dict())
    theirs, mine = theirs_and_ours(official, other, tokens(TINY, 2, 40))
    assert float((mine - theirs).abs().max()) > 10 * TOLERANCE


@torch.inference_mode()
def test_logits_with_the_cache_of_both() -> None:
    """A prompt read at once, then token by token: both with their own cache."""
    official, ours = pair(TINY)
    inputs = tokens(TINY, 2, 30)
    cache, past = ours.cache(2, 30), None
    for begin, end in [(0, 17), *((place, place + 1) for place in range(17, 30))]:
        theirs = official(input_ids=inputs[:, begin:end], past_key_values=past, use_cache=True)
        past = theirs.past_key_values
        mine = ours.read(inputs[:, begin:end], cache)
        assert float((mine - theirs.logits[:, -1]).abs().max()) < TOLERANCE, begin


@torch.inference_mode()
def test_logits_of_prompts_of_different_lengths_in_one_cache() -> None:
    """Rows padded at their end read on together as if each had been alone."""
    official, ours = pair(TINY)
    inputs, counts = tokens(TINY, 3, 24), torch.tensor([24, 9, 1])
    cache = ours.cache(4, 40)
    rows = torch.tensor([2, 0, 3])
    mine = ours.read(inputs, cache, rows, counts)
    following = tokens(TINY, 3, 3)
    for step in range(4):
        for row, count in enumerate(counts.tolist()):
            alone = torch.cat((inputs[row, :count], following[row, :step]))
            theirs = official(input_ids=alone[None]).logits[0, -1]
            assert float((mine[row] - theirs).abs().max()) < TOLERANCE, (row, step)
        if step < 3:
            mine = ours.read(following[:, step : step + 1], cache, rows)


@torch.inference_mode()
def test_packed_documents_are_read_as_if_alone() -> None:
    official, ours = pair(TINY)
    inputs = tokens(TINY, 1, 30)
    documents = torch.tensor([[1] * 11 + [2] * 19])
    mine = ours.logits(ours(inputs, documents))
    # Rotary position embedding only knows distances, so that the second document may begin anywhere.
    theirs = torch.cat([official(input_ids=part).logits for part in inputs.split([11, 19], dim=1)], dim=1)
    assert float((mine - theirs).abs().max()) < TOLERANCE


def test_a_written_folder_opens_in_transformers(tmp_path: Path) -> None:
    """AutoModelForCausalLM and AutoTokenizer on a run folder as it is: equal tokens, equal logits, equal answers."""
    text = "What is 12 plus 7? It is 19.\n"
    tokenizer = ChatTokenizer.train([text] * 4, 280)
    config = replace(TINY, vocab_size=tokenizer.vocab_size)
    ours = pair(config)[1]
    write_model_folder(tmp_path, description(config, CHAT), ours.state_dict())
    write_hf_files(tmp_path, tokenizer, config)
    cut, model = (
        AutoTokenizer.from_pretrained(tmp_path),
        AutoModelForCausalLM.from_pretrained(tmp_path).eval(),
    )
    assert isinstance(model, Qwen3ForCausalLM)
    question = [Message(role="user", content="What is 7 plus 12?")]
    prompt = prompt_ids(tokenizer, question)
    rows = [message.as_json() for message in question]
    assert cut.apply_chat_template(rows, add_generation_prompt=True)["input_ids"] == prompt
    theirs, mine = theirs_and_ours(model, ours, torch.tensor([prompt]))
    assert float((mine - theirs).abs().max()) < 1e-4
    going_on = model.generate(torch.tensor([prompt]), max_new_tokens=12, do_sample=False)[0, len(prompt) :]
    cache, found = ours.cache(1, len(prompt) + 12), list[int]()
    following = torch.tensor([prompt])
    with torch.inference_mode():
        while len(found) < 12 and not {*found} & {*tokenizer.stop_ids}:
            found.append(int(ours.read(following, cache).argmax()))
            following = torch.tensor([found[-1:]])
    assert going_on.tolist() == found
