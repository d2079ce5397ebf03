"""`thinkling lm …`: what comes before a language model is trained, or all of it at once."""

from __future__ import annotations

from thinkling.cli import lm_corpus, lm_plan, lm_preflight, lm_quick, lm_tokenizer
from thinkling.cli.arguments import Subcommand

SUBCOMMANDS = {
    "quick": Subcommand(
        arguments=lm_quick.Arguments,
        run=lm_quick.run,
        summary="the whole line on this machine: a small model that works out problems, as a GGUF file",
    ),
    "plan": Subcommand(
        arguments=lm_plan.Arguments,
        run=lm_plan.run,
        summary="parameters, FLOPs, memory, sizes, time and cost of a size, before anything is built",
    ),
    "tokenizer": Subcommand(
        arguments=lm_tokenizer.Arguments,
        run=lm_tokenizer.run,
        summary="learn a vocabulary, and say how well it packs each kind of text",
    ),
    "corpus": Subcommand(
        arguments=lm_corpus.Arguments,
        run=lm_corpus.run,
        summary="leave out low quality, near-duplicates and pieces of benchmarks; here, on Slurm or on Ray",
    ),
    "preflight": Subcommand(
        arguments=lm_preflight.Arguments,
        run=lm_preflight.run,
        summary="whether reinforcement learning can learn from a model's answers, and what a step takes",
    ),
}
