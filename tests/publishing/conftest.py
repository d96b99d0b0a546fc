"""Fixtures of the tests that need a hub (one server and one client process for all of them, no fault left by a test before), and
published folders to be damaged.

Starting a client takes seconds: the tests are of one group (`xdist_group("hub")`), which one worker runs.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hub.client import STOCK, client
from hub.server import Hub
from learner.served import rows_of_user, served_learner
from saving import make_learner
from tiny import tiny_bert


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


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """Folders of every kind that is published: name -> folder; `served` is the learner of the private adapters."""
    root = tmp_path_factory.mktemp("published")
    for name in ("learned-rates", "bert-lora"):
        make_learner(name).save_pretrained(root / name)
    learner = served_learner("seq2spg")
    with learner.serve(root / "bank") as serving:
        serving.add("anna", rows_of_user("seq2spg", "anna"))
        serving.export(root / "collection")
    learner.save_pretrained(root / "served")
    base = tiny_bert()
    base.save_pretrained(root / "a base")
    return root


@pytest.fixture
def folder(published, tmp_path, request):
    """A copy of a published folder, to be damaged."""
    return Path(shutil.copytree(published / request.param, tmp_path / "folder"))
