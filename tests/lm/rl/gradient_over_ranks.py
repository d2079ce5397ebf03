"""The gradient of a batch of completions that ranks share, as a script to be run under torchrun.

python gradient_over_ranks.py FOLDER: writes, for each share of the completions, FOLDER/ROWS_OF_RANK_0
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from small_decoder import small_decoder

from thinkling.lm.rl import token_logprobs as module
from thinkling.lm.rl.config import GrpoConfig
from thinkling.lm.rl.loss import policy_loss
from thinkling.training.distributed import added_over_ranks, collect_wrappers, process_group, wrapped
from thinkling.training.objective import Shard

ROWS, LENGTH, VOCABULARY = 8, 16, 40
ROWS_OF_RANK_0 = (3, ROWS)


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    module._READ_ON_CPU = 40  # so that the ranks read a different number of times
    with process_group() as shard:
        for first_rows in ROWS_OF_RANK_0:
            gradient = shared_gradient(first_rows, shard)
            if shard.rank == 0:
                save_file(gradient, folder / str(first_rows))
            collect_wrappers(shard)


def shared_gradient(first_rows: int, shard: Shard) -> dict[str, Tensor]:
    """Where the first rows are rank 0's; a rank also holds the rows of the other one, which count nothing there."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(VOCABULARY, (ROWS, LENGTH), generator=generator)
    ends = torch.randint(6, LENGTH + 1, (ROWS, 1), generator=generator)
    asked = (torch.arange(1, LENGTH) >= 4) & (torch.arange(1, LENGTH) < ends)
    advantages = torch.randn(ROWS, generator=generator)
    if shard.world_size > 1:
        mine = torch.arange(ROWS) < first_rows
        asked &= (mine if shard.rank == 0 else ~mine)[:, None]
    model = small_decoder(VOCABULARY)
    forward = wrapped(model, shard)
    for _ in range(2):  # the second time DDP has found out in which order gradients come
        model.zero_grad()
        logprobs, _ = module.token_logprobs(model, forward, tokens, asked)
        loss = policy_loss(logprobs, logprobs.detach(), advantages, asked, config=GrpoConfig())
        _, count = added_over_ranks([float(loss.total.detach()), float(loss.count)], model.device)
        (loss.total * (shard.world_size / count)).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
