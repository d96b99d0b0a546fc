"""Makes PRIVATE_MLP known to PEFT, whose list of methods is a closed enum.

PEFT has `register_peft_method` and no way to name a new method for it, so the enum gets one member more first.
Everything that depends on PEFT's insides stands in this file and in tuner.py.
"""

from __future__ import annotations

from typing import Any

import peft
from peft import PeftType
from peft.mapping import (
    PEFT_TYPE_TO_CONFIG_MAPPING,
    PEFT_TYPE_TO_PREFIX_MAPPING,
    PEFT_TYPE_TO_TUNER_MAPPING,
)
from peft.tuners.tuners_utils import BaseTuner
from peft.utils import register_peft_method

from hfmeta.adapters.private_mlp.config import NAME, PrivateMlpConfig
from hfmeta.adapters.private_mlp.tuner import PrivateMlpModel
from hfmeta.inner.errors import HfmetaError

SUPPORTED = "peft>=0.21,<0.22"
HOOKS = ("_get_adapter_state_dict", "_remove_adapter_name_from_key", "_remap_adapter_state_dict_for_load")
"""What of BaseTuner the method relies on and no other version of PEFT promises."""


def register_private_mlp() -> None:
    """Register PRIVATE_MLP with PEFT; a second call, or a second import of this package, changes nothing that can be
    seen.

    Raises:
        HfmetaError: a PEFT that this method cannot be added to, or one that has another method of this name.
    """
    missing = [name for name in HOOKS if not hasattr(BaseTuner, name)]
    if missing:
        raise HfmetaError(_incompatible(f"BaseTuner has no {missing[0]}"))
    known = PEFT_TYPE_TO_CONFIG_MAPPING.get(NAME)  # type: ignore[call-overload]  # a member of PeftType equals its name
    if known is not None:
        if known.__module__ != PrivateMlpConfig.__module__:
            raise HfmetaError(_incompatible(f"it has a method {NAME} already, from {known.__module__}"))
        member = PeftType(NAME)  # this package was imported afresh: its new classes replace the old ones
        PEFT_TYPE_TO_CONFIG_MAPPING[member] = PrivateMlpConfig
        PEFT_TYPE_TO_TUNER_MAPPING[member] = PrivateMlpModel
        return
    try:
        if NAME not in PeftType.__members__:
            _extend(NAME)
        register_peft_method(name=NAME.lower(), config_cls=PrivateMlpConfig, model_cls=PrivateMlpModel)
        complete = PEFT_TYPE_TO_PREFIX_MAPPING[PeftType(NAME)] == PrivateMlpModel.prefix
    except (AttributeError, TypeError, KeyError, ValueError) as error:
        raise HfmetaError(_incompatible(str(error))) from error
    if not complete:
        raise HfmetaError(_incompatible(f"its prefix for {NAME} is not {PrivateMlpModel.prefix}"))


def _extend(name: str) -> None:
    """Add a member to PeftType: a lookup by value, by name and by attribute give the same object, and so does unpickling."""
    member: Any = str.__new__(PeftType, name)
    member._name_ = member._value_ = name
    member._sort_order_ = len(PeftType.__members__)
    type.__setattr__(PeftType, name, member)
    PeftType._member_map_[name] = member
    PeftType._member_names_.append(name)
    PeftType._value2member_map_[name] = member


def _incompatible(reason: str) -> str:
    return (
        f"hfmeta cannot register its PEFT method {NAME} with peft {peft.__version__}: {reason}. "
        f"Install a version that it knows: pip install '{SUPPORTED}'."
    )
