"""The loop of the conformance kit: every promise, on every tiny model, for our algorithms and for third parties' alike.

Not here: the promises (promises.py) and the models (cases.py). Nothing is downloaded, no file is left behind and no global
generator moves; an algorithm takes seconds on one core.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hfmeta.algorithms import Algorithm
from hfmeta.inner.errors import HfmetaError
from hfmeta.testing.cases import MODELS, Case
from hfmeta.testing.promises import PROMISES, ConformanceError


@dataclass(frozen=True)
class ConformanceReport:
    """What `check_algorithm` saw; `print` it for one line a promise.

    Args:
        algorithm: name of the class.
        kept: one line for every promise kept, `model: promise`.
        refused: models that the algorithm refuses, with its sentence.
    """

    algorithm: str
    kept: tuple[str, ...]
    refused: dict[str, str]

    def __str__(self) -> str:
        """The report as text."""
        refused = [f"{model}: refused ({sentence})" for model, sentence in self.refused.items()]
        return "\n".join([f"{self.algorithm}: {len(self.kept)} promises kept", *self.kept, *refused])


def check_algorithm(cls: type[Algorithm], *, models: Sequence[str] = MODELS, **options: Any) -> ConformanceReport:
    """Check every promise of an algorithm on every tiny model.

    A model that the algorithm refuses by a sentence when the learner is built (it has no head, say) is left out and listed;
    refusing all of them is a failure.

    Args:
        cls: a dataclass that subclasses `Algorithm`.
        models: which of `mlp`, `bert`, `gpt2`, `bert-lora`.
        options: options of the algorithm. Unless given, `inner_steps` is at least 2, so that a rule's state counts.

    Raises:
        ConformanceError: a promise is not kept; the message says which, where, and the figures.

    Example:
        >>> from hfmeta.algorithms import Maml
        >>> check_algorithm(Maml, models=("mlp",), inner_lr=0.1).algorithm
        'Maml'
    """
    algorithm = _through_json(cls, options)
    kept = ["options: survive JSON, and an unknown one is refused"]
    refused: dict[str, str] = {}
    for name in models:
        case = Case(name, algorithm)
        try:
            case.learner()
        except HfmetaError as error:
            refused[name] = str(error)
            continue
        for promise in PROMISES:
            said = promise(case)
            kept += [f"{name}: {said}"] if said else []
    if len(refused) == len(models):
        raise ConformanceError(f"{cls.__name__} refuses every model of the kit: {refused}.")
    return ConformanceReport(cls.__name__, tuple(kept), refused)


def _through_json(cls: type[Algorithm], options: dict[str, Any]) -> Algorithm:
    """The algorithm, after its options went through JSON and back unchanged."""
    if not (isinstance(cls, type) and issubclass(cls, Algorithm) and "__dataclass_fields__" in vars(cls)):
        raise ConformanceError(f"{cls!r} is not a dataclass that subclasses hfmeta.Algorithm. Is @dataclass missing?")
    algorithm = cls(**options)
    if "inner_steps" not in options:
        algorithm = dataclasses.replace(algorithm, inner_steps=max(algorithm.inner_steps, 2))
    try:
        again = cls.from_dict(json.loads(json.dumps(algorithm.to_dict())))
    except TypeError as error:
        raise ConformanceError(f"{cls.__name__}: an option is not a plain JSON value: {error}.") from error
    if again != algorithm:
        raise ConformanceError(f"{cls.__name__} does not survive JSON: {algorithm} became {again}.")
    try:
        cls.from_dict({"no_such_option": 1})
    except HfmetaError:
        return algorithm
    raise ConformanceError(f"{cls.__name__}.from_dict accepts an option that does not exist.")
