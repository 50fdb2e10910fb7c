"""What of a machine and its packages can change a result: for provenance.json and `spg doctor`."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from typing import Any

import torch

from spg.networks.compute.device import has_bf16, pick_device
from spg.project import portable

PACKAGES = (
    "spg", "torch", "torchvision", "numpy", "scipy", "pandas", "pyarrow", "numba",
    "opencv-python-headless", "pillow", "safetensors", "timm",
)  # fmt: skip


def machine_facts() -> dict[str, Any]:
    """Return what of this machine can change what a process computes, for its provenance.

    No clock, path, host name or load: equal for two runs on one machine. A portable process on a
    CPU computes the same on every machine of its family, so it names the family alone.
    """
    device = pick_device()
    if device.type == "cpu" and portable.in_force():
        return {
            "device": "cpu",
            "portable": True,
            "cpu": torch.backends.cpu.get_cpu_capability(),
            "threads": torch.get_num_threads(),
        }
    on_gpu = device.type == "cuda"
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": device.type,
        "portable": False,
        "gpu": torch.cuda.get_device_name(device) if on_gpu else None,
        "cuda": torch.version.cuda if on_gpu else None,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "bf16": has_bf16(device),
        "float32": _float32() if on_gpu else "ieee",
        "deterministic": not on_gpu or torch.are_deterministic_algorithms_enabled(),
    }


def _float32() -> dict[str, str]:
    """Return how CUDA multiplies float32: ``ieee`` or ``tf32``; ``none`` is PyTorch's default."""
    return {
        "products": torch.backends.cuda.matmul.fp32_precision,
        "convolutions": torch.backends.cudnn.conv.fp32_precision,  # type: ignore[attr-defined]
    }


def processor() -> str:
    """Return the processor's name and the widest instruction sets that it has, capped or not.

    Example: ``AMD EPYC: AVX2, AVX512, bf16``.
    """
    has: dict[str, Any] = dict(torch.cpu.get_capabilities())
    sets = {"avx2": "AVX2", "avx512_f": "AVX512", "avx512_bf16": "bf16", "amx_tile": "AMX"}
    named = [word for flag, word in sets.items() if has.get(flag)]
    return f"{has.get('cpu_name', platform.processor() or 'unknown')}: {', '.join(named) or 'none'}"


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that compute, read or write results."""
    return {name: version(name) for name in PACKAGES}
