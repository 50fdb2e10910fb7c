"""Whether there is room on the disk, asked before hours of writing."""

from __future__ import annotations

import shutil
from pathlib import Path

from spg.project.errors import UserError


def require_space(folder: Path, needed: float, what: str) -> None:
    """Stop where fewer than ``needed`` bytes are free.

    Args:
        folder: where it will be written; need not exist yet.
        needed: bytes, an estimate or known.
        what: that takes them, for the sentence.

    Raises:
        UserError: names the folder, what is needed and what is free.
    """
    place = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(place).free
    if free < needed:
        raise UserError(
            f"{folder}: {what} takes {_size(needed)} and {_size(free)} are free; free some, or let "
            "the folder lie on another disk"
        )


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
