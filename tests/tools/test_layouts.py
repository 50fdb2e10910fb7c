"""Published names, the two orders of ILSVRC's classes, and files that nothing may run from.

The names and shapes of the published state dicts (tests/golden/state_dicts.json) were read off the
two implementations; ours are spelled out here, so that no table of the code is its own oracle.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from python2 import python2_file
from whole.checkpoints import NO_CHECKPOINTS

from spg.data.layouts.imagenet_classes import devkit_rows, devkit_wnids, sorted_rows
from spg.networks.parts.model_file import check_finite
from spg.project.errors import UserError
from spg.tools.checkpoints.convert import mismatches, to_ours, to_published
from spg.tools.checkpoints.names import Published, published_names, recognize, told_stride
from spg.tools.checkpoints.torch_file import parse_state_dict, save_state_dict

GOLDEN = Path(__file__).parents[1] / "golden"
STATE_DICTS = json.loads((GOLDEN / "state_dicts.json").read_text())
WNIDS = (GOLDEN / "imagenet_wnids.txt").read_text().split()
SPG_HEADS = ("b1_head.0", "b2_head.0", "b_tail.0", "b_tail.2", "branch_c.0", "branch_c.2")
# Modules of branch A in our networks; the others follow from the method.
BRANCH_A = {
    ("inception_v3", "spg"): ("a3.0", "a3.1", "a4"),
    ("inception_v3", "cam"): ("a3.0", "a3.1", "a4"),
    ("vgg16", "spg"): ("a3.0", "a3.1", "a4"),
    ("vgg16", "cam"): ("a3.0", "a4"),
    ("resnet50", "spg"): ("a4",),
    ("resnet50", "cam"): ("a4",),
}


def published(key: str) -> tuple[Published, int]:
    """The network of a golden state dict, and the stride of its maps."""
    layout, backbone, method, *small = key.split()
    return Published(layout, backbone, method), 16 if small else 8


def our_names(backbone: str, method: str) -> list[str]:
    """The names of our state dict, of torchvision's networks and of our heads."""
    with torch.device("meta"):
        if backbone == "inception_v3":
            names = [name for name, _ in STATE_DICTS["official inception_v3 spg"]]
            stem = [name for name in names if name.startswith(("Conv2d", "Mixed"))]
        elif backbone == "vgg16":
            features = torchvision.models.vgg16().features.state_dict()
            stem = [f"features.{name}" for name in features]
        else:
            names = torchvision.models.resnet50().state_dict()
            stem = [name for name in names if not name.startswith("fc.")]
    if method == "acol":
        parts = [f"classifier_{x}.{module}" for x in "ab" for module in ("a3.0", "a3.1", "a4")]
    else:
        parts = [f"branch_a.{module}" for module in BRANCH_A[backbone, method]]
    parts += SPG_HEADS if method == "spg" else ()
    heads = [f"{part}.{kind}" for part in parts for kind in ("weight", "bias")]
    return [*(f"stem.{name}" for name in stem), *heads]


# ---- names ----


@pytest.mark.parametrize("key", STATE_DICTS)
def test_our_names_become_the_published_ones_in_the_published_order(key):
    network, stride = published(key)
    names = published_names(network, our_names(*network[1:]), stride=stride)
    assert list(names.values()) == [name for name, _ in STATE_DICTS[key]]


@pytest.mark.parametrize("key", STATE_DICTS)
def test_a_network_is_told_by_its_names(key):
    network, stride = published(key)
    names = [name for name, _ in STATE_DICTS[key]]
    assert recognize(network.layout, names) == network
    wanted = stride if network.layout == "official" or network[1:] == ("vgg16", "cam") else None
    assert told_stride(network, names) == wanted


@pytest.mark.parametrize(
    ("key", "pairs"),
    [
        ("official inception_v3 spg", {"b2_head.0.bias": "side4.0.bias"}),
        ("wsolevaluation vgg16 spg", {"stem.features.26.bias": "SPG_A_2.2.bias"}),
        ("wsolevaluation vgg16 cam", {"stem.features.24.bias": "features.23.bias"}),
        ("wsolevaluation vgg16 cam (small map)", {"stem.features.24.bias": "features.24.bias"}),
        ("wsolevaluation vgg16 acol", {"classifier_b.a3.1.weight": "classifier_B.2.weight"}),
        (
            "wsolevaluation resnet50 spg",
            {
                "stem.layer3.0.downsample.0.weight": "SPG_A1.0.downsample.0.weight",
                "stem.layer3.5.conv1.weight": "SPG_A2.4.conv1.weight",
                "stem.layer4.0.conv1.weight": "layer4.0.conv1.weight",
            },
        ),
    ],
)
def test_single_names_by_hand(key, pairs):
    network, stride = published(key)
    names = published_names(network, our_names(*network[1:]), stride=stride)
    assert pairs.items() <= names.items()


@pytest.mark.parametrize("change", [["b2_tail.0.weight"], []])
def test_a_network_with_other_branches_has_no_published_names(change):
    network = Published("official", "inception_v3", "spg")
    names = our_names("inception_v3", "spg")
    ablated = [*names, *change] if change else [n for n in names if not n.startswith("branch_c")]
    with pytest.raises(UserError, match=r"differ in b(2_tail|ranch_c)\.0"):
        published_names(network, ablated, stride=8)


def test_a_layout_without_such_a_network_says_so():
    names = [name for name, _ in STATE_DICTS["wsolevaluation vgg16 spg"]]
    with pytest.raises(ValueError, match="vgg16 with spg, which layout official has not"):
        recognize("official", names)
    with pytest.raises(ValueError, match="no backbone"):
        recognize("wsolevaluation", ["blocks.0.weight"])


# ---- tensors ----


def small(shape: list[int]) -> list[int]:
    return [min(side, 3) for side in shape]


def random_state(key: str) -> dict[str, torch.Tensor]:
    """Random bits under the published names: NaN with payloads, -0 and infinities among them."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in STATE_DICTS[key]:
        bits = torch.randint(-(2**31), 2**31, small(shape), generator=generator)
        counter = name.endswith("num_batches_tracked")
        state[name] = bits if counter else bits.to(torch.int32).view(torch.float32)
    return state


def our_state(key: str, names: dict[str, str]) -> dict[str, torch.Tensor]:
    """Zeros in our shapes: every classifier is a 1 x 1 convolution."""
    theirs = random_state(key)
    state = {ours: torch.zeros_like(theirs[name]) for ours, name in names.items()}
    for ours, tensor in state.items():
        if ours.endswith("a4.weight"):
            state[ours] = tensor.reshape(*tensor.shape[:2], 1, 1)
    return state


def same_bits(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return list(one) == list(other) and all(
        one[name].shape == other[name].shape
        and one[name].dtype == other[name].dtype
        and one[name].numpy().tobytes() == other[name].numpy().tobytes()
        for name in one
    )


@pytest.mark.parametrize("key", STATE_DICTS)
def test_there_and_back_every_bit_is_the_same(key):
    network, stride = published(key)
    names = published_names(network, our_names(*network[1:]), stride=stride)
    theirs, wanted = random_state(key), our_state(key, names)
    assert mismatches(network, theirs, wanted, names) == []
    ours = to_ours(network, theirs, wanted, names)
    assert {name: tensor.shape for name, tensor in ours.items()} == {
        name: tensor.shape for name, tensor in wanted.items()
    }
    assert same_bits(to_published(network, ours, names), theirs)


def test_what_does_not_fit_is_named_with_its_shape_and_type():
    key = "wsolevaluation vgg16 cam"
    network, stride = published(key)
    names = published_names(network, our_names(*network[1:]), stride=stride)
    wanted, theirs = our_state(key, names), random_state(key)
    del theirs["conv6.bias"]
    theirs["fc.weight"] = theirs["fc.weight"].reshape(3, 3, 1, 1)
    theirs["fc.bias"] = theirs["fc.bias"].half()
    theirs["optimizer\n"] = torch.zeros(2, 5, dtype=torch.int64)
    assert mismatches(network, theirs, wanted, names) == [
        "lacks conv6.bias (float32 [3])",
        "has fc.weight as float32 [3, 3, 1, 1], not float32 [3, 3]",
        "has fc.bias as float16 [3], not float32 [3]",
        "has 'optimizer\\n' (int64 [2, 5])",
    ]


# ---- the order of classes ----


def test_the_devkits_order_has_the_known_classes_in_their_places():
    """docs/sources.md 7: kit fox is first; image 1 is a sea snake, 490th and, sorted, 66th."""
    wnids = devkit_wnids()
    assert sorted(wnids) == WNIDS
    assert wnids[0] == "n02119789"
    assert wnids[489] == "n01751748"
    assert WNIDS.index("n01751748") == 65
    # every fiftieth line of another copy of map_clsloc.txt than the one the list was taken from
    fiftieth = """n02113186 n02489166 n02101388 n02087394 n04389033 n02870880 n03494278 n01622779
        n01443537 n01644373 n03180011 n04275548 n01924916 n04458633 n03485794 n04192698 n03908714
        n07880968 n04204238 n03255030"""
    assert wnids[49::50] == fiftieth.split()


def test_rows_of_the_classes_follow_their_wordnet_ids():
    wnids = devkit_wnids()
    assert [wnids[row] for row in devkit_rows()] == WNIDS
    assert [WNIDS[row] for row in sorted_rows()] == wnids
    assert devkit_rows()[65] == 489


@pytest.mark.parametrize("layout", ["official", "wsolevaluation"])
@pytest.mark.parametrize("num_classes", [999, 1000])
def test_only_the_authors_thousand_classes_are_put_in_another_order(layout, num_classes):
    network = Published(layout, "inception_v3", "spg")
    names = {"branch_a.a4.bias": "A4.bias", "b_tail.2.bias": "B.bias"}
    theirs = {"A4.bias": torch.arange(num_classes), "B.bias": torch.arange(num_classes)}
    wanted = dict(zip(names, theirs.values(), strict=True))
    ours = to_ours(network, theirs, wanted, names)
    moved = layout == "official" and num_classes == 1000
    assert ours["branch_a.a4.bias"][65] == (489 if moved else 65)
    assert ours["b_tail.2.bias"].tolist() == list(range(num_classes))
    assert same_bits(to_published(network, ours, names), theirs)


# ---- files ----


TENSORS = OrderedDict(a=torch.randn(2, 3), b=torch.tensor([1.5, float("nan")]), n=torch.tensor(7))


def saved(tree: object, *, zipped: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(tree, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def parsed(content: bytes) -> dict[str, torch.Tensor]:
    return parse_state_dict(content, Path("in.pth"))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("nested", [True, False])
def test_both_formats_of_torch_and_both_forms_are_read(zipped, prefix, nested):
    state = {prefix + name: tensor for name, tensor in TENSORS.items()}
    optimizer = {"state": {2**40: {"step": 1}}, "param_groups": [{"lr": 0.1}]}
    tree = {"state_dict": state, "optimizer": optimizer, "epoch": 3} if nested else state
    assert same_bits(parsed(saved(tree, zipped=zipped)), TENSORS)


def test_a_file_of_python_2_is_read_with_its_optimizer_of_long_integers():
    address = 140703128616960
    momentum = {"momentum_buffer": torch.zeros(2, 3)}
    tree = {
        "epoch": 2,
        "arch": "resnet",
        "global_counter": 128118,
        "state_dict": OrderedDict((f"module.{name}", t) for name, t in TENSORS.items()),
        "optimizer": {
            "state": {address: momentum},
            "param_groups": [{"lr": 0.001, "nesterov": True, "params": [address]}],
        },
    }
    content = python2_file(tree)
    assert f"I{address}\n".encode() in content
    with pytest.raises(pickle.UnpicklingError, match="Unsupported operand 73"):
        torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    assert same_bits(parsed(content), TENSORS)


def test_the_emulated_python_2_file_is_what_torch_itself_means(tmp_path):
    """Read with the full unpickler, which is safe here: the test wrote the file."""
    tree = {"state_dict": TENSORS, "big": -(2**50), "pair": (1.5, [True])}
    read = torch.load(io.BytesIO(python2_file(tree)), map_location="cpu", weights_only=False)
    assert same_bits(read.pop("state_dict"), TENSORS)
    assert read == {"big": -(2**50), "pair": (1.5, [True])}


@given(st.lists(st.integers(-(2**70), 2**70), max_size=5), st.booleans())
def test_integers_as_text_keep_their_values(values, flag):
    tree = {"state_dict": {"a": torch.zeros(1)}, "values": values, "flag": flag}
    found = torch.load(io.BytesIO(python2_file(tree)), map_location="cpu", weights_only=False)
    assert found["values"] == values
    assert list(parsed(python2_file(tree))) == ["a"]


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = str(target)

    def __reduce__(self):
        return os.mkdir, (self.target,)


def bombs(target: Path) -> dict[str, bytes]:
    bomb = Bomb(target)
    whole = saved({"state_dict": {"a": torch.zeros(1), "b": bomb}})
    old = saved({"state_dict": TENSORS, "optimizer": bomb}, zipped=False)
    long_integer = saved({"state_dict": TENSORS, "x": [bomb, 2**40]}, zipped=False)
    return {
        "plain pickle": pickle.dumps(bomb, protocol=2),
        "plain text pickle": pickle.dumps(bomb, protocol=0),
        "torch zip": whole,
        "torch legacy": old,
        "beside a long integer": long_integer,
        "in the last pickle": old.replace(b"]q", b"cposix\nmkdir\n]q"),
    }


@pytest.mark.parametrize("form", [*bombs(Path("x"))])
def test_a_pickle_that_would_run_code_is_refused_and_did_not_run(tmp_path, form):
    target = tmp_path / "ran"
    with pytest.raises(UserError, match=r"in\.pth: ") as refused:
        parsed(bombs(target)[form])
    assert not target.exists()
    assert "\n" not in str(refused.value)
    if form != "in the last pickle":
        assert "refused" in str(refused.value)
        assert "mkdir" in str(refused.value)


def test_the_same_pickles_do_run_where_they_are_trusted(tmp_path):
    """Otherwise the test above would show nothing."""
    for form in ("plain pickle", "plain text pickle"):
        pickle.loads(bombs(tmp_path / form)[form])
        assert (tmp_path / form).is_dir()
    for form in ("torch zip", "torch legacy", "beside a long integer"):
        torch.load(io.BytesIO(bombs(tmp_path / form)[form]), weights_only=False)
        assert (tmp_path / form).is_dir()


def damaged() -> dict[str, bytes]:
    zipped, old = saved({"state_dict": TENSORS}), saved({"state_dict": TENSORS}, zipped=False)
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("a.txt", "no checkpoint")
    return {
        "empty": b"",
        "text": b"This is no checkpoint.\n" * 9,
        "zeros": bytes(1000),
        "another zip": other.getvalue(),
        "half of a zip": zipped[: len(zipped) // 2],
        "half of a legacy file": old[: len(old) // 2],
        "the end is missing": old[:-3],
        "zip without its end": zipped[:-30],
        "pickle of a number": pickle.dumps(5, protocol=2),
    }


@pytest.mark.parametrize("form", damaged())
def test_a_damaged_file_is_one_sentence(form):
    with pytest.raises(
        UserError, match=r"in\.pth: (not a checkpoint|is no checkpoint but|empty)"
    ) as refused:
        parsed(damaged()[form])
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 250


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ([torch.zeros(1)], "holds no state dict"),
        ({}, "holds no state dict"),
        ({"state_dict": [1]}, "'state_dict' is no tensor, and no state dict stands under"),
        ({"epoch": 3, "optimizer": {}}, "'epoch' is no tensor.*it has 'epoch'; 'optimizer'"),
        ({1: torch.zeros(1)}, "1 is no tensor"),
    ],
)
def test_a_file_without_a_state_dict_is_refused(tree, said):
    with pytest.raises(UserError, match=said):
        parsed(saved(tree))


def test_what_is_written_is_read_by_torch_and_equal_for_equal_tensors(tmp_path):
    for name in ("one.pth", "two.pt"):
        save_state_dict(tmp_path / name, TENSORS, architecture="vgg16")
    read = torch.load(tmp_path / "one.pth", weights_only=True)
    assert read.pop("architecture") == "vgg16"
    assert same_bits(read.pop("state_dict"), TENSORS)
    assert not read
    assert (tmp_path / "one.pth").read_bytes() == (tmp_path / "two.pt").read_bytes()


# ---- What people take for checkpoints ----


@pytest.mark.parametrize(
    "wrapper", ["module.", "_orig_mod.", "module._orig_mod.", "model.", "net."]
)
def test_prefixes_that_others_put_before_names_are_dropped(wrapper):
    state = {f"{wrapper}{name}": tensor for name, tensor in TENSORS.items()}
    assert same_bits(parsed(saved({"state_dict": state})), TENSORS)


def test_a_prefix_inside_names_is_dropped():
    """DataParallel around a part of the network, as in PyTorch's own example of VGG."""
    state = {"features.module.0.weight": torch.ones(2), "classifier.0.bias": torch.zeros(1)}
    assert list(parsed(saved(state))) == ["features.0.weight", "classifier.0.bias"]
    both = {"module.a.weight": torch.ones(2), "a.module.weight": torch.ones(2)}
    with pytest.raises(UserError, match="two names of its state dict differ in"):
        parsed(saved(both))


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "net"])
def test_a_state_dict_is_found_under_its_usual_keys(key):
    assert same_bits(parsed(saved({key: dict(TENSORS), "epoch": 3})), TENSORS)
    assert same_bits(parsed(saved({"state_dict": {key: dict(TENSORS)}})), TENSORS)


@pytest.mark.parametrize("name", NO_CHECKPOINTS)
def test_a_file_of_another_kind_is_named_for_what_it_is(name):
    content, said = NO_CHECKPOINTS[name]
    with pytest.raises(UserError, match=said) as refused:
        parsed(content)
    assert "documentation" not in str(refused.value)


def test_weights_that_are_not_finite_are_not_imported(tmp_path):
    with pytest.raises(UserError, match="a holds NaN or infinity"):
        check_finite({"a": torch.tensor([1.0, float("nan")])}, tmp_path)
    check_finite({"a": torch.tensor([1.0]), "b": torch.tensor(3)}, tmp_path)


def test_a_dictionary_that_holds_itself_ends_in_a_sentence():
    loop: dict = {"epoch": 3}
    loop["model"] = loop
    with pytest.raises(UserError, match="'epoch' is no tensor"):
        parsed(saved(loop))
