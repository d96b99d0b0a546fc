"""Find algorithms by name: entry points of the group `hfmeta.algorithms`, built-ins and third parties alike.

Names that come from a file of a hub are only ever looked up here, never imported by path.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, is_dataclass
from importlib.metadata import EntryPoint, entry_points

from hfmeta.algorithms.base import Algorithm
from hfmeta.inner.errors import HfmetaError

GROUP = "hfmeta.algorithms"


@dataclass(frozen=True)
class AlgorithmInfo:
    """A registered algorithm: its name in recipes, where it comes from, and its class."""

    name: str
    package: str
    version: str
    cls: type[Algorithm]


def find_algorithm(name: str, package: str | None = None) -> type[Algorithm]:
    """The algorithm class registered under a name.

    Args:
        name: as in a recipe's `algorithm: {name: ...}`.
        package: the package a checkpoint says it needs, for the message.

    Raises:
        HfmetaError: nobody registers the name, two packages do, or what they register is not an algorithm.
    """
    found = _entry_points().get(_normal(name))
    if not found:
        known = sorted(_entry_points())
        near = difflib.get_close_matches(_normal(name), known, 1)
        raise HfmetaError(
            f"no algorithm named {name!r} is installed."
            + (f" Did you mean {near[0]!r}?" if near else "")
            + (f" It comes with the package {package!r}: pip install {package}." if package else "")
            + f" Installed: {', '.join(known) or 'none (is hfmeta itself installed with pip?)'}."
        )
    return _load(name, found)


def list_algorithms() -> list[AlgorithmInfo]:
    """Every installed algorithm, sorted by name."""
    infos = []
    for name, found in sorted(_entry_points().items()):
        cls = _load(name, found)
        package, version = _origin(found[0])
        infos.append(AlgorithmInfo(name, package, version, cls))
    return infos


def algorithm_origin(cls: type[Algorithm]) -> tuple[str, str, str] | None:
    """Name, package and version under which a class is registered; None if it is not."""
    for name, found in _entry_points().items():
        if any(entry.value == f"{cls.__module__}:{cls.__qualname__}" for entry in found):
            return (name, *_origin(found[0]))
    return None


def _normal(name: str) -> str:
    return re.sub(r"[-.\s]+", "_", name.strip().lower())


def _entry_points() -> dict[str, list[EntryPoint]]:
    # The same distribution may be seen twice on sys.path; only different targets are a conflict.
    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        same = found.setdefault(_normal(entry.name), [])
        if all(other.value != entry.value for other in same):
            same.append(entry)
    return found


def _origin(entry: EntryPoint) -> tuple[str, str]:
    return (entry.dist.name, entry.dist.version) if entry.dist is not None else ("unknown", "unknown")


def _load(name: str, found: list[EntryPoint]) -> type[Algorithm]:
    if len(found) > 1:
        sources = " and ".join(_origin(entry)[0] for entry in found)
        raise HfmetaError(f"the algorithm name {name!r} is registered by {sources}: uninstall one of them.")
    cls = found[0].load()
    if not (isinstance(cls, type) and issubclass(cls, Algorithm) and is_dataclass(cls)):
        raise HfmetaError(
            f"the entry point {name} = {found[0].value} of {_origin(found[0])[0]} is not a dataclass that subclasses "
            "hfmeta.Algorithm."
        )
    return cls
