"""Stage ``report``: results of ``compare`` -> tables, figures and the executed notebook."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from spg.compare.paper import load_paper
from spg.data.images.manifest import read_manifest
from spg.data.results.tables import read_table
from spg.evaluate.image_errors import ERRORS
from spg.project.files import whole_folder, write_text
from spg.project.locks import sole_writer
from spg.project.params import Params
from spg.project.workspace import Workspace
from spg.report import figures, notebook, tables
from spg.report.drawing import SHEETS, draw_figures, with_masks
from spg.report.page import NOTEBOOKS, write_page
from spg.report.paper_tables import claims_table, paper_tables
from spg.report.render import to_latex_page, to_markdown
from spg.report.run import read_run, reported_numbers
from spg.report.tables import Table

NAIVE = (
    " *center box* and *whole image* look at no map; their classes are those of the first variant "
    "(PROTOCOL 16)."
)
ONE_SEED = "one seed, so that intervals and verdicts cover the images alone and no other training"


class PageRule(NamedTuple):
    """What tables.md says of the run that it shows."""

    dataset: str
    digits: int
    """Of per cent."""
    map_threshold: float
    """The fixed one."""
    protocol: str
    """Of the evaluator."""
    normalization: str
    """Of the maps."""
    selection: str
    """How *selected* thresholds were chosen, as :func:`spg.compare.selection.selection` says it."""
    reported: str
    """Whose numbers the *reported* ones are."""
    confidence: float
    """Of the intervals."""


@sole_writer(Workspace.report)
def report(workspace: Workspace, params: Params, dataset: str) -> None:
    """Write tables.md, tables.tex, index.html, figures/ and the notebooks with their pages."""
    folder = workspace.report(dataset)
    manifest = read_manifest(workspace.packed(dataset) / "manifest.parquet")
    paper = load_paper(workspace.paper_file)
    run = read_run(folder, params, dataset, manifest, paper)
    claims, papers = claims_table(paper, run), paper_tables(paper, run)
    rule = PageRule(
        dataset,
        params.report.digits,
        params.evaluation.map_threshold,
        params.sweep.protocol,
        run.normalization,
        run.selection,
        reported_numbers(paper, run.theirs),
        params.comparison.confidence,
    )
    write_text(folder / "tables.md", tables_page(folder, rule, [claims, *papers]))
    shown = [table for table in (claims, *papers) if len(table.frame)]
    write_text(folder / "tables.tex", to_latex_page(shown))
    with whole_folder(folder / "figures") as target:
        for name, figure in draw_figures(workspace, params, dataset):
            for kind in ("png",) if name in SHEETS else ("png", "svg"):
                figures.save(figure, target / f"{name}.{kind}")
    write_page(workspace, params, dataset, shown)
    notebooks = {
        workspace.root / f"notebooks/{name}.py": folder / f"{name}.ipynb" for name in NOTEBOOKS
    }
    notebook.execute(notebooks, root=workspace.root, environment={"SPG_DATASET": dataset})


def tables_page(folder: Path, rule: PageRule, rendered: Sequence[Table]) -> str:
    """Return the whole of tables.md.

    Args:
        folder: of the CSV files.
        rule: what the page says of the run.
        rendered: the claims and the paper's tables.
    """
    digits = rule.digits
    comparison = read_table(folder / "comparison.csv")
    claims = read_table(folder / "claims.csv")
    images = int(comparison["images"].max())
    repeated = tables.seeds_text(comparison) if comparison["seeds"].max() > 1 else ONE_SEED
    boxed = tables.has_boxes(comparison)
    other = rule.normalization != "min_max"
    normalized = f" Maps are normalized by `{rule.normalization}`." if other else ""
    if rule.normalization == "ivr":
        normalized += " *fixed* has `evaluation.percentile` besides (PROTOCOL 32)."
    parts = [
        f"# Results on {rule.dataset}\n",
        f"{images} test images, {repeated}. Per cent; of errors lower is better, of PxAP and "
        "MaxBoxAccV2 higher. *selected*: "
        f"at the map threshold {rule.selection}; "
        f"*fixed*: at {rule.map_threshold}. *reported*: the error {rule.reported}.{normalized}"
        f"{NAIVE if boxed else ''}\n",
        *(_localization(comparison, rule) if boxed else [f"{tables.NO_BOXES}\n"]),
        *(_claims(claims, rendered[0]) if boxed or len(tables.judged(claims)) else ()),
        "\n## All errors at the selected threshold\n",
        to_markdown(tables.metrics_table(comparison, digits=digits)),
        *(_outcomes(folder, comparison, rule) if boxed else ()),
        f"## Accuracies of wsolevaluation, protocol `{rule.protocol}`\n",
        "Higher is better. MaxBoxAcc and MaxBoxAccV2 take the threshold that is best on the test "
        "images, as published. Where there are masks, PxAP needs no threshold, and pIoU is of all "
        "pixels together, at the threshold that is best for it on these images and at the "
        "selected one. In brackets the interval over images and seeds, else the standard "
        "deviation of the seeds.\n",
        to_markdown(
            tables.accuracy_table(read_table(folder / "accuracies.csv"), comparison, digits=digits)
        ),
        *(_of_others(rendered[1:]) if rendered[1:] else ()),
    ]
    return "\n".join([*parts, *_further_tables(folder, digits)])


def _claims(claims: pd.DataFrame, rendered: Table) -> Iterator[str]:
    """Yield the verdicts on the paper's claims."""
    yield "## Claims of the paper\n"
    yield to_markdown(rendered)
    yield from (f"- *{row.text}*: {row.sentence}" for row in tables.judged(claims).itertuples())
    yield ""


def _of_others(rendered: Sequence[Table]) -> Iterator[str]:
    yield "## The paper's tables, and those of others on SPG\n"
    yield from (to_markdown(table) for table in rendered)


def _localization(comparison: pd.DataFrame, rule: PageRule) -> Iterator[str]:
    """Yield the GT-known errors."""
    yield "## GT-known localization error\n"
    yield to_markdown(_errors(comparison, ERRORS[0], rule))
    yield "## GT-known localization error by kind of threshold\n"
    yield f"{tables.kind_notes(comparison)}\n"
    yield to_markdown(tables.kinds_table(comparison, digits=rule.digits))


def _errors(comparison: pd.DataFrame, metric: str, rule: PageRule) -> Table:
    return tables.main_table(
        comparison, metric=metric, digits=rule.digits, confidence=rule.confidence
    )


def _outcomes(folder: Path, comparison: pd.DataFrame, rule: PageRule) -> Iterator[str]:
    """Yield the top-1 errors, and what becomes of the images."""
    yield "## Top-1 localization error\n"
    yield to_markdown(_errors(comparison, ERRORS[1], rule))
    yield "## What becomes of the images\n"
    yield "Share of the test images at the selected threshold: one outcome an image.\n"
    outcomes = read_table(folder / "outcomes.csv")
    yield to_markdown(tables.outcome_table(outcomes, digits=rule.digits))


def _further_tables(folder: Path, digits: int) -> Iterator[str]:
    """Yield what only some runs have: other networks' classes, energies where there are masks."""
    external = read_table(folder / "external.csv")
    if not external.empty:
        yield "## Boxes of one network, classes of another\n"
        yield (
            "At the selected threshold, as in Table 3 of the paper. The classifier chooses among "
            "the classes of this data set (PROTOCOL 25).\n"
        )
        yield to_markdown(tables.external_table(external, digits=digits))
    energy = with_masks(read_table(folder / "energy.csv"))
    if not energy.empty:
        yield "## Where the maps look\n"
        yield (
            "Share of a map's energy on the telling parts and on the whole object, and how many "
            "times their share of the area that is (1 = a uniform map; PROTOCOL 15).\n"
        )
        yield to_markdown(tables.energy_table(energy, digits=digits))
