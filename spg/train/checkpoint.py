"""Checkpoints of unfinished trainings and whole models on disk."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from spg.project.errors import UserError
from spg.project.files import write_bytes

DIGEST_BYTES = hashlib.sha256().digest_size


def save_model(path: Path, model: nn.Module) -> None:
    """Write a model's state dict as safetensors (no code, no timestamps: equal bytes)."""
    state = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_bytes(path, save(state))


def load_model(path: Path, model: nn.Module) -> None:
    """Load a state dict strictly into ``model``.

    Raises:
        UserError: when the file is missing, damaged, or of another architecture.
    """
    try:
        missing, unexpected = model.load_state_dict(load_file(path), strict=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the stage that writes it first") from None
    except (SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: does not fit this model ({reason}); make it again") from None
    if missing or unexpected:
        odd = [*missing, *unexpected][0]
        raise UserError(f"{path}: does not fit this model (key {odd}); make it again")


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


def fingerprint(*parts: str | bytes | Path) -> str:
    """Return a hash of texts, bytes and the contents of files, to name a checkpoint by."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part
        content = content.encode() if isinstance(content, str) else content
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()[:16]


def sources() -> list[Path]:
    """Return every file of spg's code, for a fingerprint that changes with any of them."""
    return sorted(Path(__file__).parents[1].rglob("*.py"))
