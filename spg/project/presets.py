"""`protocol` and `recipe`: words that set many keys, and nulls that stand for their choice.

The paper, its code and wsolevaluation disagree (PROTOCOL.md). params.yaml holds each reading whole
under ``protocols``; a disputed key that is ``null`` where it is used gets the value of the reading
that ``protocol`` names, and any other value overrides it.

How long and how fast to train is another matter, and one of the data set: ``recipes`` of a data
set hold what is published, and its ``recipe`` names the one that its nulls stand for (PROTOCOL 13).
What a recipe leaves open is the protocol's.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

SECTIONS = ("guidance", "spg", "sweep")


def apply_presets(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return params.yaml with its nulls filled in, by the recipes first and then by the protocol.

    Settings of a backbone are filled from the recipe's ``input`` and ``train``, with the changes
    that its ``optimizer_of`` makes for that backbone; then from the protocol's ``setup``, those of
    its training from ``train_of`` where the protocol has an entry for it. ``new_lr`` is ``stem_lr``
    times the ``new_lr_factor`` of the first that has one. What is malformed stays as it is, for the
    schema to name.

    Args:
        params: the mapping in params.yaml; not changed.

    Example:
        >>> apply_presets({
        ...     "protocol": "a", "protocols": {"a": {"guidance": {"low": 0.1, "high": 0.7}}},
        ...     "guidance": {"low": None, "high": 0.6},
        ... })["guidance"]
        {'low': 0.1, 'high': 0.6}
    """
    filled = copy.deepcopy(dict(params))
    protocol = _named(filled, "protocols", "protocol")
    _fill(filled, {section: _child(protocol, section) for section in SECTIONS})
    _fill(filled, _child(protocol, "methods"))
    for dataset in _child(filled, "datasets").values():
        recipe = _named(dataset, "recipes", "recipe")
        for backbone, own in _child(dataset, "backbones").items():
            _fill_setup(own, _setup_of_recipe(recipe, backbone))
            _fill_setup(own, _setup_of_protocol(protocol, backbone))
    return filled


def _named(parent: Any, presets: str, key: str) -> dict[str, Any]:
    """Return that of ``presets`` which the value of ``key`` names."""
    name = parent.get(key) if isinstance(parent, dict) else None
    return _child(_child(parent, presets), name if isinstance(name, str) else "")


def _setup_of_recipe(recipe: dict[str, Any], backbone: str) -> dict[str, Any]:
    setup = {key: copy.deepcopy(_child(recipe, key)) for key in ("input", "train")}
    changes = _child(_child(recipe, "optimizer_of"), backbone)
    changed = {key: value for key, value in changes.items() if value is not None}
    _child(setup["train"], "optimizer").update(changed)
    return setup


def _setup_of_protocol(protocol: dict[str, Any], backbone: str) -> dict[str, Any]:
    train = _child(_child(protocol, "train_of"), backbone)
    return copy.deepcopy(_child(protocol, "setup") | ({"train": train} if train else {}))


def _fill_setup(own: Any, setup: dict[str, Any]) -> None:
    factor = _child(_child(setup, "train"), "optimizer").pop("new_lr_factor", None)
    _fill(own, setup)
    chosen = _child(_child(own, "train"), "optimizer")
    if isinstance(chosen.get("stem_lr"), float) and isinstance(factor, (int, float)):
        _fill(chosen, {"new_lr": chosen["stem_lr"] * factor})


def _fill(own: Any, preset: Mapping[str, Any]) -> None:
    """Put the preset's leaves where ``own`` has null."""
    if not isinstance(own, dict):
        return
    for key, value in preset.items():
        if key in own and own[key] is None:
            own[key] = copy.deepcopy(value)
        elif isinstance(value, Mapping):
            _fill(own.get(key), value)


def _child(node: Any, key: str) -> dict[str, Any]:
    """Return the mapping below ``key``, or an empty one where there is none."""
    found = node.get(key) if isinstance(node, dict) else None
    return found if isinstance(found, dict) else {}
