from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest

from spg.compare.paper import Ours, load_paper, stand_in
from spg.compare.variants import Variant
from spg.project.errors import UserError
from spg.project.files import write_json
from spg.project.params import load_params, parse_params, read_yaml
from spg.project.plugins import plugin_names
from spg.project.presets import apply_presets
from spg.tools.check_params import check_params

ROOT = Path(__file__).parents[2]
MAPPING = read_yaml(ROOT / "params.yaml")
DATA = ("datasets", "synthetic_birds")
SETUP = (*DATA, "backbones", "inception_v3")
NAMED = (("variants",), ("ensembles",), ("localization", "extractors"))
# their keys are names
NAMES = (
    ("datasets",), (*DATA, "backbones"), (*DATA, "recipes"), (*DATA, "extractors"), ("protocols",),
    (*SETUP, "train", "optimizer", "layers"), ("pretraining", "train", "optimizer", "layers"),
)  # fmt: skip
TRAIN_OF = tuple(("protocols", name, "train_of") for name in MAPPING["protocols"])
METHODS = tuple(("protocols", name, "methods") for name in MAPPING["protocols"])
# Below these, keys are names of the user's own or may be left out, or have the form of others.
FREE = (
    *NAMED,
    *TRAIN_OF,
    (*DATA, "source", "kind"),
    *(("datasets", name) for name in MAPPING["datasets"] if name != DATA[1]),
    *(
        (*SETUP[:-1], name)
        for name in MAPPING["datasets"][DATA[1]]["backbones"]
        if name != SETUP[-1]
    ),
)


def nodes(tree, path=()):
    """Every key of a mapping, at any depth, as a path."""
    for key, value in tree.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from nodes(value, (*path, key))


def within(tree, path):
    for key in path:
        tree = tree[key]
    return tree


def is_free(path):
    return any(path[: len(start)] == start for start in FREE if path not in (*NAMED, *TRAIN_OF))


def text(path):
    return ".".join(path)


KEYS = [path for path in nodes(MAPPING) if not is_free(path)]
FILLED = apply_presets(MAPPING)
LEAVES = [path for path in KEYS if not isinstance(within(MAPPING, path), dict)]
MAPPINGS = [(), *(path for path in KEYS if isinstance(within(MAPPING, path), dict))]
CLOSED = [path for path in MAPPINGS if path not in (*NAMED, *NAMES, *TRAIN_OF, *METHODS)]


@pytest.fixture
def tree():
    return copy.deepcopy(MAPPING)


def complaint(tree) -> str:
    """The one sentence that a mapping gives rise to."""
    with pytest.raises(UserError) as caught:
        check_params(parse_params(tree, "params.yaml"))
    message = str(caught.value)
    assert message.startswith("params.yaml: ")
    assert "\n" not in message
    return message


def test_the_projects_params_load(params):
    assert params.dataset == "synthetic_birds"
    assert params.all_methods == ["spg_plain", "spg", "no_cascade", "unshared_b", "no_c"]
    assert params.protocol == "paper"
    assert params.guidance.b2.model_dump() == {"low": 0.1, "high": 0.7}
    assert params.guidance.b1.model_dump() == {"low": 0.05, "high": 0.5}
    assert params.guidance.c.model_dump() == {"low": 0.1, "high": 0.7}
    assert len(KEYS) > 60


def test_the_ablations_change_one_switch_each(params):
    base = params.spg_of("spg").model_dump()
    assert base == {"cascade": True, "shared_b": True, "branch_c": True, "b2_input": "a2"}
    switches = {"no_cascade": "cascade", "unshared_b": "shared_b", "no_c": "branch_c"}
    for variant, switch in switches.items():
        assert params.spg_of(variant).model_dump() == base | {switch: False}
        assert params.method_module(variant) == "spg"
    assert params.method_module("spg_plain") == "spg_plain"


@pytest.mark.parametrize("path", KEYS, ids=text)
def test_a_missing_key_is_named(tree, path):
    del within(tree, path[:-1])[path[-1]]
    if path[:-1] == ("protocols",) and path[-1] != MAPPING["protocol"]:
        parse_params(tree, "a reading that nobody asks for may be missing")
        return
    message = complaint(tree)
    if path == DATA:  # a data set is missing where its name is used
        others = "['cub', 'ilsvrc', 'imagenette', 'openimages30k', 'photos']"
        assert f"dataset: 'synthetic_birds' is not one of {others}" in message
    elif path == ("protocols", MAPPING["protocol"]):
        assert " protocol: 'paper' is not one of ['official', 'wsolevaluation']" in message
    elif path == SETUP:
        assert f" {text(SETUP[:-1])} lacks: 'inception_v3' is not one of" in message
    else:
        assert f" {text(path)}: this key is missing" in message


@pytest.mark.parametrize("path", CLOSED, ids=text)
def test_an_unknown_key_is_named(tree, path):
    within(tree, path)["nonsense"] = 1
    assert f" {text((*path, 'nonsense'))}: no such key" in complaint(tree)


def test_a_variant_may_change_nothing_but_the_switches(tree):
    tree["variants"]["no_c"]["dropout"] = 0.5
    assert " variants.no_c.dropout: no such key" in complaint(tree)


@pytest.mark.parametrize("path", LEAVES, ids=text)
@pytest.mark.parametrize("wrong", [None, {"a": 1}, [[1]], "Nonsense!"], ids=repr)
def test_a_value_of_a_wrong_kind_is_named(tree, path, wrong):
    within(tree, path[:-1])[path[-1]] = wrong
    if wrong is None and path[-1] == "short_side":
        pytest.skip("null keeps the images' size")
    if wrong is None and path[-1] == "recipe":
        pytest.skip("null: the backbones say all themselves")
    if wrong is None and path[-1] == "folds":
        pytest.skip("null: no threshold is cross-fitted")
    if wrong is None and within(apply_presets(tree), path) is not None:
        pytest.skip("null means: as `protocol` has it")
    assert f" {text(path)}" in complaint(tree)


@pytest.mark.parametrize(
    "path",
    [path for path in LEAVES if not isinstance(within(FILLED, path), (str, list))],
    ids=text,
)
def test_a_number_in_quotes_and_a_boolean_number_are_refused(tree, path):
    value = within(apply_presets(tree), path)
    for wrong in (str(value), 1 if isinstance(value, bool) else True):
        within(tree, path[:-1])[path[-1]] = wrong
        assert f" {text(path)}" in complaint(tree)


NUMBERS = [
    (("guidance", "b2", "low"), 0.0),
    (("guidance", "b2", "high"), 1.0),
    (("guidance", "minimum_foreground", "pixels"), -1),
    (("guidance", "minimum_foreground", "fraction_of_max"), 1.5),
    (("evaluation", "map_threshold"), 0.0),
    (("evaluation", "iou_threshold"), 1.0),
    (("sweep", "thresholds"), 1),
    (("comparison", "resamples"), 99),
    (("comparison", "confidence"), 1.0),
    ((*SETUP, "train", "dropout"), 1.0),
    ((*SETUP, "train", "dropout"), -0.1),
    ((*SETUP, "stem", "stride"), 4),
    ((*SETUP, "input", "aspect"), "stretch"),
    (("sweep", "protocol"), "cam"),
    ((*SETUP, "stem", "width"), 0.3),
    ((*SETUP, "stem", "width"), 0.0),
    ((*SETUP, "stem", "width"), 1.0625),
    ((*SETUP, "train", "epochs"), 0),
    ((*SETUP, "train", "batch_size"), 1),
    ((*SETUP, "train", "optimizer", "stem_lr"), 0.0),
    ((*SETUP, "train", "optimizer", "new_lr"), float("inf")),
    ((*SETUP, "train", "optimizer", "new_lr"), float("nan")),
    ((*SETUP, "train", "optimizer", "weight_decay"), -0.1),
    ((*SETUP, "train", "optimizer", "name"), "adam"),
    ((*SETUP, "train", "schedule"), "cosine"),
    ((*DATA, "source", "classes"), 21),
    ((*DATA, "source", "side"), 31),
    ((*DATA, "prepare", "holdout_per_class"), -1),
    ((*SETUP, "mask_side"), 7),
    (("spg", "b2_input"), "a1"),
    (("cam", "head"), "two"),
    (("has", "patches"), []),
    (("has", "patches"), [225]),
    (("has", "patches"), [-1]),
    (("has", "hidden"), 1.0),
    (("sweep", "graph_cut", "background"), 0.0),
    (("sweep", "graph_cut", "foreground"), 1.0),
    (("ensembles", "dpn_ensemble"), ["dpn92"]),
    (("seeds",), []),
    (("seeds",), [-1]),
    (("seeds",), [0.5]),
    (("methods",), []),
    (("methods",), ["Spg Plain"]),
    (("localization", "extractors", "spg"), []),
]


@pytest.mark.parametrize(("path", "value"), NUMBERS, ids=lambda item: str(item))
def test_a_value_out_of_range_is_named(tree, path, value):
    within(tree, path[:-1])[path[-1]] = value
    assert f" {text(path)}" in complaint(tree)


@pytest.mark.parametrize("pair", ["b1", "b2", "c"])
@pytest.mark.parametrize("low", [0.7, 0.9])
def test_low_must_be_below_high(tree, pair, low):
    tree["guidance"][pair] = {"low": low, "high": 0.7}
    assert f" guidance.{pair}: low {low} must be smaller than high 0.7" in complaint(tree)


def test_the_quantiles_of_graph_cut_are_ordered(tree):
    tree["sweep"]["graph_cut"] |= {"background": 0.5, "foreground": 0.5}
    said = " sweep.graph_cut: background 0.5 must be smaller than foreground 0.5"
    assert said in complaint(tree)


def test_an_ensemble_has_a_name_of_its_own(tree):
    tree |= {"external_classifier": ["dpn92"], "ensembles": {"dpn92": ["dpn92", "dpn98"]}}
    assert "ensembles: 'dpn92' is the name of a classifier already" in complaint(tree)
    tree |= {"external_classifier": ["dpn92", "dpn92"], "ensembles": {}}
    assert "external_classifier: ['dpn92', 'dpn92'] names something twice" in complaint(tree)


@pytest.mark.parametrize("owner", [SETUP, ("pretraining",)], ids=text)
def test_a_crop_must_fit_the_image(tree, owner):
    within(tree, owner)["input"] |= {"resize": 96, "crop": 97}
    assert f" {text(owner)}.input: crop 97 must not exceed resize 96" in complaint(tree)
    within(tree, owner)["input"] |= {"resize": 96, "crop": 96}
    parse_params(tree, "params.yaml")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("dataset", "cub200", "dataset: 'cub200' is not one of ['cub', 'ilsvrc', 'imagenette', "),
        ("backbones", ["vgg"], "datasets.synthetic_birds.backbones lacks: 'vgg' is not one of"),
        ("guided", ["spg", "no_d"], "guided: 'no_d' is not one of"),
        ("methods", ["attdrop"], "localization.extractors lacks: 'attdrop'"),
        ("seeds", [0, 1, 0], "seeds: [0, 1, 0] names something twice"),
        ("backbones", ["inception_v3"] * 2, "backbones: "),
        ("methods", ["spg_plain", "spg_plain"], "names something twice"),
        ("methods", ["spg_plain", "spg"], "names something twice"),
    ],
)
def test_names_must_exist_and_stand_once(tree, key, value, message):
    tree[key] = value
    assert message in complaint(tree)


def test_a_data_set_may_take_other_maps_of_a_method(params, tree):
    assert params.extractors_of("cub", "cam") == ["cam"]
    assert params.extractors_of("ilsvrc", "cam") == ["cam", "grad_cam", "backprop"]
    assert params.extractors_of("cub", "spg") == ["cam"]
    tree["datasets"]["cub"]["extractors"] = {"telepathy": ["cam"]}
    assert "datasets.cub.extractors: 'telepathy' is not one of" in complaint(tree)
    tree["datasets"]["cub"]["extractors"] = {"cam": ["telepathy"]}
    assert "extractor 'telepathy' has no file" in complaint_of_plugins(tree)


def complaint_of_plugins(tree) -> str:
    with pytest.raises(UserError) as caught:
        check_params(parse_params(tree, "params.yaml"))
    return str(caught.value)


def test_a_backbone_needs_settings_for_the_data_set(params):
    assert params.setup("cub", "efficientnet_lite0").input.crop == 160
    assert params.setup("cub", "inception_v3").input.crop == 224
    assert params.setup("ilsvrc", "inception_v3").input.crop == 321
    with pytest.raises(UserError, match=r"^params\.yaml: datasets\.cub\.backbones has no 'vgg'"):
        params.setup("cub", "vgg")


def test_a_method_without_extractors_is_named(tree):
    del tree["localization"]["extractors"]["no_c"]
    assert "localization.extractors lacks: 'no_c'" in complaint(tree)


@pytest.mark.parametrize("value", [None, [], "text", 3])
def test_a_file_that_is_no_mapping_is_one_sentence(value):
    complaint(value)


def test_several_mistakes_are_counted(tree):
    tree["sweep"]["thresholds"] = 0
    tree["report"]["digits"] = 9
    assert "(1 more after this one)" in complaint(tree)


def test_a_duplicate_key_is_refused(tmp_path):
    path = tmp_path / "params.yaml"
    content = (ROOT / "params.yaml").read_text(encoding="utf-8")
    path.write_text(content + "\nsweep:\n  thresholds: 9\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"params\.yaml: not readable as YAML: .*sweep"):
        load_params(path)


@pytest.mark.parametrize(
    "content",
    [b"a: [1", b"\ta: 1", b"\xff\xfe\xff", b"a: 1\n  b: 2", b"[" * 5000, b"a: " + b"9" * 5000],
)
def test_a_file_that_is_no_yaml_is_one_sentence(tmp_path, content):
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"^params\.yaml: not readable as YAML"):
        load_params(path)


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load_params(tmp_path / "params.yaml")


def test_params_cannot_be_changed(params):
    with pytest.raises(ValueError, match="frozen"):
        params.guidance.b1.low = 0.2


# ---- paper.yaml ----


@pytest.fixture(scope="module")
def paper():
    return load_paper(ROOT / "paper.yaml")


@pytest.mark.parametrize(
    ("method", "value"),
    [
        ("spg", 35.31),
        ("spg_plain", 37.32),
        ("no_cascade", 35.58),
        ("unshared_b", 36.31),
        ("no_c", 36.06),
    ],
)
def test_the_reported_gt_known_errors(paper, method, value):
    found = {
        result.value
        for result in paper.results
        if result.method == method and result.metric == "gt_known_loc_err"
    }
    assert found == {value}


@pytest.mark.parametrize(
    ("dataset", "method", "top1", "top5"),
    [
        ("ilsvrc", "spg", 51.40, 40.00),
        ("ilsvrc", "spg_plain", 53.71, 41.81),
        ("cub", "spg", 53.36, 42.28),
        ("cub", "spg_plain", 56.33, 46.47),
    ],
)
def test_the_reported_localization_errors(paper, dataset, method, top1, top5):
    found = {
        result.metric: result.value
        for result in paper.results
        if (result.dataset, result.row)
        == (dataset, {"spg": "SPG", "spg_plain": "SPG-plain"}[method])
    }
    assert (found["top1_loc_err"], found["top5_loc_err"]) == (top1, top5)


def test_the_claims_compare_what_stands_in_the_tables(paper):
    gains = {claim.id: paper.reported_gain(claim) for claim in paper.claims}
    assert gains == {
        "spg_beats_plain": 2.01,
        "cascade_helps": 0.27,
        "sharing_helps": 1.00,
        "branch_c_helps": 0.75,
        "spg_beats_gap": 6.03,
        "spg_beats_has": 4.12,
        "spg_beats_acol": 1.73,
        "grad_cam_resnet_beats_vgg": None,
        "cub_spg_beats_plain": 2.97,
        "cub_spg_beats_gap": 5.64,
        "cub_spg_beats_acol": 0.72,
        "spg_raises_px_ap": None,
        "spg_raises_max_box_acc_v2": None,
        "plain_prefers_parts": None,
        "spg_covers_more": None,
        "spg_spills_less": None,
    }
    results = {result.id: result for result in paper.results}
    for claim in paper.claims:
        if claim.reported is not None:
            sides = (claim.reported.better, claim.reported.worse)
            assert [results[side].metric for side in sides] == [claim.metric] * 2
            assert [results[side].method for side in sides] == [
                claim.better.method, claim.worse.method
            ]  # fmt: skip


def test_what_the_paper_names_of_ours_exists(paper, params):
    """Methods, extractors, backbones and classifiers: any row is one line of params.yaml away."""
    kinds = ("method", "backbone", "extractor", "classifier")
    ours = {kind: set(plugin_names(kind)) for kind in kinds}
    for result in paper.results:
        assert result.method in {None, *ours["method"], *params.variants}
        assert result.method is None or result.method in params.localization.extractors
        assert result.extractor in ours["extractor"]
        assert result.backbone in {None, "mean", *ours["backbone"]}
        assert result.classifier in {None, *ours["classifier"], *params.ensembles}
    used = {result.method for result in paper.results}
    assert used >= ours["method"], "each method has a row in the tables"


def test_a_row_has_a_method_or_a_reason(paper, tmp_path):
    def forget(mapping):
        next(row for row in mapping["results"] if row["method"] is None).pop("missing")

    with pytest.raises(UserError, match="t1_alexnet_gap_top1_loc: has either a method or"):
        load_paper(changed_paper(tmp_path, forget))


MIN_MAX = "inception_v3", "min_max"


@pytest.mark.parametrize(
    ("variant", "metric", "classifier", "found"),
    [
        (("inception_v3", "spg", "cam"), "gt_known_loc_err", None, "t4_spg_gt_known"),
        (("vgg16", "acol", "cam"), "top1_loc_err", None, "t1_vgg_acol_top1_loc"),
        (("inception_v3", "acol", "cam"), "top1_loc_err", None, "t1_googlenet_acol_top1_loc"),
        (("resnet50", "acol", "cam"), "top1_loc_err", None, None),  # GoogLeNet's stands elsewhere
        (("vgg16", "cam", "backprop"), "top5_loc_err", None, "t1_backprop_vgg_top5_loc"),
        (("inception_v3", "spg", "cam"), "top1_cls_err", "dpn92", "t3_dpn92_top1_cls"),
        (("inception_v3", "spg", "cam"), "top1_cls_err", None, None),
        (("vgg16", "cam", "grad_cam"), "gt_known_loc_err", None, None),
    ],
)
def test_ours_stands_beside_the_row_of_its_backbone(paper, variant, metric, classifier, found):
    for dataset in ("ilsvrc", None):
        ours = Ours(dataset, *MIN_MAX)
        result = paper.find(Variant(*variant), metric, ours, classifier=classifier)
        assert (result and result.id) == found


@pytest.mark.parametrize(
    ("variant", "metric", "found"),
    [
        (("inception_v3", "spg", "cam"), "top1_loc_err", "t2_spg_top1_loc"),
        (("inception_v3", "spg", "cam"), "top5_loc_star_err", "t2_spg_star_top5_loc"),
        (("inception_v3", "acol", "cam"), "top5_loc_err", "t2_acol_top5_loc"),
        (("vgg16", "acol", "cam"), "top5_loc_err", None),
        (("inception_v3", "cam", "cam"), "top5_loc_err", None),  # a dash in the paper
        (("inception_v3", "spg", "cam"), "gt_known_loc_err", None),  # ILSVRC has one
        (("inception_v3", "no_c", "cam"), "gt_known_loc_err", None),
    ],
)
def test_on_cub_only_cubs_numbers_stand_beside_ours(paper, variant, metric, found):
    result = paper.find(Variant(*variant), metric, Ours("cub", *MIN_MAX))
    assert (result and result.id) == found


@pytest.mark.parametrize(
    ("kind", "classes", "found"),
    [
        ("cub", 200, "cub"),
        ("ilsvrc", 1000, "ilsvrc"),
        ("ilsvrc", 10, None),  # a part of it: its errors are lower
        ("cub", 199, None),
        ("imagenette", 10, None),
        ("synthetic_birds", 200, None),
    ],
)
def test_a_data_set_is_the_papers_by_source_and_classes(paper, kind, classes, found):
    assert paper.whole(kind, classes) == found
    assert paper.stands_beside(found, "top1_loc_err") == (found or "ilsvrc")


def test_an_accuracy_stands_beside_one_of_the_same_images_and_normalization(paper):
    cam = Variant("inception_v3", "cam", "cam")

    def value(metric, dataset, normalization):
        found = paper.find(cam, metric, Ours(dataset, "vgg16", normalization))
        return found and (found.dataset, found.normalization, found.metric)

    assert paper.whole("openimages30k", 100) == "openimages30k"
    for normalization in ("min_max", "pas"):
        assert value("px_ap", "openimages30k", normalization) == (
            "openimages30k", normalization, "px_ap"
        )  # fmt: skip
    assert value("px_ap", "cub", "min_max") is None
    assert value("max_box_acc_v2", "cub", "ivr") == ("cub", "ivr", "max_box_acc_v2")
    assert value("max_box_acc_v2", None, "max") == ("ilsvrc", "max", "max_box_acc_v2")


def test_the_papers_network_is_inception_where_it_ran():
    assert stand_in(["vgg16", "inception_v3", "resnet50"]) == "inception_v3"
    assert stand_in(["vgg16", "resnet50"]) == "vgg16"


def test_a_claim_about_one_data_set_is_asked_there_alone(paper):
    own = [claim.id for claim in paper.claims if claim.dataset]
    assert own == ["cub_spg_beats_plain", "cub_spg_beats_gap", "cub_spg_beats_acol"]
    assert [claim.id for claim in paper.claims_on("cub")] == [claim.id for claim in paper.claims]
    for dataset in ("ilsvrc", None):
        asked = [claim.id for claim in paper.claims_on(dataset)]
        assert asked == [claim.id for claim in paper.claims if claim.id not in own]
    places = {claim.id: paper.reported_on(claim) for claim in paper.claims}
    assert {places[name] for name in own} == {"cub"}
    assert {places[claim.id] for claim in paper.claims if not claim.dataset} == {"ilsvrc", None}


def changed_paper(tmp_path, change):
    mapping = read_yaml(ROOT / "paper.yaml")
    change(mapping)
    path = tmp_path / "paper.yaml"
    write_json(path, mapping)
    return path


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: m["results"].append(m["results"][0]), "stands twice"),
        (lambda m: m["claims"][0].update(id=m["results"][0]["id"]), "stands twice"),
        (lambda m: m["claims"][0]["reported"].update(better="t9_nothing"), "cites 't9_nothing'"),
        (lambda m: m["claims"][0]["reported"].update(better="cascade_helps"), "no such result"),
        (lambda m: m["claims"][0].update(dataset="birds"), "is about 'birds', which `datasets`"),
        (
            lambda m: m["claims"][0]["reported"].update(worse="t2_spg_plain_top1_loc"),
            "two data sets",
        ),
        (lambda m: m["results"][0].update(value=101.0), r"results\.0\.value"),
        (lambda m: m["results"][0].update(status="likely"), r"results\.0\.status"),
        (lambda m: m["results"][0].update(metric="accuracy"), r"results\.0\.metric"),
        (lambda m: m["results"][0].pop("note"), r"results\.0\.note: this key is missing"),
        (lambda m: m.update(year=2018), "year: no such key"),
    ],
)
def test_a_mistake_in_the_paper_is_one_sentence(tmp_path, change, reason):
    path = changed_paper(tmp_path, change)
    with pytest.raises(UserError, match=rf"^{re.escape(str(path))}: .*{reason}"):
        load_paper(path)


@pytest.mark.parametrize("kind", ["cub", "ilsvrc"])
def test_a_downloaded_source_has_no_keys_of_a_drawn_one(tree, kind):
    birds = within(tree, DATA)
    tree["datasets"]["real"] = {**birds, "source": {"kind": kind, "fullsup": "none"}}
    parse_params(tree, "params.yaml")
    tree["datasets"]["real"]["source"]["classes"] = 10
    assert " datasets.real.source.classes: no such key" in complaint(tree)


def test_a_misspelt_key_is_named_before_the_one_that_is_missing_for_it(mapping):
    changed = copy.deepcopy(mapping)
    rule = changed["datasets"]["cub"]["prepare"]
    rule["holdout_per_klass"] = rule.pop("holdout_per_class")
    with pytest.raises(UserError, match=r"prepare\.holdout_per_klass: no such key"):
        parse_params(changed, "")
