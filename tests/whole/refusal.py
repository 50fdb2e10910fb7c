"""How a user's mistake ends."""

from __future__ import annotations

from collections.abc import Callable

from spg.data.images.decoding import BadImageError
from spg.project.errors import UserError


def refusal(action: Callable[[], object]) -> str | None:
    """Run ``action`` and return the one sentence of its refusal, or ``None`` if there is none."""
    try:
        action()
    except (UserError, BadImageError) as error:
        sentence = str(error)
        assert "\n" not in sentence  # any error's text
        return sentence
    return None
