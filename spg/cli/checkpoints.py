"""Commands that exchange checkpoints with published code: import-checkpoint, export-checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from spg.cli.options import FILE, command
from spg.project.command_line import workspace
from spg.project.params import load_params

layout_option = click.option(
    "--layout",
    required=True,
    type=click.Choice(["official", "wsolevaluation"]),
    help="Whose names the file has: the authors' (xiaomengyc/SPG) or clovaai/wsolevaluation's.",
)


@command("import-checkpoint")
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("output", metavar="OUT", type=click.Path(path_type=Path))
@layout_option
@click.option(
    "--dataset",
    help="Data set that the checkpoint was trained on. Default: cub for 200 classes, ilsvrc for "
    "1000.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed under which the cell is filed.",
)
def import_checkpoint(source: Path, output: Path, **options: Any) -> None:
    """Turn a published checkpoint IN into a cell OUT: model.safetensors and provenance.json.

    OUT is a folder, e.g. runs/cub/inception_v3-spg-100, where localize, sweep and evaluate look for
    a cell, or a path that ends in .safetensors. IN is read as weights only: nothing in it can run.
    Backbone and method are told by its names; every key, shape and type has to fit. With 1,000
    classes the official layout has the devkit's order of classes; here they are sorted.
    """
    from spg.tools.checkpoints.exchange import import_checkpoint as stage

    params = load_params(workspace().params_file)
    cell = stage(workspace(), params, source=source, output=output, **options)
    click.echo(
        f"wrote {output}: {cell.method} on {cell.backbone} for {cell.dataset}, which belongs "
        f"into {workspace().run(cell).relative_to(workspace().root)}"
    )


@command("export-checkpoint")
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("output", metavar="OUT", type=FILE)
@layout_option
def export_checkpoint(source: Path, output: Path, **options: Any) -> None:
    """Write the cell IN, imported or trained, as a file OUT that torch.load reads.

    IN is the cell's folder or its model.safetensors, at width 1. OUT has the published names in
    their order under `state_dict`; equal cells give equal bytes.
    """
    from spg.tools.checkpoints.exchange import export_checkpoint as stage

    stage(load_params(workspace().params_file), source=source, output=output, **options)
    click.echo(f"wrote {output}")
