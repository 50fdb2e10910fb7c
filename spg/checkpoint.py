"""Checkpoints of unfinished trainings and whole models on disk."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from spg.errors import UserError
from spg.files import whole_file


def save_model(path: Path, model: nn.Module) -> None:
    """Write a model's state dict as safetensors (no code, no timestamps: equal bytes)."""
    state = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    with whole_file(path) as temporary:
        save_file(state, temporary)


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
    """Write the state of an unfinished training."""
    with whole_file(path) as temporary:
        torch.save(state, temporary)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """Return the state of an unfinished training, or ``None`` when there is none."""
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle fails in as many ways as it has bytes
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
    return sorted(Path(__file__).parent.rglob("*.py"))
