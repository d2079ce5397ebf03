"""Rollouts: draws, log-probabilities, dynamic sampling, what is saved of them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

from small_decoder import parrot_engine, small_decoder, small_tokenizer
from small_grpo import constant, vowel

from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.lm.model import Decoder
from thinkling.lm.request import Request
from thinkling.lm.rl.config import GrpoConfig
from thinkling.lm.rl.policy_engine import PolicyEngine, well_formed
from thinkling.lm.rl.prompts import Prompt, SeededPrompts
from thinkling.lm.rl.rollout_metrics import METRICS
from thinkling.lm.rl.rollouts import Rollout, collect, draw_seed
from thinkling.lm.rl.token_logprobs import token_logprobs
from thinkling.tasks.reward import RewardProblem

CONFIG = GrpoConfig(group_size=4, prompts_per_step=6, max_tokens=10, dynamic_sampling=False, temperature=0.8)


@pytest.fixture(scope="module")
def tokenizer() -> ChatTokenizer:
    return small_tokenizer()


@pytest.fixture(scope="module")
def model(tokenizer: ChatTokenizer) -> Decoder:
    return small_decoder(tokenizer.vocab_size)


@pytest.fixture(scope="module")
def prompts(tokenizer: ChatTokenizer) -> SeededPrompts:
    made = [
        Prompt(
            number=number,
            tokens=tuple(tokenizer.encode("What is " + "7" * (number % 5) + str(number))),
            problem=RewardProblem(text=str(number), answer=str(number)),
        )
        for number in range(20)
    ]
    return SeededPrompts(made, 0)


def drawn(
    model: Decoder, tokenizer: ChatTokenizer, prompts: SeededPrompts, *, slots: int = 64, **settings: object
) -> Rollout:
    config = settings.pop("config", CONFIG)
    reward = settings.pop("reward", vowel)
    engine = PolicyEngine(model, tokenizer, slots=slots)
    return collect(engine, prompts, reward, config, **{"seed": 3, "step": 2, **settings})  # type: ignore[arg-type]  # a test's


def told(rollout: Rollout) -> list[list[int]]:
    """The tokens of each completion, with its prompt."""
    return [row[:length].tolist() for row, length in zip(rollout.tokens, rollout.lengths, strict=True)]


def test_a_draw_depends_on_seed_step_prompt_and_sample_only(
    model: Decoder, tokenizer: ChatTokenizer, prompts: SeededPrompts
) -> None:
    whole = drawn(model, tokenizer, prompts)
    assert told(drawn(model, tokenizer, prompts, slots=5)) == told(whole)
    parts = [drawn(model, tokenizer, prompts, part=part) for part in (slice(0, 2), slice(2, 6))]
    assert told(parts[0]) + told(parts[1]) == told(whole)
    assert told(drawn(model, tokenizer, prompts, step=3)) != told(whole)
    assert told(drawn(model, tokenizer, prompts, seed=4)) != told(whole)
    assert len({tuple(tokens) for tokens in told(whole)[:4]}) > 1, "completions of a group differ"


def test_prompts_come_in_turn_and_replacements_at_random(prompts: SeededPrompts) -> None:
    """Rollouts of 6 take all 20 prompts once before any comes again."""
    numbers = [prompts.prompt(1 + n // 6, n % 6, 0, of=6).number for n in range(40)]
    assert sorted(numbers[:20]) == sorted(numbers[20:]) == list(range(20))
    assert numbers[:20] != numbers[20:]
    others = [prompts.prompt(1, 0, attempt, of=6).number for attempt in range(1, 9)]
    assert len(set(others)) > 3
    assert others == [prompts.prompt(1, 0, attempt, of=6).number for attempt in range(1, 9)]


def test_seeds_of_draws_differ() -> None:
    seeds = {draw_seed(seed, step, problem) for seed in range(3) for step in range(5) for problem in range(5)}
    assert len(seeds) == 75


@pytest.mark.parametrize("temperature", [0.6, 1.0])
def test_sampler_and_trainer_agree(
    model: Decoder, tokenizer: ChatTokenizer, prompts: SeededPrompts, temperature: float
) -> None:
    """Prompts and completions of different lengths, forced tokens among them: the same numbers to 1e-4 in fp32."""
    config = GrpoConfig(
        group_size=4, prompts_per_step=6, max_tokens=20, dynamic_sampling=False, temperature=temperature
    )
    rollout = drawn(model, tokenizer, prompts, config=config)
    asked = rollout.chosen[:, 1:]
    assert len(set(rollout.lengths.tolist())) > 2
    trained, _ = token_logprobs(model, model, rollout.tokens, asked, temperature=temperature)
    torch.testing.assert_close(rollout.logprobs[:, 1:][asked], trained[asked], rtol=0, atol=1e-4)
    dense = F.log_softmax(model.logits(model(rollout.tokens[:, :-1])) / temperature, -1)
    dense = dense.gather(-1, rollout.tokens[:, 1:, None])[..., 0]
    torch.testing.assert_close(rollout.logprobs[:, 1:][asked], dense[asked], rtol=0, atol=1e-4)


def test_only_what_the_model_chose_is_learned(tokenizer: ChatTokenizer) -> None:
    """With a budget of two tokens `</think>` is written for the model, which then says its answer."""
    script = tokenizer.encode("<think>12345</think>19<|im_end|>", special=True)
    engine = PolicyEngine(small_decoder(tokenizer.vocab_size), tokenizer, slots=8)
    engine._engine = parrot_engine(tokenizer, script)
    engine._engine.refresh = lambda: None  # type: ignore[method-assign]  # it says its script
    prompt = Prompt(
        number=0, tokens=tuple(tokenizer.encode("What")), problem=RewardProblem(text="", answer="1")
    )
    config = GrpoConfig(
        group_size=2, prompts_per_step=1, max_tokens=12, think_budget=2, dynamic_sampling=False
    )
    rollout = collect(engine, SeededPrompts([prompt], 0), vowel, config, seed=0, step=1)
    begin = len(prompt.tokens)
    end = rollout.tokens[0].tolist().index(tokenizer.end_think_id)
    assert end == begin + 3
    assert not rollout.chosen[0, :begin].any()
    assert not rollout.chosen[0, end]
    assert rollout.logprobs[0, end] == 0
    assert rollout.chosen[0].sum() == rollout.lengths[0] - begin - 1


def test_rewards_and_advantages(model: Decoder, tokenizer: ChatTokenizer, prompts: SeededPrompts) -> None:
    rollout = drawn(model, tokenizer, prompts)
    assert rollout.rewards.tolist() == [float("a" in each.completion.text) for each in rollout.texts]
    groups = rollout.rewards.view(6, 4)
    torch.testing.assert_close(rollout.advantages.view(6, 4), groups - groups.mean(1, keepdim=True))
    assert rollout.learned.all()
    assert set(rollout.metrics) | {"rollout_seconds", "reward_failures"} == set(METRICS)
    assert rollout.metrics["answer_reward"] == (float(rollout.rewards.sum()), 24.0)
    assert rollout.metrics["length"] == (float((rollout.lengths - rollout.prompt_lengths).sum()), 24.0)
    assert rollout.metrics["truncated"][0] == sum(e.completion.finish == "length" for e in rollout.texts)


def test_too_long_completions_are_punished(
    model: Decoder, tokenizer: ChatTokenizer, prompts: SeededPrompts
) -> None:
    """DAPO's soft overlong punishment is part of the reward: what reaches the limit loses all of the penalty."""
    config = GrpoConfig(
        group_size=4,
        prompts_per_step=6,
        max_tokens=10,
        dynamic_sampling=False,
        overlong_buffer=4,
        overlong_penalty=0.5,
    )
    rollout = drawn(model, tokenizer, prompts, config=config, reward=constant)
    cut = torch.tensor([each.completion.finish == "length" for each in rollout.texts])
    assert cut.any()
    assert (rollout.rewards[cut] == 0.5).all()
    short = (rollout.lengths - rollout.prompt_lengths <= 6) & ~cut
    assert (rollout.rewards[short] == 1.0).all()


# ----------------------------------------------------------------------------------------------- dynamic sampling


def test_a_group_without_signal_is_replaced(
    model: Decoder, tokenizer: ChatTokenizer, prompts: SeededPrompts
) -> None:
    """Every other problem earns the same whatever is said: in the end none of these is left, and each is counted."""

    def half(problem: RewardProblem, text: str, reasoning: str, well_formed: bool) -> float:
        return 0.0 if int(problem.answer) % 2 else float(len(text))

    config = GrpoConfig(group_size=4, prompts_per_step=6, max_tokens=10, max_resamples=12)
    rollout = drawn(model, tokenizer, prompts, config=config, reward=half)
    assert (rollout.problems % 2 == 0).all()
    assert rollout.learned.all()
    first = [prompts.prompt(2, place, 0, of=6).number for place in range(6)]
    odd = sum(number % 2 for number in first)
    assert odd
    kept = rollout.problems.view(6, 4)[:, 0].tolist()
    assert all(kept[place] == number for place, number in enumerate(first) if number % 2 == 0)
    refills, groups = rollout.metrics["refills"]
    assert refills >= odd
    assert rollout.metrics["groups_without_signal"] == (refills, groups + refills)
    assert rollout.metrics["wasted_groups"] == (0.0, 6.0)


def test_replacing_is_bounded(model: Decoder, tokenizer: ChatTokenizer, prompts: SeededPrompts) -> None:
    """Where no group ever has a signal, each place is tried 1 + max_resamples times, and nothing is learned."""
    asked = []

    def counted(problem: RewardProblem, text: str, reasoning: str, well_formed: bool) -> float:
        asked.append(problem.answer)
        return 0.0

    config = GrpoConfig(group_size=4, prompts_per_step=6, max_tokens=4, max_resamples=2)
    rollout = drawn(model, tokenizer, prompts, config=config, reward=counted)
    assert len(asked) == 6 * 3 * 4
    assert not rollout.learned.any()
    assert rollout.metrics["refills"] == (12.0, 6.0)
    assert rollout.metrics["wasted_groups"] == (6.0, 6.0)
    assert rollout.metrics["groups_without_signal"] == (18.0, 18.0)


def test_which_groups_are_replaced_does_not_depend_on_slots_or_ranks(
    model: Decoder, tokenizer: ChatTokenizer, prompts: SeededPrompts
) -> None:
    config = GrpoConfig(group_size=3, prompts_per_step=6, max_tokens=6, max_resamples=3)
    whole = drawn(model, tokenizer, prompts, config=config)
    assert whole.metrics["refills"][0] > 0
    assert told(drawn(model, tokenizer, prompts, config=config, slots=4)) == told(whole)
    parts = [
        drawn(model, tokenizer, prompts, config=config, part=part) for part in (slice(0, 3), slice(3, 6))
    ]
    assert told(parts[0]) + told(parts[1]) == told(whole)


# ------------------------------------------------------------------------------------------------- saved, restored


def test_saved_and_restored(model: Decoder, tokenizer: ChatTokenizer, prompts: SeededPrompts) -> None:
    rollout = drawn(model, tokenizer, prompts)
    which = torch.tensor([1, 5])
    rollout = rollout.with_known(which, torch.randn(2, 7), torch.randn(2, 7))
    assert rollout.known.sum() == 2
    again = Rollout.restored({name: tensor.clone() for name, tensor in rollout.padded(80).items()})
    for name, tensor in rollout.tensors().items():
        assert torch.equal(again.tensors()[name], tensor), name
    assert again.is_number(2)
    assert not again.is_number(3)


def test_rows_are_as_wide_as_they_need_to_be(
    model: Decoder, tokenizer: ChatTokenizer, prompts: SeededPrompts
) -> None:
    rollout = drawn(model, tokenizer, prompts)
    shortest = rollout.lengths.argmin()[None]
    row = rollout.rows(shortest)
    assert row.tokens.shape == (1, int(rollout.lengths.min()))
    assert torch.equal(row.tokens[0], rollout.tokens[shortest[0], : row.tokens.shape[1]])


# ------------------------------------------------------------------------------------------------------ well-formed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>7</think>19<|im_end|>", True),
        ("<think>7</think>19<eos>", True),
        ("<think>7</think>19", False),
        ("<think></think>19<|im_end|>", False),
        ("<think> </think>19<|im_end|>", False),
        ("<think>7</think><|im_end|>", False),
        ("<think>7</think> <|im_end|>", False),
        ("19<|im_end|>", False),
        ("7<think>7</think>19<|im_end|>", False),
        ("<think>7</think>19<think>7</think>19<|im_end|>", False),
        ("<think><think>7</think>19<|im_end|>", False),
        ("<think>7</think>1</think>9<|im_end|>", False),
        ("<think>7</think>1<|im_start|>9<|im_end|>", False),
        ("<think>7<pad></think>9<|im_end|>", False),
        ("</think>7<think>9<|im_end|>", False),
        ("<think>7<|im_end|>", False),
    ],
)
def test_what_is_well_formed(tokenizer: ChatTokenizer, text: str, expected: bool) -> None:
    engine = parrot_engine(tokenizer, tokenizer.encode(text, special=True))
    length = len(tokenizer.encode(text, special=True))
    [completion] = engine.run([Request(prompt=[9], max_tokens=length)])
    assert well_formed(completion, tokenizer) is expected
