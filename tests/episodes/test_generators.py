"""Counter-based random numbers: pure, batch-independent, uniform."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hfmeta.episodes import EpisodeGenerator, uniforms


def test_known_values_of_splitmix64() -> None:
    # The finaliser of splitmix64 from state 0 is 0xE220A8397B1DCDAF; a chain of three such steps seeds the row.
    mask = (1 << 64) - 1

    def step(z: int) -> int:
        z = (z + 0x9E3779B97F4A7C15) & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    assert step(0) == 0xE220A8397B1DCDAF
    state = step(step(step(7) ^ 3) ^ 11)
    first = step(state)
    second = step((state + 0x9E3779B97F4A7C15) & mask)
    assert uniforms(7, [(3, 11)], 2)[0].tolist() == [(first >> 11) / 2**53, (second >> 11) / 2**53]


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**70),
    keys=st.lists(st.tuples(st.integers(0, 2**32), st.integers(0, 2**40)), min_size=1, max_size=6),
    count=st.integers(1, 9),
)
def test_a_row_depends_on_its_key_alone(seed: int, keys: list[tuple[int, int]], count: int) -> None:
    together = uniforms(seed, keys, count)
    assert together.shape == (len(keys), count)
    assert ((together >= 0) & (together < 1)).all()
    for row, key in zip(together, keys, strict=True):
        assert (uniforms(seed, [key], count + 4)[0, :count] == row).all()


def test_numbers_are_uniform_and_rows_unrelated() -> None:
    table = uniforms(0, [(0, i) for i in range(20_000)], 3)
    assert np.abs(table.mean(0) - 0.5).max() < 0.01
    assert np.abs(table.var(0) - 1 / 12).max() < 0.003
    assert np.abs(np.corrcoef(table.T) - np.eye(3)).max() < 0.03
    assert abs(np.corrcoef(table[:-1, 0], table[1:, 0])[0, 1]) < 0.03
    for other in (uniforms(1, [(0, i) for i in range(20_000)], 1), uniforms(0, [(1, i) for i in range(20_000)], 1)):
        assert abs(np.corrcoef(table[:, 0], other[:, 0])[0, 1]) < 0.03


def test_the_contract_is_one_method() -> None:
    class Family:
        def task(self, seed: int, epoch: int, index: int) -> dict:
            return {}

    assert isinstance(Family(), EpisodeGenerator)
    assert not isinstance([], EpisodeGenerator)
