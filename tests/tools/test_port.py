"""Published checkpoints as cells: in, used like any other, and out again."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from functools import partial
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from formula import OFFICIAL_CASES, images_by_formula, summary, value_by_formula
from safetensors.torch import load_file
from test_layouts import STATE_DICTS, WNIDS, Bomb, our_names, published, same_bits
from tiny import sharing, with_setup

import spg.tools.checkpoints.exchange
from spg.cli import main
from spg.localize.maps import find_extractors, localize_batch
from spg.networks.methods.spg.guidance import attention_map
from spg.networks.parts.build import build_network
from spg.networks.parts.model_file import load_model
from spg.project.errors import UserError
from spg.project.files import read_json, write_json
from spg.project.params import parse_params
from spg.project.workspace import Cell, Workspace
from spg.tools.checkpoints.exchange import export_checkpoint, import_checkpoint
from spg.tools.checkpoints.names import published_names
from spg.tools.checkpoints.torch_file import parse_state_dict

OFFICIAL = "official inception_v3 spg"
CASE = next(
    case
    for case in OFFICIAL_CASES
    if case["input_size"] == 224 and case["batchnorm"] != "batch statistics"
    and not case["align_corners"]
)  # fmt: skip


def with_classes(key: str, count: int) -> dict[str, list[int]]:
    """Names and shapes of a published state dict for another number of classes."""
    return {
        name: [count if side == 200 else side for side in shape] for name, shape in STATE_DICTS[key]
    }


def hollow(key: str, count: int = 200) -> OrderedDict[str, torch.Tensor]:
    """A state dict of the published shapes that takes no room: every tensor is one number."""
    state = OrderedDict()
    for name, shape in with_classes(key, count).items():
        one = torch.tensor(0 if name.endswith("num_batches_tracked") else 0.5)
        state[name] = one.expand(shape)
    return state


def save(path: Path, tree: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(tree, path)
    return path


def read(path: Path) -> dict[str, torch.Tensor]:
    return parse_state_dict(path.read_bytes(), path)


def run(*arguments: object):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The authors' checkpoint by formula, as their PyTorch wrote it: without counters."""
    state = OrderedDict(
        (f"module.{name}", value_by_formula(CASE["salt"], name, torch.Size(shape)))
        for name, shape in STATE_DICTS[OFFICIAL]
        if not name.endswith("num_batches_tracked")
    )
    return save(tmp_path_factory.mktemp("official") / "in.pth.tar", {"state_dict": state})


@pytest.fixture(scope="module")
def official_params(mapping):
    return parse_params({**mapping, "protocol": "official"}, "official")


@pytest.fixture(scope="module")
def imported(whole, official_params, tmp_path_factory) -> tuple[Workspace, Cell]:
    workspace = Workspace(tmp_path_factory.mktemp("imported"))
    cell = Cell("cub", "inception_v3", "spg", 0)
    found = import_checkpoint(workspace, official_params, "official", whole, workspace.run(cell))
    assert found == cell
    return workspace, cell


# ---- the authors' network at its full size ----


def test_an_imported_checkpoint_localizes_as_the_authors_code_did(imported, official_params):
    workspace, cell = imported
    model, _ = build_network(official_params, cell, CASE["num_classes"])
    load_model(workspace.run(cell) / "model.safetensors", model.eval())
    images, labels = images_by_formula(CASE), torch.tensor(CASE["labels"])
    seen = []
    model.register_forward_hook(lambda _model, _images, outputs: seen.append(outputs))
    extractors = find_extractors(official_params.localization.extractors["spg"])
    scores, maps = localize_batch(model, extractors, images, labels, precision="float32", crop=None)
    (outputs,) = seen
    alone = torch.zeros(len(labels), dtype=torch.int64)  # each map is of one class
    attention = attention_map(
        torch.from_numpy(maps["cam"])[:, None],
        alone,
        224,
        align_corners=False,
        normalize_first=False,
    )
    tensors = {
        "logits": outputs.logits,
        "attention": attention,
        "b1_logits": outputs.b1,
        "b2_logits": outputs.b2,
        "c_logits": outputs.c,
    }
    for name, tensor in tensors.items():
        for key, value in summary(tensor, CASE[name]["index"]).items():
            assert value == pytest.approx(CASE[name][key], rel=1e-3, abs=1e-4), (name, key)
    assert scores["top1"].tolist() == outputs.logits.argmax(dim=1).tolist()


def test_export_after_import_returns_the_same_tensors_bit_for_bit(
    imported, whole, official_params, tmp_path
):
    workspace, cell = imported
    export_checkpoint(official_params, "official", workspace.run(cell), tmp_path / "out.pth")
    assert same_bits(read(tmp_path / "out.pth"), read(whole))
    loaded = torch.load(tmp_path / "out.pth", weights_only=True)
    assert list(loaded) == ["state_dict"]


def test_the_provenance_says_what_was_imported_and_what_was_filled(imported, whole):
    workspace, cell = imported
    facts = read_json(workspace.run(cell) / "provenance.json")
    assert facts["cell"] == {"dataset": "cub", "backbone": "inception_v3", "method": "spg",
                             "seed": 0}  # fmt: skip
    assert facts["classes"][::199] == ["class 0", "class 199"]
    counters = [n for n, _ in STATE_DICTS[OFFICIAL] if n.endswith("num_batches_tracked")]
    assert facts["imported"] == {
        "layout": "official",
        "sha256": hashlib.sha256(whole.read_bytes()).hexdigest(),
        "label_order": "sorted",
        "filled": [f"stem.{name}" for name in counters],
    }
    assert str(workspace.root) not in json.dumps(facts)
    state = load_file(workspace.run(cell) / "model.safetensors")
    assert {int(state[f"stem.{name}"]) for name in counters} == {0}


def test_one_layouts_checkpoint_leaves_in_the_others(imported, official_params, tmp_path):
    """The authors' network is wsolevaluation's too: the same tensors under other names."""
    workspace, cell = imported
    path = workspace.run(cell) / "model.safetensors"
    export_checkpoint(official_params, "wsolevaluation", path, tmp_path / "out.pth")
    loaded = torch.load(tmp_path / "out.pth", weights_only=True)
    assert loaded["architecture"] == "inception_v3"
    key = "wsolevaluation inception_v3 spg"
    wanted = [name for name, _ in STATE_DICTS[key] if not name.endswith("num_batches_tracked")]
    assert list(loaded["state_dict"]) == wanted
    b2 = value_by_formula(CASE["salt"], "side4.0.weight", torch.Size([512, 768, 3, 3]))
    assert torch.equal(loaded["state_dict"]["SPG_B_2a.0.weight"], b2)


# ---- a cell of a project, by the command line ----


@pytest.fixture(scope="module")
def wide_mapping(tiny_mapping):
    setup = tiny_mapping["datasets"]["synthetic_birds"]["backbones"]["inception_v3"]
    mapping = with_setup(tiny_mapping, stem={**setup["stem"], "width": 1.0})
    del mapping["datasets"]["cub"]
    return mapping


@pytest.fixture
def project(tiny_workspace, tmp_path, monkeypatch, wide_mapping) -> Workspace:
    workspace = sharing(tiny_workspace, tmp_path, "data")
    write_json(workspace.params_file, wide_mapping)
    monkeypatch.chdir(tmp_path)
    return workspace


def test_an_imported_cell_goes_through_every_stage_and_out_again(project):
    generator = torch.Generator().manual_seed(0)
    state = OrderedDict(
        (name, torch.zeros(shape) if name.endswith(("bias", "mean")) else torch.ones(shape))
        for name, shape in with_classes(OFFICIAL, 3).items()
    )
    for name, tensor in state.items():
        if tensor.ndim == 4:
            fan = tensor.shape[1:].numel()
            state[name] = torch.randn(tensor.shape, generator=generator) * (2 / fan) ** 0.5
        elif name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(12)
    source = save(project.root / "in.pth", {"state_dict": state, "epoch": 3})
    cell = Cell("synthetic_birds", "inception_v3", "spg", 7)
    folder = project.run(cell).relative_to(project.root)
    options = ["--layout", "official"]
    which = ["--dataset", cell.dataset, "--seed", cell.seed]
    result = run("import-checkpoint", *options, source, folder, *which)
    assert result.exit_code == 0, result.output
    assert f"belongs into {folder}" in result.output
    facts = read_json(folder / "provenance.json")
    assert len(facts["classes"]) == 3
    assert facts["classes"] == sorted(
        path.name for path in (project.root / "data/raw/synthetic_birds/images").iterdir()
    )
    for stage in ("localize", "sweep", "evaluate"):
        result = run(stage, *which, "--method", "spg")
        assert result.exit_code == 0, result.output
    metrics = read_json(project.evaluation(cell) / "metrics.json")
    assert 0 <= metrics["cam"]["selected"]["gt_known_loc_err"] <= 1

    for name in ("out.pth", "again.pt"):
        result = run("export-checkpoint", *options, folder, name)
        assert result.exit_code == 0, result.output
    assert same_bits(read(Path("out.pth")), state)
    assert Path("out.pth").read_bytes() == Path("again.pt").read_bytes()

    facts.pop("imported")  # as a training writes it, here of an ablation with the same branches
    write_json(folder / "provenance.json", {**facts, "cell": {**facts["cell"],
                                                              "method": "no_cascade"}})  # fmt: skip
    result = run("export-checkpoint", *options, folder / "model.safetensors", "trained.pth")
    assert result.exit_code == 0, result.output
    assert Path("trained.pth").read_bytes() == Path("out.pth").read_bytes()

    again = run("import-checkpoint", *options, source, folder, *which)
    assert again.exit_code == 2
    assert "model.safetensors: is there already" in again.stderr


# ---- what is refused, whole ----


@pytest.fixture(scope="module")
def cached_networks():
    """Networks that are built once: a refused import never fills one."""
    built = {}

    def build(params, cell, num_classes):
        if (cell, num_classes) not in built:
            with torch.device("meta"):
                built[cell, num_classes] = build_network(params, cell, num_classes)
        return built[cell, num_classes]

    return build


def drop(name, state):
    del state[name]


def put(name, value, state):
    state[name] = value


def rename(state):
    for name in [name for name in state if name.startswith("side_all")]:
        state[name.replace("side_all", "sides")] = state.pop(name)


BIAS = "side3.0.bias"
DAMAGES = {
    "a key lacks": (partial(drop, BIAS), "it lacks side3.0.bias (float32 [512])"),
    "a key too many": (
        partial(put, "AuxLogits.fc.bias", torch.zeros(9)),
        "it has 'AuxLogits.fc.bias' (float32 [9])",
    ),
    "another shape": (
        partial(put, BIAS, torch.zeros(511)),
        "it has side3.0.bias as float32 [511], not float32 [512]",
    ),
    "half precision": (
        partial(put, BIAS, torch.zeros(512, dtype=torch.float16)),
        "it has side3.0.bias as float16 [512], not float32 [512]",
    ),
    "double precision": (
        partial(put, BIAS, torch.zeros(512, dtype=torch.float64)),
        "float64 [512], not float32 [512]",
    ),
    "counters that are no integers": (
        partial(put, "Mixed_6e.branch_pool.bn.num_batches_tracked", torch.tensor(1.0)),
        "has Mixed_6e.branch_pool.bn.num_batches_tracked as float32 [], not int64 []",
    ),
    "a sparse tensor": (
        partial(put, BIAS, torch.zeros(512).to_sparse()),
        "float32 [512] without a plain storage, not float32 [512]",
    ),
    "another head": (
        lambda state: [drop(name, state) for name in list(state) if name.startswith("classier")],
        "has no classier_1.weight, so it is no inception_v3 with spg of layout official",
    ),
    "many names": (rename, "it lacks side_all.0.weight (float32 [512, 512, 3, 3]), lacks side_all"),
    "no backbone": (lambda state: state.clear(), "holds no state dict"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_does_not_fit_is_one_sentence_and_nothing_is_written(
    name, project, monkeypatch, cached_networks
):
    monkeypatch.setattr(spg.tools.checkpoints.exchange, "build_network", cached_networks)
    change, said = DAMAGES[name]
    state = hollow(OFFICIAL, 3)
    change(state)
    source = save(project.root / "in.pth", {"state_dict": state})
    result = run(
        "import-checkpoint", "--layout", "official", source, "runs/x", "--dataset",
        "synthetic_birds",
    )  # fmt: skip
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not Path("runs").exists()


def test_of_many_mismatches_ten_are_listed_and_the_others_counted(
    project, params, monkeypatch, cached_networks
):
    monkeypatch.setattr(spg.tools.checkpoints.exchange, "build_network", cached_networks)
    state = hollow(OFFICIAL)
    for name in [name for name in state if name.startswith("Mixed_6d")]:
        del state[name]
    lacking = sum(
        name.startswith("Mixed_6d") and not name.endswith("num_batches_tracked")
        for name, _ in STATE_DICTS[OFFICIAL]
    )
    source = save(project.root / "in.pth", state)
    with pytest.raises(UserError) as refused:
        import_checkpoint(project, params, "official", source, project.root / "out")
    assert str(refused.value).count("lacks") == 10
    assert f", and {lacking - 10} more; see that `protocol`" in str(refused.value)


def test_a_checkpoint_that_would_run_code_is_refused_and_did_not_run(project):
    target = project.root / "ran"
    state = {**hollow(OFFICIAL, 3), "bomb": Bomb(target)}
    for number, zipped in enumerate((True, False)):
        source = project.root / f"{number}.pth"
        torch.save({"state_dict": state}, source, _use_new_zipfile_serialization=zipped)
        result = run("import-checkpoint", "--layout", "official", source, "out")
        assert result.exit_code == 2
        assert "refused" in result.stderr
        assert "mkdir" in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert not target.exists()
        assert not Path("out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--layout", "official", "nowhere.pth", "out"], "nowhere.pth: No such file"),
        (["--layout", "official", "data", "out"], "data: Is a directory"),
        (
            ["--layout", "official", "params.yaml", "out"],
            "params.yaml: is no checkpoint but a text",
        ),
        (["--layout", "wsolevaluation", "in.pth", "out"], "has no SPG_A4.weight, so it is no"),
        (["--layout", "official", "in.pth", "out"], "3 classes do not tell which of"),
        (["--layout", "official", "in.pth", "out", "--dataset", "moon"], "has no 'moon'"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_2(project, arguments, said):
    save(project.root / "in.pth", hollow(OFFICIAL, 3))
    result = run("import-checkpoint", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not Path("out").exists()


def test_params_that_do_not_describe_the_network_are_named(project, wide_mapping, tmp_path):
    source = save(tmp_path / "in.pth", hollow(OFFICIAL, 3))
    stem = wide_mapping["datasets"]["synthetic_birds"]["backbones"]["inception_v3"]["stem"]
    for change, said in (
        ({"width": 0.25}, "published networks have datasets.synthetic_birds.backbones."
                          "inception_v3.stem.width 1.0, not 0.25"),
        ({"stride": 16}, "has maps of stride 8; set datasets.synthetic_birds.backbones."
                         "inception_v3.stem.stride to it"),
    ):  # fmt: skip
        params = parse_params(with_setup(wide_mapping, stem={**stem, **change}), "changed")
        with pytest.raises(UserError, match=said):
            import_checkpoint(
                project, params, "official", source, tmp_path / "out", dataset="synthetic_birds"
            )


def test_a_cell_that_no_layout_has_is_not_exported(project, wide_mapping, tmp_path):
    params = parse_params(wide_mapping, "wide")
    folder = tmp_path / "run"
    facts = {
        "cell": {"dataset": "synthetic_birds", "backbone": "inception_v3", "method": "spg_plain",
                 "seed": 0},
        "classes": ["a", "b", "c"],
        "params": {"spg": None, "setup": {"stem": {"stride": 8}}},
        "machine": {}, "packages": {},
    }  # fmt: skip
    write_json(folder / "provenance.json", facts)
    with pytest.raises(UserError, match="layout official has no inception_v3 with spg_plain"):
        export_checkpoint(params, "official", folder, tmp_path / "out.pth")
    write_json(folder / "provenance.json", {"cell": {}})
    with pytest.raises(UserError, match=r"provenance\.json: not the record of a trained cell"):
        export_checkpoint(params, "official", folder, tmp_path / "out.pth")
    with pytest.raises(UserError, match=r"provenance\.json: no such file"):
        export_checkpoint(params, "official", tmp_path / "none", tmp_path / "out.pth")
    assert not (tmp_path / "out.pth").exists()


def test_a_cell_is_not_exported_over_itself(params, tmp_path):
    model = tmp_path / "run/model.safetensors"
    model.parent.mkdir()
    model.write_bytes(b"the cell")
    with pytest.raises(UserError, match="is the cell itself; export it to another file"):
        export_checkpoint(params, "official", tmp_path / "run", model)
    assert model.read_bytes() == b"the cell"


def test_a_torn_import_is_no_cell_and_may_be_repeated(
    params, tmp_path, monkeypatch, cached_networks
):
    def cut(path, model):
        raise KeyboardInterrupt

    monkeypatch.setattr(spg.tools.checkpoints.exchange, "build_network", cached_networks)
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", lambda *_: None)
    source, output = save(tmp_path / "in.pth", hollow(OFFICIAL)), tmp_path / "out"
    monkeypatch.setattr(spg.tools.checkpoints.exchange, "save_model", cut)
    with pytest.raises(KeyboardInterrupt):
        import_checkpoint(Workspace(tmp_path), params, "official", source, output)
    assert not list(output.glob("*.safetensors"))
    monkeypatch.setattr(spg.tools.checkpoints.exchange, "save_model", lambda *_: None)
    import_checkpoint(Workspace(tmp_path), params, "official", source, output)


# ---- data set and names of the classes ----


@pytest.mark.parametrize(
    ("count", "dataset", "first"),
    [(200, "cub", "class 0"), (1000, "ilsvrc", "n01440764"), (1000, "cub", "class 0")],
)
def test_the_number_of_classes_tells_the_data_set_and_ilsvrcs_names(
    params, tmp_path, monkeypatch, cached_networks, count, dataset, first
):
    monkeypatch.setattr(spg.tools.checkpoints.exchange, "build_network", cached_networks)
    written = {}
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", lambda _, state: written.update(state))
    monkeypatch.setattr(
        spg.tools.checkpoints.exchange, "save_model", lambda path, _: written.update(path=path)
    )
    state = hollow(OFFICIAL, count)
    state["classier_1.bias"] = torch.arange(float(count))
    source = save(tmp_path / "in.pth", state)
    cell = import_checkpoint(
        Workspace(tmp_path), params, "official", source, tmp_path / "a/spg.safetensors",
        dataset=None if first != "class 0" or (dataset == "cub" and count == 200) else dataset,
        seed=3,
    )  # fmt: skip
    assert cell == Cell(dataset, "inception_v3", "spg", 3)
    assert written["path"] == tmp_path / "a/spg.safetensors"
    facts = read_json(tmp_path / "a/provenance.json")
    assert facts["classes"][0] == first
    assert len(facts["classes"]) == count
    assert facts["imported"]["label_order"] == ("devkit" if count == 1000 else "sorted")
    sea_snake = WNIDS.index("n01751748")
    assert written["branch_a.a4.bias"][sea_snake] == (489 if count == 1000 else sea_snake)


# ---- every published network ----


@pytest.mark.parametrize("key", STATE_DICTS)
def test_our_networks_have_the_published_names_and_shapes(key, mapping, cached_networks):
    network, stride = published(key)
    setup = mapping["datasets"]["cub"]["backbones"]["inception_v3"]
    changed = json.loads(json.dumps(mapping))
    changed["datasets"]["cub"]["backbones"][network.backbone] = {
        **setup, "stem": {**setup["stem"], "stride": stride}
    }  # fmt: skip
    params = parse_params(changed | {"protocol": "wsolevaluation"}, "every network")
    with torch.device("meta"):
        model, _ = build_network(params, Cell("cub", network.backbone, network.method, 0), 200)
    state = model.state_dict()
    assert set(state) == set(our_names(*network[1:]))
    names = published_names(network, state, stride=stride)
    shapes = {name: list(state[ours].shape) for ours, name in names.items()}
    for name, shape in STATE_DICTS[key]:
        assert shapes[name][: len(shape)] == shape
    assert list(shapes) == [name for name, _ in STATE_DICTS[key]]
