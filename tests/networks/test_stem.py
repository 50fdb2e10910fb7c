from __future__ import annotations

import hashlib
import io
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlparse

import pytest
import torch
from torch import nn
from torchvision.models import Inception3

from spg.networks.backbones.inception_v3 import DROPPED, PUBLISHED_URL, InceptionV3Stem, build
from spg.networks.parts.channels import scale_channels
from spg.networks.weights.load import load_published, load_stem
from spg.project.errors import UserError
from spg.project.plugins import find_plugin

CUT = ("AuxLogits.", "Mixed_7a.", "Mixed_7b.", "Mixed_7c.", "fc.")


@pytest.fixture(scope="module")
def torchvision_shapes():
    with torch.device("meta"):
        classifier = Inception3(init_weights=False)
    return {name: tensor.shape for name, tensor in classifier.state_dict().items()}


@pytest.fixture(scope="module")
def tiny_stem():
    torch.manual_seed(0)
    return build(1 / 16).eval()


def test_names_and_shapes_are_torchvisions_up_to_mixed_6e(torchvision_shapes):
    with torch.device("meta"):
        stem = InceptionV3Stem(1.0)
    ours = {name: tensor.shape for name, tensor in stem.state_dict().items()}
    assert ours == {n: s for n, s in torchvision_shapes.items() if not n.startswith(CUT)}
    assert (stem.a1_channels, stem.a2_channels) == (288, 768)


def test_what_is_dropped_is_what_lies_behind_the_cut(torchvision_shapes):
    assert set(DROPPED) == set(CUT)
    for prefix in DROPPED:
        assert any(name.startswith(prefix) for name in torchvision_shapes)


def test_batch_norm_has_torchvisions_epsilon(tiny_stem):
    norms = [module for module in tiny_stem.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) > 50
    assert {norm.eps for norm in norms} == {1e-3}


def test_only_the_first_layer_has_a_stride_and_nothing_is_dilated(tiny_stem):
    convolutions = {n: m for n, m in tiny_stem.named_modules() if isinstance(m, nn.Conv2d)}
    strided = {name for name, module in convolutions.items() if module.stride != (1, 1)}
    assert strided == {"Conv2d_1a_3x3.conv"}
    assert all(module.dilation == (1, 1) for module in convolutions.values())


@pytest.mark.parametrize(
    ("side", "inner"),
    [
        (224, [112, 110, 110, 56, 54, 28]),
        (321, [161, 159, 159, 80, 78, 40]),
        (299, [150, 148, 148, 75, 73, 37]),
    ],
)
def test_sizes_of_the_published_network(side, inner, tiny_stem):
    sizes = []
    layers = [tiny_stem.get_submodule(f"Conv2d_{name}") for name in ("1a_3x3", "2a_3x3", "2b_3x3")]
    layers += [tiny_stem.Conv2d_3b_1x1, tiny_stem.Conv2d_4a_3x3, tiny_stem.Mixed_5b]
    hooks = [
        layer.register_forward_hook(lambda _, __, output: sizes.append(output.shape[2]))
        for layer in layers
    ]
    with torch.no_grad():
        features = tiny_stem(torch.zeros(1, 3, side, side))
    for hook in hooks:
        hook.remove()
    assert sizes == inner
    final = inner[-1]
    assert features.a1.shape == (1, 18, final, final)
    assert features.a2_inner.shape == features.a2.shape == (1, 48, final, final)


def test_the_taps_are_the_outputs_of_5d_6d_and_6e(tiny_stem):
    taps = {}
    hooks = [
        tiny_stem.get_submodule(name).register_forward_hook(
            lambda _, __, output, name=name: taps.update({name: output})
        )
        for name in ("Mixed_5d", "Mixed_6d", "Mixed_6e")
    ]
    with torch.no_grad():
        features = tiny_stem(torch.randn(1, 3, 48, 48))
    for hook in hooks:
        hook.remove()
    assert torch.equal(features.a1, taps["Mixed_5d"])
    assert torch.equal(features.a2_inner, taps["Mixed_6d"])
    assert torch.equal(features.a2, taps["Mixed_6e"])
    assert not torch.equal(features.a2, features.a2_inner)


def test_a_non_square_image_keeps_its_orientation(tiny_stem):
    with torch.no_grad():
        features = tiny_stem(torch.zeros(1, 3, 64, 96))
    assert features.a2.shape[2:] == (8, 12)


@pytest.mark.parametrize("width", [0.01, 0.03, 0.3, 1 / 32, 1 / 3])
def test_a_width_that_cuts_a_channel_is_refused(width):
    with pytest.raises(ValueError, match="width"):
        build(width)


@pytest.mark.parametrize("sixteenths", [1, 3, 4, 16])
def test_widths_scale_every_channel(sixteenths):
    with torch.device("meta"):
        narrow, full = InceptionV3Stem(sixteenths / 16), InceptionV3Stem(1.0)
    pairs = zip(narrow.state_dict().items(), full.state_dict().values(), strict=True)
    for (name, small), large in pairs:
        if small.ndim == 0:
            continue
        assert small.shape[0] * 16 == large.shape[0] * sixteenths
        if small.ndim == 4 and name != "Conv2d_1a_3x3.conv.weight":
            assert small.shape[1] * 16 == large.shape[1] * sixteenths
            assert small.shape[2:] == large.shape[2:]
    assert scale_channels(512, sixteenths / 16) == 32 * sixteenths


def classifier_state(stem):
    """A stem's state and, behind the cut, what is to be dropped."""
    extra = {f"{prefix}weight": torch.zeros(2) for prefix in CUT}
    return {name: tensor.clone() for name, tensor in stem.state_dict().items()} | extra


def test_a_whole_classifier_loads_into_the_stem(tiny_stem):
    other = build(1 / 16)
    load_stem(other, classifier_state(tiny_stem), CUT)
    for name, tensor in tiny_stem.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda s: s.pop("Mixed_6e.branch1x1.conv.weight"), "Mixed_6e.branch1x1.conv.weight"),
        (lambda s: s.pop("Mixed_5b.branch1x1.bn.running_mean"), "running_mean"),
        (lambda s: s.update({"Mixed_8a.weight": torch.zeros(1)}), "Mixed_8a.weight"),
        (lambda s: s.update({"fcx": torch.zeros(1)}), "fcx"),
        (lambda s: s.update({"Conv2d_2a_3x3.bn.weight": torch.zeros(3)}), "Conv2d_2a_3x3"),
    ],
)
def test_loading_is_strict(tiny_stem, change, named):
    state = classifier_state(tiny_stem)
    change(state)
    with pytest.raises(UserError, match=named):
        load_stem(build(1 / 16), state, CUT)


def test_full_width_weights_do_not_load_into_a_narrow_stem(torchvision_shapes):
    full = {name: torch.empty(shape, device="meta") for name, shape in torchvision_shapes.items()}
    with pytest.raises(UserError, match="size mismatch"):
        load_stem(build(1 / 16), full, DROPPED)


@pytest.fixture
def published(tmp_path, tiny_stem, monkeypatch):
    """A function that publishes a state and returns a module-like description of it."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)

    def publish(digits=None, content=None):
        torch.save(classifier_state(tiny_stem), tmp_path / "weights.pth")
        content = content or (tmp_path / "weights.pth").read_bytes()
        digits = digits or hashlib.sha256(content).hexdigest()[:8]
        file = tmp_path / f"stem-{digits}.pth"
        file.write_bytes(content)
        return SimpleNamespace(PUBLISHED_URL=file.as_uri(), PUBLISHED_SHA256=digits, DROPPED=CUT)

    return publish


def test_a_download_with_the_right_hash_loads(published, tiny_stem):
    stem = build(1 / 16)
    load_published(stem, published())
    for name, tensor in tiny_stem.state_dict().items():
        assert torch.equal(tensor, stem.state_dict()[name])


def test_a_download_with_a_wrong_hash_is_refused(published, tiny_stem):
    stem = build(1 / 16)
    before = {name: tensor.clone() for name, tensor in stem.state_dict().items()}
    with pytest.raises(UserError, match=r"its sha256 is [0-9a-f]{64}, not 0123abcd"):
        load_published(stem, published("0123abcd"))
    for name, tensor in stem.state_dict().items():
        assert torch.equal(tensor, before[name])


def pickled(value) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"<html>Sign in</html>", b"\x80", pickled([1, 2]), pickled(nn.ReLU()), pickled({})[:99]],
    ids=["page", "byte", "list", "code", "cut"],
)
def test_a_verified_file_that_is_no_checkpoint_is_one_sentence(published, content):
    with pytest.raises(UserError, match="not a checkpoint of PyTorch") as caught:
        load_published(build(1 / 16), published(content=content))
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_something_else_is_one_sentence(published):
    with pytest.raises(UserError, match="do not fit the stem"):
        load_published(build(1 / 16), published(content=pickled({"epoch": 3})))


def test_a_missing_download_is_one_sentence(published, tmp_path):
    module = published()
    module.PUBLISHED_URL = (tmp_path / "nothing-0123abcd.pth").as_uri()
    with pytest.raises(UserError, match="nothing-0123abcd"):
        load_published(build(1 / 16), module)


def place_of(module):
    return module.PUBLISHED_URL.rpartition("/")[2]


def moved(module, folder):
    """Put a published file into a folder, so that its address leads nowhere."""
    folder.mkdir(parents=True)
    file = Path(unquote(urlparse(module.PUBLISHED_URL).path))
    file.rename(folder / file.name)


def test_a_folder_of_weights_takes_the_place_of_downloads(published, tmp_path, monkeypatch):
    module = published()
    moved(module, tmp_path / "mine")
    with pytest.raises(UserError, match=place_of(module)):
        load_published(build(1 / 16), module)
    monkeypatch.setenv("SPG_WEIGHTS", str(tmp_path / "mine"))
    load_published(build(1 / 16), module)
    (tmp_path / "mine" / place_of(module)).write_bytes(b"other")
    with pytest.raises(UserError, match=r"mine/stem-.*: its sha256 is [0-9a-f]{64}, not "):
        load_published(build(1 / 16), module)


def test_a_file_that_the_folder_of_weights_lacks_is_one_sentence(published, tmp_path, monkeypatch):
    """It is not loaded behind its back: a node without network would wait for minutes."""
    module = published()
    monkeypatch.setenv("SPG_WEIGHTS", str(tmp_path / "empty"))
    with pytest.raises(UserError, match=r"^SPG_WEIGHTS: .*empty has no stem-.*; load file://"):
        load_published(build(1 / 16), module)


def test_an_empty_variable_names_no_folder(published, monkeypatch):
    """As `SPG_WEIGHTS= spg ...` leaves it: the address is taken, as without the variable."""
    monkeypatch.setenv("SPG_WEIGHTS", "")
    load_published(build(1 / 16), published())


def test_what_torch_has_loaded_before_is_taken(published, tmp_path):
    module = published()
    moved(module, tmp_path / "home/hub/checkpoints")
    load_published(build(1 / 16), module)


def test_the_published_url_carries_a_hash():
    assert torch.hub.HASH_REGEX.search(PUBLISHED_URL.rpartition("/")[2])
    assert PUBLISHED_URL.startswith("https://")


@pytest.mark.parametrize("name", ["alexnet", "heads", "../heads", ""])
def test_an_unknown_backbone_is_one_sentence(name):
    with pytest.raises(UserError, match="has no file in spg/networks/backbones"):
        find_plugin("backbone", name)
