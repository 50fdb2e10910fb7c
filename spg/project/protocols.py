"""`protocol`: one word that sets every disputed key, and nulls that stand for its choice.

The paper, its code and wsolevaluation disagree (PROTOCOL.md). params.yaml holds each reading whole
under ``protocols``; a disputed key that is ``null`` where it is used gets the value of the reading
that ``protocol`` names, and any other value overrides it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

SECTIONS = ("guidance", "spg", "sweep")


def apply_protocol(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return params.yaml with its disputed nulls filled in.

    Settings of a backbone are filled from the protocol's ``setup``, those of its training from
    ``train_of`` where the protocol has an entry for it; ``new_lr`` is ``stem_lr`` times the
    protocol's ``new_lr_factor``. What is malformed stays as it is, for the schema to name.

    Args:
        params: the mapping in params.yaml; not changed.

    Example:
        >>> apply_protocol({
        ...     "protocol": "a", "protocols": {"a": {"guidance": {"low": 0.1, "high": 0.7}}},
        ...     "guidance": {"low": None, "high": 0.6},
        ... })["guidance"]
        {'low': 0.1, 'high': 0.6}
    """
    filled = copy.deepcopy(dict(params))
    name = filled.get("protocol")
    preset = _child(_child(filled, "protocols"), name if isinstance(name, str) else "")
    _fill(filled, {section: _child(preset, section) for section in SECTIONS})
    _fill(filled, _child(preset, "methods"))
    for dataset in _child(filled, "datasets").values():
        for backbone, own in _child(dataset, "backbones").items():
            train = _child(_child(preset, "train_of"), backbone)
            changed = {"train": train} if train else {}
            _fill_setup(own, copy.deepcopy(_child(preset, "setup") | changed))
    return filled


def _fill_setup(own: Any, setup: dict[str, Any]) -> None:
    published = _child(_child(setup, "train"), "optimizer")
    factor = published.pop("new_lr_factor", None)
    chosen = _child(_child(own, "train"), "optimizer")
    if isinstance(chosen.get("stem_lr"), float) and isinstance(factor, (int, float)):
        published["new_lr"] = chosen["stem_lr"] * factor
    _fill(own, setup)


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
