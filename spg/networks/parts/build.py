"""The network of a cell: built from params, filled from disk."""

from __future__ import annotations

from torch import nn

from spg.networks.parts.model_file import load_model
from spg.networks.parts.stem import Stem, Task
from spg.project.params import Params, validated
from spg.project.plugins import find_plugin
from spg.project.workspace import Cell, Workspace


def build_network(params: Params, cell: Cell, num_classes: int) -> tuple[nn.Module, nn.Module]:
    """Return the untrained model and the criterion of ``cell``.

    This is the one place where params.yaml meets a network: below it functions take the numbers
    that they need.

    Raises:
        UserError: when the method's section of params.yaml is not what the method reads.
    """
    method = find_plugin("method", params.method_module(cell.method))
    settings = validated(method.Settings, params.section_of(cell.method), cell.method)
    setup = params.setup(cell.dataset, cell.backbone)
    stem: Stem = find_plugin("backbone", cell.backbone).build(
        setup.stem.width, stride=setup.stem.stride, pools=method.POOLS
    )
    task = Task(num_classes, dropout=setup.train.dropout, mask_side=setup.mask_side)
    model, criterion = method.build(stem, settings, task)
    return model, criterion


def tested(model: nn.Module) -> nn.Module:
    """Return the part of a method's model that tests need, which shares its parameters."""
    part: nn.Module = getattr(model, "tested", model)
    return part


def load_network(workspace: Workspace, params: Params, cell: Cell, num_classes: int) -> nn.Module:
    """Return the trained model of ``cell`` in evaluation mode."""
    model, _ = build_network(params, cell, num_classes)
    load_model(workspace.run(cell) / "model.safetensors", model)
    return tested(model).eval()
