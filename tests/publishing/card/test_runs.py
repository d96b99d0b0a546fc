"""Results as a card tells them: what is not for others, odd numbers, what to beware of."""

from __future__ import annotations

import pytest

from hfmeta.publishing.card import content_of_results, learner_card
from hfmeta.publishing.card.limits import limits
from hfmeta.publishing.card.runs import command_of, recipe_name, told_apart
from publishing.card.made import results


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("hfmeta train a.yaml data.root=/home/anna/data", "hfmeta train a.yaml data.root=FOLDER"),
        ("hfmeta train /home/anna/a.yaml data.path=~/x.csv", "hfmeta train a.yaml data.path=FOLDER"),
        ("hfmeta train a.yaml training.hub_token=hf_secret", "hfmeta train a.yaml training.hub_token=TOKEN"),
        ("hfmeta train ../a.yaml", "hfmeta train a.yaml"),
        ("hfmeta evaluate /home/anna/out", "hfmeta evaluate FOLDER"),
        ("hfmeta train a.yaml 'metrics=[a, b]'", "hfmeta train a.yaml 'metrics=[a, b]'"),
        ("broken 'quote", ""),
    ],
)
def test_a_command_shows_no_folders_of_a_machine_and_no_tokens(command, shown):
    assert command_of({"command": command}) == shown


def test_paths_in_lists_are_not_shown_either():
    shown = command_of({"command": "hfmeta train a.yaml 'data.path={train: /home/anna/a.csv, test: ~/b.csv}'"})
    assert "anna" not in shown
    assert "b.csv" not in shown


def test_a_recipe_is_named_as_others_know_it():
    assert recipe_name("recipes/a/b.yaml") == "recipes/a/b.yaml"
    assert recipe_name("/home/anna/b.yaml") == "b.yaml"
    assert recipe_name("../b.yaml") == "b.yaml"
    assert recipe_name(None) is None


def test_limits_are_those_of_the_results():
    good = limits(told_apart([results()]))
    assert good[0].startswith("Tested on BANKING77 (5-way 1-shot) alone")
    assert good[1:] == ["Trained with one seed: intervals are over test tasks and say nothing of other seeds."]
    bad = results(0.8, skipped_tasks=3, skipped_steps=2)
    bad["metrics"]["accuracy_gain"] = {"mean": 0.001, "ci95": 0.01, "tasks": 100}
    bad["metrics"]["accuracy"]["nonfinite_tasks"] = 2
    bad["baselines"]["fine_tuning"] = {"mean": 0.7, "ci95": 0.1, "tasks": 10, "metric": "accuracy"}
    bad["algorithm"]["test_inner_steps"] = 10
    told = " ".join(limits(told_apart([bad])))
    for sentence in (
        "The inner steps bring no gain beyond the interval in this run.",
        "It is not better than frozen ncm beyond the interval in this run.",
        "The baseline fine tuning was run on the first 10 test tasks only.",
        "Test tasks that diverged and are left out of the mean: 2.",
        "Tested with 10 inner steps and trained with 3.",
        "Training tasks skipped, since their inner loss was not finite: 3.",
        "Outer steps left out, since their gradient was not finite: 2.",
    ):
        assert sentence in told
    several = " ".join(limits(told_apart([results(seed=1), {**bad, "seed": 2}])))
    assert "It is not better than frozen ncm beyond the interval in 1 of 2 runs." in several
    assert "diverged and are left out of the mean (seed 2" in several
    assert limits(told_apart([results(baselines={}, paired={})]))[1] == "No baseline was run beside it."


def test_class_means_get_the_credit_they_are_due():
    run = results()
    run["algorithm"]["head"] = "prototype"
    run["metrics"]["accuracy_gain"] = {"mean": 0.0, "ci95": 0.0, "tasks": 100}
    assert "The class means of the support set" in " ".join(limits(told_apart([run])))


def test_a_loss_is_better_when_it_is_lower():
    run = results(0.3, primary_metric="mse")
    run["metrics"] = {
        "mse": {"mean": 0.3, "ci95": 0.02, "tasks": 100},
        "mse_before": {"mean": 3.0, "ci95": 0.1, "tasks": 100},
        "mse_gain": {"mean": -2.7, "ci95": 0.1, "tasks": 100},
    }
    run["paired"] = {"pretrained": {"mean": -1.9, "ci95": 0.1, "tasks": 100}}
    run["adaptation_curve"] = {"mse": {"mean": [3.0, 0.3], "ci95": [0.1, 0.02]}}
    run["baselines"] = {"pretrained": {"mean": 2.2, "ci95": 0.1, "tasks": 100, "metric": "mse"}}
    assert len(limits(told_apart([run]))) == 2
    text = learner_card(content_of_results(run), run)
    assert "pretrained: -1.900 ± 0.100 (100 tasks)" in text
    assert "| maml | **0.300 ± 0.020** |" in text


def test_a_run_that_diverged_altogether_has_no_number_in_the_header():
    run = results()
    run["metrics"]["accuracy"] = {"mean": None, "ci95": None, "tasks": 0, "nonfinite_tasks": 100}
    text = learner_card(content_of_results(run), run)
    assert "| maml | **nan %** (0 tasks) |" in text
    assert "value: 0.25" in text
    assert "type: accuracy" not in text


def test_a_single_task_has_no_interval():
    run = results(ci95=None)
    run["paired"]["frozen_ncm"]["ci95"] = None
    text = learner_card(content_of_results(run), run)
    assert "| maml | **90.0 %** |" in text
    assert "frozen ncm: +10.0 points" in text
