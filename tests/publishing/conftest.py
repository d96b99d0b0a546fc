"""Fixtures of the tests that need a hub: one server and one client process for all of them, no fault left by a test before.

Starting a client takes seconds: the tests are of one group (`xdist_group("hub")`), which one worker runs.
"""

from __future__ import annotations

import pytest

from hub.client import STOCK, client
from hub.server import Hub


@pytest.fixture(scope="session")
def running():
    """The hub of the session."""
    with Hub() as server:
        yield server


@pytest.fixture
def hub(running):
    """The hub, without repositories, faults and requests of the test before."""
    for left in (running.faults, running.requests, running.cards, running.repos):
        left.clear()
    return running


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """The cache of the clients."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def run(running, home):
    """Runs scripts with hfmeta imported."""
    with client(running.url, home) as runs:
        yield runs


@pytest.fixture(scope="session")
def stock(running, home):
    """Runs scripts in a process that cannot import hfmeta."""
    with client(running.url, home, STOCK) as runs:
        yield runs
