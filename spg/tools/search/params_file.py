"""Values in the file params.yaml replaced where they stand, comments and all."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML

from spg.project.errors import UserError
from spg.tools.effect.settings import loaded, with_settings


def in_file(text: str, values: Mapping[str, Any], where: str) -> str:
    """Return the text of params.yaml with some values replaced, and nothing else moved.

    A YAML library that writes the whole file back would wrap lines and move comments.

    Args:
        text: of params.yaml.
        values: by ``key.path``; numbers, words, or lists of them.
        where: names what sets them, in errors.

    Raises:
        UserError: when a key does not exist, or its value stands where it cannot be replaced.

    Example:
        >>> in_file("a: {b: 1}    # one", {"a.b": 0.25}, "file")
        'a: {b: 0.25} # one'
    """
    wanted = with_settings(
        loaded(text), (f"{key}={json.dumps(value)}" for key, value in values.items()), where
    )
    for key, value in values.items():
        node = YAML(pure=True).compose(io.StringIO(text))
        for part in key.split("."):
            found = [value for name, value in node.value if name.value == part]
            if not found:  # it comes from elsewhere: `<<: *another`
                raise UserError(f"{where}: params.yaml: {key} does not stand there; write it there")
            (node,) = found
        start, end = node.start_mark.index, node.end_mark.index
        new = json.dumps(value)
        before, rest = text[:start], text[end:]
        gap = len(rest) - len(rest.lstrip(" }"))
        if rest[gap:].startswith("#"):  # the comment keeps its column, where there is room
            closing = rest[:gap].rstrip(" ")
            spaces = gap - len(closing) - (len(new) - (end - start))
            rest = closing + " " * max(1, spaces) + rest[gap:]
        text = before + new + rest
    if loaded(text) != wanted:
        raise UserError(
            f"{where}: params.yaml: cannot replace {', '.join(values)}; write them there"
        )
    return text
