"""The machine's side of a run: device, precision, determinism. Nothing here is a parameter."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from typing import Literal

import torch
from torch import Tensor

from spg.project import portable
from spg.project.errors import UserError


def pick_device() -> torch.device:
    """Return ``SPG_DEVICE`` where it is set, else CUDA where there is one, else the CPU.

    Raises:
        UserError: when the variable names no device of this machine.
    """
    named = os.environ.get("SPG_DEVICE")
    if named is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(named)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split())[:100]
        raise UserError(
            f"SPG_DEVICE {named}: no device of this machine ({reason}); use cpu or unset it"
        ) from None
    return device


def resolve_precision(precision: str, device: torch.device) -> Literal["float32", "bf16"]:
    """Return what ``auto`` means here: bf16 where the hardware multiplies it, else float32.

    A portable process on a CPU never takes bf16 by itself: few processors multiply it.
    """
    capped = device.type == "cpu" and portable.in_force()
    if precision == "float32" or (precision == "auto" and capped):
        return "float32"
    return "bf16" if precision == "bf16" or has_bf16(device) else "float32"


def has_bf16(device: torch.device) -> bool:
    """Return whether ``device`` multiplies bf16 in hardware (AVX512-bf16, AMX, CUDA 8.0)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def autocast(precision: str, device: torch.device) -> AbstractContextManager[None]:
    """Return the autocast context of a resolved precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def full_precision(x: Tensor) -> Tensor:
    """Return ``x`` in float32, in which losses are computed, or in float64 where it has that."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def make_deterministic(device: torch.device) -> None:
    """Let ``device`` compute the same bits every time; a CPU does, at a fixed thread count.

    On CUDA: deterministic algorithms alone, and float32 that is float32. PyTorch's default would
    round the inputs of convolutions to TF32 (10 bits of mantissa) without saying so. Nothing may be
    computed on the device before: cuBLAS reads its variable when it starts.
    """
    if device.type != "cuda":
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
