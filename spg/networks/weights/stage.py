"""Stage ``weights``: stem weights, drawn, published or random (PROTOCOL 9)."""

from __future__ import annotations

import torch

from spg.networks.parts.heads import init_xavier
from spg.networks.parts.model_file import save_model
from spg.networks.weights.drawn import load_drawn, make_stem, sums_of
from spg.networks.weights.load import load_published
from spg.project.locks import sole_writer
from spg.project.params import Params
from spg.project.plugins import find_plugin
from spg.project.seeding import torch_seed
from spg.project.workspace import Workspace


@sole_writer(lambda workspace, _dataset, backbone: workspace.weights(backbone))
def make_weights(workspace: Workspace, params: Params, dataset: str, backbone: str) -> None:
    """Write the stem weights that trainings on ``dataset`` start from.

    A project without the drawn stem (stems/) trains it first.
    """
    module = find_plugin("backbone", backbone)
    wanted = params.setup(dataset, backbone).stem
    torch.manual_seed(torch_seed(params.pretraining.seed, "init"))
    stem = module.build(wanted.width)
    if wanted.weights == "random":
        stem.apply(init_xavier)
    elif wanted.weights == "published":
        load_published(stem, module)
    else:
        if not sums_of(workspace.stem(backbone)).exists():
            make_stem(workspace, params, dataset, backbone)
        load_drawn(stem, workspace.stem(backbone))
    save_model(workspace.weights(backbone), stem)
