"""Checks of the folders that evaluate opens, without a network: the README's example, and agreement with the plain functions.

`task_accuracy` has a file of its own.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import evaluate
import pytest

import hfmeta.metrics
from hfmeta.metrics import bleu_scores, consistency_score, distinct, emoji_accuracy
from metrics.judges import saved_classifier

HOME = Path(hfmeta.metrics.__file__).parent
FOLDERS = sorted(path.parent.name for path in HOME.glob("*/README.md"))
JUDGED = ("c_score", "e_acc")
"""Their examples need a model."""


@pytest.fixture
def load(tmp_path):
    return lambda name: evaluate.load(str(HOME / name), cache_dir=str(tmp_path / "cache"))


def example(name):
    """The call and the result that a README shows."""
    text = (HOME / name / "README.md").read_text(encoding="utf-8")
    call = re.search(r"^metric\.compute\((.*?)\)\n# ([^\n]*)$", text, re.MULTILINE | re.DOTALL)
    keywords = ast.parse(f"f({call[1]})", mode="eval").body.keywords
    return {keyword.arg: ast.literal_eval(keyword.value) for keyword in keywords}, call[2]


def test_all_are_here():
    assert FOLDERS == [
        "c_score",
        "dialogue_bleu",
        "distinct_n",
        "e_acc",
        "mask_overlap",
        "model_difference",
        "task_accuracy",
        "task_perplexity",
    ]


@pytest.mark.parametrize("name", [name for name in FOLDERS if name not in JUDGED])
def test_the_example_of_the_readme(load, name):
    arguments, shown = example(name)
    found = load(name).compute(**arguments)
    expected = eval(shown, {"nan": float("nan")})
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key] == (pytest.approx(value) if isinstance(value, float | list) and key != "pairwise" else value)


@pytest.mark.parametrize("name", JUDGED)
def test_the_results_that_a_readme_names(load, name, tmp_path):
    arguments, shown = example(name)
    judge = {"c_score": ["entailment", "neutral", "contradiction"], "e_acc": ["😂", "❤", "😭"]}[name]
    arguments[{"c_score": "nli", "e_acc": "classifier"}[name]] = saved_classifier(tmp_path / "judge", judge)
    assert list(load(name).compute(**arguments)) == re.findall(r"'(\w+)':", shown)


def test_added_in_batches_with_tasks(load):
    responses, references = ["i have two dogs at home", "i like tea"], ["i have two dogs at home", "i like it a lot"]
    metric = load("dialogue_bleu")
    for said, true in zip(responses, references, strict=True):
        metric.add(prediction=said, reference=true)
    found = metric.compute(dialogues=["a", "b"])
    expected = bleu_scores(responses, references, ["a", "b"])
    assert (found["bleu"], found["corpus_bleu"]) == pytest.approx((expected.dialogue_mean, expected.corpus))
    assert found["signature"] == expected.signature


def test_dist_equals_the_function(load):
    responses, tasks = ["a b a", "a c", "d"], [1, 1, 2]
    found = load("distinct_n").compute(data=responses, tasks=tasks)
    assert found["dist_2"] == distinct(responses, 2).pooled
    assert found["dist_1_per_task"] == distinct(responses, 1, tasks).task_mean


def test_judges_by_folder(load, tmp_path):
    nli = saved_classifier(tmp_path / "nli", ["contradiction", "entailment", "neutral"])
    personas, responses = [["my card", "hello"], ["no bank"]], ["card", "good money"]
    found = load("c_score").compute(predictions=responses, references=personas, nli=nli)
    expected = consistency_score(responses, personas, nli)
    assert (found["c_score"], found["nli_model"]) == (expected.mean, nli)
    assert found["nli_labels"] == {0: "contradiction", 1: "entailment", 2: "neutral"}
    emoji = saved_classifier(tmp_path / "emoji", ["😂", "❤", "😭", "😍", "🔥", "🎉"])
    found = load("e_acc").compute(predictions=responses, references=["😂", "🔥"], classifier=emoji)
    expected = emoji_accuracy(responses, ["😂", "🔥"], emoji)
    assert (found["top1"], found["top5"]) == (expected.top1, expected.top5)


def test_one_common_start(load):
    with pytest.raises(ValueError, match="predictions1 must hold the same parameters for every task"):
        load("model_difference").compute(predictions1=[[0.0], [1.0]], predictions2=[[1.0], [1.0]])


@pytest.mark.parametrize("name", FOLDERS)
def test_one_import_a_line(name):
    # The loader of evaluate reads imports line by line and does not understand several on one.
    lines = (HOME / name / f"{name}.py").read_text(encoding="utf-8").splitlines()
    imports = [line for line in lines if line.startswith(("import", "from"))]
    assert imports
    assert not any("," in line or ";" in line for line in imports)
