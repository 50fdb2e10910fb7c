"""Stage ``compare``: all cells of a data set -> reproduced against reported, with verdicts."""

from __future__ import annotations

from spg.compare.claims import CSV_FORMAT, claims_table
from spg.compare.comparison import comparison_table, external_table, summary
from spg.compare.errors import baseline_errors, collect_errors, collect_values
from spg.compare.fits import fit_of
from spg.compare.other_classes import classifiers_of, external_guesses
from spg.compare.paper import Ours, load_paper, stand_in
from spg.compare.side_tables import detail_tables
from spg.compare.trace import TRACE, trace
from spg.compare.variants import grid, read_tables
from spg.data.images.manifest import class_names, read_manifest
from spg.project.files import whole_files, write_json, write_text
from spg.project.locks import sole_writer
from spg.project.params import Params
from spg.project.workspace import Workspace


@sole_writer(Workspace.report)
def compare(workspace: Workspace, params: Params, dataset: str) -> None:
    """Write the tables of the report as CSV, and summary.json, which DVC shows.

    external.csv is comparison.csv with the classes of each external classifier (Table 3).
    """
    paper, rows = load_paper(workspace.paper_file), grid(params, dataset)
    tables = read_tables(workspace, rows)
    delta, rule = params.evaluation.iou_threshold, params.comparison
    errors = collect_errors(tables, iou_threshold=delta)
    manifest = read_manifest(workspace.packed(dataset) / "manifest.parquet")
    theirs = paper.whole(params.datasets[dataset].source.kind, len(class_names(manifest)))
    ours = Ours(theirs, stand_in(params.backbones), params.sweep.normalization)
    errors |= collect_values(tables)
    errors |= baseline_errors(manifest, next(iter(tables.values())), iou_threshold=delta)
    classifiers = classifiers_of(params.external_classifier, params.ensembles)
    guesses = {
        name: external_guesses([workspace.class_scores(dataset, one) for one in members])
        for name, members in classifiers.items()
    }
    fit = fit_of(workspace, params, rows, manifest, next(iter(tables.values()))[0])
    own = fit(tables)
    comparison = comparison_table(errors, paper, rule, ours, resampled_of=own)
    claims = claims_table(errors, paper, rule, ours, seeds_of=params.seeds_of, resampled_of=own)
    every = {
        "comparison": comparison,
        "claims": claims,
        "external": external_table(
            guesses, tables, paper, rule, ours, iou_threshold=delta, fit=fit
        ),
        **detail_tables(workspace, rows, tables),
    }
    names = [f"{name}.csv" for name in every]
    with whole_files(workspace.report(dataset), *names, "summary.json", TRACE) as temporary:
        for name, table in every.items():
            text = table.to_csv(index=False, float_format=CSV_FORMAT, lineterminator="\n")
            write_text(temporary / f"{name}.csv", text)
        write_json(temporary / "summary.json", summary(comparison, claims))
        files = [temporary / name for name in (*names, "summary.json")]
        facts = trace(workspace, params, dataset, params.cells(dataset), files, published=theirs)
        write_json(temporary / TRACE, facts)
