"""Commands over all cells: classify, compare, report, table, effect."""

from __future__ import annotations

from pathlib import Path

import click

from spg.cli.options import command, dataset_option, params_of
from spg.project.command_line import workspace


@command()
@click.argument("classifier")
@dataset_option
def classify(classifier: str, dataset: str | None) -> None:
    """Write the scores of CLASSIFIER for the test images into runs/: the classes of Table 3.

    CLASSIFIER is a file in spg/networks/classifiers, e.g. resnet50 or dpn131; its published weights
    are downloaded and verified. List it in `external_classifier` for `compare` to use it.
    """
    from spg.networks.classify.stage import classify as stage

    params, name = params_of(dataset)
    stage(workspace(), params, name, classifier)
    path = workspace().class_scores(name, classifier)
    click.echo(f"wrote {path.relative_to(workspace().root)}")


@command()
@dataset_option
def compare(dataset: str | None) -> None:
    """Compare all cells with the paper: intervals, verdicts, baselines."""
    from spg.compare.stage import compare as stage

    params, name = params_of(dataset)
    stage(workspace(), params, name)


@command()
@dataset_option
def report(dataset: str | None) -> None:
    """Render tables, figures, notebooks and the page index.html into reports/DATASET."""
    from spg.report.stage import report as stage

    params, name = params_of(dataset)
    stage(workspace(), params, name)


@command()
@click.argument(
    "folders",
    metavar="REPORT...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
def table(folders: tuple[Path, ...]) -> None:
    """Print wsolevaluation's whole table, Markdown, with what some reports found below each row.

    Each REPORT is a folder such as reports/cub of `make wsolevaluation DATASET=cub`, of cub, ilsvrc
    or openimages30k, all classes of it. The mean over the data sets needs all three, each with its
    three backbones; a number that is not there is a dash.
    """
    from spg.compare.paper import load_paper
    from spg.report.accuracy_tables import whole_table
    from spg.report.render import to_markdown
    from spg.report.run import read_measured

    reports = [read_measured(folder) for folder in folders]
    found = whole_table(load_paper(workspace().paper_file), reports)
    click.echo(f"{found.caption}\n\n{to_markdown(found)}", nl=False)


@command()
@click.argument("name", required=False)
def effect(name: str | None) -> None:
    """Measure what the disputed choice NAME of effects/params.yaml changes on the default data.

    Without NAME all of them, as `make effects` does, which also writes them into PROTOCOL.md. Needs
    the results of `dvc repro`; trains every seed anew unless the choice acts on localization or
    evaluation alone; SPG_WORKERS cells at once. What is measured already is not measured again.
    """
    from spg.tools.effect.stage import measure, measure_effects

    if name is None:
        measure_effects(workspace())
    else:
        measure(workspace(), [name])


@command()
@dataset_option
def normalizations(dataset: str | None) -> None:
    """Measure every cell again with its maps normalized in each of the field's four ways.

    Writes reports/DATASET/normalizations/: errors and claims under each (PROTOCOL 32). Needs the
    results of `dvc repro` and trains nothing.
    """
    from spg.tools.normalizations.stage import measure_normalizations

    params, name = params_of(dataset)
    measure_normalizations(workspace(), params, name)


@command()
def telling() -> None:
    """Compare the pair of telling/params.yaml where other parts of a bird tell its species.

    Writes reports/DATASET/telling/. Needs the results of `dvc repro`; what is trained already is
    not trained again.
    """
    from spg.tools.telling.stage import measure_telling

    measure_telling(workspace())
