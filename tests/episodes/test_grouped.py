"""Episodes by group: support and query never share a dialogue, for every way of choosing the query."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hfmeta.episodes import EpisodeDataset, EpisodeError, FixedEpisodes
from hfmeta.episodes.grouped import GroupedDraws
from hfmeta.episodes.sampling import GroupIndex


def table(sizes: dict[str, list[int]]) -> Dataset:
    """Task -> rows of each of its groups; the rows of all tasks and groups are mixed, groups in order of first appearance."""
    rows = [
        {"user": user, "dialogue": f"{user}{d}", "x": [100.0 * d + r], "y": [0.0]}
        for user, found in sizes.items()
        for d, size in enumerate(found)
        for r in range(size)
    ]
    order = np.argsort([row["x"][0] % 100 for row in rows], kind="stable")
    return Dataset.from_list([rows[place] for place in order])


def draws(
    rows: Dataset, support: int | None = None, query: int = 1, too_small: str = "error", **options
) -> GroupedDraws:
    return GroupedDraws(GroupIndex(rows, "user"), GroupIndex(rows, "dialogue"), support, query, too_small, **options)


@settings(max_examples=80, deadline=None)
@given(
    sizes=st.lists(st.lists(st.integers(1, 4), min_size=3, max_size=6), min_size=1, max_size=4),
    support=st.none() | st.integers(1, 2),
    kind=st.sampled_from(["random", "first", "each"]),
    caps=st.tuples(st.none() | st.integers(1, 5), st.none() | st.integers(1, 3)),
    key=st.tuples(st.integers(0, 50), st.integers(0, 2**31), st.integers(0, 60)),
)
def test_groups_stay_whole_and_apart(sizes, support, kind, caps, key) -> None:
    rows = table({f"u{n}": found for n, found in enumerate(sizes)})
    options = {"query_groups": kind, "max_support_rows": caps[0], "max_query_rows": caps[1]}
    made = draws(rows, support, **options)
    draw = made.draw(*key)
    users, dialogues = rows["user"][:], rows["dialogue"][:]
    own = [row for row in range(len(rows)) if users[row] == draw.names[0]]
    sides = [{dialogues[row] for row in side} for side in (draw.support, draw.query)]
    assert not sides[0] & sides[1]
    assert {*draw.support.tolist(), *draw.query.tolist()} <= set(own)
    assert made.index.names[draw.task] == draw.names[0]
    count = len({dialogues[row] for row in own})
    for side, found, cap, groups in zip(
        (draw.support, draw.query), sides, caps, (count - 1 if support is None else support, 1), strict=True
    ):
        whole = sorted(row for row in own if dialogues[row] in found)
        assert side.tolist() == sorted(side.tolist())
        assert cap is None or len(side) <= cap
        if cap is None or len(side) < cap:
            assert side.tolist() == whole
            assert len(found) == groups
    again = draws(rows, support, **options).draw(*key)
    assert (again.support.tolist(), again.query.tolist()) == (draw.support.tolist(), draw.query.tolist())


def test_training_redraws_the_query_and_visits_every_task() -> None:
    rows = table({"a": [2] * 5, "b": [3] * 4})
    made = draws(rows)
    assert len(made) == 2
    assert all({made.draw(0, epoch, i).names[0] for i in range(2)} == {"a", "b"} for epoch in range(5))
    queries = Counter(
        rows["dialogue"][int(draw.query[0])]
        for epoch in range(400)
        for draw in [made.draw(1, epoch, 0)]
        if draw.names == ("a",)
    )
    assert set(queries) == {f"a{d}" for d in range(5)}
    assert min(queries.values()) > 20


def test_validation_holds_out_the_first_group() -> None:
    rows = table({"a": [2] * 5, "b": [3] * 4})
    made = draws(rows, 2, query_groups="first")
    found = [made.draw(seed, epoch, i) for seed in range(3) for epoch in range(3) for i in range(2)]
    assert {rows["dialogue"][int(row)] for draw in found for row in draw.query} == {"a0", "b0"}
    assert len({tuple(draw.support.tolist()) for draw in found}) > 3, "the support is drawn"
    whole = draws(rows, query_groups="first")
    assert len({tuple(whole.draw(s, 0, 0).support.tolist()) for s in range(9)}) == 2


def test_a_test_holds_out_every_group_once() -> None:
    rows = table({"a": [2] * 5, "b": [3] * 4})
    made = draws(rows, query_groups="each")
    assert len(made) == 9
    found = [made.draw(4, 7, i) for i in range(9)]
    assert sorted(rows["dialogue"][int(draw.query[0])] for draw in found) == sorted(set(rows["dialogue"]))
    assert all(len(draw.support) == (8 if draw.names == ("a",) else 9) for draw in found)
    again = [made.draw(4, 7, i) for i in range(9, 18)]
    assert sorted(d.query.tolist() for d in again) == sorted(d.query.tolist() for d in found)


def test_a_group_of_two_tasks_counts_with_each() -> None:
    rows = Dataset.from_dict({"user": [*"abab"], "dialogue": [*"1122"]})
    draw = draws(rows).draw(0, 0, 0)
    assert {rows["user"][int(row)] for row in (*draw.support, *draw.query)} == {draw.names[0]}
    assert len(draw.support) == len(draw.query) == 1


def test_tasks_with_few_groups() -> None:
    rows = table({"a": [9], "b": [1, 1], "c": [1, 1, 1]})
    with pytest.raises(
        EpisodeError,
        match=r"1 of 3 tasks in column 'user' have fewer than the 2 values of column 'dialogue' that support and query need: "
        r"'a' \(1\). Ask for fewer values of column 'dialogue', or pass too_small='drop' to leave them out\.",
    ):
        draws(rows)
    with pytest.raises(EpisodeError, match=r"2 of 3 tasks .* 3 values .*, or 'shrink'"):
        draws(rows, 2)
    assert draws(rows, 2, too_small="drop").tasks.tolist() == [2]
    with pytest.raises(EpisodeError, match="1 of 3 tasks"):
        draws(rows, 2, too_small="shrink")
    shrunk = draws(rows.filter(lambda user: user != "a", input_columns="user"), 2, too_small="shrink")
    assert {shrunk.draw(0, 0, i).names[0]: len(shrunk.draw(0, 0, i).support) for i in range(2)} == {"b": 1, "c": 2}


def test_refusals() -> None:
    rows = table({"a": [1] * 5})
    with pytest.raises(EpisodeError, match="query_groups='last' is unknown; choose one of 'random', 'first', 'each'"):
        draws(rows, query_groups="last")
    with pytest.raises(EpisodeError, match="query=2 with query_groups='each': leave-one-out tests hold out 1 value"):
        draws(rows, query=2, query_groups="each")
    with pytest.raises(
        EpisodeError, match="support must be a whole number of at least 1 value of column 'dialogue', got 0"
    ):
        draws(rows, 0)
    with pytest.raises(EpisodeError, match="query must be a whole number of at least 1"):
        draws(rows, 1, 0)
    with pytest.raises(EpisodeError, match="max_query_rows must be a whole number of at least 1 row, got 0"):
        draws(rows, max_query_rows=0)
    with pytest.raises(
        EpisodeError, match="max_support_rows, query_groups belong to episodes by group; pass group_column"
    ):
        EpisodeDataset(
            rows, task_column="user", input_column="x", target_column="y", query_groups="each", max_support_rows=3
        )
    with pytest.raises(EpisodeError, match="group_column='session'.*no column 'session'"):
        EpisodeDataset(rows, task_column="user", input_column="x", target_column="y", group_column="session")


class TestEpisodes:
    """Through EpisodeDataset: lengths, fixed lists, and batches of sets of unlike sizes."""

    def dataset(self, tokenizer, **options) -> EpisodeDataset:
        rows = [
            {
                "user": user,
                "dialogue": f"{user}{d}",
                "source": f"hello {user} {'you ' * (r + d)}",
                "target": f"yes {d} {'no ' * r}",
            }
            for user, count in (("a", 3), ("b", 5))
            for d in range(count)
            for r in range(d + 1)
        ]
        columns = {"task_column": "user", "input_column": "source", "target_column": "target"}
        return EpisodeDataset(
            Dataset.from_list(rows),
            **columns,
            task_type="seq2seq-lm",
            group_column="dialogue",
            processing_class=tokenizer,
            **options,
        )

    def test_defaults_and_lengths(self, tokenizer) -> None:
        train = self.dataset(tokenizer)
        assert len(train) == 2
        sizes = {train.task_names[e["task"]]: len(e["support"]["labels"]) + len(e["query"]["labels"]) for e in train}
        assert sizes == {"a": 6, "b": 15}
        test = self.dataset(tokenizer, query_groups="each", max_support_rows=4)
        assert len(test) == 8
        assert max(len(e["support"]["labels"]) for e in test) == 4
        fixed = FixedEpisodes(test, 8)
        assert len({draw.query.tobytes() for draw in fixed.draws()}) == 8
        assert (
            fixed.sha256
            == FixedEpisodes(self.dataset(tokenizer, query_groups="each", max_support_rows=4, seed=5), 8).sha256
        )

    def test_ragged_sets_are_padded_with_rows_that_do_not_count(self, tokenizer) -> None:
        train = self.dataset(tokenizer)
        episodes = list(train)
        batch = train.collate(episodes)
        for side in ("support", "query"):
            longest = max(len(e[side]["labels"]) for e in episodes)
            assert batch[side]["input_ids"].shape[:2] == (2, longest)
            for row, episode in zip(range(2), episodes, strict=True):
                own = len(episode[side]["labels"])
                labels = batch[side]["labels"][row]
                assert bool((labels[own:] == -100).all())
                width = episode[side]["labels"].shape[1]
                assert torch.equal(labels[:own, :width], episode[side]["labels"])
                assert batch[side]["attention_mask"][row, own:].sum(-1).tolist() == [1] * (longest - own)
