"""The project at its smallest: every stage runs, nothing is learned."""

from __future__ import annotations

import copy
from pathlib import Path

from spg.project.workspace import Workspace


def tiny(mapping: dict) -> dict:
    """Return a copy of params.yaml's mapping with tiny sizes."""
    small = copy.deepcopy(mapping)
    small["seeds"] = small["ablation_seeds"] = [0, 1]
    dataset = small["datasets"]["synthetic_birds"]
    dataset["source"] |= {"side": 64, "classes": 3, "train_per_class": 6, "test_per_class": 3}
    dataset["prepare"]["holdout_per_class"] = 2
    setup = dataset["backbones"]["inception_v3"]
    setup["stem"]["width"] = 0.0625
    setup["mask_side"] = 32
    pretraining = small["pretraining"]
    pretraining |= {"side": 64, "classes": 2, "images_per_class": 4}
    for owner, epochs in ((setup, 2), (pretraining, 1)):
        owner["input"] |= {"resize": 40, "crop": 32}
        owner["train"] |= {"epochs": epochs, "batch_size": 4, "precision": "float32"}
    small["localization"]["batch_size"] = 4
    small["localization"]["extractors"]["spg_plain"] = ["cam", "grad_cam", "backprop"]
    small["sweep"]["thresholds"] = 9
    small["comparison"]["resamples"] = 100
    return small


def with_setup(mapping: dict, **changes: object) -> dict:
    """Return a copy of the mapping with changes to how the default backbone is trained."""
    changed = copy.deepcopy(mapping)
    setup = changed["datasets"]["synthetic_birds"]["backbones"]["inception_v3"]
    for key, value in changes.items():
        setup[key] = setup[key] | value if isinstance(value, dict) else value
    return changed


def sharing(workspace: Workspace, root: Path, *folders: str) -> Workspace:
    """A project that reads some folders of another one and writes its own."""
    for folder in folders:
        (root / folder).symlink_to((workspace.root / folder).resolve())
    return Workspace(root)
