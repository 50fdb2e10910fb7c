"""Optimizer, parameter groups by module, and schedule."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.lr_scheduler import (
    ConstantLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
)

from spg.project.errors import UserError
from spg.project.schema.training import OptimizerParams, PolySchedule, StepsSchedule, TrainParams


def parameter_groups(model: nn.Module, optimizer: OptimizerParams) -> list[dict[str, object]]:
    """Divide the parameters into stem, new layers and those that a recipe names.

    Each of these is two groups, weights and biases. The official code means to do this by names and
    misses (docs/sources.md 3.1); here a module decides, and a name that ``layers`` has and the
    model has not is an error. Batch-norm weights count as weights. Every parameter is in exactly
    one group: that of the longest name in ``layers`` which its own begins with, before all others.

    Args:
        model: has the pretrained layers in its attribute ``stem``.
        optimizer: rates of the groups.

    Raises:
        UserError: when a name in ``layers`` is the beginning of no parameter's.
    """
    rates = {"stem": optimizer.stem_lr, "new": optimizer.new_lr}
    rates |= {name: optimizer.stem_lr * factor for name, factor in optimizer.layers.items()}
    stem: nn.Module = model.stem  # type: ignore[assignment]
    in_stem = {id(parameter) for parameter in stem.parameters()}
    members: dict[str, list[tuple[str, nn.Parameter]]] = {name: [] for name in rates}
    by_length = sorted(optimizer.layers, key=len, reverse=True)
    for key, parameter in model.named_parameters():
        own = "stem" if id(parameter) in in_stem else "new"
        members[next((n for n in by_length if key.startswith(n)), own)].append((key, parameter))
    groups: list[dict[str, object]] = []
    for name, rate in rates.items():
        if name in optimizer.layers and not members[name]:
            raise UserError(
                f"params.yaml: train.optimizer.layers: {name!r} is the beginning of no parameter's "
                f"name; there are {', '.join(_modules(model))}"
            )
        weights = [parameter for key, parameter in members[name] if not key.endswith("bias")]
        biases = [parameter for key, parameter in members[name] if key.endswith("bias")]
        groups.append({"name": f"{name}_weights", "params": weights, "lr": rate})
        bias_rate = rate * optimizer.bias_lr_factor
        groups.append({"name": f"{name}_biases", "params": biases, "lr": bias_rate})
    return groups


def _modules(model: nn.Module) -> list[str]:
    """Return the beginnings that make sense: the parts of the stem and of the model."""
    names = [".".join(key.split(".")[: 2 if key.startswith("stem.") else 1])
             for key, _ in model.named_parameters()]  # fmt: skip
    return [f"{name}." for name in dict.fromkeys(names)]


def build_optimizer(
    model: nn.Module, params: OptimizerParams, *, scaled: bool = False
) -> torch.optim.Optimizer:
    """Return SGD as published (momentum 0.9, Nesterov; official my_optim.py:26-29) or AdamW.

    Args:
        model: as in :func:`parameter_groups`.
        params: the rule.
        scaled: whether a ``GradScaler`` steps it (fp16). The fused kernel skips a step that
            overflows by itself, and leaves its momentum unset when that is the first one.

    The fused kernels are torch's own. The others take AdamW's square root from MKL, which in a
    portable process rounds it otherwise on Intel's processors than on AMD's (PROTOCOL 30).
    """
    groups = parameter_groups(model, params)
    if params.name == "sgd":
        return torch.optim.SGD(
            groups, lr=params.new_lr, momentum=0.9, nesterov=True,
            weight_decay=params.weight_decay, fused=not scaled,
        )  # fmt: skip
    return torch.optim.AdamW(
        groups, lr=params.new_lr, weight_decay=params.weight_decay, fused=not scaled
    )


def build_schedule(
    optimizer: torch.optim.Optimizer, train: TrainParams, total_steps: int
) -> LRScheduler:
    """Return the schedule, stepped after every batch.

    Args:
        optimizer: whose rates it changes.
        train: names the schedule; milestones of ``steps`` are epochs that have ended.
        total_steps: of all epochs.
    """
    chosen = train.schedule
    if isinstance(chosen, StepsSchedule):
        steps_per_epoch = total_steps // train.epochs
        milestones = [epoch * steps_per_epoch for epoch in chosen.milestones]
        return MultiStepLR(optimizer, milestones, gamma=chosen.gamma)
    if isinstance(chosen, PolySchedule):
        return PolynomialLR(optimizer, total_iters=total_steps, power=chosen.power)
    if chosen == "constant":
        return ConstantLR(optimizer, factor=1.0)
    rates = [group["lr"] for group in optimizer.param_groups]
    return OneCycleLR(optimizer, max_lr=rates, total_steps=total_steps, cycle_momentum=False)
