"""Registration with PEFT: once, twice, in a fresh process, and where it cannot be."""

from __future__ import annotations

import importlib
import pickle
import subprocess
import sys

import pytest
from peft import PeftType
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_PREFIX_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING
from peft.tuners.tuners_utils import BaseTuner

from hfmeta.adapters.private_mlp import PrivateMlpConfig, PrivateMlpModel, register_private_mlp, registration
from hfmeta.inner.errors import HfmetaError


def test_the_type_is_a_member_like_any_other():
    member = PeftType("PRIVATE_MLP")
    assert member is PeftType.PRIVATE_MLP is PeftType["PRIVATE_MLP"]
    assert pickle.loads(pickle.dumps(member)) is member
    assert (member in list(PeftType), member.value, member.name) == (True, "PRIVATE_MLP", "PRIVATE_MLP")
    assert PEFT_TYPE_TO_CONFIG_MAPPING[member] is PrivateMlpConfig
    assert PEFT_TYPE_TO_TUNER_MAPPING[member] is PrivateMlpModel
    assert PEFT_TYPE_TO_PREFIX_MAPPING[member] == "private_mlp_"


def test_again_changes_nothing():
    before = (list(PeftType), dict(PEFT_TYPE_TO_CONFIG_MAPPING), dict(PEFT_TYPE_TO_TUNER_MAPPING))
    register_private_mlp()
    importlib.reload(registration).register_private_mlp()
    assert before == (list(PeftType), dict(PEFT_TYPE_TO_CONFIG_MAPPING), dict(PEFT_TYPE_TO_TUNER_MAPPING))


def test_importing_hfmeta_registers_and_a_second_import_replaces():
    code = (
        "import sys, hfmeta\n"
        "from peft import PeftType, get_peft_model\n"
        "first = len(PeftType)\n"
        "for name in [n for n in sys.modules if n.startswith('hfmeta.adapters')]: del sys.modules[name]\n"
        "from hfmeta.adapters import PrivateMlpConfig\n"
        "from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING as known\n"
        "assert known[PeftType('PRIVATE_MLP')] is PrivateMlpConfig and len(PeftType) == first\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_incompatible_peft_is_one_clear_error(monkeypatch):
    with monkeypatch.context() as patch:
        patch.delattr(BaseTuner, "_remap_adapter_state_dict_for_load")
        with pytest.raises(
            HfmetaError, match=r"cannot register .* with peft .*: BaseTuner has no _remap.*'peft>=0\.21,<0\.22'"
        ):
            register_private_mlp()
    with monkeypatch.context() as patch:
        patch.setitem(PEFT_TYPE_TO_CONFIG_MAPPING, PeftType("PRIVATE_MLP"), BaseTuner)
        with pytest.raises(HfmetaError, match="it has a method PRIVATE_MLP already, from peft.tuners.tuners_utils"):
            register_private_mlp()
    with monkeypatch.context() as patch:
        patch.delitem(PEFT_TYPE_TO_CONFIG_MAPPING, PeftType("PRIVATE_MLP"))
        with pytest.raises(HfmetaError, match="There is already PEFT method called 'private_mlp'"):
            register_private_mlp()
