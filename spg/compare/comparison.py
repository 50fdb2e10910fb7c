"""comparison.csv: what every variant scored, with its interval, beside what is reported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spg.compare.cross_fitted import fitted_interval
from spg.compare.errors import NO_THRESHOLD, Errors, Tables, collect_errors
from spg.compare.fits import ResampledOf, keep_thresholds
from spg.compare.other_classes import with_classes
from spg.compare.paper import Ours, Paper
from spg.compare.statistics.intervals import Interval, seed_spread, two_way_interval
from spg.compare.statistics.significance import standard_error
from spg.compare.variants import Variant
from spg.evaluate.image_errors import AT_LEVELS
from spg.evaluate.per_image import PIXEL_IOU, WHOLE_MAP
from spg.project.schema.evaluation import ComparisonParams
from spg.project.seeding import generator

EXTERNAL_KINDS = ("selected",)  # of the threshold, in external.csv
OWN_CLASSES = "own"
SUMMARIZED = ("top1_loc_err", "top5_loc_err", "top1_cls_err", PIXEL_IOU)
"""In summary.json at the selected threshold, beside GT-known errors at two thresholds."""
COLUMNS = (
    *Variant._fields, "classifier", "threshold", "metric", *Interval._fields, "seed_std", "seeds",
    "images", "reported", "reported_dataset", "reported_table",
)  # fmt: skip


def named_interval(
    values: NDArray[np.float64],
    params: ComparisonParams,
    *names: Any,
    resampled: NDArray[np.float64] | None = None,
) -> tuple[Interval, float]:
    """Return the interval of ``values`` and its standard error, with random numbers of their name.

    Args:
        values: ``Float[S, N]``, seeds by images.
        params: resamples, confidence and seed.
        names: of the number; another name draws other resamples.
        resampled: ``Float[R, S]``, each seed's mean in each resample of the images, where
            thresholds are cross-fitted and each resample chooses its own.
    """
    rng = generator(params.seed, *(str(name) for name in names))
    resamples, confidence = params.resamples, params.confidence
    if resampled is not None:
        return fitted_interval(resampled, float(values.mean()), confidence=confidence, rng=rng)
    interval = two_way_interval(values, resamples=resamples, confidence=confidence, rng=rng)
    return interval, standard_error(values)


def external_table(
    guesses: Mapping[str, pd.DataFrame],
    tables: Tables,
    paper: Paper,
    params: ComparisonParams,
    ours: Ours,
    *,
    iou_threshold: float,
    fit: Callable[[Tables], ResampledOf] = lambda _: keep_thresholds,
) -> pd.DataFrame:
    """Return :func:`comparison_rows` with each external classifier's classes, and its name.

    Args:
        guesses: the best classes of every image by classifier (:mod:`spg.compare.other_classes`).
        tables: whose boxes stand beside them.
        paper: what is reported.
        params: of the intervals.
        ours: what our numbers are of.
        iou_threshold: delta.
        fit: gives what is resampled with thresholds chosen anew, of tables with other classes.
    """
    rows = []
    for name, guessed in guesses.items():
        theirs = {
            variant: [with_classes(table, guessed) for table in seeds]
            for variant, seeds in tables.items()
        }
        errors = collect_errors(theirs, iou_threshold=iou_threshold, kinds=EXTERNAL_KINDS)
        rows += comparison_rows(
            errors, paper, params, ours, classifier=name, resampled_of=fit(theirs)
        )  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def comparison_table(
    errors: Errors,
    paper: Paper,
    params: ComparisonParams,
    ours: Ours,
    *,
    resampled_of: ResampledOf = keep_thresholds,
) -> pd.DataFrame:
    """Return :func:`comparison_rows` of the variants' own classes as a table."""
    rows = comparison_rows(errors, paper, params, ours, resampled_of=resampled_of)
    return pd.DataFrame(rows, columns=COLUMNS)


def comparison_rows(
    errors: Errors,
    paper: Paper,
    params: ComparisonParams,
    ours: Ours,
    *,
    classifier: str = OWN_CLASSES,
    resampled_of: ResampledOf = keep_thresholds,
) -> list[dict[str, Any]]:
    """Return one row for each variant, threshold kind and metric, beside the reported number.

    Values are fractions; ``reported`` is too, and belongs to ``reported_dataset``, which is that of
    ``ours`` wherever something of its kind is reported on it. ``classifier`` is whose classes the
    errors are of; ``own``: the variant's. ``resampled_of`` gives what is resampled with thresholds
    chosen anew, where they are cross-fitted.
    """
    rows = []
    for (variant, kind, metric), values in errors.items():
        resampled = resampled_of(variant, kind, metric)
        interval, _ = named_interval(values, params, variant, kind, metric, resampled=resampled)
        own = None if classifier == OWN_CLASSES else classifier
        reported = paper.find(variant, metric, ours, classifier=own)
        rows.append(
            {
                **variant._asdict(),
                "classifier": classifier,
                "threshold": kind,
                "metric": metric,
                **interval._asdict(),
                "seed_std": seed_spread(values),
                "seeds": values.shape[0],
                "images": values.shape[1],
                "reported": None if reported is None else reported.value / 100,
                "reported_dataset": None if reported is None else reported.dataset,
                "reported_table": None if reported is None else reported.table,
            }
        )
    return rows


def summary(comparison: pd.DataFrame, claims: pd.DataFrame) -> dict[str, Any]:
    """Return what `dvc metrics` and `dvc exp show` display: few numbers, short names."""
    boxless = (comparison["threshold"] == NO_THRESHOLD) & (comparison["extractor"] != "none")
    own_classes = comparison["metric"].isin(SUMMARIZED) & (
        (comparison["threshold"] == "selected") | boxless
    )
    gt_known = comparison["metric"] == "gt_known_loc_err"
    shown_kinds = comparison["threshold"].isin(["none", "selected", "fixed"])
    whole_map = comparison["metric"].isin(set(WHOLE_MAP) - set(AT_LEVELS))
    shown = comparison[(gt_known & shown_kinds) | own_classes | whole_map]
    several = shown["backbone"].nunique() > 2  # "none" is one of them
    result: dict[str, Any] = {}
    for row in shown.to_dict("records"):
        extractor = "" if row["extractor"] in ("cam", "none") else f"_{row['extractor']}"
        backbone = f"{row['backbone']}-" if several else ""
        at_fixed = "_fixed" if row["threshold"] == "fixed" else ""
        line = result.setdefault(f"{backbone}{row['method']}{extractor}", {})
        line[f"{row['metric']}{at_fixed}"] = round(row["mean"], 6)
    judged = claims[claims["verdict"] != "not run"]
    result["gain"] = {row["claim"]: round(row["mean"], 6) for row in judged.to_dict("records")}
    return result
