"""What of a machine and its packages can change a result: for provenance.json and `spg doctor`."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from typing import Any

import torch

from spg.networks.compute.device import has_bf16, pick_device

PACKAGES = (
    "spg", "torch", "torchvision", "numpy", "scipy", "pandas", "pyarrow", "numba",
    "opencv-python-headless", "pillow", "safetensors", "timm",
)  # fmt: skip


def machine_facts() -> dict[str, Any]:
    """Return the machine's side of a computation.

    No clock, path, host name or load: equal for two runs on one machine.
    """
    device = pick_device()
    on_gpu = device.type == "cuda"
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": device.type,
        "gpu": torch.cuda.get_device_name(device) if on_gpu else None,
        "cuda": torch.version.cuda if on_gpu else None,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "bf16": has_bf16(device),
        "tf32": on_gpu and bool(torch.backends.cuda.matmul.allow_tf32),
    }


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that compute, read or write results."""
    return {name: version(name) for name in PACKAGES}
