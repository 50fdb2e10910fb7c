"""Optimizer, parameter groups by module, and schedule."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.lr_scheduler import ConstantLR, LRScheduler, OneCycleLR

from spg.project.schema import OptimizerParams, TrainParams


def parameter_groups(model: nn.Module, optimizer: OptimizerParams) -> list[dict[str, object]]:
    """Divide the parameters into stem and new layers, weights and biases: four groups.

    The official code means to do this by names and misses (docs/sources.md 3.1); here a module
    decides.
    Batch-norm weights count as weights. Every parameter is in exactly one group.

    Args:
        model: has the pretrained layers in its attribute ``stem``.
        optimizer: rates of the groups.
    """
    stem: nn.Module = model.stem  # type: ignore[assignment]
    in_stem = {id(parameter) for parameter in stem.parameters()}
    groups = []
    for name, rate, inside in (
        ("stem", optimizer.stem_lr, True),
        ("new", optimizer.new_lr, False),
    ):
        members = [
            (key, parameter)
            for key, parameter in model.named_parameters()
            if (id(parameter) in in_stem) is inside
        ]
        weights = [parameter for key, parameter in members if not key.endswith("bias")]
        biases = [parameter for key, parameter in members if key.endswith("bias")]
        groups.append({"name": f"{name}_weights", "params": weights, "lr": rate})
        bias_rate = rate * optimizer.bias_lr_factor
        groups.append({"name": f"{name}_biases", "params": biases, "lr": bias_rate})
    return groups


def build_optimizer(model: nn.Module, params: OptimizerParams) -> torch.optim.Optimizer:
    """Return SGD as published (momentum 0.9, Nesterov; official my_optim.py:26-29) or AdamW."""
    groups = parameter_groups(model, params)
    if params.name == "sgd":
        return torch.optim.SGD(
            groups, lr=params.new_lr, momentum=0.9, nesterov=True,
            weight_decay=params.weight_decay, fused=True,
        )  # fmt: skip
    return torch.optim.AdamW(
        groups, lr=params.new_lr, weight_decay=params.weight_decay, foreach=True
    )


def build_schedule(
    optimizer: torch.optim.Optimizer, train: TrainParams, total_steps: int
) -> LRScheduler:
    """Return the schedule, stepped after every batch."""
    if train.schedule == "constant":
        return ConstantLR(optimizer, factor=1.0)
    rates = [group["lr"] for group in optimizer.param_groups]
    return OneCycleLR(optimizer, max_lr=rates, total_steps=total_steps, cycle_momentum=False)
