"""The `spg` command: every stage of dvc.yaml as one sub-command, run in the project's folder.

Heavy modules are imported by the command that needs them, so that `spg --help` answers at once.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from spg.project.command_line import checked_params, workspace
from spg.project.ending import guarded
from spg.project.environment import is_first, is_worker
from spg.project.parallel import default_workers
from spg.project.params import Params, load_params
from spg.project.workspace import Cell, Workspace

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 2.0

Command = TypeVar("Command", bound=Callable[..., Any])

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)
EPILOG = "Settings are read from params.yaml in the current folder; `dvc repro` runs every stage."


class _Group(click.Group):
    """Lists the commands in the order of the pipeline."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_Group, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="spg")
def main() -> None:
    """Reproduce Self-produced Guidance (ECCV 2018), stage by stage."""


def _cell_options(command: Command) -> Command:
    options = (
        click.option("--dataset", help="Entry of `datasets`; default: `dataset` of params.yaml."),
        click.option(
            "--backbone", help="File in spg/networks/backbones; default: the first of `backbones`."
        ),
        click.option("--method", required=True, help="One of `methods` and `guided`, e.g. spg."),
        click.option(
            "--seed", required=True, type=click.IntRange(min=0), help="Of the repetition."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _cell(dataset: str | None, backbone: str | None, method: str, seed: int) -> tuple[Params, Cell]:
    defaults = load_params(workspace().params_file)
    cell = Cell(dataset or defaults.dataset, backbone or defaults.backbones[0], method, seed)
    return checked_params(cell.dataset, method), cell


def _default_dataset(dataset: str | None) -> str:
    return dataset or load_params(workspace().params_file).dataset


@main.command()
@click.argument("dataset")
def fetch(dataset: str) -> None:
    """Get or draw the raw data of DATASET into data/raw/DATASET.

    CUB-200-2011 (1.2 GB) is downloaded and verified; after a cut, the same command goes on where
    it stopped. SPG_CUB_ARCHIVES names the folder of the two archives: those that lie there are
    used, others go there; default data/archives/DATASET. SPG_CUB_URL is the address of a mirror's
    folder; the checksums stay the published ones.

    ILSVRC 2012 asks for a login, so you get it, and SPG_ILSVRC_ROOT names the folder that holds
    image-net.org's archives or Kaggle's ILSVRC/. It is verified and indexed in place.
    """
    from spg.data.fetch.stage import fetch as stage

    guarded(lambda: stage(workspace(), checked_params(dataset), dataset))


@main.command()
@click.argument("dataset")
def prepare(dataset: str) -> None:
    """Pack the raw data of DATASET into data/packed/DATASET and split it."""
    from spg.data.prepare.stage import prepare as stage

    guarded(lambda: stage(workspace(), checked_params(dataset), dataset))


@main.command()
@click.argument("dataset")
@click.argument("output", type=FOLDER)
def metadata(dataset: str, output: Path) -> None:
    """Write the splits of DATASET into OUTPUT in wsolevaluation's format.

    Folders train, val and test (train-weaksup, train-fullsup and test in its words), for its code
    and for `spg score`.
    """
    from spg.tools.export_metadata import export_metadata

    def run() -> None:
        export_metadata(workspace(), checked_params(dataset), dataset, output)
        click.echo(f"wrote {output}")

    guarded(run)


@main.command()
@click.argument("backbone")
@click.option("--dataset", help="Whose stem is meant; default: `dataset` of params.yaml.")
def weights(backbone: str, dataset: str | None) -> None:
    """Make the stem weights of BACKBONE: published (verified) or pre-trained."""
    from spg.networks.weights.stage import make_weights

    def run() -> None:
        name = _default_dataset(dataset)
        make_weights(workspace(), checked_params(name), name, backbone)

    guarded(run)


@main.command()
@_cell_options
def train(**options: Any) -> None:
    """Train one cell into runs/DATASET/BACKBONE-METHOD-SEED.

    Data and stem weights that are missing are made first. Ctrl-C is safe: the same command goes
    on from the last checkpoint. SPG_NPROC=N trains in N processes under torchrun, one a GPU.
    """
    from spg.networks.compute.launch import in_processes
    from spg.train.stage import train_cell

    def run() -> None:
        params, cell = _cell(**options)
        if not is_worker():
            _make_inputs(params, cell)
        in_processes(train_cell)(workspace(), params, cell)
        if is_first():
            click.echo(f"wrote {workspace().run(cell).relative_to(workspace().root)}")

    guarded(run)


@main.command()
@_cell_options
def localize(**options: Any) -> None:
    """Write class scores and raw maps of a trained cell into maps/.

    SPG_NPROC=N divides the images among N processes under torchrun; the result is the same.
    """
    from spg.localize.stage import localize_cell
    from spg.networks.compute.launch import in_processes

    guarded(lambda: in_processes(localize_cell)(workspace(), *_cell(**options)))


@main.command()
@_cell_options
def sweep(**options: Any) -> None:
    """Measure a cell's maps at every map threshold of the grid into eval/."""
    from spg.evaluate.sweep.stage import sweep_cell

    guarded(lambda: sweep_cell(workspace(), *_cell(**options)))


@main.command()
@_cell_options
def evaluate(**options: Any) -> None:
    """Turn a cell's maps into boxes and errors, at the fixed and the selected threshold."""
    from spg.evaluate.stage import evaluate_cell

    def run() -> None:
        params, cell = _cell(**options)
        evaluate_cell(workspace(), params, cell)
        metrics = workspace().evaluation(cell) / "metrics.json"
        click.echo(metrics.read_text(encoding="utf-8"), nl=False)

    guarded(run)


@main.command()
@_cell_options
def verify(**options: Any) -> None:
    """Make a finished cell again and say whether all its files are the same, byte for byte.

    Trains, localizes, sweeps and evaluates in .scratch, from the data and stem weights that are
    there; the finished cell is only read. Status 0: equal; 1: a line for each file that differs,
    with where. Another processor, thread count or version of torch changes the last bits.
    """
    from spg.tools.verify import verify_cell

    def run() -> None:
        params, cell = _cell(**options)
        found = verify_cell(workspace(), params, cell)
        for line in found:
            click.echo(line)
        click.echo(f"{cell.dataset}/{cell.name}: {'not ' if found else ''}equal, byte for byte")
        if found:
            sys.exit(1)

    guarded(run)


@main.command()
@click.argument("classifier")
@click.option("--dataset", help="Default: `dataset` of params.yaml.")
def classify(classifier: str, dataset: str | None) -> None:
    """Write the scores of CLASSIFIER for the test images into eval/: the classes of Table 3.

    CLASSIFIER is a file in spg/networks/classifiers, e.g. resnet50 or dpn131; its published weights
    are downloaded and verified. List it in `external_classifier` for `compare` to use it.
    """
    from spg.networks.classify.stage import classify as stage

    def run() -> None:
        name = _default_dataset(dataset)
        stage(workspace(), checked_params(name), name, classifier)
        path = workspace().class_scores(name, classifier)
        click.echo(f"wrote {path.relative_to(workspace().root)}")

    guarded(run)


@main.command()
@click.option("--dataset", help="Default: `dataset` of params.yaml.")
def compare(dataset: str | None) -> None:
    """Compare all cells with the paper: intervals, verdicts, baselines."""
    from spg.compare.stage import compare as stage

    def run() -> None:
        name = _default_dataset(dataset)
        stage(workspace(), checked_params(name), name)

    guarded(run)


@main.command()
@click.option("--dataset", help="Default: `dataset` of params.yaml.")
def report(dataset: str | None) -> None:
    """Render tables, figures, notebooks and the page index.html into reports/DATASET."""
    from spg.report.stage import report as stage

    def run() -> None:
        name = _default_dataset(dataset)
        stage(workspace(), checked_params(name), name)

    guarded(run)


@main.command()
@click.argument("name")
def effect(name: str) -> None:
    """Measure what the disputed choice NAME of effects/params.yaml changes on the default data.

    Needs the results of `dvc repro`; trains every seed anew unless the choice acts on localization
    or evaluation alone. `make effects` runs all of them and writes them into PROTOCOL.md.
    """
    from spg.tools.effect.stage import measure_effect

    guarded(lambda: measure_effect(workspace(), name))


@main.command()
@click.option("--maps", required=True, type=FOLDER, help="Of the maps: IMAGE_ID.npy.")
@click.option("--metadata", required=True, type=FOLDER, help="Of one split in that format.")
@click.option("--masks", type=FOLDER, help="Of the object masks, for PxAP.")
@click.option(
    "--protocol",
    type=click.Choice(["wsolevaluation", "paper", "official"]),
    default="wsolevaluation",
    show_default=True,
    help="wsolevaluation: finished maps, 224 x 224 in [0, 1]; the others: raw maps of any size.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1, max_open=True),
    help="Fixed map threshold of the GT-known error; default: the best one (oracle).",
)
@click.option(
    "--select-on",
    nargs=2,
    type=FOLDER,
    metavar="MAPS METADATA",
    help="Choose that threshold on these other maps instead, e.g. of train-fullsup.",
)
@click.option("--table", type=FILE, help="Write one row an image: .csv or .parquet.")
@click.option("--json", "json_file", type=FILE, help="Write all numbers, as fractions.")
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=default_workers,
    show_default="number of cores",
    help="Processes; any number gives the same result.",
)
def score(**options: Any) -> None:
    """Score anybody's maps in wsolevaluation's format: a drop-in for its evaluation.py.

    Missing and invalid maps are listed, count as wrong at every threshold, and end the command with
    status 2 after the numbers are written.
    """
    from spg.tools.scoring.command import ScoreOptions, run_score

    guarded(lambda: run_score(ScoreOptions(**options), click.echo))


@main.command()
@click.option("--dataset", help="Default: `dataset` of params.yaml; its data need not be there.")
@click.option("--backbone", help="Plan this one alone; default: all of `backbones`.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the plan there too.",
)
def plan(dataset: str | None, backbone: str | None, json_file: Path | None) -> None:
    """Say what the whole matrix will cost here: images, steps, hours, disk.

    Measures a few training, localization and decoding steps; an estimate, nothing is trained.
    """
    from spg.project.files import write_json
    from spg.tools.plan import as_text
    from spg.tools.plan import plan as make_plan

    def run() -> None:
        name = _default_dataset(dataset)
        params = checked_params(name)
        facts = make_plan(workspace(), params, name, [backbone] if backbone else params.backbones)
        click.echo(as_text(facts))
        if json_file is not None:
            write_json(json_file, facts)

    guarded(run)


@main.command()
@click.option("--json", "json_file", type=FILE, help="Write all facts and warnings there too.")
def doctor(json_file: Path | None) -> None:
    """Print versions, devices, threads, precision, cache and disk, and what would change results.

    Compares what is installed with requirements.lock, and this machine with the one that trained
    the cells in runs/. Status 0: nothing found; 1: there are warnings.
    """
    from spg.project.files import write_json
    from spg.tools.doctor import as_text, diagnose

    def run() -> None:
        found = diagnose(workspace())
        click.echo(as_text(found))
        if json_file is not None:
            write_json(json_file, found._asdict())
        if found.warnings:
            sys.exit(1)

    guarded(run)


@main.command()
@click.argument("work", type=click.Choice(["train", "localize", "evaluate"]))
@click.option("--dataset", help="Entry of `datasets`; default: `dataset` of params.yaml.")
@click.option(
    "--backbone", help="File in spg/networks/backbones; default: the first of `backbones`."
)
@click.option("--method", default="spg", show_default=True, help="One of `methods` and `guided`.")
@click.option(
    "--classes", type=click.IntRange(min=2), default=200, show_default=True, help="Of the data."
)
@click.option("--side", type=click.IntRange(min=32), help="Of the input; default: as params say.")
@click.option("--batch-size", type=click.IntRange(min=2), help="Default: as params say.")
@click.option("--precision", type=click.Choice(["float32", "bf16"]), help="Default: as params say.")
@click.option(
    "--repeats", type=click.IntRange(min=1), default=5, show_default=True, help="Timed steps."
)
@click.option("--json", "json_file", type=FILE, help="Write all figures there too.")
def bench(
    work: Any,
    dataset: str | None,
    backbone: str | None,
    method: str,
    classes: int,
    repeats: int,
    json_file: Path | None,
    **sizes: Any,
) -> None:
    """Time WORK on drawn images: images a second, memory, share of the machine's matmul peak.

    The median of some steps after two that do not count; nothing is written. SPG_NPROC=N times a
    training in N processes.
    """
    from spg.networks.compute.launch import in_processes
    from spg.project.files import write_json
    from spg.tools.bench import as_text, with_sizes
    from spg.tools.bench import bench as measure_work

    def measured(_: Workspace, params: Params, cell: Cell) -> None:
        sized = with_sizes(params, cell, **sizes)
        facts = measure_work(sized, cell, work, classes=classes, repeats=repeats)
        if is_first():
            click.echo(as_text(facts))
            if json_file is not None:
                write_json(json_file, facts)

    run = in_processes(measured) if work == "train" else measured
    guarded(lambda: run(workspace(), *_cell(dataset, backbone, method, seed=0)))


@main.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--checkpoint",
    required=True,
    type=click.Path(path_type=Path),
    help="A model.safetensors of `spg train`, with its provenance.json beside it.",
)
@click.option(
    "--output",
    default=Path("predictions"),
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the overlays.",
)
def predict(images: tuple[Path, ...], checkpoint: Path, output: Path) -> None:
    """Find class and box in IMAGES; one line of JSON and one overlay picture each."""
    from spg.tools.predict import predict as stage

    def run() -> None:
        params = load_params(workspace().params_file)
        for found in stage(params, list(images), checkpoint=checkpoint, output=output):
            click.echo(json.dumps(found._asdict(), ensure_ascii=False))

    guarded(run)


_layout_option = click.option(
    "--layout",
    required=True,
    type=click.Choice(["official", "wsolevaluation"]),
    help="Whose names: the authors' (xiaomengyc/SPG) or clovaai/wsolevaluation's.",
)


@main.command("import-checkpoint")
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("output", metavar="OUT", type=click.Path(path_type=Path))
@_layout_option
@click.option(
    "--dataset", help="Entry of `datasets`; default: cub for 200 classes, ilsvrc for 1000."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the cell."
)
def import_checkpoint(source: Path, output: Path, **options: Any) -> None:
    """Turn a published checkpoint IN into a cell OUT: model.safetensors and provenance.json.

    OUT is a folder, e.g. runs/cub/inception_v3-spg-100, where localize, sweep and evaluate look for
    a cell, or a path that ends in .safetensors. IN is read as weights only: nothing in it can run.
    Backbone and method are told by its names; every key, shape and type has to fit. With 1,000
    classes the official layout has the devkit's order of classes; here they are sorted.
    """
    from spg.tools.checkpoints.exchange import import_checkpoint as stage

    def run() -> None:
        params = load_params(workspace().params_file)
        cell = stage(workspace(), params, source=source, output=output, **options)
        click.echo(
            f"wrote {output}: {cell.method} on {cell.backbone} for {cell.dataset}, which belongs "
            f"into {workspace().run(cell).relative_to(workspace().root)}"
        )

    guarded(run)


@main.command("export-checkpoint")
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("output", metavar="OUT", type=FILE)
@_layout_option
def export_checkpoint(source: Path, output: Path, **options: Any) -> None:
    """Write the cell IN, imported or trained, as a file OUT that torch.load reads.

    IN is the cell's folder or its model.safetensors, at width 1. OUT has the published names in
    their order under `state_dict`; equal cells give equal bytes.
    """
    from spg.tools.checkpoints.exchange import export_checkpoint as stage

    def run() -> None:
        stage(load_params(workspace().params_file), source=source, output=output, **options)
        click.echo(f"wrote {output}")

    guarded(run)


def _make_inputs(params: Params, cell: Cell) -> None:
    """Make the packed data and the stem weights where they are missing."""
    from spg.data.fetch.stage import fetch as fetch_stage
    from spg.data.prepare.stage import prepare as prepare_stage
    from spg.networks.weights.stage import make_weights

    project, dataset, backbone = workspace(), cell.dataset, cell.backbone
    _made(project.raw(dataset), lambda: fetch_stage(project, params, dataset))
    _made(project.packed(dataset), lambda: prepare_stage(project, params, dataset))
    _made(project.weights(backbone), lambda: make_weights(project, params, dataset, backbone))


def _made(target: Path, make: Callable[[], None]) -> None:
    """Make ``target`` unless it is there; where another command is making it, wait for that."""
    from spg.project.locks import BusyError

    while not target.exists():
        try:
            make()
        except BusyError:
            log.info("another command is making %s; waiting for it", target)
            time.sleep(SECONDS_BETWEEN_LOOKS)
