"""Algorithms by name: entry points, nearest names, missing packages, conflicts and things that are no algorithm."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from hfmeta import Algorithm, Anil, Maml, MamlPlusPlus, MetaSgd
from hfmeta.algorithms import algorithm_origin, find_algorithm, list_algorithms, registry
from hfmeta.inner.errors import HfmetaError


class Distribution:
    """What a fake entry point says of where it comes from."""

    def __init__(self, name):
        self.name, self.version = name, "1.2"


def entry(name, value, package):
    made = EntryPoint(name, value, registry.GROUP)
    vars(made)["dist"] = Distribution(package)
    return made


@pytest.fixture
def installed(monkeypatch):
    """Add entry points to those installed."""

    def install(*more):
        real = list(registry.entry_points(group=registry.GROUP))
        monkeypatch.setattr(registry, "entry_points", lambda group: [*real, *more])

    return install


@pytest.mark.parametrize(
    ("name", "cls"),
    [("maml", Maml), ("ANIL", Anil), ("meta-sgd", MetaSgd), ("maml.plus plus", MamlPlusPlus), (" maml ", Maml)],
)
def test_names(name, cls):
    assert find_algorithm(name) is cls


def test_an_unknown_name_gets_its_nearest_and_the_list():
    with pytest.raises(
        HfmetaError,
        match=r"no algorithm named 'mamal' is installed. Did you mean 'maml'\?.*anil, cmaml, .*implicit_maml, .*maml",
    ):
        find_algorithm("mamal")
    with pytest.raises(HfmetaError) as caught:
        find_algorithm("zzzz")
    assert "Did you mean" not in str(caught.value)


def test_the_package_of_a_checkpoint_is_named():
    with pytest.raises(HfmetaError, match="It comes with the package 'hfmeta-fancy': pip install hfmeta-fancy"):
        find_algorithm("fancy", "hfmeta-fancy")


def test_another_packages_algorithm_is_found_listed_and_traced(installed):
    installed(entry("Third-Party", "hfmeta.algorithms.base:Algorithm", "hfmeta-third"))
    assert find_algorithm("third_party") is Algorithm
    found = {info.name: info for info in list_algorithms()}["third_party"]
    assert (found.package, found.version) == ("hfmeta-third", "1.2")
    assert algorithm_origin(Algorithm) == ("third_party", "hfmeta-third", "1.2")


def test_two_packages_with_one_name_are_a_conflict(installed):
    installed(entry("maml", "hfmeta.algorithms.anil:Anil", "hfmeta-rival"))
    with pytest.raises(HfmetaError, match="'maml' is registered by hfmeta and hfmeta-rival: uninstall one of them"):
        find_algorithm("maml")


def test_one_package_seen_twice_is_none(installed):
    installed(entry("maml", "hfmeta.algorithms.maml:Maml", "hfmeta"))
    assert find_algorithm("maml") is Maml


@pytest.mark.parametrize("value", ["builtins:dict", "hfmeta.algorithms.registry:GROUP", "hfmeta.algorithms:HeadNames"])
def test_what_is_not_an_algorithm(installed, value):
    installed(entry("odd", value, "hfmeta-odd"))
    with pytest.raises(HfmetaError, match="of hfmeta-odd is not a dataclass that subclasses hfmeta.Algorithm"):
        find_algorithm("odd")


def test_where_ours_come_from():
    assert algorithm_origin(Maml)[:2] == ("maml", "hfmeta")
    assert algorithm_origin(Algorithm) is None
