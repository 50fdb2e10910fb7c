"""Stage ``weights``: stem weights, published, pre-trained on drawn species or random (PROTOCOL 9).

No weight depends on the stride of the maps: pre-training has 8 whatever the cells have.
"""

from __future__ import annotations

import torch

from spg.networks.parts.heads import init_xavier
from spg.networks.parts.model_file import save_model
from spg.networks.weights.load import load_published
from spg.networks.weights.pretrain import pretrain
from spg.project.fingerprint import code_of, fingerprint
from spg.project.locks import sole_writer
from spg.project.params import Params
from spg.project.plugins import find_plugin
from spg.project.seeding import torch_seed
from spg.project.workspace import Workspace

ROOMS = (
    "spg/project",
    "spg/data/birds",
    "spg/data/inputs",
    "spg/networks/compute",
    "spg/networks/parts",
    "spg/networks/weights",
    "spg/train",
)
"""The rooms of this stage in dvc.yaml, beside its backbone."""


@sole_writer(lambda workspace, _dataset, backbone: workspace.weights(backbone))
def make_weights(workspace: Workspace, params: Params, dataset: str, backbone: str) -> None:
    """Write the stem weights that trainings on ``dataset`` start from."""
    module = find_plugin("backbone", backbone)
    wanted, pretraining = params.setup(dataset, backbone).stem, params.pretraining
    torch.manual_seed(torch_seed(pretraining.seed, "init"))
    stem, trainer = module.build(wanted.width), None
    if wanted.weights == "random":
        stem.apply(init_xavier)
    elif wanted.weights == "published":
        load_published(stem, module)
    else:
        identity = fingerprint(
            pretraining.model_dump_json(),
            params.execution.model_dump_json(),
            repr(wanted.width),
            backbone,
            *code_of(ROOMS, module),
        )
        checkpoint = workspace.scratch / f"weights-{identity}.pt"
        trainer = pretrain(stem, pretraining, params.execution, checkpoint)
    save_model(workspace.weights(backbone), stem)
    if trainer is not None:
        trainer.forget()
