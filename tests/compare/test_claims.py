"""Verdicts on claims, from errors made by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from spg.compare.claims import COLUMNS, CSV_FORMAT, _measured, claims_table
from spg.compare.paper import Ours, load_paper
from spg.compare.statistics.intervals import Interval
from spg.compare.statistics.significance import holm, power
from spg.compare.variants import Variant
from spg.project.params import load_params
from spg.report.formats import percent

ROOT = Path(__file__).parents[2]
PAPER, PARAMS = load_paper(ROOT / "paper.yaml"), load_params(ROOT / "params.yaml")
JUDGED = ["spg_beats_plain", "cascade_helps", "sharing_helps", "branch_c_helps"]


def errors_of(outcomes, *, seeds=1):
    """Errors on 400 images; SPG is wrong on the second half of them.

    ``outcomes`` gives for each other method on how many images SPG alone is right, and on how many
    the other alone.
    """
    wrong = {"spg": np.arange(400) >= 200}
    for method, (wins, losses) in outcomes.items():
        wrong[method] = wrong["spg"].copy()
        wrong[method][:wins] = True
        wrong[method][200 : 200 + losses] = False
    return {
        key_of(method): np.tile(values.astype(np.float64), (seeds, 1))
        for method, values in wrong.items()
    }


def key_of(method):
    return Variant(PARAMS.backbones[0], method, "cam"), "selected", "gt_known_loc_err"


def judged(errors, seeds_of=None):
    """Claims by id; without ``seeds_of`` every method has the seeds 0, 1, ... of its rows."""
    rows = {variant.method: len(values) for (variant, *_), values in errors.items()}
    table = claims_table(
        errors, PAPER, PARAMS.comparison, Ours(None, PARAMS.backbones[0], "min_max"),
        seeds_of=seeds_of or (lambda method: range(rows.get(method, 1))),
    )  # fmt: skip
    return table.set_index("claim")


NOTHING_ELSE = {"no_cascade": (20, 20), "unshared_b": (20, 20), "no_c": (20, 20)}


def test_a_claim_is_told_with_its_tests():
    row = judged(errors_of({"spg_plain": (50, 20)})).loc["spg_beats_plain"]
    error = math.sqrt((70 / 400 - (30 / 400) ** 2) / 400)
    assert row["mean"] == pytest.approx(30 / 400)
    assert row["p_mcnemar"] == scipy.stats.binomtest(50, 70).pvalue
    assert row["p_interval"] == pytest.approx(2 * scipy.stats.norm.sf(30 / 400 / error))
    assert row["p_holm"] == row["p_interval"]  # the only claim that ran
    assert row["power"] == pytest.approx(scipy.stats.norm.cdf(0.0201 / error - 1.959964))
    assert row["detectable"] == pytest.approx(error * (1.959964 + 0.841621))
    assert (row["seeds"], row["images"], row["verdict"]) == (1, 400, "reproduced")


def test_the_sentence_rounds_what_the_table_has():
    """-1.7449999 per cent is -1.745 in claims.csv, which a table rounds to -1.75."""
    interval = Interval(-0.005, -0.017449999, 0.0066666)
    said = _measured(interval, None, "", 0.975, "")
    assert said.startswith("The gain is -0.50 points, 97.5% interval -1.75 to +0.67: ")
    assert percent(float(CSV_FORMAT % interval.low), 2) == "-1.75"


def test_the_sentence_says_what_this_size_can_see():
    row = judged(errors_of({"spg_plain": (22, 20)}, seeds=3)).loc["spg_beats_plain"]
    assert row["verdict"] == "undecided"
    assert (
        "0 lies inside, so this size cannot tell; the reported 2.01 on ILSVRC lies "
        in row["sentence"]
    )
    assert (
        " With 400 images and 3 seeds a gain of 2.01 points, the paper's on ILSVRC, would be seen "
        f"with probability {row['power']:.2f}; for 0.8 it takes "
        f"{100 * row['detectable']:.1f} points."
    ) in row["sentence"]


@pytest.mark.parametrize(
    ("outcome", "alone", "side"),
    [((40, 22), "reproduced", "all"), ((22, 40), "not reproduced", "none")],
)
def test_an_interval_beside_0_is_not_enough_when_many_claims_were_tried(outcome, alone, side):
    errors = errors_of({"spg_plain": outcome, **NOTHING_ELSE})
    pair = {key: values for key, values in errors.items() if key[0].method in ("spg", "spg_plain")}
    assert judged(pair).loc["spg_beats_plain", "verdict"] == alone
    row = judged(errors).loc["spg_beats_plain"]
    assert row["low"] > 0 or row["high"] < 0
    assert row["verdict"] == "undecided"
    assert (
        f"{side} of it above 0, but p is 0.086 when corrected for 4 claims, so undecided;"
        in row["sentence"]
    )


def test_a_gain_that_stands_the_correction_is_reproduced():
    row = judged(errors_of({"spg_plain": (60, 20), **NOTHING_ELSE})).loc["spg_beats_plain"]
    assert row["verdict"] == "reproduced"
    assert "corrected" not in row["sentence"]


def test_holm_runs_over_the_claims_that_ran_and_power_starts_where_it_does():
    errors = errors_of({"spg_plain": (30, 20), **NOTHING_ELSE, "no_c": (40, 20)})
    table = judged(errors)
    assert list(table.index[table["verdict"] != "not run"]) == JUDGED
    assert table.loc[JUDGED, "p_holm"].tolist() == holm(table.loc[JUDGED, "p_interval"].tolist())
    want = power(0.0201, math.sqrt((50 / 400 - (10 / 400) ** 2) / 400), level=0.05 / 4)
    assert table.loc["spg_beats_plain", "power"] == pytest.approx(want)


def test_seeds_that_disagree_count_in_the_interval_and_not_in_mcnemar():
    """Why the verdict does not rest on McNemar: it asks about these trainings alone."""
    errors = errors_of({"spg_plain": (60, 20)}, seeds=3)
    errors[key_of("spg_plain")][1] = errors_of({"spg_plain": (0, 25)})[key_of("spg_plain")]
    row = judged(errors).loc["spg_beats_plain"]
    assert row["p_mcnemar"] < 1e-3
    assert row["verdict"] == "undecided"


def test_sides_that_agree_on_every_image_promise_nothing():
    row = judged(errors_of({"spg_plain": (0, 0)})).loc["spg_beats_plain"]
    assert row["verdict"] == "undecided"
    assert row["p_mcnemar"] == row["p_holm"] == 1
    assert np.isnan(row["power"])
    assert " With " not in row["sentence"]


def test_a_claim_without_a_reported_number_has_no_power_but_a_size():
    sides = zip(("resnet50", "vgg16"), errors_of({"spg_plain": (50, 20)}).values(), strict=True)
    errors = {
        (Variant(backbone, "cam", "grad_cam"), "selected", "gt_known_loc_err"): values
        for backbone, values in sides
    }
    row = judged(errors).loc["grad_cam_resnet_beats_vgg"]
    assert np.isnan(row["power"])
    least = f"{100 * row['detectable']:.1f} points"
    said = f" With 400 images and 1 seed a gain is seen with probability 0.8 from {least} on."
    assert said in row["sentence"]


def test_where_nothing_ran_the_columns_stand_all_the_same():
    table = claims_table(
        {},
        PAPER,
        PARAMS.comparison,
        Ours("synthetic_birds", "inception_v3", "min_max"),
        seeds_of=PARAMS.seeds_of,
    )
    assert tuple(table.columns) == COLUMNS
    assert set(table["verdict"]) == {"not run"}


def test_the_side_that_did_not_run_is_named():
    table = judged(errors_of({"spg_plain": (50, 20)}))
    name = f"{PARAMS.backbones[0]}/no_c/cam"
    assert table.loc["branch_c_helps", "sentence"] == f"Not run: {name} has no cell here."


def test_sides_are_compared_at_the_seeds_that_both_have():
    """An ablation with fewer seeds, or others, is paired seed by seed and never by position."""
    rng = np.random.default_rng(3)
    full, few = rng.integers(0, 2, (4, 50)).astype(float), rng.integers(0, 2, (2, 50)).astype(float)
    errors = {key_of("spg"): full, key_of("no_c"): few}
    seeds = {"spg": [0, 1, 2, 3], "no_c": [3, 1]}
    row = judged(errors, lambda method: seeds.get(method, [0])).loc["branch_c_helps"]
    assert (row["seeds"], row["images"]) == (2, 50)
    assert row["mean"] == pytest.approx((few[[1, 0]] - full[[1, 3]]).mean())
    none = judged(errors, lambda method: [9] if method == "no_c" else [0, 1, 2, 3])
    assert none.loc["branch_c_helps", "sentence"] == "Not run: its sides have no seed in common."


def test_a_gain_in_what_is_no_error_is_an_increase():
    backbone = PARAMS.backbones[0]
    low, high = np.full((2, 40), 0.25), np.full((2, 40), 0.75)
    spg, plain = Variant(backbone, "spg", "cam"), Variant(backbone, "spg_plain", "cam")
    errors = {
        (spg, "none", "px_ap"): high, (plain, "none", "px_ap"): low,
        (spg, "selected", "covered_background"): high,
        (plain, "selected", "covered_background"): low,
        (plain, "selected", "covered_parts"): high, (plain, "selected", "covered_object"): low,
    }  # fmt: skip
    gains = judged(errors, lambda _: [0, 1])["mean"].dropna()
    assert gains.to_dict() == {
        "spg_raises_px_ap": 0.5, "plain_prefers_parts": 0.5, "spg_spills_less": -0.5
    }  # fmt: skip
