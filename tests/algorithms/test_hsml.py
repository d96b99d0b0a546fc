"""HSML: options, sizes, what is gated, gates of one, the exact gradient, and models of every kind."""

from __future__ import annotations

import copy

import pytest
import torch

from hfmeta import Hsml, Maml, MetaLearner
from hfmeta.algorithms.hsml import gate_shapes
from hfmeta.inner.errors import HfmetaError, NonFiniteLossError
from hfmeta.inner.inits.task_gate import ConvolutionalRows, FeatureRows, Gates, RawRows
from hfmeta.models import MlpConfig, MlpForRegression
from tiny import random_batch, tiny_bert, tiny_conv4, tiny_gpt2, tiny_mlp, tiny_t5, with_lora
from truth import central_difference, outer_gradient, random_direction

SMALL = {"size": 4, "encoder_size": 3, "tree": [3, 2, 1], "inner_steps": 2}


def learner(model, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return MetaLearner(model, Hsml(**{**SMALL, "inner_lr": 0.01, **options})).train()


def test_the_toy_gate_has_the_parameters_of_the_specification():
    toy = MetaLearner(MlpForRegression(MlpConfig()), Hsml())
    assert sum(value.numel() for value in toy.init.gates.parameters()) == 142_641
    assert toy.init.tree.widths == [4, 2, 1]
    assert isinstance(toy.init.rows, RawRows)
    centres = toy.init.tree.levels[0].centres
    assert centres.shape == (4, 40)
    assert centres.abs().max() <= (6 / 41) ** 0.5


def test_the_image_gate_has_the_parameters_of_the_specification():
    """32,645 weights of the miniImagenet network, 257 numbers each: batch-norm shifts neither adapt nor are gated."""
    theta = {"weights": torch.empty(32_645)}
    gates = Gates(gate_shapes(theta, "element"), 2 * 128, 1.0, {"dtype": torch.float32, "device": torch.device("cpu")})
    assert sum(value.numel() for value in gates.parameters()) == 32_645 * 257


def test_options_are_checked_together():
    with pytest.raises(
        HfmetaError, match="Hsml: embedding must be one of 'rnn', 'mean', 'max', not 'lstm'; gate must be one of"
    ) as caught:
        Hsml(
            embedding="lstm",
            gate="row",
            represent="tokens",
            assignment="hard",
            size=0,
            sigma=0.0,
            xi=-1,
            tree=[4, 0, 1],
        )
    for word in (
        "represent must be",
        "assignment must be",
        "size must be",
        "sigma must be",
        "xi must be",
        "tree must be widths",
    ):
        assert word in str(caught.value)
    with pytest.raises(HfmetaError, match="gate_scale must be positive, not -1"):
        Hsml(gate_scale=-1)
    with pytest.raises(HfmetaError, match="embed_rows must be a whole number of at least 1, not 0"):
        Hsml(embed_rows=0)
    assert Hsml(tree=None).tree == []
    assert Hsml(tree=(3, 1)).tree == [3, 1]
    assert Hsml.from_dict(Hsml(tree=[2, 1]).to_dict()) == Hsml(tree=[2, 1])


@pytest.mark.parametrize("tree", [[4, 0, 1], [4, -2, 1], [4, 2]])
def test_trees_that_cannot_be_built_are_refused(tree):
    with pytest.raises(HfmetaError, match=r"tree must be widths of at least 1 that end in 1"):
        Hsml(tree=tree)


def test_what_is_gated():
    lora = dict(with_lora(tiny_bert(), head=False).named_parameters())
    theta = {name: value for name, value in lora.items() if value.requires_grad}
    by_rank = gate_shapes(theta, "rank")
    assert {shape for name, shape in by_rank.items() if "lora_A" in name} == {(2, 1)}
    assert {shape for name, shape in by_rank.items() if "lora_B" in name} == {(1, 2)}
    assert set(gate_shapes(theta, "tensor").values()) == {(1, 1)}
    assert gate_shapes(theta, "element") == {name: tuple(value.shape) for name, value in theta.items()}
    with pytest.raises(HfmetaError, match='gate="rank" needs a LoRA among the adapted tensors'):
        learner(tiny_bert(), gate="rank")
    with pytest.raises(HfmetaError, match="nothing to gate: every adapted tensor belongs to a head"):
        learner(tiny_bert(), adapt="head", head="zero")


def test_rank_gates_scale_whole_ranks():
    made = learner(with_lora(tiny_bert(), head=False), gate="rank", adapt="adapter")
    batch = random_batch("sequence-classification")
    found = made.init.portrait(batch["support"], lambda: torch.randn(2, 5, made.init.rows.width - 5))
    assert {tuple(value.shape) for value in found.gates.values()} == {(2, 2, 1), (2, 1, 2)}
    loss = made(**batch)["loss"]
    loss.backward()
    assert all(value.grad.any() for value in made.init.gates.parameters())


def test_what_is_embedded_follows_the_model():
    assert isinstance(learner(tiny_mlp()).init.rows, RawRows)
    assert isinstance(learner(tiny_conv4()).init.rows, ConvolutionalRows)
    assert isinstance(learner(tiny_conv4(), represent="features").init.rows, FeatureRows)
    assert isinstance(learner(tiny_bert()).init.rows, FeatureRows)
    assert learner(tiny_bert()).init.rows.width == 16 + 5
    assert learner(tiny_gpt2(), gate="tensor").init.rows.width == 16, "the labels of a language model are its inputs"
    with pytest.raises(HfmetaError, match="represent='raw' needs a regression model .* This model has features"):
        learner(tiny_bert(), represent="raw")
    with pytest.raises(
        HfmetaError, match="represent='convolutional' needs an image classifier .* This model has raw, features"
    ):
        learner(tiny_mlp(), represent="convolutional")


@pytest.mark.parametrize(
    ("model", "task", "options"),
    [
        (tiny_conv4, "image-classification", {}),
        (tiny_conv4, "image-classification", {"represent": "features", "embedding": "mean"}),
        (tiny_bert, "sequence-classification", {"gate": "tensor", "gate_scale": 2.0}),
        (tiny_bert, "sequence-classification", {"gate": "tensor", "head": "prototype", "detach_features": True}),
        (tiny_gpt2, "causal-lm", {"gate": "tensor"}),
        (tiny_t5, "seq2seq-lm", {"gate": "tensor", "embedding": "max"}),
        (lambda: with_lora(tiny_gpt2()), "causal-lm", {"gate": "rank", "adapt": "adapter"}),
    ],
)
def test_models_of_every_kind_learn_the_gate(model, task, options):
    made, batch = learner(model(), **options), random_batch(task, T=3)
    loss = made(**batch)["loss"]
    assert torch.isfinite(loss)
    loss.backward()
    silent = [name for name, value in made.init.named_parameters() if value.grad is None or not value.grad.any()]
    assert silent == []
    assert made.scores(**batch)["loss"].shape == (3, 3)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("embedding", ["rnn", "max"])
def test_gates_frozen_at_one_are_maml_bit_for_bit(order, embedding):
    """Three outer steps with Adam and clipping on the same batches: every value, loss and score the same."""
    plain = MetaLearner(tiny_mlp(), Maml(inner_steps=2, inner_lr=0.01, order=order)).train()
    gated = learner(tiny_mlp(), gate="ones", order=order, embedding=embedding)
    optimisers = [torch.optim.Adam(one.parameters(), 1e-2) for one in (plain, gated)]
    for step in range(3):
        batch = random_batch("regression", T=4, seed=step)
        losses = []
        for one, optimiser in zip((plain, gated), optimisers, strict=True):
            optimiser.zero_grad()
            losses.append(one(**batch)["loss"])
            losses[-1].backward()
            torch.nn.utils.clip_grad_norm_(one.parameters(), 0.5)
            optimiser.step()
        assert torch.equal(*losses)
        for a, b in zip(plain.model.parameters(), gated.model.parameters(), strict=True):
            assert torch.equal(a, b)
    assert torch.equal(plain.scores(**batch)["loss"], gated.scores(**batch)["loss"])


def test_with_no_reconstruction_the_gradient_still_reaches_centres_and_encoder():
    made = learner(tiny_mlp(), xi=0.0)
    assert made.init.embedding.decoder is None
    made(**random_batch("regression"))["loss"].backward()
    assert made.init.tree.levels[0].centres.grad.any()
    assert all(value.grad.any() for value in made.init.embedding.parameters())


def test_the_reconstruction_is_trained_on_and_not_reported():
    batch = random_batch("regression", T=3)
    made = learner(tiny_mlp(), xi=0.5)
    error = made.init.portrait(batch["support"], lambda: torch.empty(0)).error
    trained, tested = made(**batch), made.eval()(**batch)
    torch.testing.assert_close(trained["loss"] - tested["loss"], 0.5 * error.mean())
    torch.testing.assert_close(tested["task_losses"], made.scores(**batch)["loss"][:, -1])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tree": []},
        # Wide enough that no code is all zeros, where the next ReLU has its kink.
        {"tree": [3, 1], "embedding": "mean", "size": 12, "encoder_size": 12},
        {"assignment": "gaussian"},
        {"gate": "tensor"},
        {"rates": "element"},
    ],
)
def test_the_gradient_is_exact(options):
    made = learner(tiny_mlp(dtype=torch.float64), **options)
    batch = random_batch("regression", T=2, dtype=torch.float64)
    _, grads = outer_gradient(made, batch)
    direction = random_direction(made)
    told = sum((grads[name] * along).sum().item() for name, along in direction.items())
    assert told == pytest.approx(central_difference(made, batch, direction, 1e-6), rel=1e-6)


def test_the_evaluators_agree():
    batch = random_batch("sequence-classification", dtype=torch.float64)
    results = []
    for name in ("looped", "vectorised"):
        made = learner(tiny_bert(dtype=torch.float64), evaluator=name, gate="tensor")
        results.append(outer_gradient(made, batch))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-10, atol=1e-10)
    for name, value in results[0][1].items():
        torch.testing.assert_close(value, results[1][1][name], rtol=1e-8, atol=1e-10)


def test_tasks_that_cannot_be_embedded_stop_or_are_left_out():
    batch = random_batch("regression", T=3)
    batch["support"]["inputs"][1] = float("nan")
    batch["task"] = torch.tensor([7, 8, 9])
    with pytest.raises(NonFiniteLossError, match=r"the gates of task\(s\) \[8\] are not finite"):
        learner(tiny_mlp())(**batch)
    lenient = learner(tiny_mlp(), on_nonfinite="skip")
    assert lenient(**batch)["task_losses"].shape == (2,)
    assert lenient.skipped == 1
    with pytest.raises(NonFiniteLossError, match="gates of task"):
        lenient.scores(**batch)


def test_more_classes_than_the_embedding_tells_apart_are_refused():
    made = learner(tiny_bert(num_labels=3), gate="tensor", head="zero")
    rows = {name: value[0] for name, value in random_batch("sequence-classification", C=5)["support"].items()}
    with pytest.raises(HfmetaError, match="5 classes, and the task embedding of this learner tells 3 apart"):
        made.adapt(rows)
    rows = {name: value[0] for name, value in random_batch("sequence-classification", C=2)["support"].items()}
    assert made.adapt(rows).config.num_labels == 3


def test_adapting_leaves_the_count_of_clusters_alone():
    made = learner(tiny_mlp())
    before = copy.deepcopy(made.init.usage.seen)
    made.adapt({name: value[0] for name, value in random_batch("regression")["support"].items()})
    assert made.init.usage.seen == before
