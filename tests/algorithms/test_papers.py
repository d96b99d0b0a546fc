"""Every algorithm of this package has its paper, and others' algorithms are not credited to anybody."""

from __future__ import annotations

from hfmeta.algorithms import list_algorithms
from hfmeta.algorithms.papers import PAPERS, PROTOTYPES, paper_of


def test_every_own_algorithm_has_a_paper():
    own = {info.name for info in list_algorithms() if info.package == "hfmeta"}
    assert own == set(PAPERS)
    for paper in PAPERS.values():
        assert paper.url.startswith("https://")
        assert f"({paper.year}), [{paper.title}](" in paper.markdown


def test_what_is_not_known_is_not_said():
    assert paper_of("maml", "their-package", {}) is None
    assert paper_of("absent", "hfmeta", {}) is None


def test_class_means_without_inner_steps_are_prototypical_training():
    assert paper_of("maml", "hfmeta", {"head": "prototype", "inner_steps": 0}) is PROTOTYPES
    assert paper_of("maml", "hfmeta", {"head": "prototype", "inner_steps": 0, "test_inner_steps": 3}) is PAPERS["maml"]
    assert paper_of("maml", "hfmeta", {"head": "prototype", "inner_steps": 3}) is PAPERS["maml"]
