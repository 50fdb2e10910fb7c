"""Stage ``stem``: the project's own stem weights, trained on drawn species (PROTOCOL 9).

They are small and lie in git, beside their sha256; made anew on any machine of the portable family
they are the same bytes. No weight depends on the stride of the maps: pre-training has 8 whatever
the cells have.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from spg.networks.parts.model_file import load_model, save_model
from spg.networks.parts.stem import Stem
from spg.networks.weights.pretrain import pretrain
from spg.project.errors import UserError
from spg.project.files import write_text
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
"""The rooms of this stage in stems/dvc.yaml, beside its backbone."""


# Locked by the stem's name without suffix: the weights and their sum are two files of one stem.
@sole_writer(lambda workspace, _dataset, backbone: workspace.stem(backbone).with_suffix(""))
def make_stem(workspace: Workspace, params: Params, dataset: str, backbone: str) -> None:
    """Train the stem of ``backbone``, as wide as ``dataset`` wants it, on drawn species."""
    module, pretraining = find_plugin("backbone", backbone), params.pretraining
    width = params.setup(dataset, backbone).stem.width
    torch.manual_seed(torch_seed(pretraining.seed, "init"))
    stem: Stem = module.build(width)
    identity = fingerprint(
        pretraining.model_dump_json(),
        params.execution.model_dump_json(),
        repr(width),
        backbone,
        *code_of(ROOMS, module),
    )
    checkpoint = workspace.scratch / f"stem-{identity}.pt"
    trainer = pretrain(stem, pretraining, params.execution, checkpoint)
    target = workspace.stem(backbone)
    sums_of(target).unlink(missing_ok=True)  # while it is missing, the stem counts as not made
    save_model(target, stem)
    write_text(sums_of(target), f"{_sha256(target)}  {target.name}\n")
    trainer.forget()


def load_drawn(stem: Stem, path: Path) -> None:
    """Load a file of `make_stem` strictly, its sha256 verified.

    Raises:
        UserError: when it is not the file that was made, or of another width.
    """
    try:
        (wanted, _) = sums_of(path).read_text(encoding="utf-8").split()
        found = _sha256(path)
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: no such file; run `make stem`") from None
    except (ValueError, UnicodeDecodeError):
        raise UserError(f"{sums_of(path)}: not a line of sha256sum; run `make stem`") from None
    if found != wanted:
        raise UserError(f"{path}: its sha256 is {found}, not {wanted}; get it anew from git")
    load_model(path, stem)


def sums_of(path: Path) -> Path:
    """Return the file beside a stem that holds its sha256, as the command sha256sum writes it."""
    return path.with_suffix(".sha256")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
