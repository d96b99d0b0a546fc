"""Test results stay with the values that were tested: in the card by every path, and in none after further training."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from huggingface_hub import ModelCard

from hfmeta import MetaLearner
from hfmeta.publishing.contents import contents_of
from hfmeta.publishing.results import TESTED, keep_results, own_results
from hfmeta.recipe import run_recipe
from hub.server import OWNER
from saving import make_learner
from tiny_recipes import write_recipe

ROW = "| before adaptation |"
EVERY_PATH = """
from typer.testing import CliRunner
from hfmeta import MetaConfig, MetaTrainer
from hfmeta.cli import app
done = CliRunner().invoke(app, ["push", str(work / "out"), "tester/by-command"])
assert done.exit_code == 0, done.output
words = ["evaluate", "tester/by-command", "--revision", "main", "--json", str(work / "evaluated.json")]
done = CliRunner().invoke(app, words)
assert done.exit_code == 0, done.output
learner = MetaLearner.from_pretrained(work / "out")
learner.push_to_hub("tester/by-learner")
MetaLearner.from_pretrained("tester/by-learner").push_to_hub("tester/again")
config = MetaConfig(output_dir=str(work / "run"), hub_model_id="tester/by-trainer", report_to="none", use_cpu=True)
MetaTrainer(learner, config).push_to_hub("the end")
trainer = MetaTrainer(MetaLearner.from_pretrained(work / "out"), MetaConfig(output_dir=str(work / "out"), report_to="none"))
trainer.save_model()
"""


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    """A folder with a finished run in `out`."""
    room = tmp_path_factory.mktemp("tested")
    run_recipe(write_recipe(room), [])
    return room


@pytest.fixture
def out(tested, tmp_path):
    """A copy of the run's folder."""
    return shutil.copytree(tested / "out", tmp_path / "out")


def card(folder) -> str:
    """The card in a folder."""
    return (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.xdist_group("hub")
def test_results_are_in_the_card_by_every_path(run, hub, tested, out, tmp_path):
    run(EVERY_PATH, tmp_path)
    known = json.loads((tested / "out" / "results.json").read_text())
    evaluated = json.loads((tmp_path / "evaluated.json").read_text())
    assert evaluated["metrics"] == known["metrics"]
    assert evaluated["command"] == "hfmeta evaluate tester/by-command --revision main"
    metrics = [(one.metric_type, one.metric_value) for one in ModelCard(card(tested / "out")).data.eval_results]
    for name in ("by-command", "by-learner", "by-trainer", "again"):
        files = hub.files(f"{OWNER}/{name}")
        text = files["README.md"].decode()
        assert ROW in text, name
        assert known["episodes"]["sha256"] in text
        assert "![Adaptation curve](adaptation_curve.png)" in text
        assert [(one.metric_type, one.metric_value) for one in ModelCard(text).data.eval_results] == metrics
        assert files["adaptation_curve.png"].startswith(b"\x89PNG")
        assert json.loads(files["results.json"])["metrics"] == known["metrics"]
    assert card(out) == card(tested / "out"), "saving the run again keeps its card"


def test_a_learner_that_was_changed_has_no_results(out, tmp_path, caplog):
    learner = MetaLearner.from_pretrained(out)
    assert own_results(learner)["metrics"] == json.loads((out / "results.json").read_text())["metrics"]
    with torch.no_grad():
        next(learner.model.parameters()).add_(1)
    assert own_results(learner) is None
    learner.save_pretrained(out)
    assert "It has not been evaluated" in card(out)
    again = MetaLearner.from_pretrained(out)
    assert again.results is None
    assert "results.json is left out: it is of another learner, or of this one before further training" in caplog.text
    again.save_pretrained(tmp_path / "new")
    assert not (tmp_path / "new" / "results.json").exists()


def test_results_from_before_further_training_stay_out_of_a_push(out, caplog):
    assert {"results.json", "per_task.json", "adaptation_curve.png"} <= set(contents_of(out).files)
    learner = MetaLearner.from_pretrained(out)
    with torch.no_grad():
        next(learner.model.parameters()).add_(1)
    learner.save_pretrained(out)
    left = contents_of(out)
    assert not {"results.json", "per_task.json", "adaptation_curve.png", "learning_curve.png"} & set(left.files)
    assert left.replaces("results.json"), "nor does an earlier push leave them on the hub"
    assert "results.json is of this learner before further training, or of another" in caplog.text
    assert (out / "results.json").is_file()


def test_results_of_a_run_before_they_named_their_learner_are_taken(out):
    results = json.loads((out / "results.json").read_text())
    assert results.pop(TESTED).startswith("sha256:")
    (out / "results.json").write_text(json.dumps(results))
    assert MetaLearner.from_pretrained(out).results["metrics"] == results["metrics"]


@pytest.mark.parametrize("text", ["{", "[]", "3", "{}", '{"metrics": 3, "seed": "x"}', '{"learner": []}'])
def test_what_is_no_results_is_left_out_and_named(out, text, caplog):
    (out / "results.json").write_text(text)
    assert MetaLearner.from_pretrained(out).results is None
    assert "results.json is left out: it holds no results of a run" in caplog.text


def test_results_can_be_kept_by_hand(tested, tmp_path):
    learner = make_learner("learned-rates")
    results = json.loads((tested / "out" / "results.json").read_text())
    kept = keep_results(learner, results)
    assert kept[TESTED] != results[TESTED]
    learner.save_pretrained(tmp_path / "learner")
    assert ROW in card(tmp_path / "learner")
    with torch.no_grad():
        next(learner.rule.parameters()).add_(1)
    assert own_results(learner) is None, "what the algorithm learned counts too"
