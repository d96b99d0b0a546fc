"""A bank with one template, of a named learner."""

from __future__ import annotations

import pytest

from bank_samples import adapter
from hfmeta.adapters.bank import AdapterBank


@pytest.fixture
def bank(tmp_path):
    with AdapterBank.create(tmp_path / "bank", adapter(), learner_id="someone/learner", revision="abc") as bank:
        yield bank
