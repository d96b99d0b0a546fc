"""Where a comparison's runs and rows lie, and the training of runs that are not there yet. Scoring is in `scoring.py`."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers.trainer_utils import get_last_checkpoint

from hfmeta.comparison.methods import Method
from hfmeta.comparison.settings import Setting
from hfmeta.inner.errors import HfmetaError
from hfmeta.models import REFERENCE_MODELS
from hfmeta.recipe import parse_recipe, run_recipe
from hfmeta.recipe.parsing import read_yaml
from hfmeta.reporting.files import write_json

TRAINING_TESTS = 1
"""Test episodes of a training run itself: the table tests the runs on its own."""


@dataclass(frozen=True)
class Plan:
    """What a comparison trains, and where it puts it.

    Args:
        recipes: folder of the recipes.
        output: folder for runs (`models/`) and rows (`rows/`).
        overrides: `section.key=value` words for every recipe of the table, in training and test.
        steps: outer steps of every run, in place of the recipes'.
        from_scratch: methods with a start are trained from drawn weights instead.
    """

    recipes: Path
    output: Path
    overrides: tuple[str, ...] = ()
    steps: int | None = None
    from_scratch: bool = False

    def settle(self) -> None:
        """Write what is trained beside the runs, or check that the runs there were trained so.

        Raises:
            HfmetaError: the output folder holds runs of another plan.
        """
        now = {
            "recipes": self.recipes.name,
            "overrides": [word for word in self.overrides if not word.startswith("data.root=")],
            "steps": self.steps,
            "from_scratch": self.from_scratch,
        }
        path = self.output / "plan.json"
        if path.is_file():
            before = json.loads(path.read_text(encoding="utf-8"))
            changed = [
                f"{key} {before.get(key)} (now {value})" for key, value in now.items() if before.get(key) != value
            ]
            if changed:
                raise HfmetaError(
                    f"{self.output} holds runs that were trained otherwise: {'; '.join(changed)}. Choose another output folder, or "
                    "repeat the earlier options."
                )
        else:
            write_json(path, now)

    def folder(self, run: str, seed: int) -> Path:
        """Where a run lies.

        Args:
            run: its name.
            seed: its training seed.
        """
        return self.output / "models" / f"{run}_seed{seed}"

    def recipe_of(self, method: Method) -> Path:
        """The recipe that trains a method."""
        return self.recipes / f"{method.recipe}.yaml"

    def words(self, method: Method, seed: int) -> list[str]:
        """All overrides of a method's recipe but those that training or test alone have.

        Args:
            method: whose start must have been trained.
            seed: of training.
        """
        words = [*self.overrides, *method.overrides, f"training.seed={seed}"]
        if self.steps is not None:
            words += [f"training.max_steps={self.steps}", f"training.save_steps={self.steps}"]
            words += ["training.eval_strategy=no", "training.load_best_model_at_end=false"]
        if method.start is not None:
            words.append(f"model.name={self._start(method, seed)}")
        return words

    def train(self, method: Method, seed: int) -> Path:
        """The folder of a method's run, trained now where it is not there yet, or where it was broken off.

        Args:
            method: what to train, its start first.
            seed: of training.

        Raises:
            HfmetaError: a recipe that cannot run.
        """
        if method.start is not None and not self.from_scratch:
            self.train(Method(method.start, method.start, method.start), seed)
        folder = self.folder(method.run, seed)
        if (folder / "results.json").is_file():
            return folder
        words = [*self.words(method, seed), f"data.test_tasks={TRAINING_TESTS}", f"training.output_dir={folder}"]
        broken_off = folder.is_dir() and get_last_checkpoint(str(folder)) is not None
        run_recipe(self.recipe_of(method), words, resume=broken_off)
        return folder

    def _start(self, method: Method, seed: int) -> str:
        """The weights that a method starts from: the last checkpoint of a run, or the name of its network."""
        run = str(method.start)
        if self.from_scratch:
            own = str(read_yaml(self.recipe_of(method))["model"]["name"])
            return own if own in REFERENCE_MODELS else str(read_yaml(self.recipes / f"{run}.yaml")["model"]["name"])
        folder = self.folder(run, seed)
        found = [
            (int(match[1]), path) for path in folder.glob("checkpoint-*") if (match := re.search(r"-(\d+)$", path.name))
        ]
        if not found:
            raise HfmetaError(
                f"{folder} has no checkpoint to start from: let its recipe save one (training.save_strategy=steps), or train it again."
            )
        return str(max(found)[1])


def adaptation_of(plan: Plan, method: Method, setting: Setting) -> dict[str, int]:
    """How long test tasks prune and adapt, in passes over their support rows; empty for a method that does neither.

    Args:
        plan: the comparison.
        method: one of its methods, trained or not.
        setting: how many passes the test has in all, where it says so.

    Raises:
        HfmetaError: so few that none is left after pruning.
    """
    if not method.adapt:
        return {}
    words = plan.words(dataclasses.replace(method, start=None), seed=0)  # how long does not depend on where it starts
    options: Any = parse_recipe(plan.recipe_of(method), words).algorithm
    prune = getattr(options, "eval_prune_steps", 0)
    adapt = options.eval_steps if setting.passes is None else setting.passes - prune
    if adapt < 1:
        raise HfmetaError(
            f"{setting.passes} passes end before {method.label} adapts: it prunes after {prune}. Ask for more."
        )
    return {"prune": prune, "adapt": adapt}


def sizes_of(plan: Plan, method: Method, seed: int) -> dict[str, Any]:
    """What a table states of a method: network, data sizes, steps and rates.

    Args:
        plan: the comparison.
        method: one of its methods, whose start has been trained.
        seed: of training.
    """
    recipe = parse_recipe(plan.recipe_of(method), plan.words(method, seed))
    training = {
        key: recipe.training[key]
        for key in ("max_steps", "per_device_train_batch_size", "learning_rate")
        if key in recipe.training
    }
    model = dataclasses.asdict(recipe.model)
    if Path(model["name"]).is_relative_to(plan.output):
        model["name"] = str(Path(model["name"]).relative_to(plan.output))
    adapter = {} if recipe.adapter is None else {"type": recipe.adapter.type, **recipe.adapter.options}
    return {
        "model": model,
        "adapter": adapter,
        "algorithm": {"name": recipe.algorithm_name, **recipe.algorithm.to_dict()},
        "data": {key: value for key, value in recipe.tree["data"].items() if key != "root"},
        "training": training,
    }
