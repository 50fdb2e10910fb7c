"""params.yaml with some keys set otherwise: ``key.path=value``, as `dvc exp run -S` has them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from spg.project.errors import UserError


def with_settings(mapping: Mapping[str, Any], settings: Iterable[str], where: str) -> Any:
    """Return params.yaml's mapping with ``key.path=value`` applied; the value is YAML.

    Args:
        mapping: stays as it is.
        settings: in their order.
        where: names what sets them, in errors.

    Raises:
        UserError: when a key does not exist or a value is no YAML.

    Example:
        >>> with_settings({"a": {"b": 1, "c": 2}}, ["a.b=0.5"], "file")
        {'a': {'b': 0.5, 'c': 2}}
    """
    changed = copy.deepcopy(dict(mapping))
    for setting in settings:
        key, _, text = setting.partition("=")
        node, last = _parent_of(changed, key, where)
        try:
            node[last] = loaded(text)
        except YAMLError:
            raise UserError(f"{where}: {text!r} is not a value in YAML") from None
    return changed


def _parent_of(mapping: Any, key: str, where: str) -> tuple[Any, str]:
    """Return the mapping that holds the last name of ``key.path``, and that name.

    Raises:
        UserError: when there is no such key.
    """
    *parents, last = key.split(".")
    node = mapping
    for part in parents:
        node = node.get(part) if isinstance(node, dict) else None
    if not isinstance(node, dict) or last not in node:
        raise UserError(f"{where}: params.yaml has no key {key!r}")
    return node, last


def loaded(text: str) -> Any:
    """Return what a text in YAML says."""
    return YAML(typ="safe", pure=True).load(text)
