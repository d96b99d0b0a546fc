"""Which rows make an episode: groups by column, draws by task and by label, the sampler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from hfmeta.episodes import EpisodeError, EpisodeSampler
from hfmeta.episodes.sampling import GroupIndex, NWayDraws, TaskDraws


def table(*labels: object, **columns: list) -> Dataset:
    return Dataset.from_dict({"label": list(labels), **columns})


def test_groups_in_order_of_appearance_with_their_rows() -> None:
    index = GroupIndex(table("b", "a", "b", "c"), "label")
    assert index.names == ["b", "a", "c"]
    assert index.sizes.tolist() == [2, 1, 1]
    assert [index.rows(g).tolist() for g in range(3)] == [[0, 2], [1], [3]]


@pytest.mark.parametrize("values", [[3, 1, 3], [True, False, True]], ids=["integers", "booleans"])
def test_groups_of_numbers(values: list) -> None:
    index = GroupIndex(table(*values), "label")
    assert index.names == [values[0], values[1]]
    assert index.rows(0).tolist() == [0, 2]


def test_groups_of_class_labels_carry_names() -> None:
    features = Features({"label": ClassLabel(names=["no", "yes"])})
    assert GroupIndex(Dataset.from_dict({"label": [1, 0, 1]}, features=features), "label").names == ["yes", "no"]


def test_groups_follow_a_selection() -> None:
    index = GroupIndex(table(*"abcab").select([4, 3, 0]), "label")
    assert index.names == ["b", "a"]
    assert index.rows(1).tolist() == [1, 2]


def test_groups_of_concatenated_tables() -> None:
    from datasets import concatenate_datasets

    index = GroupIndex(concatenate_datasets([table("a", "b"), table("b", "c")]), "label")
    assert index.names == ["a", "b", "c"]
    assert index.rows(1).tolist() == [1, 2]


def test_refusals_of_a_group_column() -> None:
    with pytest.raises(
        EpisodeError, match=r"no column 'lable'; the columns found are \['label'\]. Did you mean 'label'"
    ):
        GroupIndex(table("a"), "lable")
    with pytest.raises(EpisodeError, match="empty in 1 of 2 rows"):
        GroupIndex(table("a", None), "label")
    with pytest.raises(EpisodeError, match="grouping needs text, integers or class labels"):
        GroupIndex(table([1, 2], [3]), "label")


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(5, 12), min_size=1, max_size=5),
    seed=st.integers(0, 99),
    epoch=st.integers(0, 2**31),
    i=st.integers(0, 50),
)
def test_task_draws_are_disjoint_and_of_one_task(sizes: list[int], seed: int, epoch: int, i: int) -> None:
    labels = [f"t{t}" for t, size in enumerate(sizes) for _ in range(size)]
    draws = TaskDraws(GroupIndex(table(*labels), "label"), 2, 3, "error")
    draw = draws.draw(seed, epoch, i)
    assert (len(draw.support), len(draw.query)) == (2, 3)
    assert len({*draw.support.tolist(), *draw.query.tolist()}) == 5
    assert {labels[r] for r in (*draw.support, *draw.query)} == set(draw.names)
    again = TaskDraws(draws.index, 2, 3, "error").draw(seed, epoch, i)
    assert again.support.tolist() == draw.support.tolist()
    assert again.query.tolist() == draw.query.tolist()


def test_each_round_visits_every_task_once_in_a_fresh_order() -> None:
    draws = TaskDraws(GroupIndex(table(*(f"t{i % 20}" for i in range(100))), "label"), 1, 1, "error")
    rounds = [[draws.draw(0, 0, r * 20 + i).task for i in range(20)] for r in range(3)]
    assert all(sorted(r) == list(range(20)) for r in rounds)
    assert rounds[0] != rounds[1] != rounds[2]
    assert [draws.draw(0, 1, i).task for i in range(20)] != rounds[0]
    assert [draws.draw(1, 0, i).task for i in range(20)] != rounds[0]


def test_all_rows_of_a_task_are_drawn_sooner_or_later() -> None:
    draws = TaskDraws(GroupIndex(table(*"aaaaaa"), "label"), 1, 1, "error")
    seen = Counter(int(draws.draw(0, epoch, 0).support[0]) for epoch in range(600))
    assert set(seen) == set(range(6))
    assert min(seen.values()) > 60


def test_tasks_too_small() -> None:
    index = GroupIndex(table(*"aaaaabbbcd"), "label")
    with pytest.raises(
        EpisodeError,
        match=r"3 of 4 tasks in column 'label'.*than the 4 rows.*'b' \(3\), 'c' \(1\), 'd' \(1\)",
    ):
        TaskDraws(index, 2, 2, "error")
    assert TaskDraws(index, 2, 2, "drop").tasks.tolist() == [0]
    with pytest.raises(
        EpisodeError, match=r"2 of 4 tasks.*fewer than the 2 rows.*Ask for fewer rows, or pass too_small='drop'"
    ):
        TaskDraws(index, 2, 2, "shrink")
    with pytest.raises(EpisodeError, match="none of the 4 tasks.*the largest has 5"):
        TaskDraws(index, 4, 4, "drop")
    with pytest.raises(EpisodeError, match="too_small='dorp' is unknown.*Did you mean 'drop'"):
        TaskDraws(index, 2, 2, "dorp")


@pytest.mark.parametrize(("rows", "sizes"), [(2, (1, 1)), (3, (2, 1)), (5, (3, 2)), (7, (5, 2)), (12, (8, 4))])
def test_shrink_keeps_the_proportion(rows: int, sizes: tuple[int, int]) -> None:
    draw = TaskDraws(GroupIndex(table(*"a" * rows), "label"), 8, 4, "shrink").draw(0, 0, 0)
    assert (len(draw.support), len(draw.query)) == sizes
    assert len({*draw.support.tolist(), *draw.query.tolist()}) == min(rows, 12)


@pytest.mark.parametrize(
    ("support", "query", "message"),
    [
        (0, 2, "support=0 leaves the support set empty; an episode adapts to at least 1 row"),
        (2, 0, "query=0 leaves the query set empty; an episode is scored on at least 1 row"),
        (-1, 2, "support must be a whole number of at least 0 rows, got -1"),
        (2, 1.5, "query must be a whole number of at least 0 rows, got 1.5"),
        (True, 2, "support must be a whole number of at least 0 rows, got True"),
    ],
)
def test_refusals_of_sizes(support: int, query: int, message: str) -> None:
    with pytest.raises(EpisodeError, match=message):
        TaskDraws(GroupIndex(table(*"aaaa"), "label"), support, query, "error")


@settings(max_examples=60, deadline=None)
@given(n=st.integers(2, 6), k=st.integers(1, 3), q=st.integers(1, 4), seed=st.integers(0, 9), i=st.integers(0, 40))
def test_n_way_draws(n: int, k: int, q: int, seed: int, i: int) -> None:
    labels = [f"c{r % 6}" for r in range(6 * 7)]
    draw = NWayDraws(GroupIndex(table(*labels), "label"), n, k, q, "error").draw(seed, 0, i)
    assert draw.task == i
    assert len(set(draw.names)) == n
    assert draw.support_labels is not None
    assert draw.query_labels is not None
    assert len({*draw.support.tolist(), *draw.query.tolist()}) == n * (k + q)
    for rows, ids in ((draw.support, draw.support_labels), (draw.query, draw.query_labels)):
        assert [labels[r] for r in rows] == [draw.names[c] for c in ids]
    # K rounds, each with one row of every class.
    assert all(sorted(draw.support_labels[r * n : (r + 1) * n]) == list(range(n)) for r in range(k))
    assert Counter(draw.query_labels) == {c: q for c in range(n)}


def test_labels_and_class_order_are_drawn_afresh() -> None:
    draws = NWayDraws(GroupIndex(table(*(f"c{r % 3}" for r in range(30))), "label"), 3, 2, 1, "error")
    names = {draws.draw(0, 0, i).names for i in range(60)}
    orders = {tuple(draws.draw(0, 0, i).support_labels[:3]) for i in range(60)}
    assert len(names) == 6
    assert len(orders) == 6


def test_n_way_refusals() -> None:
    index = GroupIndex(table(*"aaabbbccd"), "label")
    with pytest.raises(EpisodeError, match="n_way=5 is above the number of classes: column 'label' has 4"):
        NWayDraws(GroupIndex(table(*"aabbccdd"), "label"), 5, 1, 1, "error")
    with pytest.raises(EpisodeError, match=r"n_way=3 is above.*has 2 with enough rows \(of 4 in all\)"):
        NWayDraws(index, 3, 1, 2, "drop")
    with pytest.raises(
        EpisodeError, match=r"2 of 4 classes in column 'label' have fewer than the 3 rows.*'c' \(2\), 'd' \(1\)"
    ):
        NWayDraws(index, 2, 1, 2, "error")
    with pytest.raises(EpisodeError, match=r"1 of 4 classes.*fewer than the 2 rows.*'d' \(1\)"):
        NWayDraws(index, 2, 1, 2, "shrink")
    with pytest.raises(EpisodeError, match="k_shot=0 leaves the support set empty"):
        NWayDraws(index, 2, 0, 1, "error")
    with pytest.raises(EpisodeError, match="query=0 leaves the query set empty"):
        NWayDraws(index, 2, 1, 0, "error")
    with pytest.raises(EpisodeError, match="n_way must be a whole number of at least 2 classes, got 1"):
        NWayDraws(index, 1, 1, 1, "error")


def test_n_way_shrinks_the_query_of_every_class_alike() -> None:
    draws = NWayDraws(GroupIndex(table(*"aaaaabbb"), "label"), 2, 1, 4, "shrink")
    draw = draws.draw(0, 0, 0)
    assert len(draw.support) == 2
    assert Counter(draw.query_labels) == {0: 2, 1: 2}


def test_classes_of_an_episode_come_from_one_group() -> None:
    rows = table(*"aabbccddee", group=[*"1111222222"])
    draws = NWayDraws(GroupIndex(rows, "label"), 2, 1, 1, "error", GroupIndex(rows, "group"))
    drawn = {frozenset(draws.draw(0, 0, i).names) for i in range(80)}
    assert drawn == {frozenset("ab"), frozenset("cd"), frozenset("ce"), frozenset("de")}
    three = NWayDraws(GroupIndex(rows, "label"), 3, 1, 1, "error", GroupIndex(rows, "group"))
    assert {frozenset(three.draw(0, 0, i).names) for i in range(5)} == {frozenset("cde")}
    with pytest.raises(
        EpisodeError,
        match="n_way=4 is above .* every group of column 'group'; the largest group has 3",
    ):
        NWayDraws(GroupIndex(rows, "label"), 4, 1, 1, "error", GroupIndex(rows, "group"))
    mixed = table(*"aabb", group=[*"1222"])
    with pytest.raises(EpisodeError, match="class 'a' occurs in several values of column 'group'"):
        NWayDraws(GroupIndex(mixed, "label"), 2, 1, 1, "error", GroupIndex(mixed, "group"))


def test_the_index_is_fast_and_small() -> None:
    import time

    rows = Dataset.from_dict({"label": np.arange(200_000) % 5000}, features=Features({"label": Value("int64")}))
    start = time.perf_counter()
    index = GroupIndex(rows, "label")
    assert time.perf_counter() - start < 2
    assert index.sizes.tolist() == [40] * 5000


def test_sampler_yields_keys() -> None:
    sampler = EpisodeSampler(range(3))
    assert len(sampler) == 3
    assert list(sampler) == [(0, 0), (0, 1), (0, 2)]
    sampler.set_epoch(4)
    assert list(sampler) == list(sampler) == [(4, 0), (4, 1), (4, 2)]


def test_sampler_shuffles_with_a_seed(number_rows: Callable[..., Dataset]) -> None:
    sampler = EpisodeSampler(range(50), seed=1)
    first = list(sampler)
    assert first == list(EpisodeSampler(range(50), seed=1))
    assert sorted(first) == [(0, i) for i in range(50)]
    sampler.set_epoch(1)
    assert [i for _, i in sampler] != [i for _, i in first]
    assert first != list(EpisodeSampler(range(50), seed=2))
