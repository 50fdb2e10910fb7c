"""Whether the stem weights that are there are those that a cell starts from.

There is one file of them for a backbone, and another data set or protocol may have left it
otherwise: of another width, from other weights. DVC knows; a single command has to look.
"""

from __future__ import annotations

import filecmp
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors import SafetensorError, safe_open

from spg.networks.weights.stage import make_weights
from spg.project.errors import UserError
from spg.project.params import Params
from spg.project.plugins import find_plugin
from spg.project.workspace import Workspace
from spg.tools.effect.inputs import link


def check_stem(workspace: Workspace, params: Params, dataset: str, backbone: str) -> None:
    """Say so where ``weights/`` holds other stem weights than cells on ``dataset`` start from.

    Drawn and random weights are made again and compared byte for byte. Published ones may lie
    behind a download, so of them the shapes alone are compared.

    Raises:
        UserError: when they differ.
    """
    path, wanted = workspace.weights(backbone), params.setup(dataset, backbone).stem
    if wanted.weights == "published":
        same = _has_shapes(path, backbone, wanted.width)
    elif wanted.weights == "drawn" and not workspace.stem(backbone).exists():
        return  # it would have to be trained, only to be compared with
    else:
        same = _is_made_alike(workspace, params, dataset, backbone)
    if not same:
        raise UserError(
            f"{path}: not the stem weights that cells of {dataset} start from; `dvc repro weights` "
            f"with dataset: {dataset} in params.yaml makes them, or remove the file"
        )


def _has_shapes(path: Path, backbone: str, width: float) -> bool:
    with torch.device("meta"):
        stem = find_plugin("backbone", backbone).build(width)
    expected = {name: list(tensor.shape) for name, tensor in stem.state_dict().items()}
    try:
        with safe_open(path, "pt") as file:
            found = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    except SafetensorError:
        return True  # torn, which its reader says better
    return found == expected


def _is_made_alike(workspace: Workspace, params: Params, dataset: str, backbone: str) -> bool:
    with TemporaryDirectory() as folder:
        own, stems = Workspace(Path(folder)), workspace.stem(backbone).parent
        if stems.exists():
            link(stems, own.stem(backbone).parent)
        try:
            make_weights(own, params, dataset, backbone)
        except UserError as error:  # it names the link to the project's file
            raise UserError(str(error).replace(folder, str(workspace.root))) from None
        return filecmp.cmp(own.weights(backbone), workspace.weights(backbone), shallow=False)
