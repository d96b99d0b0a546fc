"""Checks of hfmeta/models/conv4.py: parameter counts of the papers, batch statistics, and exact second derivatives."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call
from transformers import AutoConfig, AutoModelForImageClassification

from hfmeta.inner.errors import HfmetaError
from hfmeta.models import Conv4Config, Conv4ForImageClassification
from tiny import seeded, tiny_conv4

MINI_IMAGENET = dict(
    num_channels=3, image_size=84, num_filters=32, pooling="max", readout="flatten", head_init_std=None
)
MAML_PLUS_PLUS = dict(pooling="max", activation="leaky_relu", num_labels=20)


def count(model: torch.nn.Module) -> tuple[int, int]:
    """Weights that adapt, and shifts of the normalisation that do not."""
    sizes = {name: value.numel() for name, value in model.named_parameters()}
    shifts = sum(size for name, size in sizes.items() if "norm" in name)
    return sum(sizes.values()) - shifts, shifts


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (111_749, 256)),  # Omniglot, 5 classes
        (MINI_IMAGENET, (32_645, 128)),  # 131,092 bytes in the released checkpoint
        (MAML_PLUS_PLUS, (112_724, 256)),
    ],
)
def test_parameter_counts_of_the_papers(options, expected):
    model = seeded(lambda: Conv4ForImageClassification(Conv4Config(**({"num_labels": 5} | options))))
    assert count(model) == expected


@pytest.mark.parametrize(
    ("options", "size"),
    [({}, 2), ({"pooling": "max"}, 1), (MINI_IMAGENET, 5), ({"image_size": 16, "num_blocks": 2}, 4)],
)
def test_size_of_the_last_map(options, size):
    config = Conv4Config(num_labels=5, **options)
    model = seeded(lambda: Conv4ForImageClassification(config))
    x = torch.randn(2, config.num_channels, config.image_size, config.image_size)
    for block in model.blocks:
        x = block(x)
    assert x.shape == (2, config.num_filters, size, size)
    assert config.map_size == size
    logits = model(torch.randn(2, config.num_channels, config.image_size, config.image_size)).logits
    assert logits.shape == (2, 5)


def test_initial_values():
    model = seeded(lambda: Conv4ForImageClassification(Conv4Config(num_labels=20)))
    conv = model.blocks[1].conv
    bound = (6 / (2 * 64 * 9)) ** 0.5
    assert bound * 0.98 < conv.weight.detach().abs().max().item() <= bound  # Glorot-uniform
    assert model.classifier.weight.detach().std().item() == pytest.approx(1.0, rel=0.1)
    for block in model.blocks:
        assert not block.conv.bias.any()
        assert not block.norm.shift.any()
    assert not model.classifier.bias.any()
    glorot = seeded(lambda: Conv4ForImageClassification(Conv4Config(num_labels=20, head_init_std=None)))
    assert glorot.classifier.weight.abs().max() <= (6 / 84) ** 0.5


@pytest.mark.parametrize("options", [{}, {"pooling": "max", "activation": "leaky_relu", "readout": "flatten"}])
def test_forward_is_the_written_out_network(options):
    model = tiny_conv4(dtype=torch.float64, **options)
    for block in model.blocks:
        block.norm.shift.data.normal_()
    x = torch.randn(6, 1, 16, 16, dtype=torch.float64)
    labels = torch.tensor([0, 1, -100, 3, 4, 2])
    hidden = x
    for block in model.blocks:
        stride = 1 if options else 2
        hidden = F.conv2d(hidden, block.conv.weight, block.conv.bias, stride=stride, padding=1)
        mean, variance = hidden.mean((0, 2, 3)), hidden.var((0, 2, 3), unbiased=False)
        hidden = (hidden - mean[:, None, None]) / (variance[:, None, None] + 1e-3).sqrt()
        hidden = hidden + block.norm.shift[:, None, None]
        hidden = F.leaky_relu(hidden, 0.01) if options else hidden.clamp_min(0)
        hidden = F.max_pool2d(hidden, 2) if options else hidden
    features = hidden.flatten(1) if options else hidden.mean((2, 3))
    expected = features @ model.classifier.weight.T + model.classifier.bias
    output = model(pixel_values=x, labels=labels)
    torch.testing.assert_close(output.logits, expected)
    kept = labels >= 0
    torch.testing.assert_close(output.loss, F.cross_entropy(expected[kept], labels[kept]))


def test_batch_statistics_in_training_and_in_evaluation():
    model = tiny_conv4()
    x = torch.randn(4, 1, 16, 16)
    assert torch.equal(model.train()(x).logits, model.eval()(x).logits)
    assert not torch.allclose(model(x).logits[:2], model(x[:2]).logits)
    assert not [name for name, _ in model.named_buffers() if "running" in name]
    assert all(torch.equal(b.norm.scale, torch.ones(4)) and not b.norm.scale.requires_grad for b in model.blocks)


def test_saved_and_opened_by_the_auto_classes(tmp_path):
    model = tiny_conv4(pooling="max", activation="leaky_relu")
    model.save_pretrained(tmp_path)
    opened = AutoModelForImageClassification.from_pretrained(tmp_path)
    assert isinstance(opened, Conv4ForImageClassification)
    assert isinstance(AutoConfig.from_pretrained(tmp_path), Conv4Config)
    x = torch.randn(4, 1, 16, 16)
    assert torch.equal(opened(x).logits, model.eval()(x).logits)
    assert all(torch.equal(block.norm.scale, torch.ones(4)) for block in opened.blocks)
    assert opened.main_input_name == "pixel_values"


def maml_loss(theta, images, labels, evaluate):
    """Mean query loss of 2 tasks after 2 exact inner steps on all but the shifts; theta without task dimension."""
    params = {name: value.expand(2, *value.shape) for name, value in theta.items()}
    adapted = [name for name in params if "norm" not in name]
    for _ in range(2):
        losses = evaluate(params, images[0], labels)
        grads = torch.autograd.grad(losses.sum(), [params[name] for name in adapted], create_graph=True)
        moved = {name: params[name] - 0.1 * grad for name, grad in zip(adapted, grads, strict=True)}
        params = {**params, **moved}
    return evaluate(params, images[1], labels).mean()


@pytest.fixture(params=[{}, {"pooling": "max", "activation": "leaky_relu"}], ids=["maml", "maml++"])
def problem(request):
    """A model in double with shifts away from 0, images [support or query, T, rows, c, h, w], labels and both evaluations."""
    model = tiny_conv4(dtype=torch.float64, head_init_std=0.5, **request.param)
    generator = torch.Generator().manual_seed(1)
    for block in model.blocks:
        block.norm.shift.data = 0.3 * torch.randn(4, generator=generator).double() + 0.3
    images = torch.randn(2, 2, 5, 1, 16, 16, generator=generator).double()
    labels = torch.arange(5).expand(2, 5)

    def loss(params, pixels, targets):
        return functional_call(model, params, (pixels, targets)).loss

    def looped(params, pixels, targets):
        tasks = [{name: value[t] for name, value in params.items()} for t in range(2)]
        return torch.stack([loss(task, pixels[t], targets[t]) for t, task in enumerate(tasks)])

    theta = {name: value.detach().clone().requires_grad_() for name, value in model.named_parameters()}
    return theta, images, labels, looped, torch.func.vmap(loss)


def test_second_order_over_stacked_parameters_equals_the_loop(problem):
    theta, images, labels, looped, vectorised = problem
    values = list(theta.values())
    first, second = (maml_loss(theta, images, labels, evaluate) for evaluate in (looped, vectorised))
    torch.testing.assert_close(first, second, rtol=1e-12, atol=0)
    for a, b in zip(torch.autograd.grad(first, values), torch.autograd.grad(second, values), strict=True):
        assert (a - b).norm() <= 1e-12 * a.norm() + 1e-14


def test_second_order_equals_finite_differences(problem):
    theta, images, labels, looped, _ = problem
    grads = torch.autograd.grad(maml_loss(theta, images, labels, looped), list(theta.values()))
    generator = torch.Generator().manual_seed(2)
    for (name, value), grad in zip(theta.items(), grads, strict=True):
        direction = torch.randn(value.shape, generator=generator).double()
        step = 1e-6 / direction.norm()
        sides = []
        for sign in (1, -1):
            moved = {**theta, name: (value + sign * step * direction).detach().requires_grad_()}
            sides.append(maml_loss(moved, images, labels, looped).detach())
        numeric = (sides[0] - sides[1]) / (2 * step)
        exact = (grad * direction).sum()
        assert abs(numeric - exact) <= 1e-5 * grad.norm() * direction.norm() + 1e-8, name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "mean"}, "pooling='mean' is not known to conv4; choose one of stride, max"),
        ({"readout": "max"}, "readout='max' is not known to conv4; choose one of mean, flatten"),
        ({"activation": "gelu"}, "activation='gelu' is not known to conv4; choose one of relu, leaky_relu"),
        ({"num_filters": 0}, "num_filters=0 is impossible for conv4; it must be at least 1"),
        (
            {"pooling": "max", "image_size": 12},
            "an image of 12 x 12 pixels is too small for 4 blocks with pooling='max'",
        ),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(HfmetaError, match=message):
        Conv4Config(**options)


def test_a_copy_computes_the_same():
    model = tiny_conv4()
    x = torch.randn(3, 1, 16, 16)
    assert torch.equal(copy.deepcopy(model)(x).logits, model(x).logits)


def test_the_lstm_meta_learners_network_has_its_32901_weights():
    config = Conv4Config(num_labels=5, norm_scale=True, statistics="task", **MINI_IMAGENET)
    model = seeded(lambda: Conv4ForImageClassification(config))
    assert sum(value.numel() for value in model.parameters()) == 32_901
    assert all(torch.equal(block.norm.scale.detach(), torch.ones(32)) for block in model.blocks)


def test_fixed_statistics_are_stored_and_make_rows_independent(tmp_path):
    model = tiny_conv4(norm_scale=True, statistics="fixed")
    for block in model.blocks:
        assert torch.equal(block.norm.mean, torch.zeros(4))
        assert torch.equal(block.norm.variance, torch.ones(4))
        block.norm.mean.fill_(0.2)
        block.norm.variance.fill_(0.7)
        block.norm.scale.data.fill_(1.5)
    x = torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model(x[:1]).logits, model(x).logits[:1])
    hidden = model.blocks[0].conv(x)
    expected = F.batch_norm(
        hidden, torch.full((4,), 0.2), torch.full((4,), 0.7), torch.full((4,), 1.5), torch.zeros(4), eps=1e-3
    )
    torch.testing.assert_close(model.blocks[0].norm(hidden), expected)
    model.save_pretrained(tmp_path)
    assert torch.equal(AutoModelForImageClassification.from_pretrained(tmp_path)(x).logits, model(x).logits)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"statistics": "running"}, "statistics='running' is not known to conv4; choose one of batch, task, fixed"),
        ({"statistics_momentum": 0.0}, "statistics_momentum=0.0 is a weight above 0, 1 at most"),
        ({"statistics_momentum": 1.5}, "statistics_momentum=1.5 is a weight above 0, 1 at most"),
    ],
)
def test_bad_statistics_are_refused(options, message):
    with pytest.raises(HfmetaError, match=message):
        Conv4Config(**options)
