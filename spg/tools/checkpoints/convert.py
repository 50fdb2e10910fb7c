"""State dicts from published names to ours and back: the same tensors, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from spg.data.layouts import imagenet_classes as labels
from spg.tools.checkpoints.names import Published, is_classifier, is_linear

State = Mapping[str, Tensor]
Names = Mapping[str, str]
"""Published names by ours, in the published order."""


def reorders(network: Published, num_classes: int) -> bool:
    """Return whether the published rows of the classes are in the devkit's order (PROTOCOL 22)."""
    return network.layout == "official" and num_classes == labels.CLASSES


def mismatches(network: Published, published: State, ours: State, names: Names) -> list[str]:
    """Return what keeps ``published`` from being the tensors of ``names``: keys, shapes, types.

    Args:
        network: whose names are meant.
        published: the state dict to judge.
        ours: tensors of the wanted shapes and types, by our names.
        names: of the tensors that ``published`` must have, and no others.
    """
    wanted = {name: _kind(_as_published(network, name, ours[key])) for key, name in names.items()}
    problems = [f"lacks {name} ({wanted[name]})" for name in wanted if name not in published]
    for name, tensor in published.items():
        if name not in wanted:
            problems.append(f"has {name!r} ({_found(tensor)})")
        elif _found(tensor) != wanted[name]:
            problems.append(f"has {name} as {_found(tensor)}, not {wanted[name]}")
    return problems


def to_ours(network: Published, published: State, ours: State, names: Names) -> dict[str, Tensor]:
    """Return the published tensors by our names, in our shapes and our order of classes.

    Args:
        network: whose names they have.
        published: what :func:`mismatches` has no objection to.
        ours: tensors of the wanted shapes.
        names: of all our tensors; a counter that is not among the published ones becomes 0.
    """
    converted = {}
    for key, name in names.items():
        tensor = published.get(name, torch.tensor(0)).reshape(ours[key].shape)
        if is_classifier(key) and reorders(network, len(tensor)):
            tensor = tensor[labels.devkit_rows()]
        converted[key] = tensor
    return converted


def to_published(network: Published, ours: State, names: Names) -> dict[str, Tensor]:
    """Return our tensors by published names, in published shapes and order: undoes `to_ours`."""
    published = {}
    for key, name in names.items():
        tensor = ours[key]
        if is_classifier(key) and reorders(network, len(tensor)):
            tensor = tensor[labels.sorted_rows()]
        published[name] = _as_published(network, name, tensor).contiguous()
    return published


def _as_published(network: Published, name: str, tensor: Tensor) -> Tensor:
    return tensor.flatten(1) if is_linear(network, name) else tensor


def _kind(tensor: Tensor) -> str:
    """Return type and shape; another type is refused, not converted, so that no bit changes."""
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _found(tensor: Tensor) -> str:
    dense = tensor.layout == torch.strided and tensor.device.type == "cpu"
    return _kind(tensor) if dense else f"{_kind(tensor)} without a plain storage"
