"""Commands for anybody's maps and images: score, predict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from spg.cli.options import FILE, FOLDER, FiniteRange, command
from spg.project.command_line import workspace
from spg.project.errors import UserError
from spg.project.parallel import default_workers
from spg.project.params import load_params


@command()
@click.option(
    "--maps", required=True, type=FOLDER, help="Folder of the maps to score, IMAGE_ID.npy each."
)
@click.option(
    "--metadata",
    required=True,
    type=FOLDER,
    help="Folder with wsolevaluation's four text files of one split.",
)
@click.option("--masks", type=FOLDER, help="Folder of the object masks, which PxAP needs.")
@click.option(
    "--protocol",
    type=click.Choice(["wsolevaluation", "paper", "official"]),
    default="wsolevaluation",
    show_default=True,
    help="Evaluator. wsolevaluation: finished maps, 224 x 224 in [0, 1]; the others: raw maps of "
    "any size.",
)
@click.option(
    "--step",
    type=float,
    default=0.001,
    show_default=True,
    help="Distance of the thresholds, wsolevaluation's cam_curve_interval: 0.001 as in its main.py "
    "and its functions; the command line of its evaluation.py has 0.01.",
)
@click.option(
    "--normalization",
    type=click.Choice(["min_max", "max", "pas", "ivr"]),
    help="How maps are brought to [0, 1] (PROTOCOL 32); maps may then have any range. Default: "
    "finished maps as they come, raw ones by min_max.",
)
@click.option(
    "--percentile",
    type=FiniteRange(0, 1, max_open=True),
    help="Of --normalization ivr. Default: the best one of 0.1 ... 0.9 on the maps of --select-on.",
)
@click.option(
    "--threshold",
    type=FiniteRange(0, 1, max_open=True),
    help="Fixed map threshold of the GT-known error. Default: the best one (oracle).",
)
@click.option(
    "--select-on",
    nargs=2,
    type=FOLDER,
    metavar="MAPS METADATA",
    help="Choose that threshold on these other maps instead, e.g. of train-fullsup.",
)
@click.option(
    "--scores",
    type=FILE,
    help="Guessed classes, .csv (image_id,top1 ... top5) or .npz (image_ids, scores), for top-1 "
    "and top-5 localization errors.",
)
@click.option(
    "--report",
    metavar="DATASET",
    help="Put the maps beside the cells of a data set of this project: errors with intervals, "
    "paired differences, outcomes. The metadata are those of its test split (`spg metadata`).",
)
@click.option(
    "--table", type=FILE, help="Write a table with one row an image to this .csv or .parquet file."
)
@click.option(
    "--json", "json_file", type=FILE, help="Write all numbers, as fractions, to this JSON file."
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    help="Number of processes; any number gives the same result. Default: that of the cores, or "
    "SPG_WORKERS.",
)
def score(**options: Any) -> None:
    """Score anybody's maps in wsolevaluation's format: a drop-in for its evaluation.py.

    Missing and invalid maps are listed, count as wrong at every threshold, and end the command with
    status 2 after the numbers are written.
    """
    from spg.tools.scoring.command import ScoreOptions, run_score

    if options["report"] == "":  # an unset variable of a script
        raise UserError("--report: names no data set")
    if options["workers"] is None:
        options["workers"] = default_workers()
    run_score(ScoreOptions(**options), click.echo)


@command()
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--checkpoint",
    required=True,
    type=click.Path(path_type=Path),
    help="A model.safetensors of `spg train`, with its provenance.json beside it, or their folder.",
)
@click.option(
    "--output",
    default=Path("predictions"),
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to which the overlay pictures are written.",
)
def predict(images: tuple[Path, ...], checkpoint: Path, output: Path) -> None:
    """Find class and box in IMAGES; one line of JSON and one overlay picture each.

    An image that cannot be read costs nothing to the others: those that were left out are named at
    the end, with status 2. Overlays are called NAME.spg.png. The box is that of the fixed
    threshold, drawn as `sweep.protocol: paper` has it.

    Computed on SPG_DEVICE; without it, on CUDA where there is one.
    """
    from spg.tools.predict import predict as stage

    params = load_params(workspace().params_file)
    for found in stage(params, list(images), checkpoint=checkpoint, output=output):
        line = json.dumps(found._asdict(), ensure_ascii=False)
        click.echo(line.encode("utf-8", "backslashreplace"))  # names need not be UTF-8
