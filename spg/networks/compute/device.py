"""The machine's side of a run: device, precision, determinism. Nothing here is a parameter."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from typing import Literal, cast

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


Precision = Literal["float32", "bf16", "fp16"]
_HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_precision(precision: str, device: torch.device) -> Precision:
    """Return what ``auto`` means here: bf16 where the hardware multiplies it, else float32.

    A GPU that has no bf16 takes fp16 instead, whose range needs scaled losses in training. A
    portable process on a CPU never takes bf16 by itself: few processors multiply it.
    """
    if precision in ("float32", "bf16", "fp16"):
        return cast("Precision", precision)
    if device.type == "cpu" and portable.in_force():
        return "float32"
    if has_bf16(device):
        return "bf16"
    return "fp16" if device.type == "cuda" else "float32"


def has_bf16(device: torch.device) -> bool:
    """Return whether ``device`` multiplies bf16 in hardware (AVX512-bf16, AMX, CUDA 8.0)."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def autocast(precision: str, device: torch.device) -> AbstractContextManager[None]:
    """Return the autocast context of a resolved precision."""
    half = _HALVES.get(precision)
    return torch.autocast(device.type, half or torch.bfloat16, enabled=half is not None)


def full_precision(x: Tensor) -> Tensor:
    """Return ``x`` in float32, in which losses are computed, or in float64 where it has that."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def set_numbers(device: torch.device, *, deterministic: bool = True) -> None:
    """Say how ``device`` computes: a CPU gives the same bits every time, at a fixed thread count.

    On CUDA float32 is float32: PyTorch's default would round the inputs of convolutions to TF32 (10
    bits of mantissa) without saying so. Nothing may be computed on the device before: cuBLAS reads
    its variable when it starts.

    Args:
        device: of the process.
        deterministic: on CUDA the same bits every time on the same card, by deterministic
            algorithms alone; ``False`` takes the algorithms that cuDNN finds fastest.
    """
    if device.type != "cuda":
        return
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
