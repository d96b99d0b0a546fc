"""recipes/intents/table.py on made-up runs: means over splits, errors removed on the same tasks, refusals."""

from __future__ import annotations

import json

import pytest

from hfmeta.inner.errors import HfmetaError
from recipes.scripts import script


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
