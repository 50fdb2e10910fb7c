"""Numbers that users set as environment variables."""

from __future__ import annotations

import os

from spg.errors import UserError


def number_of(variable: str, default: int, *, least: int = 0) -> int:
    """Return an environment variable as a whole number.

    Args:
        variable: its name.
        default: where it is not set.
        least: smallest number allowed.

    Raises:
        UserError: when it is something else.
    """
    text = os.environ.get(variable, str(default))
    if not text.isascii() or not text.isdecimal() or int(text) < least:
        raise UserError(
            f"{variable}: {text!r} is no number of processes; set it to {least} or more"
        )
    return int(text)
