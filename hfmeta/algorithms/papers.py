"""Which paper an algorithm is from, for cards and tables; what a plugin brings is its own to cite."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Paper:
    """Who wrote what, when, and where it can be read.

    Args:
        authors: as one cites them in a sentence.
        year: of publication.
        title: in full.
        url: of the paper.
    """

    authors: str
    year: int
    title: str
    url: str

    @property
    def markdown(self) -> str:
        """One line with a link."""
        return f"{self.authors} ({self.year}), [{self.title}]({self.url})"


PAPERS = {
    "maml": Paper(
        "Finn, Abbeel and Levine",
        2017,
        "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks",
        "https://arxiv.org/abs/1703.03400",
    ),
    "anil": Paper(
        "Raghu, Raghu, Bengio and Vinyals",
        2020,
        "Rapid Learning or Feature Reuse? Towards Understanding the Effectiveness of MAML",
        "https://arxiv.org/abs/1909.09157",
    ),
    "meta_sgd": Paper(
        "Li, Zhou, Chen and Li",
        2017,
        "Meta-SGD: Learning to Learn Quickly for Few-Shot Learning",
        "https://arxiv.org/abs/1707.09835",
    ),
    "maml_plus_plus": Paper(
        "Antoniou, Edwards and Storkey", 2019, "How to Train Your MAML", "https://arxiv.org/abs/1810.09502"
    ),
    "reptile": Paper(
        "Nichol, Achiam and Schulman",
        2018,
        "On First-Order Meta-Learning Algorithms",
        "https://arxiv.org/abs/1803.02999",
    ),
    "implicit_maml": Paper(
        "Rajeswaran, Finn, Kakade and Levine",
        2019,
        "Meta-Learning with Implicit Gradients",
        "https://arxiv.org/abs/1909.04630",
    ),
    "cmaml": Paper(
        "Song, Liu, Bi, Yan and Zhang",
        2020,
        "Learning to Customize Model Structures for Few-shot Dialogue Generation Tasks",
        "https://arxiv.org/abs/1910.14326",
    ),
    "lstm": Paper(
        "Ravi and Larochelle",
        2017,
        "Optimization as a Model for Few-Shot Learning",
        "https://openreview.net/forum?id=rJY0-Kcll",
    ),
    "hsml": Paper(
        "Yao, Wei, Huang and Li", 2019, "Hierarchically Structured Meta-learning", "https://arxiv.org/abs/1905.05301"
    ),
}
"""Registered name of an algorithm of this package -> its paper."""

PROTOTYPES = Paper(
    "Snell, Swersky and Zemel", 2017, "Prototypical Networks for Few-shot Learning", "https://arxiv.org/abs/1703.05175"
)


def paper_of(name: str, package: str | None, options: Mapping[str, Any]) -> Paper | None:
    """The paper of an algorithm as it was used; None where it is not known.

    Args:
        name: registered name.
        package: the package that registers it.
        options: its options: class means without an inner step are prototypical training, whatever the algorithm.
    """
    if package != "hfmeta":
        return None
    if options.get("head") == "prototype" and options.get("inner_steps") == 0 and not options.get("test_inner_steps"):
        return PROTOTYPES
    return PAPERS.get(name)
