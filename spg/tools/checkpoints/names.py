"""What the published networks call our parameters: the authors' names and wsolevaluation's.

Tables of names, for parameters and buffers alike. A module is named by its path; what
follows it (``weight``, ``bn.running_mean``) is the same everywhere. Sources: the state dicts of
xiaomengyc/SPG at 0006659 and clovaai/wsolevaluation at 96f4b88 (PROTOCOL 22).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from spg.networks.parts.stem import Stride
from spg.project.errors import UserError

LayoutName = Literal["official", "wsolevaluation"]


class Published(NamedTuple):
    """A published network: who wrote it, and which of our networks it is."""

    layout: LayoutName
    backbone: str
    method: str


# Ours -> theirs, in their order. Modules of the stem that are not listed have the same name there.
_B_AND_C = {
    "b1_head.0": "SPG_B_1a.0",
    "b2_head.0": "SPG_B_2a.0",
    "b_tail.0": "SPG_B_shared.0",
    "b_tail.2": "SPG_B_shared.2",
    "branch_c.0": "SPG_C.0",
    "branch_c.2": "SPG_C.2",
}
_INCEPTION_A = {
    "branch_a.a3.0": "SPG_A3_1b.0",
    "branch_a.a3.1": "SPG_A3_2b.0",
    "branch_a.a4": "SPG_A4",
}
_ACOL = {
    "classifier_a.a3.0": "classifier_A.0",
    "classifier_a.a3.1": "classifier_A.2",
    "classifier_a.a4": "classifier_A.4",
    "classifier_b.a3.0": "classifier_B.0",
    "classifier_b.a3.1": "classifier_B.2",
    "classifier_b.a4": "classifier_B.4",
}
HEADS = {
    Published("official", "inception_v3", "spg"): {
        "branch_a.a3.0": "fc6.0",
        "branch_a.a3.1": "fc7_1.0",
        "branch_a.a4": "classier_1",
        "branch_c.0": "branchB.0",
        "branch_c.2": "branchB.2",
        "b1_head.0": "side3.0",
        "b2_head.0": "side4.0",
        "b_tail.0": "side_all.0",
        "b_tail.2": "side_all.2",
    },
    Published("wsolevaluation", "inception_v3", "spg"): _INCEPTION_A | _B_AND_C,
    Published("wsolevaluation", "inception_v3", "cam"): _INCEPTION_A,
    Published("wsolevaluation", "inception_v3", "acol"): _ACOL,
    Published("wsolevaluation", "vgg16", "spg"): {
        "branch_a.a3.0": "SPG_A_3.0",
        "branch_a.a3.1": "SPG_A_3.2",
        "branch_a.a4": "SPG_A_4",
    }
    | _B_AND_C,
    Published("wsolevaluation", "vgg16", "cam"): {"branch_a.a3.0": "conv6", "branch_a.a4": "fc"},
    Published("wsolevaluation", "vgg16", "acol"): _ACOL,
    Published("wsolevaluation", "resnet50", "spg"): {"branch_a.a4": "SPG_A4"} | _B_AND_C,
    Published("wsolevaluation", "resnet50", "cam"): {"branch_a.a4": "fc"},
    Published("wsolevaluation", "resnet50", "acol"): _ACOL,
}
"""The modules behind the stem."""

_CONV4, _CONV5 = (17, 19, 21), (24, 26, 28)
_STEMS = {
    Published("wsolevaluation", "vgg16", "spg"): {
        **{f"features.{n}": f"SPG_A_1.{2 * i}" for i, n in enumerate(_CONV4)},
        **{f"features.{n}": f"SPG_A_2.{2 * i}" for i, n in enumerate(_CONV5)},
    },
    Published("wsolevaluation", "resnet50", "spg"): {
        "layer3.0": "SPG_A1.0",
        **{f"layer3.{n}": f"SPG_A2.{n - 1}" for n in range(1, 6)},
    },
}
# Its VGG16-CAM with 28 x 28 maps has no pool before conv5, and counts on without it.
_VGG16_CAM_STRIDE_8 = {f"features.{n}": f"features.{n - 1}" for n in _CONV5}


def recognize(layout: LayoutName, names: Iterable[str]) -> Published:
    """Return the network whose state dict has ``names``, judged by a few tell-tale modules.

    Raises:
        ValueError: when ``layout`` has no such network.
    """
    names = list(names)
    modules = {name.split(".")[0] for name in names}
    backbones = {"features": "vgg16", "layer1": "resnet50", "Conv2d_1a_3x3": "inception_v3"}
    methods = {"side3": "spg", "SPG_B_1a": "spg", "classifier_A": "acol"}
    backbone = next((found for mark, found in backbones.items() if mark in modules), None)
    method = next((found for mark, found in methods.items() if mark in modules), "cam")
    if backbone is None:
        raise ValueError(
            f"is no backbone of {', '.join(backbones.values())} by its names: "
            f"{', '.join(names[:3])} ..."
        )
    network = Published(layout, backbone, method)
    if network not in HEADS:
        raise ValueError(f"looks like {backbone} with {method}, which layout {layout} has not")
    return network


def published_names(network: Published, ours: Iterable[str], *, stride: int) -> dict[str, str]:
    """Return the published name of each of our parameters, by ours, in the published order.

    Args:
        network: whose names are meant.
        ours: our state dict's names, in its order.
        stride: of our stem, 8 or 16; it matters to wsolevaluation's VGG16-CAM alone.

    Raises:
        UserError: when our network has other modules than the published one.
    """
    stem = _STEMS.get(network, {})
    if network[1:] == ("vgg16", "cam") and stride == 8:
        stem = _VGG16_CAM_STRIDE_8
    table = {f"stem.{module}": name for module, name in stem.items()} | HEADS[network]
    translated = {name: _translate(name, table) for name in ours}
    used = {module for module in table if any(_within(name, module) for name in translated)}
    odd = [name for name, theirs in translated.items() if theirs is None]
    if odd or used != set(table):
        which = (odd or sorted(set(table) - used))[0]
        raise UserError(
            f"layout {network.layout} has no such {network.backbone} with {network.method}: "
            f"the networks differ in {which}"
        )
    heads = list(HEADS[network])

    def place(name: str) -> int:  # the sort is stable, and the stem's order is the same in both
        return next((n for n, module in enumerate(heads) if _within(name, module)), -1)

    return {name: str(translated[name]) for name in sorted(translated, key=place)}


def told_stride(network: Published, names: Iterable[str]) -> Stride | None:
    """Return the stride that a published state dict implies, where it does.

    The authors' network has 8; wsolevaluation's VGG16-CAM numbers its layers by it.
    """
    if network.layout == "official":
        return 8
    if network[1:] == ("vgg16", "cam"):
        return 8 if "features.23.weight" in names else 16
    return None


def is_classifier(name: str) -> bool:
    """Return whether a parameter of ours has one row a class."""
    return name.rpartition(".")[0].endswith(".a4")


def is_linear(network: Published, published: str) -> bool:
    """Return whether a published weight is a linear layer's, where ours is a 1 x 1 convolution's.

    wsolevaluation's GAP networks of VGG-16 and ResNet-50 average first and classify then.
    """
    return published == "fc.weight" and "fc" in HEADS[network].values()


def _translate(name: str, table: dict[str, str]) -> str | None:
    for module, theirs in table.items():
        if _within(name, module):
            return theirs + name[len(module) :]
    return name.removeprefix("stem.") if name.startswith("stem.") else None


def _within(name: str, module: str) -> bool:
    return name.startswith(f"{module}.")
