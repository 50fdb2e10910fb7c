"""The state of an unfinished training on disk, behind its own hash."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import torch

from spg.project.errors import UserError
from spg.project.files import write_bytes

DIGEST_BYTES = hashlib.sha256().digest_size


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write the state of an unfinished training, behind its own hash."""
    buffer = io.BytesIO()  # a full disk is the system's error then, and none of torch's own
    torch.save(state, buffer)
    content = buffer.getvalue()
    write_bytes(path, hashlib.sha256(content).digest() + content)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """Return the state of an unfinished training, or ``None`` when there is none.

    Raises:
        UserError: when a bit of it is not as it was written; torch itself would not notice.
    """
    try:
        stored = path.read_bytes()
    except FileNotFoundError:
        return None
    digest, content = stored[:DIGEST_BYTES], stored[DIGEST_BYTES:]
    try:
        if hashlib.sha256(content).digest() != digest:
            raise ValueError("its hash is another")
        state: dict[str, Any] = torch.load(
            io.BytesIO(content), map_location="cpu", weights_only=True
        )
    except Exception as error:  # a foreign pickle fails in as many ways as it has bytes
        reason = " ".join(str(error).split())[:100]
        raise UserError(f"{path}: damaged checkpoint ({reason}); delete it to start over") from None
    return state
