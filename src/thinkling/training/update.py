"""One update of the weights: rate of this step, dense optimiser, sparse tables, average."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from thinkling.artifacts.checkpoint import Checkpoint
from thinkling.artifacts.weights import load_into
from thinkling.errors import InputError
from thinkling.optim.adam_atan2 import AdamATan2
from thinkling.optim.ema import EMA
from thinkling.optim.param_groups import param_groups
from thinkling.optim.schedule import learning_rate, learning_rate_by_time
from thinkling.optim.sign_sgd import SignSGD
from thinkling.training.config import TrainConfig
from thinkling.training.guards import all_finite


class Update:
    """Everything that turns gradients of `model` into new weights, and its saved state."""

    def __init__(self, model: nn.Module, config: TrainConfig) -> None:
        self.model, self.config = model, config
        groups = param_groups(model, config.weight_decay, decay_biases=config.decay_biases)
        self.optimizer: torch.optim.Optimizer
        if config.optimizer == "adamw":
            self.optimizer = torch.optim.AdamW(
                groups, lr=config.learning_rate, betas=config.betas, fused=True
            )
        else:
            self.optimizer = AdamATan2(groups, lr=config.learning_rate, betas=config.betas)
        self.sparse = SignSGD.of(model, weight_decay=config.puzzle_emb_weight_decay)
        self.ema = EMA(model, config.ema_decay) if config.ema_decay else None

    def clear(self) -> None:
        """Forget all gradients."""
        self.optimizer.zero_grad(set_to_none=True)
        self.sparse.clear()

    def gradient_norm(self) -> Tensor:
        """Norm over the dense gradients before clipping, which happens in place if it is on; a scalar."""
        params = [param for param in self.model.parameters() if param.grad is not None]
        norm = torch.nn.utils.get_total_norm([param.grad for param in params if param.grad is not None])
        if self.config.grad_clip:
            torch.nn.utils.clip_grads_with_norm_(params, self.config.grad_clip, norm)
        return norm

    def gradients_finite(self, norm: Tensor) -> bool:
        """Whether the dense norm and this rank's sparse gradients are finite."""
        return all_finite([norm, *self.sparse.gradients()])

    def weights_finite(self) -> bool:
        """Whether every parameter is finite."""
        return all_finite(param.detach() for param in self.model.parameters())

    def apply(self, step: int, seconds: float) -> None:
        """Update weights, tables and average. Collective where there are sparse tables."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(self.config.learning_rate, step, seconds)
        self.optimizer.step()
        self.sparse.lr = self.rate(self.config.puzzle_emb_lr, step, seconds)
        self.sparse.step()
        if self.ema is not None:
            self.ema.update(self.model)

    def rate(self, base: float, step: int, seconds: float) -> float:
        """The learning rate of a step (from 1), or of a share of the time limit."""
        config = self.config
        if config.lr_by_time:
            passed = seconds / config.time_limit_seconds
            return learning_rate_by_time(step, base, config.warmup_steps, passed, config.min_lr_ratio)
        return learning_rate(step, base, config.warmup_steps, config.steps, config.min_lr_ratio)

    def parameter_count(self) -> int:
        """Trained values, sparse tables included."""
        dense = sum(param.numel() for param in self.model.parameters())
        return dense + sum(table.weights.numel() for table in self.sparse.tables)

    def averaged_weights(self) -> dict[str, Tensor] | None:
        """The model's state with averaged parameters, buffers as they are; None without an average."""
        return None if self.ema is None else {**self.model.state_dict(), **self.ema.averages}

    def optimizer_tensors(self) -> dict[str, Tensor]:
        """The optimiser's state as `parameter name.key` -> tensor; never-updated parameters have none."""
        return {
            f"{name}.{key}": value
            for name, param in self.model.named_parameters()
            for key, value in self.optimizer.state.get(param, {}).items()
        }

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take over weights, optimiser state and average of a checkpoint; learning rates stay the config's.

        Raises:
            InputError: the checkpoint is of another model.
        """
        load_into(self.model, checkpoint.weights)
        self._restore_optimizer(checkpoint.optimizer or {})
        if self.ema is not None:
            self.ema.load(checkpoint.averaged or checkpoint.weights)

    def _restore_optimizer(self, tensors: Mapping[str, Tensor]) -> None:
        names = {param: name for name, param in self.model.named_parameters()}
        ordered = [names[param] for group in self.optimizer.param_groups for param in group["params"]]
        place = {name: index for index, name in enumerate(ordered)}
        state: dict[int, dict[str, Tensor]] = {}
        for full_name, tensor in tensors.items():
            name, _, key = full_name.rpartition(".")
            if name not in place:
                raise InputError(
                    f"optimiser state for {name}", "a parameter of this model", "resume the same model"
                )
            state.setdefault(place[name], {})[key] = tensor.clone()
        self.optimizer.load_state_dict(
            {"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]}
        )
