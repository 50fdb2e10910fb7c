"""The `spg` command: every stage of dvc.yaml and every tool as one sub-command.

One file a group of commands. Heavy modules are imported by the command that needs them, so that
`spg --help` answers at once.
"""

from __future__ import annotations

import click

from spg.cli import cells, checkpoints, data, machine, maps, plugins, results
from spg.cli.options import Group

EPILOG = "Settings are read from params.yaml in the current folder; `dvc repro` runs every stage."


@click.group(cls=Group, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="spg")
def main() -> None:
    """Reproduce Self-produced Guidance (ECCV 2018), stage by stage."""


# The order of the help: that of the pipeline, then the tools.
for command in (
    machine.repro,
    data.fetch,
    data.prepare,
    data.metadata,
    data.stem,
    data.weights,
    cells.train,
    cells.localize,
    cells.sweep,
    cells.evaluate,
    cells.verify,
    results.classify,
    results.compare,
    results.report,
    results.table,
    results.effect,
    results.normalizations,
    results.telling,
    maps.score,
    maps.predict,
    machine.search,
    machine.plan,
    machine.doctor,
    machine.bench,
    checkpoints.import_checkpoint,
    checkpoints.export_checkpoint,
    plugins.new,
):
    main.add_command(command)
