"""hfmeta: adapt to a task from a handful of examples, as a method of any Hugging Face model.

Shape letters, used everywhere: T tasks in a batch, S support examples, Q query examples, L tokens, C classes in an episode, P adapted
scalars, K inner steps.

Importing hfmeta registers its models with the Auto classes and its adapter type with PEFT; the public names are imported when they are
first used. The command line alone registers later, with its first command: its help does not wait for transformers and PEFT.
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hfmeta.algorithms import (
        Algorithm,
        Anil,
        Cmaml,
        Hsml,
        ImplicitMaml,
        LstmMetaLearner,
        Maml,
        MamlPlusPlus,
        MetaSgd,
        Reptile,
    )
    from hfmeta.config import MetaConfig
    from hfmeta.episodes import EpisodeDataset, FixedEpisodes
    from hfmeta.inner.errors import HfmetaError
    from hfmeta.learner import MetaLearner
    from hfmeta.trainer import CmamlTrainer, HsmlTrainer, LstmTrainer, MamlTrainer, MetaTrainer

__version__ = "0.1.0"

__all__ = [
    "Algorithm",
    "Anil",
    "Cmaml",
    "CmamlTrainer",
    "EpisodeDataset",
    "FixedEpisodes",
    "HfmetaError",
    "Hsml",
    "HsmlTrainer",
    "ImplicitMaml",
    "LstmMetaLearner",
    "LstmTrainer",
    "Maml",
    "MamlPlusPlus",
    "MamlTrainer",
    "MetaConfig",
    "MetaLearner",
    "MetaSgd",
    "MetaTrainer",
    "Reptile",
]

_HOMES = {
    "hfmeta.algorithms": (
        "Algorithm",
        "Anil",
        "Cmaml",
        "Hsml",
        "ImplicitMaml",
        "LstmMetaLearner",
        "Maml",
        "MamlPlusPlus",
        "MetaSgd",
        "Reptile",
    ),
    "hfmeta.config": ("MetaConfig",),
    "hfmeta.episodes": ("EpisodeDataset", "FixedEpisodes"),
    "hfmeta.inner.errors": ("HfmetaError",),
    "hfmeta.learner": ("MetaLearner",),
    "hfmeta.trainer": ("CmamlTrainer", "HsmlTrainer", "LstmTrainer", "MamlTrainer", "MetaTrainer"),
}


if not TYPE_CHECKING:  # a type checker would take it to mean that every name exists

    def __getattr__(name: str) -> Any:
        for home, names in _HOMES.items():
            if name in names:
                value = globals()[name] = getattr(import_module(home), name)
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _is_command_line() -> bool:
    """Whether this process was started as `python -m hfmeta` or as the program `hfmeta`."""
    if sys.argv[:1] == ["-m"]:  # so it reads as long as Python looks for the module that -m names
        started = sys.orig_argv
        return "-m" in started and started[started.index("-m") + 1 :][:1] == ["hfmeta"]
    return bool(sys.argv) and Path(sys.argv[0]).stem == "hfmeta"


if not _is_command_line():
    import_module("hfmeta.models")
    import_module("hfmeta.adapters")
