"""Published weights into a stem: every key has to fit, and no layer is guessed."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from torch import Tensor

from spg.networks.parts.published import read_published
from spg.networks.parts.stem import Stem
from spg.project.errors import UserError


def load_published(stem: Stem, module: ModuleType) -> None:
    """Load the published ImageNet checkpoint of a backbone's module strictly.

    Raises:
        UserError: when it cannot be had, is another file, is no checkpoint or does not fit.
    """
    load_stem(stem, read_published(module), dropped=module.DROPPED)


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
