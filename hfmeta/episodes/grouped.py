"""Which rows make an episode whose support and query share no group (dialogue, session, document): draws by task and group.

Draws by task alone and by label are in `sampling`.
"""

from __future__ import annotations

import numpy as np

from hfmeta.episodes.errors import EpisodeError, unknown_choice, whole_number
from hfmeta.episodes.sampling import Draw, GroupIndex, Indices, TaskOrder, keep_large

QUERY_GROUPS = ("random", "first", "each")


class GroupedDraws:
    """Episodes by task column whose rows of one group stay together; sizes count groups. The sets are as long as their groups are.

    Args:
        index: rows by task.
        groups: rows by group. A group may have rows of several tasks; in an episode it counts with those of its task.
        support: groups per support set; None takes all that are not the query's.
        query: groups per query set.
        too_small: what happens to tasks with too few groups; "shrink" takes fewer support groups, at least 1.
        query_groups: "random": redrawn at every visit; "first": those that come first in the table (validation); "each": every group
            of every task is the query once per round (leave-one-out tests; `query` is 1).
        max_support_rows: rows kept of a longer support set, drawn at random; None keeps all.
        max_query_rows: the same for the query set.

    Raises:
        EpisodeError: sizes below 1, an unknown choice, "each" with a query of several groups, or tasks with too few groups.
    """

    def __init__(
        self,
        index: GroupIndex,
        groups: GroupIndex,
        support: int | None,
        query: int,
        too_small: str,
        query_groups: str = "random",
        max_support_rows: int | None = None,
        max_query_rows: int | None = None,
    ):
        if query_groups not in QUERY_GROUPS:
            raise unknown_choice("query_groups", query_groups, QUERY_GROUPS)
        for name, value in (("max_support_rows", max_support_rows), ("max_query_rows", max_query_rows)):
            if value is not None:
                whole_number(name, value, 1, "row")
        if support is not None:
            whole_number("support", support, 1, f"value of column {groups.column!r}")
        if whole_number("query", query, 1, f"value of column {groups.column!r}") > 1 and query_groups == "each":
            raise EpisodeError(
                f"query={query} with query_groups='each': leave-one-out tests hold out 1 value of column {groups.column!r} at a time."
            )
        self.index, self.groups, self.support, self.query = index, groups, support, query
        self.query_groups, self.limits = query_groups, (max_support_rows, max_query_rows)
        members = [_in_order(groups.codes[index.rows(task)]) for task in range(len(index))]
        sizes = np.array([len(found) for found in members], dtype=np.int64)
        need = query + (1 if support is None else support)
        unit = f"values of column {groups.column!r}"
        self.tasks = keep_large(index, need, query + 1, too_small, "task", sizes, unit)
        self._members = {int(task): members[task] for task in self.tasks}
        self.visits = [(task, place) for task in self._members for place in range(len(self._members[task]))]
        each = np.arange(len(self.visits), dtype=np.int64)
        self._order = TaskOrder(each if query_groups == "each" else self.tasks)

    def __len__(self) -> int:
        """The episodes of one round: tasks, or groups of tasks where each is held out once."""
        return len(self._order.tasks)

    def draw(self, seed: int, epoch: int, index: int) -> Draw:
        """Return the episode of (seed, epoch, index); rows are in the order of the table."""
        chosen = self._order.at(seed, epoch, index)
        rng = np.random.default_rng([seed, epoch, index])
        task, place = self.visits[chosen] if self.query_groups == "each" else (chosen, 0)
        members = self._members[task]
        if self.query_groups == "random":
            members = rng.permutation(members)
        elif self.query_groups == "each":
            members = np.concatenate([members[place : place + 1], np.delete(members, place)])
        held_out, others = members[: self.query], members[self.query :]
        if self.support is not None and self.support < len(others):
            others = rng.choice(others, size=self.support, replace=False)
        support, query = (
            self._rows(task, chosen_groups, limit, rng)
            for chosen_groups, limit in zip((others, held_out), self.limits, strict=True)
        )
        return Draw(task, (self.index.names[task],), support, query)

    def _rows(self, task: int, chosen: Indices, limit: int | None, rng: np.random.Generator) -> Indices:
        """Return the rows of a task in the chosen groups, at most `limit`."""
        rows = self.index.rows(task)
        rows = rows[np.isin(self.groups.codes[rows], chosen)]
        if limit is not None and len(rows) > limit:
            rows = np.sort(rng.choice(rows, size=limit, replace=False))
        return rows


def _in_order(codes: Indices) -> Indices:
    """Return the different groups in the order in which they come."""
    found, first = np.unique(codes, return_index=True)
    return found[np.argsort(first)].astype(np.int64)
