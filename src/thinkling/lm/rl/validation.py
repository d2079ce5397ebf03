"""How well a model in training answers held-out problems, greedily and by sampling.

Shapes: V problems, K sampled answers of each.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from thinkling.lm.request import Request
from thinkling.lm.rl.config import GrpoConfig
from thinkling.lm.rl.policy_engine import PolicyEngine
from thinkling.lm.rl.prompts import Prompt
from thinkling.lm.rl.rollouts import draw_seed, judged
from thinkling.lm.sampling import SamplingConfig
from thinkling.tasks.reward import Reward

VALIDATION_METRIC = "sampled_accuracy"
"""What chooses the best weights: pass@1, the mean share of right answers when answers are sampled."""

_STEP = 0
"""The number of no rollout: its draws are those of validation, the same at every one."""


def validation(
    engine: PolicyEngine,
    prompts: Sequence[Prompt],
    reward: Reward,
    config: GrpoConfig,
    *,
    samples: int,
    seed: int,
) -> dict[str, float]:
    """Ask all problems once greedily and K times by sampling.

    Args:
        engine: writes the answers, with the model's weights as they are now.
        prompts: V problems.
        reward: judges answers; one that earns all it can is right.
        config: temperature, lengths.
        samples: K.
        seed: of the draws.

    Returns:
        "sampled_accuracy" and "greedy_accuracy", shares of right answers; of the sampled ones "parse_rate", the share
        of well-formed ones, "truncated", and "length" in tokens.
    """
    engine.refresh()
    requests = [
        Request(
            prompt=list(prompt.tokens),
            max_tokens=config.max_tokens,
            sampling=SamplingConfig(
                temperature=config.temperature if sample else 0.0,
                seed=draw_seed(seed, _STEP, prompt.number),
            ),
            sample=sample,
            think_budget=config.think_budget,
        )
        for prompt in prompts
        for sample in range(samples + 1)
    ]
    answers = iter(engine.run(requests))
    groups = [(prompt, list(itertools.islice(answers, samples + 1))) for prompt in prompts]
    told = judged(groups, reward, engine.tokenizer)
    greedy = [each[0] for each in told]
    sampled = [one for each in told for one in each[1:]]
    return {
        VALIDATION_METRIC: sum(each.right for each in sampled) / len(sampled),
        "greedy_accuracy": sum(each.right for each in greedy) / len(greedy),
        "parse_rate": sum(each.form > 0 for each in sampled) / len(sampled),
        "truncated": sum(each.completion.finish == "length" for each in sampled) / len(sampled),
        "length": sum(len(each.completion.tokens) for each in sampled) / len(sampled),
    }
