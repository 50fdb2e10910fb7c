"""Stage ``fetch``: get or draw raw data from the source that params.yaml names, and no other."""

from __future__ import annotations

from spg.data.layouts.problems import BadDataError, Problems
from spg.data.layouts.spec import read_source
from spg.project.errors import NAMED
from spg.project.locks import sole_writer
from spg.project.params import Params
from spg.project.plugins import find_plugin
from spg.project.workspace import Workspace


@sole_writer(Workspace.raw)
def fetch(workspace: Workspace, params: Params, dataset: str) -> None:
    """Leave the raw data of ``dataset`` in its raw folder.

    Raises:
        UserError: when something is missing, damaged or not to be had; nothing half-made stays.
    """
    source = params.datasets[dataset].source
    settings = read_source(dataset, source)
    try:
        find_plugin("source", source.kind).fetch(workspace, dataset, settings)
    except BadDataError as error:
        if len(error.problems) <= NAMED:
            raise  # its sentence says all
        problems = Problems(error.where, skip="", remedy="mend the files")
        problems.shared += error.problems
        problems.complain(workspace.problems(dataset))
    workspace.problems(dataset).unlink(missing_ok=True)
