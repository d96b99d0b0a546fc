"""The conformance kit: it passes for every algorithm of ours, and each promise fails for an algorithm made to break it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import pytest
import torch
from torch import nn

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
    list_algorithms,
)
from hfmeta.inner.errors import HfmetaError
from hfmeta.testing import MODELS, ConformanceError, check_algorithm
from hfmeta.testing.cases import Case
from hfmeta.testing.promises import fingerprint

OURS = [
    (Maml, {"inner_lr": 0.1}),
    (Maml, {"inner_lr": 0.1, "order": 1}),
    (Maml, {"inner_lr": 0.1, "rates": "scalar", "rates_per_step": True}),
    (Maml, {"inner_lr": 0.1, "head": "prototype"}),
    (Maml, {"inner_steps": 0, "head": "prototype"}),
    (Maml, {"inner_lr": 0.1, "head": "zero", "inner_clip": 0.5, "inner_l1": 0.01}),
    (Anil, {"inner_lr": 0.1, "rates": "tensor"}),
    (MetaSgd, {"inner_lr": 0.1}),
    (LstmMetaLearner, {"inner_steps": 3}),
    (LstmMetaLearner, {"inner_steps": 2, "order": 2, "head": "prototype", "gradient_divisor": 5}),
    (MamlPlusPlus, {"inner_steps": 3}),
    (Hsml, {"inner_lr": 0.1, "size": 6, "encoder_size": 5}),
    (Hsml, {"inner_lr": 0.1, "size": 6, "encoder_size": 5, "embedding": "mean", "tree": [], "gate": "tensor"}),
    (MamlPlusPlus, {"inner_steps": 3, "per_step": "bias"}),
    (Reptile, {"inner_batch_size": 4}),
    (Reptile, {"optimiser": "sgd", "inner_lr": 0.1, "head": "zero"}),
    (ImplicitMaml, {"inner_lr": 0.1}),
    (ImplicitMaml, {"inner_lr": 0.1, "proximal": "last", "test_lam": 0.0, "damping": 0.1, "head": "prototype"}),
]


@pytest.mark.parametrize(("cls", "options"), OURS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_our_algorithms_keep_every_promise(cls, options):
    report = check_algorithm(cls, **options)
    assert report.algorithm == cls.__name__
    assert len(report.kept) == len(set(report.kept))
    models = set(MODELS) - set(report.refused)
    for model in models:
        said = [line for line in report.kept if line.startswith(f"{model}: ")]
        assert len(said) >= 6, said
        exact = [line for line in said if "finite differences" in line]
        assert len(exact) == (cls(**options).meta_gradient == "exact" and model != "gpt2")
    assert {"bert", "bert-lora"} <= models
    assert "promises kept" in str(report)


def test_cmaml_keeps_every_promise_on_the_model_with_a_private_part():
    report = check_algorithm(Cmaml, inner_batch_size=2, order=2, inner_lr=0.1, keep_ratio=0.5)
    assert set(report.refused) == {"mlp", "bert", "gpt2"}
    assert all("prunes a private network, but none adapts" in sentence for sentence in report.refused.values())
    assert any("finite differences" in line for line in report.kept)


def test_every_registered_algorithm_of_ours_is_checked_here():
    ours = {info.cls for info in list_algorithms() if info.package == "hfmeta"}
    assert ours == {cls for cls, _ in OURS} | {Cmaml}


def test_a_refusal_is_reported_with_its_sentence():
    report = check_algorithm(Anil, models=("bert", "gpt2"))
    assert list(report.refused) == ["gpt2"]
    assert "head" in report.refused["gpt2"]
    assert "gpt2: refused (" in str(report)


def test_refusing_everything_is_a_failure():
    with pytest.raises(ConformanceError, match="Anil refuses every model of the kit"):
        check_algorithm(Anil, models=("gpt2",))


def test_an_unknown_model_is_refused():
    with pytest.raises(HfmetaError, match=r"has no model 'bart'; choose from mlp, bert, gpt2, bert-lora"):
        check_algorithm(Maml, models=("bart",))


def test_bad_options_are_the_algorithms_own_error():
    with pytest.raises(HfmetaError, match="inner_lr must be positive"):
        check_algorithm(Maml, inner_lr=-1.0)


class Broken(nn.Module):
    """A rule with a learned rate and momentum that can be broken in several ways; unbroken, it keeps every promise."""

    def __init__(self, how, like):
        super().__init__()
        self.how = how
        self.rate = nn.Parameter(like.new_tensor(0.1))
        self.momentum = nn.Parameter(like.new_tensor(0.5))
        if how == "has an untrained parameter":
            self.idle = nn.Parameter(like.new_tensor(1.0))
        if how == "forgets what it drew":
            self.drawn = torch.rand(()).item()
        if how in ("moves nothing", "detaches everything"):
            self.requires_grad_(False)
        self.speed = None

    def start(self, params):
        if self.how == "keeps its state on itself":
            self.speed = None
        return {name: torch.zeros_like(value) for name, value in params.items()}

    def forward(self, params, grads, losses, state):
        speed = {name: self.momentum * state[name] + grads[name] for name in params}
        match self.how:
            case "detaches its gradient":
                speed = {name: self.momentum * state[name] + grads[name].detach() for name in params}
            case "ignores its state":
                speed = grads
            case "keeps its state on itself" | "never forgets":
                old = self.speed or state
                speed = {name: self.momentum * old[name] + grads[name] for name in params}
                self.speed = (
                    speed if self.how.startswith("keeps") else {n: value.detach() for n, value in speed.items()}
                )
            case "mixes tasks":
                speed = {name: value - 0.5 * value.mean(0, keepdim=True) for name, value in speed.items()}
            case "rolls dice":
                speed = {name: value + 0.1 * torch.randn_like(value) for name, value in speed.items()}
            case "moves nothing":
                return params, speed
            case "forgets what it drew":
                speed = {name: self.drawn * value for name, value in speed.items()}
            case "detaches everything":
                return {name: (value - self.rate * speed[name]).detach() for name, value in params.items()}, speed
        return {name: value - self.rate * speed[name] for name, value in params.items()}, speed


@dataclass
class BrokenMaml(Algorithm):
    """MAML with a rule that breaks one promise."""

    how: str = "no way"

    def rule(self, theta):
        """The broken rule."""
        return Broken(self.how, next(iter(theta.values())))


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """BrokenMaml as an installed distribution would show it."""
    info = tmp_path / "broken-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 0.1\n")
    target = f"{BrokenMaml.__module__}:{BrokenMaml.__qualname__}"
    (info / "entry_points.txt").write_text(f"[hfmeta.algorithms]\nbroken = {target}\n")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("installed")
def test_the_same_rule_unbroken_passes():
    report = check_algorithm(BrokenMaml)
    assert not report.refused


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("detaches its gradient", r"order=2 promises the exact gradient; by .* finite differences say"),
        ("ignores its state", r"rule\.momentum belongs to the rule .* no gradient by it"),
        ("has an untrained parameter", r"rule\.idle belongs to the rule .* no gradient by it"),
        ("keeps its state on itself", r"its state is an argument, not an attribute\), but"),
        ("never forgets", r"a learner asked twice gives another loss or gradient"),
        ("mixes tasks", r"tasks of one batch must not influence each other"),
        ("rolls dice", r"moves the global random generator"),
        ("moves nothing", r"adapt returned the start itself"),
        ("forgets what it drew", r"saved and loaded again, it adapts differently"),
        ("detaches everything", r"nothing that is learned has a gradient"),
    ],
)
def test_a_broken_algorithm_fails_by_the_promise_it_breaks(how, sentence):
    with pytest.raises(ConformanceError, match=sentence):
        check_algorithm(BrokenMaml, models=("mlp",), how=how)


def test_an_algorithm_without_entry_point_is_told_what_to_write():
    with pytest.raises(ConformanceError, match=r"BrokenMaml has no entry point.*\[project\.entry-points"):
        check_algorithm(BrokenMaml, models=("mlp",))


class NoDataclass(Algorithm):
    """A subclass whose author forgot @dataclass."""

    momentum: float = 0.5


@dataclass
class TupleOption(Algorithm):
    """Its option comes back from JSON as a list."""

    betas: tuple[float, ...] = (0.9, 0.99)


@dataclass
class SetOption(Algorithm):
    """Its option is nothing that JSON knows."""

    names: set[str] = field(default_factory=lambda: {"a"})


@dataclass
class TakesAll(Algorithm):
    """It swallows unknown options."""

    @classmethod
    def from_dict(cls, options):
        """Drop what is not known."""
        known = {f.name for f in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in options.items() if name in known})


@pytest.mark.parametrize(
    ("cls", "sentence"),
    [
        (NoDataclass, "Is @dataclass missing"),
        (int, "not a dataclass that subclasses hfmeta.Algorithm"),
        (TupleOption, "does not survive JSON"),
        (SetOption, "not a plain JSON value"),
        (TakesAll, "accepts an option that does not exist"),
    ],
)
def test_options_must_survive_json(cls, sentence):
    with pytest.raises(ConformanceError, match=sentence):
        check_algorithm(cls, models=("mlp",))


def test_the_fingerprint_sees_values_and_flags():
    learner = Case("mlp", Maml(inner_steps=1)).learner()
    seen = {fingerprint(learner)}
    learner.eval()
    seen.add(fingerprint(learner))
    parameter = next(learner.model.parameters())
    parameter.requires_grad_(False)
    seen.add(fingerprint(learner))
    parameter.data.view(-1)[0] += 1e-9
    seen.add(fingerprint(learner))
    assert len(seen) == 4
