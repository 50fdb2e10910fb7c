from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tiny import with_setup

import spg.networks.methods.spg as spg_module
from spg.networks.parts.build import build_network
from spg.project.errors import UserError
from spg.project.params import parse_params, read_yaml
from spg.project.plugins import plugin_names

CLASSES, BATCH = 3, 4
BRANCHES = {"b1", "b2", "c"}
PLUGINS = plugin_names("method")
PARAMS = read_yaml(Path(__file__).parents[2] / "params.yaml")
# Every file of spg/networks/methods by its own name, and every variant of params.yaml.
METHODS = sorted({*PLUGINS, *PARAMS["variants"], *PARAMS["methods"]})
GUIDED = sorted(PARAMS["variants"])


@pytest.fixture(scope="module")
def build(tiny_params, cell_of):
    def build_seeded(method, params=tiny_params):
        torch.manual_seed(0)
        return build_network(params, cell_of(method), CLASSES)

    return build_seeded


@pytest.fixture(scope="module")
def batch():
    rng = torch.Generator().manual_seed(1)
    return torch.randn(BATCH, 3, 32, 32, generator=rng), torch.tensor([0, 1, 2, 1])


@pytest.fixture(scope="module")
def trained_step(build, batch):
    """A function from a method to (model, outputs, losses) of one batch in training mode."""

    def step(method):
        model, criterion = build(method)
        outputs = model.train()(batch[0])
        return model, outputs, criterion(outputs, batch[1])

    return cache(step)


def gradients_of(loss, model) -> dict[str, bool]:
    """Whether a loss moves each parameter."""
    names, parameters = zip(*model.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return {
        name: gradient is not None and bool(gradient.abs().sum() > 0)
        for name, gradient in zip(names, gradients, strict=True)
    }


def touched(gradients: dict[str, bool]) -> set[str]:
    """The modules behind the stem (branch A by layer) in which a gradient arrives."""
    parts = {name: name.split(".") for name, moved in gradients.items() if moved}
    return {
        ".".join(p[: 2 + (p[1] == "a3")]) if p[0] == "branch_a" else p[0] for p in parts.values()
    }


@pytest.mark.parametrize("method", METHODS)
def test_shapes_and_named_finite_losses(method, trained_step):
    _, outputs, losses = trained_step(method)
    assert outputs.logits.shape == (BATCH, CLASSES)
    assert outputs.class_maps.shape == (BATCH, CLASSES, 4, 4)
    gap = outputs.maps_a if method == "acol" else outputs.class_maps
    assert torch.allclose(gap.mean(dim=(2, 3)), outputs.logits, atol=1e-6)
    assert losses
    for name, loss in losses.items():
        assert name.isidentifier()
        assert loss.shape == ()
        assert torch.isfinite(loss)


@pytest.mark.parametrize("method", METHODS)
def test_a_gradient_reaches_every_parameter(method, trained_step):
    model, _, losses = trained_step(method)
    sum(losses.values()).backward(retain_graph=True)
    missed = [name for name, p in model.named_parameters() if p.grad is None]
    assert missed == []
    # a weight with an all-zero gradient would be as dead as one without
    dead = [n for n, p in model.named_parameters() if p.ndim == 4 and not p.grad.abs().any()]
    assert dead == []


@pytest.mark.parametrize("method", METHODS)
def test_the_classification_loss_is_softmax_cross_entropy(method, trained_step, batch):
    _, outputs, losses = trained_step(method)
    scores = outputs.logits.double().softmax(dim=1)
    want = -scores[torch.arange(BATCH), batch[1]].log().mean()
    assert losses["cls"].item() == pytest.approx(want.item(), rel=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_evaluation_treats_each_image_on_its_own(method, build, batch):
    model, _ = build(method)
    with torch.no_grad():
        together = model.eval()(batch[0])
        alone = model(batch[0][2:3])
    assert torch.allclose(together.logits[2:3], alone.logits, atol=1e-5)
    assert torch.allclose(together.class_maps[2:3], alone.class_maps, atol=1e-5)


def test_spg_has_four_losses_and_the_plain_network_one(trained_step):
    assert set(trained_step("spg")[2]) == {"cls"} | BRANCHES
    assert set(trained_step("spg_plain")[2]) == {"cls"}


def test_no_c_has_neither_the_branch_nor_its_loss(trained_step):
    model, outputs, losses = trained_step("no_c")
    assert set(losses) == {"cls", "b1", "b2"}
    assert outputs.c is None
    assert not [name for name in model.state_dict() if name.startswith("branch_c")]


def test_sharing_is_one_tail_for_both(build):
    shared, unshared = (set(build(name)[0].state_dict()) for name in ("spg", "unshared_b"))
    tails = {name for name in shared if name.startswith("b_tail.")}
    assert len(tails) == 4
    assert unshared - shared == {name.replace("b_tail.", "b2_tail.") for name in tails}
    assert shared <= unshared


@pytest.mark.parametrize(("method", "b2_moves"), [("spg", True), ("unshared_b", False)])
def test_a_change_of_b1s_tail_reaches_b2_only_when_shared(method, b2_moves, build, batch):
    model, _ = build(method)
    with torch.no_grad():
        before = model.eval()(batch[0])
        model.b_tail[2].bias += 1
        after = model(batch[0])
    assert torch.allclose(after.b1, before.b1 + 1, atol=1e-5)
    assert torch.equal(after.b2, before.b2) is not b2_moves


def test_the_unshared_tails_start_differently(build):
    model, _ = build("unshared_b")
    assert not torch.equal(model.b_tail[0].weight, model.b2_tail[0].weight)


@pytest.mark.parametrize("method", GUIDED)
def test_the_classification_loss_alone_moves_a4_and_never_the_masks(method, trained_step):
    model, _, losses = trained_step(method)
    assert touched(gradients_of(losses["cls"], model)) == {
        "stem",
        "branch_a.a3.0",
        "branch_a.a3.1",
        "branch_a.a4",
    }


@pytest.mark.parametrize(
    ("method", "loss", "modules"),
    [
        ("spg", "b1", {"stem", "b1_head", "b_tail"}),
        ("spg", "b2", {"stem", "b2_head", "b_tail"}),
        ("spg", "c", {"stem", "branch_a.a3.0", "branch_a.a3.1", "branch_c"}),
        ("no_cascade", "b1", {"stem", "b1_head", "b_tail"}),
        ("unshared_b", "b1", {"stem", "b1_head", "b_tail"}),
        ("unshared_b", "b2", {"stem", "b2_head", "b2_tail"}),
        ("no_c", "b2", {"stem", "b2_head", "b_tail"}),
    ],
)
def test_each_mask_loss_moves_its_own_branch_and_what_it_reads(method, loss, modules, trained_step):
    model, _, losses = trained_step(method)
    assert touched(gradients_of(losses[loss], model)) == modules


@pytest.mark.parametrize(
    ("loss", "b2_input", "last"),
    [
        ("b1", "a2", "Mixed_5d"),
        ("b2", "a2", "Mixed_6e"),
        ("b2", "a2_inner", "Mixed_6d"),
        ("c", "a2", "Mixed_6e"),
    ],
)
def test_each_branch_reads_its_own_depth_of_the_stem(
    loss, b2_input, last, build, batch, tiny_mapping
):
    params = parse_params(
        {**tiny_mapping, "spg": {**tiny_mapping["spg"], "b2_input": b2_input}}, ""
    )
    model, criterion = build("spg", params)
    losses = criterion(model.train()(batch[0]), batch[1])
    moved = gradients_of(losses[loss], model)
    blocks = {name.split(".")[1] for name, moves in moved.items() if moves and "stem." in name}
    assert max(block for block in blocks if block.startswith("Mixed")) == last
    assert "Conv2d_1a_3x3" in blocks


def spread_outputs(seed: int) -> spg_module.SPGOutput:
    """Outputs whose masks hold all three values."""
    rng = torch.Generator().manual_seed(seed)
    maps = [3 * torch.randn(BATCH, 1, 3, 3, generator=rng) for _ in range(3)]
    class_maps = torch.randn(BATCH, CLASSES, 3, 3, generator=rng)
    return spg_module.SPGOutput(class_maps.mean(dim=(2, 3)), class_maps, *maps)


def masks(criterion, outputs, labels) -> spg_module.GuidanceTargets:
    """The masks that teach the branches, of network outputs as they come."""
    return criterion.targets(criterion.upsample(outputs), labels)


@pytest.fixture(scope="module")
def targets_of(build, batch):
    def targets(method, outputs):
        return masks(build(method)[1], outputs, batch[1])

    return targets


def test_what_each_target_depends_on_with_the_cascade(targets_of):
    outputs, other = spread_outputs(0), spread_outputs(1)
    first = targets_of("spg", outputs)
    depends = {
        source: {
            name
            for name in first._fields
            if not torch.equal(
                getattr(first, name),
                getattr(
                    targets_of("spg", outputs._replace(**{source: getattr(other, source)})), name
                ),
            )
        }
        for source in ("logits", "class_maps", "b1", "b2", "c")
    }
    assert depends == {
        "logits": set(),
        "class_maps": {"b2"},
        "b1": {"c"},
        "b2": {"b1", "c"},
        "c": set(),
    }


def test_without_the_cascade_attention_teaches_both(targets_of):
    outputs, other = spread_outputs(0), spread_outputs(1)
    first = targets_of("no_cascade", outputs)
    assert torch.equal(first.b1, first.b2)
    assert torch.equal(first.b2, targets_of("spg", outputs).b2)
    again = targets_of("no_cascade", outputs._replace(b1=other.b1, b2=other.b2))
    assert torch.equal(first.b1, again.b1)
    assert not torch.equal(first.c, again.c)


def test_each_mask_is_cut_with_the_pair_named_after_it(tiny_mapping, build, batch):
    """One pair changed at a time; a pair that is mixed up changes another mask."""
    outputs = spread_outputs(0)
    base = masks(build("spg")[1], outputs, batch[1])
    for pair in sorted(BRANCHES):
        guidance = {**tiny_mapping["guidance"], pair: {"low": 0.3, "high": 0.4}}
        params = parse_params({**tiny_mapping, "guidance": guidance}, "")
        other = masks(build("spg", params)[1], outputs, batch[1])
        differing = {n for n in BRANCHES if not torch.equal(getattr(base, n), getattr(other, n))}
        assert differing == {pair}


def test_targets_and_the_maps_they_come_from_carry_no_gradient(build, batch):
    outputs = spread_outputs(0)
    leaves = spg_module.SPGOutput(*(tensor.requires_grad_() for tensor in outputs))
    _, criterion = build("spg")
    assert not any(target.requires_grad for target in masks(criterion, leaves, batch[1]))
    losses = criterion(leaves, batch[1])
    for name, loss in losses.items():
        reached = torch.autograd.grad(loss, list(leaves), retain_graph=True, allow_unused=True)
        sources = {f for f, g in zip(leaves._fields, reached, strict=True) if g is not None}
        assert sources == {"logits" if name == "cls" else name}


def test_dropout_acts_in_training_alone(tiny_mapping, build, batch):
    params = parse_params(with_setup(tiny_mapping, train={"dropout": 0.5}), "")
    for method in ("spg", "spg_plain"):
        model, _ = build(method, params)
        with torch.no_grad():
            model.eval()
            assert torch.equal(model(batch[0]).logits, model(batch[0]).logits)
            model.branch_a.train()
            assert not torch.equal(model(batch[0]).logits, model(batch[0]).logits)


def test_new_layers_start_from_xavier_and_zero_bias(build):
    """Bounds of Xavier's uniform distribution: sqrt(6 / (fan in + fan out))."""
    model, _ = build("spg")
    for name, parameter in model.named_parameters():
        if name.startswith("stem."):
            continue
        if name.endswith("bias"):
            assert not parameter.any()
            continue
        area = parameter[0, 0].numel()
        bound = (6 / (area * sum(parameter.shape[:2]))) ** 0.5
        assert parameter.abs().max() <= bound
        if parameter.numel() > 1000:
            assert parameter.abs().max() > 0.98 * bound
            assert parameter.detach().std().item() == pytest.approx(bound / 3**0.5, rel=0.05)


@pytest.mark.parametrize(
    ("module", "count"),
    [
        ("branch_a.a3.0", None),
        ("branch_a.a4", 205_000),
        ("b1_head", 1_327_616),
        ("b2_head", 3_539_456),
        ("b_tail", 2_360_321),
        ("branch_c", 4_719_617),
    ],
)
def test_parameter_counts_of_the_published_network(module, count, full_size_spg):
    counted = sum(p.numel() for p in full_size_spg.get_submodule(module).parameters())
    if count is None:  # A3 is two layers; its published count is of both
        second = full_size_spg.branch_a.a3[1].parameters()
        assert counted + sum(p.numel() for p in second) == 16_517_120
    else:
        assert counted == count


@pytest.fixture(scope="module")
def full_size_spg(tiny_mapping, cell_of):
    stem = {"width": 1.0, "weights": "published"}
    params = parse_params(with_setup(tiny_mapping, stem=stem), "")
    with torch.device("meta"):
        return build_network(params, cell_of("spg"), 200)[0]


def test_an_unknown_method_is_one_sentence(tiny_params, cell_of):
    with pytest.raises(UserError, match="'telepathy' has no file in spg/networks/methods"):
        build_network(tiny_params, cell_of("telepathy"), CLASSES)


# ---- The same mathematics the long way round ----


def plain_losses(outputs, labels, rules, side):
    """All class maps up to full size, image by image, pixel by pixel: losses as published."""

    def large(maps):
        return F.interpolate(maps, (side, side), mode="bilinear", align_corners=False)

    def mask_of(one, pair):
        high = pair.high
        if (one > high).sum() < rules.minimum_foreground.pixels * side * side / 224**2:
            high = rules.minimum_foreground.fraction_of_max * one.max()
        return torch.where(one < pair.low, 0, torch.where(one > high, 1, 255))

    def bce(logits, masks):
        terms = [
            -(F.logsigmoid(x) if wanted == 1 else F.logsigmoid(-x))
            for image, mask in zip(logits, masks, strict=True)
            for x, wanted in zip(image.flatten(), mask.flatten(), strict=True)
            if wanted != 255
        ]
        return torch.stack(terms).mean()

    every = large(outputs.class_maps).detach()
    b1, b2, c = (large(branch)[:, 0] for branch in (outputs.b1, outputs.b2, outputs.c))
    masks = {"b2": [], "b1": [], "c": []}
    for row, label in enumerate(labels):
        o = every[row, label]
        o = (o - o.min()) / (o.max() - o.min())
        one, two = b1[row].detach().sigmoid(), b2[row].detach().sigmoid()
        masks["b2"].append(mask_of(o, rules.b2))
        masks["b1"].append(mask_of(two, rules.b1))
        masks["c"].append(mask_of((one + two) / 2, rules.c))
    class_terms = [-outputs.logits[row].log_softmax(0)[label] for row, label in enumerate(labels)]
    return {
        "cls": torch.stack(class_terms).mean(),
        "b2": bce(b2, masks["b2"]),
        "b1": bce(b1, masks["b1"]),
        "c": bce(c, masks["c"]),
    }


def test_losses_and_gradients_are_those_of_the_long_way(tiny_params, cell_of):
    torch.manual_seed(4)
    model, criterion = build_network(tiny_params, cell_of("spg"), 7)
    model.double().train()
    images, labels = torch.randn(3, 3, 32, 32).double(), torch.tensor([2, 0, 6])
    parameters = list(model.parameters())
    torch.manual_seed(5)
    outputs = model(images, labels)
    fast = criterion(outputs, labels)
    plain = plain_losses(outputs, labels, tiny_params.guidance, criterion.mask_side)
    assert list(fast) == list(plain)
    for name in fast:
        assert fast[name].dtype == torch.float64
        assert torch.allclose(fast[name], plain[name], rtol=1e-12, atol=0), name
        got, want = (
            torch.autograd.grad(losses[name], parameters, retain_graph=True, allow_unused=True)
            for losses in (fast, plain)
        )
        for one, other in zip(got, want, strict=True):
            assert (one is None) == (other is None)
            assert one is None or torch.allclose(one, other, rtol=1e-9, atol=1e-13)
