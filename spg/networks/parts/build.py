"""The network of a cell: built from params, filled from disk."""

from __future__ import annotations

from torch import nn

from spg.networks.parts.stem import Stem
from spg.project.params import Params
from spg.project.plugins import find_plugin
from spg.project.workspace import Cell, Workspace
from spg.train.checkpoint import load_model


def build_network(params: Params, cell: Cell, num_classes: int) -> tuple[nn.Module, nn.Module]:
    """Return the untrained model and the criterion of ``cell``."""
    method = find_plugin("method", params.method_module(cell.method))
    wanted = params.setup(cell.dataset, cell.backbone).stem
    stem: Stem = find_plugin("backbone", cell.backbone).build(
        wanted.width, stride=wanted.stride, pools=method.POOLS
    )
    model, criterion = method.build(stem, num_classes, params, cell)
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
