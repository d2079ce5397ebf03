"""One update of the weights: rate of this step, dense optimisers, sparse tables, average."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from thinkling.artifacts.checkpoint import Checkpoint
from thinkling.artifacts.shards import read_shards
from thinkling.artifacts.weights import load_into
from thinkling.errors import InputError
from thinkling.nn.sharding import local_part, whole
from thinkling.optim.adam_atan2 import AdamATan2
from thinkling.optim.ema import EMA
from thinkling.optim.param_groups import hidden_matrices, param_groups
from thinkling.optim.schedule import learning_rate, learning_rate_by_time
from thinkling.optim.sign_sgd import SignSGD
from thinkling.training.config import TrainConfig
from thinkling.training.guards import all_finite
from thinkling.training.sharding import divided_like


class Update:
    """Everything that turns gradients of `model` into new weights, and its saved state."""

    def __init__(self, model: nn.Module, config: TrainConfig) -> None:
        self.model, self.config = model, config
        self.optimizers = list(_optimizers(model, config))
        self.sparse = SignSGD.of(model, weight_decay=config.puzzle_emb_weight_decay)
        self.ema = EMA(model, config.ema_decay) if config.ema_decay else None

    def clear(self) -> None:
        """Forget all gradients."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        self.sparse.clear()

    def scale_gradients(self, factor: Tensor) -> None:
        """Multiply the dense gradients by a scalar. Of the sparse ones only the sign is used."""
        gradients = [local_part(param.grad) for param in self.model.parameters() if param.grad is not None]
        torch._foreach_mul_(gradients, factor)

    def gradient_norm(self) -> Tensor:
        """Norm over the dense gradients before clipping, which happens in place if it is on; a scalar."""
        params = [param for param in self.model.parameters() if param.grad is not None]
        grads = [param.grad for param in params if param.grad is not None]
        norm = whole(torch.nn.utils.get_total_norm(grads))
        if self.config.grad_clip:
            torch.nn.utils.clip_grads_with_norm_(params, self.config.grad_clip, norm)
        return norm

    def gradients_finite(self, norm: Tensor) -> Tensor:
        """Whether the dense norm and this rank's sparse gradients are finite: a scalar bool on the device."""
        return all_finite([norm, *self.sparse.gradients()])

    def weights_finite(self) -> bool:
        """Whether every parameter, or this rank's part of it, is finite."""
        return bool(all_finite(local_part(param.detach()) for param in self.model.parameters()))

    def apply(self, step: int, seconds: float) -> None:
        """Update weights, tables and average. Collective where there are sparse tables."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.rate(optimizer.defaults["lr"], step, seconds)
            optimizer.step()
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
        """The optimisers' state as `parameter name.key` -> tensor; never-updated parameters have none."""
        return {
            f"{name}.{key}": value
            for optimizer in self.optimizers
            for name, param in self.model.named_parameters()
            for key, value in optimizer.state.get(param, {}).items()
        }

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take over weights, optimiser state and average of a checkpoint; learning rates stay the config's.

        Raises:
            InputError: the checkpoint is of another model.
        """
        own = self.model.state_dict()
        load_into(self.model, _divided(checkpoint.weights, own))
        tensors = dict(checkpoint.optimizer or {})
        if checkpoint.optimizer_shards is not None:
            tensors |= read_shards(checkpoint.optimizer_shards, dict(self.model.named_parameters()))
        self._restore_optimizers(tensors)
        if self.ema is not None:
            self.ema.load(_divided(checkpoint.averaged or checkpoint.weights, own))

    def _restore_optimizers(self, tensors: Mapping[str, Tensor]) -> None:
        params = dict(self.model.named_parameters())
        names = {param: name for name, param in params.items()}
        by_name: dict[str, dict[str, Tensor]] = {}
        for full_name, tensor in tensors.items():
            name, _, key = full_name.rpartition(".")
            like = params.get(name, tensor)
            by_name.setdefault(name, {})[key] = divided_like(tensor, like).clone()
        if unknown := sorted(set(by_name) - set(params)):
            raise InputError(
                f"optimiser state for {unknown[0]}", "a parameter of this model", "resume the same model"
            )
        for optimizer in self.optimizers:
            ordered = [names[param] for group in optimizer.param_groups for param in group["params"]]
            state = {index: by_name[name] for index, name in enumerate(ordered) if name in by_name}
            optimizer.load_state_dict(
                {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
            )


def _divided(tensors: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: divided_like(tensor, like.get(name, tensor)) for name, tensor in tensors.items()}


def _optimizers(model: nn.Module, config: TrainConfig) -> Iterator[torch.optim.Optimizer]:
    matrices: list[nn.Parameter] = []
    if config.optimizer == "muon":
        if not hasattr(torch.optim, "Muon"):
            raise InputError(
                f"optimizer muon with torch {torch.__version__}", "torch 2.9 or newer", "use optimizer adamw"
            )
        matrices = hidden_matrices(model)
    if matrices:
        yield torch.optim.Muon(matrices, lr=config.muon_learning_rate, weight_decay=config.weight_decay)
    groups = param_groups(model, config.weight_decay, decay_biases=config.decay_biases, without=matrices)
    if config.optimizer == "adam_atan2":
        yield AdamATan2(groups, lr=config.learning_rate, betas=config.betas)
    else:
        yield torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True)
