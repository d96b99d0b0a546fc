"""recipes/intents/table.py and fine_tuning.py on made-up runs: means over splits, errors removed on the same tasks, refusals."""

from __future__ import annotations

import json

import pytest

from hfmeta.inner.errors import HfmetaError
from hfmeta.recipe import run_recipe
from recipes.scripts import RECIPES, script
from tiny_recipes import save_tiny_bert, write_intents


def write_runs(root, sha="a" * 64):
    """Every run that the table reads: nearest class mean 0.5, prototypes 0.6, MAML 0.75 on each of two tasks."""
    base = {"frozen_ncm": [0.5, 0.5], "frozen_logreg": [0.5, 0.6], "fine_tuning": [0.4]}
    for corpus in ("banking77", "clinc150"):
        for shots in (1, 5):
            for split in ("01", "02", "03", "04", "05"):
                for method, curve, own in (("maml", [0.6, 0.75], base), ("prototypical", [0.6], base)):
                    name = f"{method}_{corpus}_{shots}shot_split{split}"
                    tasks = {"episodes": {"sha256": sha}, "scores": {"accuracy": [curve, curve]}, "baselines": own}
                    (root / name).mkdir(parents=True)
                    (root / name / "results.json").write_text(json.dumps({"command": name}))
                    (root / name / "per_task.json").write_text(json.dumps(tasks))
    return root


def test_the_table(tmp_path):
    source, target = write_runs(tmp_path / "runs"), tmp_path / "results"
    script("intents/table.py").main(source, target)
    row = json.loads((target / "table.json").read_text())["banking77_1shot"]["maml"]
    assert row["mean"] == pytest.approx(0.75)
    assert row["tasks"] == 10
    assert row["errors_removed"] == pytest.approx(0.5)
    assert "| MAML | 75.0" in (target / "table.md").read_text()
    assert (target / "maml_clinc150_5shot_split03.json").is_file()


def write_tuned(root, column, splits, sha="a" * 64):
    """Results of `fine_tuning.py`: 0.7 where nearest class mean has 0.5."""
    root.mkdir(exist_ok=True)
    tasks = {"episodes": {"sha256": sha}, "baselines": {"frozen_ncm": [0.5, 0.5], "fine_tuning": [0.7, 0.7]}}
    for split in splits:
        content = {"episodes": {"sha256": sha}, "per_task": tasks}
        (root / f"fine_tuning_{column}_split{split}.json").write_text(json.dumps(content))
    return root


def test_fine_tuning_comes_from_its_own_files_and_other_columns_stay(tmp_path):
    target = tmp_path / "results"
    runs = write_runs(tmp_path / "runs")
    for file in runs.rglob("results.json"):
        file.write_text(json.dumps({"command": "", "episodes": {"sha256": "a" * 64}}))
    script("intents/table.py").main(runs, target)
    before = json.loads((target / "table.json").read_text())
    script("intents/table.py").main(write_tuned(tmp_path / "tuned", "clinc150_1shot", ("01", "04")), target)
    after = json.loads((target / "table.json").read_text())
    tuned = after["clinc150_1shot"].pop("fine_tuning")
    assert (tuned["mean"], tuned["tasks"]) == (pytest.approx(0.7), 4)
    assert tuned["errors_removed"] == pytest.approx(0.4)
    assert before["clinc150_1shot"].pop("fine_tuning")["tasks"] == 5
    assert after == before
    assert (target / "fine_tuning_clinc150_1shot_split04.json").is_file()
    assert "| 70.0 ± 0.0 (+40 %), 2 of 5 splits |" in (target / "table.md").read_text()
    script("intents/table.py").main(runs, target)  # the runs' own row of fine-tuning is shorter, and is taken again
    assert json.loads((target / "table.json").read_text())["clinc150_1shot"]["fine_tuning"]["tasks"] == 5
    with pytest.raises(HfmetaError, match="not tested on the same episodes"):
        script("intents/table.py").main(write_tuned(tmp_path / "other", "banking77_5shot", ("02",), "b" * 64), target)


def test_averaged_encoders_have_a_row_of_their_own_runs(tmp_path):
    target, averaged = tmp_path / "results", tmp_path / "averaged"
    runs = write_runs(tmp_path / "runs")
    for file in runs.rglob("results.json"):
        file.write_text(json.dumps({"command": "", "episodes": {"sha256": "a" * 64}}))
    script("intents/table.py").main(runs, target)
    before = json.loads((target / "table.json").read_text())
    assert "maml_averaged" not in before["banking77_1shot"]
    tasks = {"scores": {"accuracy": [[0.6, 0.8], [0.6, 0.9]]}, "baselines": {"frozen_ncm": [0.5, 0.6]}}
    for split in ("01", "02"):
        folder = averaged / f"maml_averaged_banking77_1shot_split{split}"
        folder.mkdir(parents=True)
        (folder / "results.json").write_text(json.dumps({"command": split}))
        (folder / "per_task.json").write_text(json.dumps({**tasks, "episodes": {"sha256": "a" * 64}}))
    script("intents/table.py").main(averaged, target)
    after = json.loads((target / "table.json").read_text())
    row = after["banking77_1shot"].pop("maml_averaged")
    assert (row["mean"], row["tasks"]) == (pytest.approx(0.85), 4)
    assert row["errors_removed"] == pytest.approx(1 - 0.15 / 0.45)
    assert after == before, "and nothing else is touched"
    assert json.loads((target / "maml_averaged_banking77_1shot_split02.json").read_text()) == {"command": "02"}
    script("intents/table.py").main(runs, target)
    assert json.loads((target / "table.json").read_text())["banking77_1shot"]["maml_averaged"] == row


def test_fine_tuning_on_the_tasks_of_a_recipe(tmp_path):
    write_intents(tmp_path / "data", classes=14, each=12)
    save_tiny_bert(tmp_path / "bert")
    words = [f"model.name={tmp_path / 'bert'}", f"data.root={tmp_path / 'data'}", "data.test_query=2"]
    words += ["data.query=1", "data.train_n_way=5", "data.test_tasks=3", "data.valid_tasks=2", "data.split=01"]
    recipe = str(RECIPES / "intents" / "maml_banking77_1shot.yaml")
    path = script("intents/fine_tuning.py").main(recipe, tmp_path / "out", [*words, "tasks=2"])
    assert path.name == "fine_tuning_banking77_1shot_split01.json"
    found = json.loads(path.read_text())
    assert found["baselines"]["fine_tuning"]["tasks"] == 2
    assert len(found["per_task"]["baselines"]["frozen_ncm"]) == 3
    assert found["command"].endswith("tasks=2")
    assert 0 <= found["baselines"]["fine_tuning"]["mean"] <= 1


def test_weights_of_the_start_are_compared_on_validation_classes(tmp_path):
    write_intents(tmp_path / "data", classes=14, each=12)
    save_tiny_bert(tmp_path / "bert")
    words = [f"model.name={tmp_path / 'bert'}", f"data.root={tmp_path / 'data'}", "data.test_query=2", "data.query=1"]
    words += ["data.train_n_way=5", "data.test_tasks=2", "data.valid_tasks=3", "data.split=01"]
    recipe = str(RECIPES / "intents" / "maml_banking77_1shot.yaml")
    short = ["training.max_steps=2", "training.learning_rate=0.01", "training.warmup_steps=0", "baselines=[]"]
    run_recipe(recipe, [*words, *short, f"training.output_dir={tmp_path / 'run'}"])
    path = script("intents/choose_start_weight.py").main(recipe, tmp_path / "run", tmp_path / "out", words)
    assert path.name == "start_weight_banking77_split01.json"
    found = json.loads(path.read_text())
    assert found["validation_episodes"]["count"] == 3
    assert list(found["start_weight"]) == ["0.6", "0.4", "0.2", "0.0"]
    assert all(0 <= entry["mean"] <= 1 for entry in (found["pretrained"], *found["start_weight"].values()))


def test_other_episodes_and_missing_runs_are_refused(tmp_path):
    source = write_runs(tmp_path / "runs")
    other = source / "prototypical_banking77_1shot_split02" / "per_task.json"
    other.write_text(other.read_text().replace("a" * 64, "b" * 64))
    with pytest.raises(
        HfmetaError, match="banking77, 1 shots, split 02: the runs were not tested on the same episodes"
    ):
        script("intents/table.py").main(source, tmp_path / "results")
    with pytest.raises(HfmetaError, match="there is no run"):
        script("intents/table.py").main(tmp_path / "nowhere", tmp_path / "results")
