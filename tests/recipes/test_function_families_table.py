"""recipes/function_families/table.py on two tiny runs: means over seeds, the share of MAML's error, families, plots, refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hfmeta.inner.errors import HfmetaError
from hfmeta.recipe import run_recipe
from recipes.scripts import RECIPES, script

TINY = [
    *(
        "training.max_steps=1",
        "training.per_device_train_batch_size=2",
        "training.report_to=none",
        "training.disable_tqdm=true",
    ),
    *("data.train_tasks=2", "data.valid_tasks=0", "data.test_tasks=12", "training.eval_strategy=no"),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    room = tmp_path_factory.mktemp("runs")
    for name in ("maml_10shot", "hsml_10shot", "hsml_no_tree_10shot"):
        recipe = RECIPES / "function_families" / f"{name}.yaml"
        for seed in (1, 2) if name == "hsml_10shot" else (1,):
            run_recipe(recipe, [*TINY, f"training.seed={seed}", f"training.output_dir={room / name}_seed{seed}"])
    return room


def test_the_table(runs, tmp_path):
    script("function_families/table.py").main([str(runs), str(tmp_path)])
    table = json.loads((tmp_path / "table.json").read_text())
    assert list(table) == ["maml_10shot", "hsml_10shot", "hsml_no_tree_10shot"]
    entry = table["hsml_10shot"]
    curves = [json.loads((runs / f"hsml_10shot_seed{seed}" / "results.json").read_text()) for seed in (1, 2)]
    means = [run["adaptation_curve"]["mse"]["mean"][5] for run in curves]
    assert entry["step5"]["by_seed"] == pytest.approx(means)
    assert entry["step5"]["mean"] == pytest.approx(np.mean(means))
    assert entry["seeds"] == [1, 2]
    text = (tmp_path / "table.md").read_text()
    ratio = np.mean(means) / table["maml_10shot"]["step5"]["mean"]
    assert f"({ratio:.2f})" in text
    assert "0.161 ± 0.021" in text
    assert "| HSML, no tree, 10-shot |" in text


def test_what_a_part_is_worth_is_told_task_by_task(runs, tmp_path):
    script("function_families/table.py").main([str(runs), str(tmp_path), "--no-plots"])
    own, whole = (
        np.array(json.loads((runs / f"{name}_10shot_seed1" / "per_task.json").read_text())["scores"]["loss"])[:, 5]
        for name in ("hsml_no_tree", "hsml")
    )
    told = json.loads((tmp_path / "table.json").read_text())
    assert told["hsml_no_tree_10shot"]["minus_hsml"]["step5"]["mean"] == pytest.approx((own - whole).mean())
    assert "minus_hsml" not in told["hsml_10shot"]
    assert "| minus HSML, same seed and tasks |" in (tmp_path / "table.md").read_text()


def test_the_families_are_those_of_the_test_tasks(runs, tmp_path):
    table = script("function_families/table.py")
    losses = np.array(json.loads((runs / "maml_10shot_seed1" / "per_task.json").read_text())["scores"]["loss"])
    kinds, found = table.families_of(12, 0), table.by_family(losses, 0)
    assert set(kinds) == {0, 1, 2, 3}
    total = sum(found[name][5] * (kinds == kind).sum() for kind, name in enumerate(found))
    assert total / 12 == pytest.approx(losses[:, 5].mean())


def test_plots_are_drawn_of_runs_with_a_gate(runs, tmp_path):
    script("function_families/table.py").main([str(runs), str(tmp_path)])
    drawn = {path.name for path in tmp_path.glob("*.png")}
    assert {f"hsml_10shot_seed1_{kind}.png" for kind in ("clusters", "gates", "embeddings")} <= drawn
    assert "hsml_no_tree_10shot_seed1_clusters.png" not in drawn
    assert not any(name.startswith("maml") for name in drawn)


def test_copied_results_give_the_same_table(runs, tmp_path):
    table = script("function_families/table.py")
    table.main([str(runs), str(tmp_path / "one"), "--no-plots"])
    table.main([str(tmp_path / "one"), str(tmp_path / "two")])
    assert (tmp_path / "one" / "table.md").read_text() == (tmp_path / "two" / "table.md").read_text()
    assert str(runs) not in (tmp_path / "one" / "table.json").read_text()


def test_bad_folders_are_refused(runs, tmp_path):
    table = script("function_families/table.py")
    with pytest.raises(HfmetaError, match="there is no run of a recipe beside this file in"):
        table.main([str(tmp_path), str(tmp_path / "out")])
    table.main([str(runs), str(tmp_path / "copies"), "--no-plots"])
    copy = tmp_path / "copies" / "hsml_10shot_seed1.json"
    (tmp_path / "copies" / "hsml_10shot.json").write_text(copy.read_text())
    with pytest.raises(HfmetaError, match="two runs of hsml_10shot with seed 1"):
        table.main([str(tmp_path / "copies"), str(tmp_path / "out")])
    (tmp_path / "copies" / "hsml_10shot.json").unlink()
    changed = json.loads(copy.read_text())
    changed["episodes"]["sha256"] = "0" * 64
    copy.write_text(json.dumps(changed))
    with pytest.raises(HfmetaError, match="hsml_10shot were not tested on the same episodes"):
        table.main([str(tmp_path / "copies"), str(tmp_path / "out")])
