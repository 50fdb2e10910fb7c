"""``SPG_NPROC``: the same command in several processes of this machine, under torchrun.

On several machines torchrun itself starts the command on each: ``torchrun --nnodes=2
--nproc-per-node=8 ... -m spg train ...``; its variables are honored wherever they are set.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from uuid import uuid4

from spg.project.command_line import CellStage
from spg.project.ending import Terminated
from spg.project.environment import is_worker, number_of, usable_cores
from spg.project.errors import UserError
from spg.project.params import Params
from spg.project.workspace import Cell, Workspace


def in_processes(stage: CellStage) -> CellStage:
    """Return ``stage`` as it runs under torchrun, started here where ``SPG_NPROC`` asks for it."""

    def run(workspace: Workspace, params: Params, cell: Cell) -> None:
        if is_worker():
            from spg.networks.compute.device import pick_device
            from spg.networks.compute.distributed import joined

            with joined(pick_device()):
                stage(workspace, params, cell)
        elif (count := wanted_processes()) > 1:
            _torchrun(count)
            sys.exit()
        else:
            stage(workspace, params, cell)

    return run


def wanted_processes() -> int:
    """Return ``SPG_NPROC``; 1 where it is not set."""
    return number_of("SPG_NPROC", 1, least=1)


def _torchrun(count: int) -> None:
    """Run this very command line in ``count`` processes, which share the cores evenly."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // count)))
    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=count, max_restarts=0, run_id=str(uuid4()),
        rdzv_backend="c10d", rdzv_endpoint="localhost:0", signals_to_handle="SIGTERM,SIGHUP",
    )  # fmt: skip
    try:
        elastic_launch(config, sys.executable)(*sys.orig_argv[1:])
    except SignalException:  # torchrun takes SIGTERM itself, and has stopped the others
        raise Terminated from None
    except ChildFailedError as error:
        killed = {r: one.exitcode for r, one in error.failures.items() if one.exitcode < 0}
        for rank, status in killed.items():
            raise UserError(
                f"process {rank} of {count} was ended by {signal.Signals(-status).name} and the "
                "others were stopped; run the same command again to go on from the last checkpoint"
            ) from None
        sys.exit(error.get_first_failure()[1].exitcode)  # which has said why
