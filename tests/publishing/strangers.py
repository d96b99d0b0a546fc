"""A folder from anybody, opened or refused: what the tests of loading share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hfmeta import MetaLearner
from hfmeta.inner.errors import HfmetaError


def refused(act) -> str:
    """The one paragraph with which an act is refused."""
    with pytest.raises(HfmetaError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def opening(folder):
    """The act of opening a learner."""
    return lambda: MetaLearner.from_pretrained(folder)


def refused_at(folder) -> str:
    """The one paragraph with which a learner's folder is refused."""
    return refused(opening(folder))


def edited(path: Path, **changes):
    """Change keys of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


plain = pytest.mark.parametrize("folder", ["learned-rates"], indirect=True)
lora = pytest.mark.parametrize("folder", ["bert-lora"], indirect=True)
