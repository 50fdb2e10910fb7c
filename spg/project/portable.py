"""The same bytes on every x86-64 processor with AVX2: what has to be said before anything computes.

The libraries below choose their code by the processor, and a sum in another order has other last
bits, which a training turns into other results. ``execution.portable: true`` caps the instruction
sets of all of them at AVX2 and gives every process one thread. Each reads its variable while it is
loaded, so `settle` runs before any of them is: in ``spg/__init__.py``. What a family member
computes is told by `spg doctor` (:mod:`spg.tools.family`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

CAPS = {
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's own kernels
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # convolutions
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",  # products, on Intel's processors
    "MKL_CBWR": "COMPATIBLE",  # ... and on all others, for which MKL chooses something else
    # Elementary functions. Names of NumPy 2.4, then of earlier ones; unknown ones are ignored.
    "NPY_DISABLE_CPU_FEATURES": (
        "X86_V4 AVX512_ICL AVX512_SPR AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL"
    ),
    "OPENBLAS_CORETYPE": "Haswell",  # products of NumPy and SciPy
    "OPENCV_IPP": "avx2",  # resizing
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""Environment variables of a portable process and those that it starts."""
THREADS = 1
"""Of a portable process: another number would sum in another order."""

_LIBRARIES = ("numpy", "torch", "cv2")
_MARK = "SPG_PORTABLE"  # set beside the caps, by this module alone


def settle(folder: Path) -> None:
    """Cap this process, and those that it starts, where ``folder``'s params.yaml asks for it.

    A process that has loaded one of the libraries already is left as it is: part of the caps would
    say something that is not so.
    """
    if in_force() or any(name in sys.modules for name in _LIBRARIES):
        return
    if _asks(folder / "params.yaml"):
        os.environ.update(CAPS)
        # torch.compile keeps its kernels by their source, not by the instruction set they were
        # built for: one that an uncapped process has left computes something else here.
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder.resolve() / ".scratch/torchinductor")
        os.environ[_MARK] = "1"


def in_force() -> bool:
    """Return whether this process is capped."""
    return os.environ.get(_MARK) == "1"


def _asks(file: Path) -> bool:
    """Return a file's ``execution.portable``; what is wrong with it is said by its reader."""
    try:
        mapping = YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))
    except (OSError, YAMLError, ValueError, RecursionError):
        return False
    execution = mapping.get("execution") if isinstance(mapping, Mapping) else None
    return isinstance(execution, Mapping) and execution.get("portable") is True
