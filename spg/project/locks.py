"""One writer at a time: two commands never write the same output, and a killed one leaves none.

A lock is the system's own, on a file in .scratch/locks, and ends with its process however that
ends. filelock is what torch and many others use for it, on every system.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec

from filelock import FileLock, Timeout

from spg.project.environment import is_first
from spg.project.errors import UserError
from spg.project.files import remove_leftovers
from spg.project.workspace import Workspace

Arguments = ParamSpec("Arguments")
Stage = Callable[Concatenate[Workspace, Arguments], None]


class BusyError(UserError):
    """Another command is writing the same output."""


def sole_writer(place: Callable[..., Path]) -> Callable[[Stage[Arguments]], Stage[Arguments]]:
    """Return a decorator of stages: none runs while another one writes the same output.

    Of several processes under torchrun the first one alone writes, and asks.

    Args:
        place: from the stage's workspace and what follows its params to the file or folder that it
            writes, e.g. ``Workspace.run``.

    The stage raises:
        BusyError: when another command is writing there.
    """

    def decorate(stage: Stage[Arguments]) -> Stage[Arguments]:
        @wraps(stage)
        def run(workspace: Workspace, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
            if not is_first():
                return stage(workspace, *args, **kwargs)
            with writing(workspace, place(workspace, *args[1:])):
                return stage(workspace, *args, **kwargs)

        return run

    return decorate


@contextmanager
def writing(workspace: Workspace, target: Path) -> Iterator[None]:
    """Hold ``target``, a file or folder of the project, alone; first remove what kills left of it.

    Raises:
        BusyError: when another command holds it.
    """
    name = target.relative_to(workspace.root).as_posix()
    file = workspace.scratch / "locks" / f"{name.replace('/', '--')}.lock"
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(file, timeout=0):
            remove_leftovers(target)
            yield
    except Timeout:
        raise BusyError(
            f"{name}: another command is writing it; wait until it has ended, or stop it"
        ) from None
