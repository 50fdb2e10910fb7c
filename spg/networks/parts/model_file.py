"""Whole models on disk: state dicts as safetensors, which hold no code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from spg.project.errors import UserError
from spg.project.files import write_bytes


def save_model(path: Path, model: nn.Module) -> None:
    """Write a model's state dict as safetensors (no code, no timestamps: equal bytes)."""
    state = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_bytes(path, save(state))


def load_model(path: Path, model: nn.Module) -> None:
    """Load a state dict strictly into ``model``.

    Raises:
        UserError: when the file is missing, damaged, of another architecture, or not finite.
    """
    try:
        state = load_file(path)
        missing, unexpected = model.load_state_dict(state, strict=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the stage that writes it first") from None
    except (SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: does not fit this model ({reason}); make it again") from None
    if missing or unexpected:
        odd = [*missing, *unexpected][0]
        raise UserError(f"{path}: does not fit this model (key {odd}); make it again")
    check_finite(state, path)


def check_finite(state: Mapping[str, Tensor], path: Path) -> None:
    """Check that a state dict holds numbers alone: one NaN makes every map zeros, unsaid.

    Raises:
        UserError: names the file and the tensor.
    """
    for name, tensor in state.items():
        if not bool(tensor.isfinite().all()):
            raise UserError(f"{path}: {name} holds NaN or infinity; no result of it would be one")
