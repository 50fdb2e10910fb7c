"""Machine code for loops over pixels, by numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Return ``function`` compiled at its first call, and kept on disk where that can be written.

    numba looks for a place in NUMBA_CACHE_DIR, beside the source and in the user's cache; where all
    are read-only, every process compiles anew, which takes seconds.
    """
    try:
        found: Any = njit(cache=True)(function)
    except RuntimeError:  # no such place
        found = njit(function)
    return cast(Function, found)
