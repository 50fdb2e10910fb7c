"""A cell made again: in a folder of .scratch whose name holds all that the cell depends on."""

from __future__ import annotations

import torch

from spg.networks.compute.device import pick_device
from spg.project.errors import UserError
from spg.project.fingerprint import code_of, fingerprint
from spg.project.params import Params
from spg.project.plugins import find_plugin
from spg.project.workspace import Cell, Workspace
from spg.tools.effect.inputs import link, read_by
from spg.tools.effect.rerun import ROOMS


def place_of(workspace: Workspace, params: Params, cell: Cell, why: str) -> Workspace:
    """Return the workspace in which ``cell`` is made again, and goes on where it was interrupted.

    Another one for other parameters, images, stem weights, code, plug-ins, device or PyTorch:
    what was made with these is taken for no result of today's.

    Args:
        workspace: the project, with packed data and stem weights.
        params: all parameters.
        cell: to make again.
        why: first word of the folder's name.

    Raises:
        UserError: when the data or the weights are missing.
    """
    inputs = [workspace.packed(cell.dataset) / "manifest.parquet", workspace.weights(cell.backbone)]
    for file in inputs:
        if not file.exists():
            raise UserError(f"{file}: not there; run `dvc repro prepare weights` first")
    plugins = [find_plugin("method", params.method_module(cell.method))]
    for extractor in params.extractors_of(cell.dataset, cell.method):
        plugins.append(find_plugin("extractor", extractor))
    identity = fingerprint(
        read_by(params, cell),
        f"{torch.__version__} {pick_device()}",
        *inputs,
        *code_of(ROOMS, *plugins),
    )
    return Workspace(workspace.scratch / f"{why}-{cell.dataset}-{cell.name}-{identity}")


def link_inputs(workspace: Workspace, own: Workspace, cell: Cell) -> None:
    """Let a workspace of :func:`place_of` read the project's packed data and stem weights."""
    link(workspace.packed(cell.dataset), own.packed(cell.dataset))
    link(workspace.weights(cell.backbone), own.weights(cell.backbone))
