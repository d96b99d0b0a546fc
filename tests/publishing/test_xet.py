"""With hf_xet installed and not switched off: folders come down from a hub without Xet, and a push that it cannot take is told.

Uploads by the Xet protocol itself are between huggingface_hub and the hub; tests/hub has no such service (see tests/hub/server.py).
"""

from __future__ import annotations

import pytest

from hub.client import client
from hub.server import OWNER

pytestmark = pytest.mark.xdist_group("hub")
SCRIPT = """
import hf_xet, huggingface_hub
learner = make_learner("bert")
huggingface_hub.constants.HF_HUB_DISABLE_XET = True
learner.push_to_hub("tester/there")
before = ask("files/tester/there")
huggingface_hub.constants.HF_HUB_DISABLE_XET = False
assert same_adaptation(MetaLearner.from_pretrained("tester/there"), learner, TEXT)
try:
    make_learner("learned-rates").push_to_hub("tester/there")
except hfmeta.publishing.PushError as error:
    print(error)
else:
    raise SystemExit("it was pushed by a way that this hub does not have")
assert ask("files/tester/there") == before
"""


def test_a_hub_without_xet(running, hub, tmp_path):
    pytest.importorskip("hf_xet")
    with client(running.url, tmp_path / "home", HF_HUB_DISABLE_XET="0") as run:
        told = run(SCRIPT, tmp_path).out.strip()
    assert "the push to tester/there failed" in told
    assert told.endswith("does not know the Xet protocol, set HF_HUB_DISABLE_XET=1.")
    assert hub.asked(r"^GET .*/xet-write-token/"), "the client went the way that it was to go"
    assert hub.repos[f"{OWNER}/there"].messages == ["Upload a learner of hfmeta"]
