"""Errors under each normalization in PROTOCOL.md: copied from reports/, never typed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from spg.data.results.tables import read_table
from spg.project.workspace import Workspace
from spg.tools.protocol_page import (
    DATASET,
    normalizations_table,
    order_sentence,
    with_normalizations,
)

ROOT = Path(__file__).parents[2]
PAGE = "before\n  <!-- normalizations -->\n  STALE\n  <!-- end of normalizations -->\nafter\n"


def errors(**means):
    """``means``: of SPG-plain and SPG under each normalization."""
    rows = [
        {
            "normalization": way, "backbone": "inception_v3", "method": method, "extractor": "cam",
            "metric": metric, "mean": mean, "low": mean - 0.01, "high": mean + 0.02,
        }
        for way, pair in means.items()
        for method, mean in zip(("spg_plain", "spg"), pair, strict=True)
        for metric in ("gt_known_loc_err", "px_ap")
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_a_row_a_variant_and_a_column_a_normalization():
    lines = normalizations_table(errors(min_max=(0.4, 0.3), max=(0.2, 0.5)), "gt_known_loc_err")
    assert lines.splitlines() == [
        "| variant | min_max | max |",
        "|---|---|---|",
        "| SPG-plain | 40.00 (39.00 to 42.00) | 20.00 (19.00 to 22.00) |",
        "| SPG | 30.00 (29.00 to 32.00) | 50.00 (49.00 to 52.00) |",
    ]


def test_the_order_of_the_variants_is_told():
    apart = errors(min_max=(0.4, 0.3), max=(0.2, 0.5), pas=(0.5, 0.1))
    assert order_sentence(apart, "gt_known_loc_err", best_first=False) == (
        "The order of the variants, best first, depends on the normalization: "
        "`min_max` and `pas`: SPG → SPG-plain; `max`: SPG-plain → SPG."
    )
    same = errors(min_max=(0.4, 0.3), max=(0.5, 0.2))
    told = order_sentence(same, "px_ap", best_first=True)
    assert told == (
        "The order of the variants, best first, is the same under all: "
        "`min_max` and `max`: SPG-plain → SPG."
    )


def test_the_block_alone_is_replaced():
    page = with_normalizations(PAGE, errors(min_max=(0.4, 0.3)))
    assert page.startswith("before\n  <!-- normalizations -->\n")
    assert page.endswith("\n  <!-- end of normalizations -->\nafter\n")
    assert "STALE" not in page
    assert "| SPG | 30.00 (29.00 to 32.00) |" in page
    assert with_normalizations(page, errors(min_max=(0.4, 0.3))) == page


def test_the_page_shows_what_was_measured():
    table = Workspace(ROOT).report(DATASET) / "normalizations/errors.csv"
    if not table.exists():
        pytest.skip("not measured: `make effects`")
    page = (ROOT / "PROTOCOL.md").read_text(encoding="utf-8")
    assert with_normalizations(page, read_table(table)) == page
