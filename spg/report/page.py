"""reports/<dataset>/index.html: one page, which needs nothing but itself and no network."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from spg.compare.claims import level_text
from spg.compare.paper import load_paper
from spg.compare.selection import selection
from spg.compare.trace import TRACE, trace_facts
from spg.compare.variants import grid
from spg.data.images.manifest import TEST, class_names, read_manifest
from spg.data.results.tables import flattened, read_table
from spg.evaluate.outcomes import OUTCOMES
from spg.project.files import write_text
from spg.project.params import Params
from spg.project.workspace import Workspace
from spg.report.formats import percent
from spg.report.names import KIND_NAMES, METRIC_NAMES, VALUE_NAMES, variant_name
from spg.report.page_data import gallery_data
from spg.report.render import to_html
from spg.report.run import reported_numbers
from spg.report.tables import NO_BOXES, Table, has_boxes, judged, kind_notes, not_run, seeds_text

NOTEBOOKS = ("results", "gallery", "thresholds", "data")
SHOWN_METRICS = ("gt_known_loc_err", "top1_loc_err", "top5_loc_err", "top1_cls_err")
FIGURES = {
    "claims": "Each claim's gain with its interval, and the reported one (diamond)",
    "threshold_curves": "GT-known localization error against map threshold; bands span the seeds",
}
"""What the page shows as drawings, with their captions."""


def write_page(workspace: Workspace, params: Params, dataset: str, tables: list[Table]) -> None:
    """Write index.html from what ``compare``, ``evaluate`` and ``localize`` left.

    Args:
        workspace: the project.
        params: all parameters.
        dataset: whose report.
        tables: the claims and the paper's tables (:mod:`spg.report.paper_tables`).
    """
    folder = workspace.report(dataset)
    page = render(
        page_facts(workspace, params, dataset),
        gallery_data(workspace, dataset, grid(params, dataset), params.sweep.normalization),
        [(table.caption, Markup(to_html(table))) for table in tables],
    )
    write_text(folder / "index.html", page)


def render(facts: dict[str, Any], gallery: dict[str, Any], tables: list[tuple[str, Markup]]) -> str:
    """Return the whole page; every value of ``facts`` is escaped, ``gallery`` cannot end a script.

    A policy in the page lets it load nothing and run its own script alone.
    """
    script, style = _asset("page.js"), _asset("page.css")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string(_asset("page.html.j2"))
    return template.render(
        **facts,
        tables=tables,
        script=Markup(script),
        style=Markup(style),
        script_hash=_hash(script),
        style_hash=_hash(style),
        gallery=Markup(script_json(gallery)),
    )


def script_json(value: Any) -> str:
    """Return JSON that is safe inside a script element: no ``<``, ``>`` or ``&`` stays as it is."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), sort_keys=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def page_facts(workspace: Workspace, params: Params, dataset: str) -> dict[str, Any]:
    """Return everything that the page says besides the gallery, as text and numbers."""
    folder = workspace.report(dataset)
    comparison = read_table(folder / "comparison.csv")
    claims = read_table(folder / "claims.csv")
    manifest = read_manifest(workspace.packed(dataset) / "manifest.parquet")
    splits, entry = manifest["split"].to_numpy(), params.datasets[dataset]
    paper = load_paper(workspace.paper_file)
    theirs = paper.whole(entry.source.kind, len(class_names(manifest)))
    kinds = {"none": "no threshold", **KIND_NAMES}
    ran = judged(claims)
    drawings = {
        name: (caption, _drawing(folder / "figures" / f"{name}.svg"))
        for name, caption in FIGURES.items()
        if (folder / "figures" / f"{name}.svg").exists()
    }
    return {
        "dataset": dataset,
        "protocol": params.protocol,
        "images": int((splits == TEST).sum()),
        "seeds": seeds_text(comparison),
        "one_seed": bool(comparison["seeds"].max() == 1),
        "verdicts": ran["verdict"].value_counts().sort_index().to_dict(),
        "claims": ran.to_dict("records"),
        "not_run": not_run(claims).replace("*", ""),
        "figures": drawings,
        "no_boxes": "" if has_boxes(comparison) else NO_BOXES,
        "headline": _headline(comparison, params.report.digits),
        "rows": result_rows(comparison, params.report.digits),
        "metrics": {name: METRIC_NAMES[name] for name in SHOWN_METRICS} | VALUE_NAMES,
        "selection": selection(manifest, params.evaluation.folds, entry.prepare),
        "reported": reported_numbers(paper, theirs),
        "kinds": {name: kinds[name] for name in kinds if name in set(comparison["threshold"])},
        "kind_notes": kind_notes(comparison).replace("*", ""),
        "fixed": params.evaluation.map_threshold,
        "drawn_otherwise": params.sweep.protocol if params.sweep.protocol != "paper" else "",
        "outcomes": list(OUTCOMES),
        "notebooks": NOTEBOOKS,
        "provenance": {
            key: str(value) for key, value in flattened(trace_facts(folder / TRACE)).items()
        },
        "confidence": level_text(params.comparison.confidence),
        "command": "dvc repro",
        "settings": f"dataset={dataset} backbones=[{','.join(params.backbones)}] "
        f"seeds=[{','.join(map(str, params.seeds))}] protocol={params.protocol} "
        f"sweep.normalization={params.sweep.normalization}",
    }


def result_rows(comparison: pd.DataFrame, digits: int) -> list[dict[str, Any]]:
    """Return the sortable table: one row a variant and kind of threshold, per cent as text.

    PxAP and MaxBoxAccV2 are the same in all rows of a variant.
    """
    rows = []
    keys = ["backbone", "method", "extractor", "threshold"]
    worth = comparison[comparison["metric"].isin(VALUE_NAMES)]
    errors = comparison[comparison["metric"].isin(SHOWN_METRICS)]
    for key, group in errors.groupby(keys, sort=False):
        of_variant = worth[(worth[keys[:3]] == list(key[:3])).all(axis=1)]
        by_metric = pd.concat([group, of_variant]).set_index("metric")
        cells = []
        for metric in (*SHOWN_METRICS, *VALUE_NAMES):
            found = by_metric.loc[metric] if metric in by_metric.index else None
            value = None if found is None else found["mean"]
            interval = "" if found is None else _interval(found, digits)
            cells.append({"value": value, "text": percent(value, digits), "interval": interval})
        reported = by_metric["reported"].get("gt_known_loc_err")
        rows.append(
            {
                "name": _plain(dict(zip(keys, key, strict=True))),
                "threshold": key[3],
                "seeds": int(group["seeds"].max()),
                "cells": cells,
                "reported": percent(reported, digits),
                "reported_value": None if pd.isna(reported) else reported,
            }
        )
    return rows


def _headline(comparison: pd.DataFrame, digits: int) -> list[dict[str, str]]:
    chosen = comparison[
        (comparison["metric"] == "gt_known_loc_err")
        & comparison["threshold"].isin(["selected", "none"])
        & comparison["extractor"].isin(["cam", "none"])
    ]
    return [
        {
            "name": _plain(row),
            "text": percent(row["mean"], digits),
            "interval": _interval(row, digits),
        }
        for row in chosen.to_dict("records")
    ]


def _plain(row: dict[Any, Any]) -> str:
    """Return a variant's name without the Markdown of baselines."""
    return variant_name(row).strip("*")


def _interval(row: Any, digits: int) -> str:
    return f"{percent(row['low'], digits)} to {percent(row['high'], digits)}"


def _drawing(path: Path) -> str:
    """Return an SVG as a data URI: as an image it cannot touch the page."""
    return f"data:image/svg+xml;base64,{b64encode(path.read_bytes()).decode()}"


def _asset(name: str) -> str:
    return files("spg.report").joinpath("assets").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
