"""Private networks of a learner: whose structure is what, how masks enter the inner loop, and what a new task gets."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch

from hfmeta.adapters.pruning import MaskStore, apply_masks
from hfmeta.algorithms import Cmaml, Maml
from hfmeta.inner import GradientMode
from hfmeta.inner.errors import HfmetaError
from hfmeta.learner import MetaLearner
from hfmeta.learner.adaptation import check_private
from hfmeta.learner.private import private_among, private_parts
from hfmeta.learner.trajectory import Trajectory
from private import private
from tiny import random_batch, tiny_bert, tiny_gpt2, tiny_lstm, with_lora
from truth import central_difference, outer_gradient, random_direction, relative_gap

KEEP = {"keep_ratio": 0.5, "inner_batch_size": None, "inner_lr": 0.1}


def learner_of(model=None, **options) -> MetaLearner:
    """A learner with private networks, of a tiny Seq2SPG in double unless told otherwise."""
    model = tiny_lstm(dtype=torch.float64) if model is None else model
    return MetaLearner(model, Cmaml(**{**KEEP, **options}))


def batch_of(tasks=2, seed=0, dtype=torch.float64, kind="seq2seq-lm"):
    return random_batch(kind, T=tasks, S=4, Q=3, dtype=dtype, seed=seed)


def give_masks(learner: MetaLearner, tasks=2, seed=0):
    """Random structures for training tasks 0 to `tasks` - 1; returns them stacked."""
    private, dice = learner.private, torch.Generator().manual_seed(seed)
    private.begin([f"user {t}" for t in range(tasks)])
    masks = {name: torch.ones(tasks, *shape, dtype=torch.bool) for name, shape in private.shapes.items()}
    for name in private.thinnable:
        masks[name] = torch.rand(masks[name].shape, generator=dice) < 0.5
    private.keep(range(tasks), masks)
    private.finish()
    return masks


def test_the_private_part_of_a_seq2spg_and_of_a_lora():
    names = [name for name, _ in tiny_lstm().named_parameters()]
    (stack,) = private_parts(names)
    assert [name for name, _ in stack.layers] == [f"decoder.private.layers.{i}.weight" for i in range(4)]
    learner = learner_of(with_lora(tiny_gpt2(dtype=torch.float64)))
    assert learner.private.granularity == "rank"
    assert all("lora_" in name for name in learner.private.shapes)


def test_what_a_task_owns_alone():
    """Only where nothing else moves; layers with gaps in their numbers and half a LoRA are no private networks."""
    assert private_among(["layers.0.weight", "layers.2.weight", "private.layers.0.weight"]) == {
        "private.layers.0.weight"
    }
    assert set(learner_of(adapt="private").private_names) == set(learner_of().private.shapes)
    assert learner_of().private_names == []
    half = MetaLearner(with_lora(tiny_gpt2()), Maml(adapt="lora_B"))
    assert half.private_names == []
    with pytest.raises(HfmetaError, match="adapt='lora_B' moves .*lora_B.*no private tensor"):
        check_private(half)


def test_refusals():
    with pytest.raises(HfmetaError, match="prunes a private network, but none adapts"):
        learner_of(tiny_bert(dtype=torch.float64))
    with pytest.raises(HfmetaError, match='adapt="private" needs a private network'):
        MetaLearner(tiny_bert(), Maml(adapt="private"))
    with pytest.raises(HfmetaError, match='granularity="rank" does not fit'):
        learner_of(granularity="rank")
    with pytest.raises(HfmetaError, match='granularity="edge" does not fit.*"rank"'):
        learner_of(with_lora(tiny_gpt2()), granularity="edge")
    with pytest.raises(HfmetaError, match="nothing of the private network can be pruned.*three layers"):
        learner_of(private(tiny_gpt2(), hidden_sizes=[8]))
    learner = learner_of().train()
    give_masks(learner)
    batch = batch_of()
    with pytest.raises(HfmetaError, match="whose episode it is"):
        learner(batch["support"], batch["query"])
    with pytest.raises(HfmetaError, match="no masks of task '7'"):
        learner(batch["support"], batch["query"], torch.tensor([0, 7]))


def test_before_pruning_it_is_maml():
    batch = batch_of()
    cmaml, maml = learner_of(), MetaLearner(tiny_lstm(dtype=torch.float64), Maml(order=1, inner_lr=0.1))
    one, other = outer_gradient(cmaml, batch), outer_gradient(maml, batch)
    assert torch.equal(one[0], other[0])
    assert all(torch.equal(value, other[1][name]) for name, value in one[1].items())


@pytest.mark.parametrize("adapt", ["all", "private"])
def test_masks_in_the_forward_pass_by_hand(adapt):
    """Order 1 with one step: mask, step with the masked gradient, query gradient at the adapted values, masked again (Eq. 5)."""
    learner = learner_of(adapt=adapt)
    masks, batch = give_masks(learner), batch_of()
    loss, found = outer_gradient(learner, batch)
    expected = {name: torch.zeros_like(value) for name, value in found.items()}
    losses = []
    for t in range(2):
        model = copy.deepcopy(learner.model)
        named = dict(model.named_parameters())
        moving = [name for name in named if adapt == "all" or name in learner.private.shapes]

        def masked(name, value, t=t):
            return value * masks[name][t] if name in masks else value

        with torch.no_grad():
            for name, value in named.items():
                value.copy_(masked(name, value))
        rows = {name: value[t] for name, value in batch["support"].items()}
        grads = torch.autograd.grad(model(**rows).loss, [named[name] for name in moving])
        with torch.no_grad():
            for name, grad in zip(moving, grads, strict=True):
                named[name] -= 0.1 * masked(name, grad)
        query = model(**{name: value[t] for name, value in batch["query"].items()}).loss
        losses.append(query.detach())
        wanted = {name: value for name, value in named.items() if value.requires_grad}
        for name, grad in zip(wanted, torch.autograd.grad(query, list(wanted.values())), strict=True):
            expected[f"model.{name}"] += masked(name, grad) / 2
    torch.testing.assert_close(loss, torch.stack(losses).mean(), rtol=1e-10, atol=1e-12)
    assert relative_gap(found, expected) < 1e-10


@pytest.mark.parametrize("backward", ["full", "recompute"])
@pytest.mark.parametrize("masks", ["forward", "gradient"])
def test_the_exact_gradient_equals_finite_differences(masks, backward):
    learner = learner_of(order=2, masks=masks, backward=backward, inner_steps=2)
    give_masks(learner)
    batch, direction = batch_of(), random_direction(learner)
    _, grads = outer_gradient(learner, batch)
    told = sum((grads[name] * value).sum().item() for name, value in direction.items())
    gaps = [abs(told - central_difference(learner, batch, direction, step)) for step in (1e-4, 1e-5, 1e-6)]
    assert min(gaps) < 1e-7 * max(1.0, abs(told))


def test_an_edge_nobody_kept_has_no_gradient_and_a_shared_one_the_mean_of_its_owners():
    """Equation 5: the gradient of an edge is summed over the tasks that kept it."""
    learner = learner_of()
    masks, batch = give_masks(learner), batch_of()
    _, both = outer_gradient(learner, batch)
    alone = []
    for t in range(2):
        one = {part: {name: value[t : t + 1] for name, value in batch[part].items()} for part in ("support", "query")}
        alone.append(outer_gradient(learner, {**one, "task": torch.tensor([t])})[1])
    for name in learner.private.thinnable:
        kept = masks[name]
        grad = both[f"model.{name}"]
        assert not grad[~kept[0] & ~kept[1]].any()
        owners = sum(torch.where(kept[t], alone[t][f"model.{name}"], 0.0) for t in range(2)) / 2
        torch.testing.assert_close(grad, owners, rtol=1e-10, atol=1e-12)


def test_disjoint_tasks_do_not_touch_each_other():
    """Moving one task's private edges leaves the other's answers as they are."""
    learner = learner_of(adapt="private")
    masks = give_masks(learner)
    thin = learner.private.thinnable
    for name in thin:
        masks[name] = torch.stack([masks[name][0], ~masks[name][0]])
    learner.private.keep(range(2), masks)
    batch = batch_of()
    second = {part: {name: value[1:] for name, value in batch[part].items()} for part in ("support", "query")}
    before = learner.train()(**second, task=torch.tensor([1]))["loss"]
    with torch.no_grad():
        for name, value in learner.model.named_parameters():
            if name in thin:
                value += torch.where(masks[name][0], 1.0, 0.0)
    assert torch.equal(learner(**second, task=torch.tensor([1]))["loss"], before)


@pytest.mark.parametrize("proximal", [False, True])
@pytest.mark.parametrize("adam", [None, 0.02])
def test_carving_is_fine_tuning_with_l1_and_algorithm_1(adam, proximal):
    learner = learner_of(prune_l1=0.01, prune_proximal=proximal, prune_lr=adam, inner_batch_size=2)
    batch = batch_of(1)
    with torch.no_grad():
        start, masks = Trajectory(learner, batch["support"], None).carve(3)
    model = copy.deepcopy(learner.model)
    named = dict(model.named_parameters())
    own = [value for name, value in named.items() if adam is not None and name in learner.private.shapes]
    rest = [value for value in named.values() if not any(value is one for one in own)]
    optimizers = [torch.optim.SGD(rest, lr=0.1), *([torch.optim.Adam(own, lr=adam)] if own else [])]
    for step in range(6):
        rows = {name: value[0, 2 * (step % 2) : 2 * (step % 2) + 2] for name, value in batch["support"].items()}
        loss = model(**rows).loss
        if not proximal:
            loss = loss + 0.01 * sum(named[name].abs().sum() for name in learner.private.weights)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        model.zero_grad()
        with torch.no_grad():
            for name in learner.private.weights if proximal else ():
                named[name].copy_(torch.nn.functional.softshrink(named[name], 0.01 * (adam or 0.1)))
    for name, value in named.items():
        torch.testing.assert_close(start[name][0], value.detach(), rtol=1e-9, atol=1e-12)
    thin = learner.private.thinnable
    assert all(0.2 < masks[name].double().mean() < 0.6 for name in thin)
    assert all(masks[name].all() for name in learner.private.weights if name not in thin)


def test_a_new_task_prunes_then_adapts_and_scores_say_the_same():
    learner = learner_of(inner_steps=2, test_prune_steps=3)
    give_masks(learner)
    learner.eval()
    batch = batch_of(1)
    adapted = learner.adapt({name: value[0] for name, value in batch["support"].items()})
    scores = learner.scores(batch["support"], batch["query"])
    with torch.no_grad():
        query = {name: value[0] for name, value in batch["query"].items()}
        before, after = learner.model(**query).loss, adapted(**query).loss
    torch.testing.assert_close(scores["loss"][0, 0], before)
    torch.testing.assert_close(scores["loss"][0, -1], after)
    for name in learner.private.thinnable:
        assert 0.2 < (dict(adapted.named_parameters())[name] == 0).double().mean() < 0.9


def test_reset_after_prune_starts_from_the_learned_values():
    learner = learner_of(reset_after_prune=True, test_inner_steps=0, inner_steps=1)
    batch = batch_of(1)
    with torch.no_grad():
        start, masks = Trajectory(learner, batch["support"], None).carve(3)
    theta = dict(learner.model.named_parameters())
    assert all(torch.equal(value[0], theta[name]) for name, value in start.items())
    assert set(apply_masks(start, masks)) == set(start)


def test_gradient_masks_leave_pruned_edges_alone():
    learner = learner_of(masks="gradient")
    give_masks(learner)
    batch = batch_of(1)
    adapted = learner.eval().adapt({name: value[0] for name, value in batch["support"].items()})
    assert not any(
        (value == 0).any() for name, value in adapted.named_parameters() if name in learner.private.thinnable
    )


def test_saved_and_reopened_with_masks(tmp_path):
    learner = learner_of()
    masks = give_masks(learner)
    learner.save_pretrained(tmp_path)
    again = MetaLearner.from_pretrained(tmp_path)
    assert again.private.ready
    found = again.private.store.get("train", ["user 0", "user 1"])
    assert all(torch.equal(found[name], mask) for name, mask in masks.items())
    assert again.private.summary() == learner.private.summary()


def test_without_its_masks_a_published_learner_still_prunes_for_new_tasks(tmp_path):
    learner = learner_of()
    give_masks(learner)
    learner.save_pretrained(tmp_path)
    (tmp_path / "masks.safetensors").unlink()
    again = MetaLearner.from_pretrained(tmp_path)
    assert again.private.ready
    assert not len(again.private.store)
    rows = {name: value[0] for name, value in batch_of(1)["support"].items()}
    one, other = learner.eval().adapt(rows), again.eval().adapt(rows)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def carved(learner: MetaLearner, passes=3):
    """Fine-tuned values and masks of one task, without its leading dimension."""
    with torch.no_grad():
        start, masks = Trajectory(learner, batch_of(1)["support"], None).carve(passes)
    return {name: value[0] for name, value in start.items()}, {name: mask[0] for name, mask in masks.items()}


def test_proximal_l1_reaches_zero_and_l1_in_the_loss_does_not():
    found = {}
    for proximal in (False, True):
        start, _ = carved(learner_of(prune_l1=0.2, prune_proximal=proximal))
        found[proximal] = {name: value == 0 for name, value in start.items()}
    learner = learner_of()
    for name in learner.private.weights:
        assert not found[False][name].any()
        assert 0.02 < found[True][name].double().mean() < 0.9
    others = set(found[True]) - set(learner.private.weights)
    assert not any(found[True][name].all() for name in others), "nothing else shrinks"


@pytest.mark.parametrize("adapt", ["all", "private"])
def test_gradient_masks_keep_pruned_edges_from_moving(adapt):
    learner = learner_of(masks="gradient", adapt=adapt, inner_steps=2).train()
    masks = give_masks(learner)
    theta = dict(learner.model.named_parameters())
    with torch.no_grad():
        path = Trajectory(learner, batch_of()["support"], torch.arange(2))
        *_, values = path.values(2, GradientMode(1, track=False))
    for name in learner.private.thinnable:
        moved = values[name] != theta[name]
        assert not moved[~masks[name]].any()
        assert moved[masks[name]].any()


def test_pruning_by_node_keeps_whole_blocks_of_edges():
    start, masks = carved(learner_of(granularity="node", gamma=0.35, keep_ratio=None))
    thinned = 0
    for name in learner_of().private.thinnable:
        mask = masks[name]
        assert torch.equal(mask, mask.any(1)[:, None] & mask.any(0)[None, :])
        assert mask[start[name].abs() > 0.35].sum() <= mask.sum()
        thinned += int((~mask).sum())
    assert thinned


@pytest.mark.parametrize("ratio", [0.2, 0.7])
def test_a_target_keep_ratio_is_met_by_every_layer(ratio):
    _, masks = carved(learner_of(keep_ratio=ratio, granularity="edge"))
    (stack,) = private_parts(masks)
    first, *between, last = (name for name, _ in stack.layers)
    assert masks[first].all()
    assert masks[last].all()
    for name in between:
        # At most the share that was asked for; edges under a dropped node go too.
        kept = masks[name].double().mean()
        assert kept <= ratio + 0.5 / masks[name].numel()
        assert kept > ratio / 2


def test_gamma_keeps_the_edges_above_it_and_warns_where_none_is(caplog):
    start, masks = carved(learner_of(gamma=0.2, keep_ratio=None))
    top = learner_of().private.thinnable[-1]  # all its upper nodes are kept
    assert torch.equal(masks[top], start[top].abs() > 0.2)
    carved(learner_of(gamma=100.0, keep_ratio=None))
    assert "pruning leaves nothing of decoder.private.layers.1.weight" in caplog.text
    assert "lower gamma" in caplog.text


def test_masks_of_1200_users_of_the_papers_size_take_147_megabytes():
    """The whole run takes 1.6 GB (benchmarks/memory.py)."""
    widths = [600, 600, 500, 400, 300]
    shapes = {f"layers.{i}.weight": (b, a) for i, (a, b) in enumerate(itertools.pairwise(widths))}
    shapes |= {f"layers.{i}.bias": (b,) for i, b in enumerate(widths[1:])}
    store = MaskStore(shapes)
    ones = {name: torch.ones(1, *shape, dtype=torch.bool) for name, shape in shapes.items()}
    assert sum(mask.numel() for mask in ones.values()) == 981_800
    store.put("train", [0], ones)
    assert store.bytes_per_task == 122_726
    assert 1200 * store.bytes_per_task < 148e6
