"""AdamATan2 (Everett et al. 2024, arXiv 2407.05872) as HRM and TRM use it: Adam without an epsilon.

    p <- p * (1 - lr * weight_decay)
    m <- b1 * m + (1 - b1) * g          v <- b2 * v + (1 - b2) * g^2
    p <- p - lr / (1 - b1^t) * atan2(m, sqrt(v) / sqrt(1 - b2^t))

The update is invariant to the scale of the gradient, so zero gradients move nothing and tiny ones move fully.
As in the `adam-atan2` package, the bias correction of m stands outside the arc tangent and t is counted for
each parameter.

A step reads and writes seven numbers a parameter, so on a CPU memory traffic is what it costs: there, each
parameter is walked in pieces that stay in the cache for all the operations. On a GPU all parameters go
through foreach kernels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from thinkling.errors import InputError

_CHUNK = 1 << 18
"""Elements worked on at a time on a CPU: of every tensor 1 MiB."""


class AdamATan2(torch.optim.Optimizer):
    """AdamATan2; parameters without a gradient are left alone (not decayed, t not raised).

    Args:
        params: parameters or parameter groups.
        lr: learning rate.
        betas: decay rates of the first and second moment.
        weight_decay: decoupled weight decay, multiplied by `lr`.

    Raises:
        InputError: a value out of its range.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 0.0,
    ) -> None:
        if lr < 0:
            raise InputError(f"lr = {lr}", "0 or more", "set a larger learning rate")
        if not all(0 <= beta < 1 for beta in betas):
            raise InputError(f"betas = {betas}", "two numbers in [0, 1)", "set both betas below 1")
        if weight_decay < 0:
            raise InputError(f"weight_decay = {weight_decay}", "0 or more", "set weight_decay to 0 for none")
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update from the gradients in `.grad`; returns what `closure` returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            on_cpu: list[Tensor] = []
            elsewhere: list[Tensor] = []
            for param in group["params"]:
                if param.grad is not None:
                    self._prepare(param)
                    (on_cpu if param.device.type == "cpu" else elsewhere).append(param)
            for param in on_cpu:
                self._update_in_chunks(param, group)
            if elsewhere:
                self._update_foreach(elsewhere, group)
        return loss

    def _prepare(self, param: Tensor) -> None:
        state = self.state[param]
        if not state:
            # t lives on the CPU, as a tensor so that a state dict holds tensors only.
            state["step"] = torch.tensor(0.0)
            state["exp_avg"] = torch.zeros_like(param, memory_format=torch.contiguous_format)
            state["exp_avg_sq"] = torch.zeros_like(param, memory_format=torch.contiguous_format)
        state["step"] += 1

    def _rates(self, param: Tensor, group: dict[str, Any]) -> tuple[float, float]:
        """Step size lr / (1 - b1^t) and the factor 1 / sqrt(1 - b2^t), in double precision."""
        beta1, beta2 = group["betas"]
        count = self.state[param]["step"].item()
        return group["lr"] / (1 - beta1**count), 1 / math.sqrt(1 - beta2**count)

    def _update_in_chunks(self, param: Tensor, group: dict[str, Any]) -> None:
        state = self.state[param]
        beta1, beta2 = group["betas"]
        step_size, correction = self._rates(param, group)
        keep = 1 - group["lr"] * group["weight_decay"]
        # detach() and not .data: it shares the version counter, so a stale use in autograd is still noticed.
        whole = param.detach() if param.is_contiguous() else param.detach().contiguous()
        tensors = (whole, param.grad, state["exp_avg"], state["exp_avg_sq"])
        flat = [tensor.reshape(-1).split(_CHUNK) for tensor in tensors if tensor is not None]
        scratch = torch.empty_like(flat[0][0])
        for p, g, m, v in zip(*flat, strict=True):
            work = scratch[: p.numel()]
            # lerp_, as the reference rounds: where b1 * m nearly cancels g, the other form is 4e-6 off.
            m.lerp_(g, 1 - beta1)
            v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
            torch.sqrt(v, out=work)
            work.mul_(correction)
            torch.atan2(m, work, out=work)
            if keep != 1:
                p.mul_(keep)
            p.sub_(work, alpha=step_size)
        if not param.is_contiguous():
            param.copy_(whole)

    def _update_foreach(self, params: list[Tensor], group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        grads = [param.grad for param in params if param.grad is not None]
        means = [self.state[param]["exp_avg"] for param in params]
        squares = [self.state[param]["exp_avg_sq"] for param in params]
        rates = [self._rates(param, group) for param in params]
        torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_lerp_(means, grads, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, grads, grads, value=1 - beta2)
        roots = torch._foreach_sqrt(squares)
        torch._foreach_mul_(roots, [correction for _, correction in rates])
        updates = [torch.atan2(mean, root) for mean, root in zip(means, roots, strict=True)]
        torch._foreach_mul_(updates, [-step_size for step_size, _ in rates])
        torch._foreach_add_(params, updates)
