"""Checks of hfmeta/recipe/parsing.py and checks.py: what a recipe may say, and that everything wrong is told at once."""

from __future__ import annotations

import pytest
import yaml

from hfmeta.algorithms import Maml
from hfmeta.inner.errors import HfmetaError
from hfmeta.recipe.checks import KEYS, METRICS, TASK_OF_CORPUS
from hfmeta.recipe.errors import RecipeError, closest
from hfmeta.recipe.parsing import apply_overrides, parse_recipe, parse_tree, read_yaml
from hfmeta.recipe.schema import CORPORA, DataSection
from tiny_recipes import SINUSOID, text_recipe, write_recipe, write_sentences


def problems_of(path, *overrides) -> list[str]:
    """What is wrong with a recipe."""
    with pytest.raises(RecipeError) as caught:
        parse_recipe(path, overrides)
    assert isinstance(caught.value, HfmetaError)
    assert all(problem in str(caught.value) for problem in caught.value.problems)
    return caught.value.problems


@pytest.fixture
def path(tmp_path):
    return write_recipe(tmp_path)


def test_a_good_recipe_is_typed(path):
    recipe = parse_recipe(path, ["training.learning_rate=1e-2", "training.eval_strategy=no"])
    assert recipe.algorithm == Maml(inner_steps=2, inner_lr=0.02)
    assert recipe.algorithm_name == "maml"
    assert recipe.model.config == {"hidden_sizes": [8, 8], "init_std": 0.3}
    assert recipe.data.test_tasks == 8
    assert recipe.training["learning_rate"] == 0.01
    assert recipe.training["eval_strategy"] == "no"
    assert recipe.adapter is None
    assert recipe.metrics == ["mse"]


def test_the_tree_is_the_recipe_again(path, tmp_path):
    recipe = parse_recipe(
        path, ["algorithm.inner_lr=1e-3", "baselines=[no_adaptation, {pretrained: {inner_lr: [1e-3, 0.1]}}]"]
    )
    again = tmp_path / "again.yaml"
    again.write_text(yaml.safe_dump(recipe.tree), encoding="utf-8")
    other = parse_recipe(again)
    other.source = recipe.source
    assert other == recipe
    assert recipe.baselines == {"no_adaptation": {}, "pretrained": {"inner_lr": [0.001, 0.1]}}


def test_everything_wrong_is_told_at_once(path):
    problems = problems_of(
        path,
        *("algorithm.inner_step=3", "algorithm.inner_lr=abc", "training.max_step=3", "training.learning_rate=[1]"),
        *("data.querry=5", "metrics=[acuracy]", "baselines=[pretraned]", "modle.name=x", "model.task=regresion"),
    )
    assert set(problems) == {
        "modle: unknown section (did you mean model?)",
        "model.task: expected one of sequence-classification, image-classification, causal-lm, seq2seq-lm, regression, "
        "received 'regresion' (did you mean regression?)",
        "data.querry: unknown key (did you mean query?)",
        "algorithm.inner_step: unknown key (did you mean inner_steps?)",
        "algorithm.inner_lr: expected a number, received 'abc'",
        "training.max_step: unknown key (did you mean max_steps?)",
        "training.learning_rate: expected a number, received [1]",
        "metrics: unknown metric acuracy (did you mean accuracy?)",
        "baselines: unknown baseline pretraned (did you mean pretrained?)",
    }


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["~algorithm.name"], "algorithm.name: missing"),
        (["algorithm.name=mamml"], "no algorithm named 'mamml' is installed. Did you mean 'maml'?"),
        (["algorithm.inner_steps=0"], "algorithm: Maml: inner_steps=0 adapts nothing"),
        (["~training.output_dir"], "training.output_dir: missing"),
        (
            ["training.remove_unused_columns=true"],
            "training: remove_unused_columns=True would drop support and query",
        ),
        (["training.eval_strategy=sometimes"], "training.eval_strategy: expected one of no, steps, epoch"),
        (["training.warmup_ratio=0.1"], "training.warmup_ratio: unknown key"),
        (["training.eval_strategy=steps", "data.valid_tasks=0"], "needs validation tasks, but data.valid_tasks is 0"),
        (
            ["training.load_best_model_at_end=true", "training.save_strategy=steps"],
            "training: --load_best_model_at_end requires",
        ),
        (["training.hub_token=hf_x"], "training.hub_token: a recipe is published with its results"),
        (["training.resume_from_checkpoint=x"], "training.resume_from_checkpoint: `hfmeta train` decides this itself"),
        (["~model.name"], "model.name: missing; give text"),
        (
            ["model.name=package:no_such_package_here"],
            "model.name: package:no_such_package_here: no such package is installed",
        ),
        (["model.name=./nowhere"], "model.name: the model folder ./nowhere does not exist"),
        (["model.task=image-classification"], "model.task: sinusoid is regression, received image-classification"),
        (["model=[1]"], "model: expected a mapping, received [1]"),
        (["metrics={a: 1}"], "metrics: expected a list of names, received {'a': 1}"),
        (["metrics=[3]"], "metrics: expected names, received 3"),
        (["metrics=[accuracy]"], "metrics: accuracy is not defined for regression; choose of mse, loss"),
        (["baselines=[frozen_ncm]"], "baselines: frozen_ncm is not defined for regression"),
        (["baselines=[3]"], "baselines: expected a name, or a name with a mapping of options, received 3"),
        (
            ["baselines=[{pretrained: {inner_lr: abc}}]"],
            "baselines.pretrained.inner_lr: expected a number, received 'abc'",
        ),
        (["baselines=[{pretrained: {inner_lr: []}}]"], "at least one value to choose from"),
        (["baselines=[{pretrained: {lr: 1}}]"], "baselines.pretrained.lr: unknown key (known: inner_lr, iterations"),
        (
            ["baselines=[{pretrained: {iterations: [1, 2]}}]"],
            "baselines.pretrained.iterations: expected a whole number",
        ),
        (["baselines=[{pretrained: {inner_lr: [1, 2]}}]", "data.valid_tasks=0"], "is chosen from on validation tasks"),
        (["~data.corpus"], "data: give one of corpus, path or dataset; received none"),
        (["data.dataset=x"], "data: give one of corpus, path or dataset; received corpus, dataset"),
        (["data.corpus=sinusoids"], "(did you mean sinusoid?)"),
        (["data.n_way=5"], "data.n_way: not used with corpus sinusoid; leave it out"),
        (["data.noise_std=0.1"], "data.noise_std: not used with corpus sinusoid; leave it out"),
        (["data.corpus=function_families", "data.noise_std=-1"], "data.noise_std: expected at least 0, received -1"),
        (["data.corpus=function_families", "data.sin_form=x"], "data.sin_form: expected one of offset, phase"),
        (["algorithm={name: hsml, tree: [4, 0, 1]}"], "tree must be widths of at least 1 that end in 1, the root"),
        (["data.query=0"], "data.query: expected at least 1, received 0"),
        (["data.test_query=0"], "data.test_query: expected at least 1, received 0"),
        (["data.root=/nowhere/at/all", "data.corpus=omniglot"], "data.root: no such folder: /nowhere/at/all"),
        (["adapter={type: lora, r: 4}"], "adapter: hfmeta-mlp starts from scratch"),
        (["adapter={type: lora, r: 4}", "model.trainable=x"], "model.trainable: an adapter freezes the rest"),
        (["adapter={type: lora}"], "model.config: an adapter is saved with the name of its base alone"),
        (
            ["adapter={type: lroa}"],
            "adapter.type: expected one of lora, private_mlp, received 'lroa' (did you mean lora?)",
        ),
        (["adapter={r: 4}"], "adapter.type: missing; give one of lora, private_mlp"),
        (["adapter={type: private_mlp, r: 4}"], "adapter.r: only used with type lora, received type private_mlp"),
        (["adapter={type: lora, gate: full}"], "adapter.gate: only used with type private_mlp, received type lora"),
        (["adapter={type: private_mlp, gate: half}"], "adapter.gate: expected one of diagonal, full, received 'half'"),
        (["adapter={type: private_mlp, hidden_sizes: [0]}"], "adapter.hidden_sizes: expected one or more widths of"),
        (["adapter={type: lora, r: 0}"], "adapter.r: expected at least 1, received 0"),
        (["nonsense"], "override 'nonsense': write section.key=value"),
        (["=3"], "override '=3': write section.key=value"),
        (["~data.x=3"], "override '~data.x=3': write section.key=value"),
        (["~data.nothing"], "override '~data.nothing': nothing there to remove"),
        (["data.query.x=3"], "override 'data.query.x=3': not a mapping at that place"),
        (["data.query=[3"], "override 'data.query=[3': the value is not valid YAML"),
    ],
)
def test_each_refusal(path, overrides, problem):
    problems = problems_of(path, *overrides)
    assert any(problem in found for found in problems), problems


def test_a_dataset_clashing_with_the_arguments_is_told_by_transformers_words(path):
    (problem,) = problems_of(path, "training.optim=adamm")
    assert problem.startswith("training.optim: expected one of adamw_torch,")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "this file is empty"),
        ("- a\n", "this file is a list"),
        ("a: [1\n", "the file is not valid YAML"),
        ("model: {name: a}\nmodel: {name: b}\n", "the key 'model' is given twice"),
        ("model: {name: a, name: b}\n", "the key 'name' is given twice"),
        ("? [1]\n: 2\n", "a key must be text"),
        ("model: !!python/object/apply:os.system ['true']\n", "the file is not valid YAML"),
    ],
)
def test_files_that_are_no_recipe(tmp_path, content, problem):
    path = tmp_path / "bad.yaml"
    path.write_text(content, encoding="utf-8")
    (found,) = problems_of(path)
    assert problem in found


def test_a_missing_or_unreadable_file(tmp_path):
    write_recipe(tmp_path, name="maml.yaml")
    (found,) = problems_of(tmp_path / "mamml.yaml")
    assert "no such file (did you mean maml.yaml?)" in found
    (found,) = problems_of(tmp_path)
    assert found.endswith(f"it is a folder; give a recipe's file, such as {tmp_path / 'maml.yaml'}")
    (tmp_path / "latin.yaml").write_bytes(b"model: {name: \xff}")
    (found,) = problems_of(tmp_path / "latin.yaml")
    assert "cannot be read" in found


def test_overrides_leave_the_tree_alone_and_nest():
    tree = {"model": {"name": "a"}, "adapter": None}
    problems: list[str] = []
    changed = apply_overrides(tree, ["model.config.x=1", "adapter.r=4", "~model.name", "metrics=[loss]"], problems)
    assert changed == {"model": {"config": {"x": 1}}, "adapter": {"r": 4}, "metrics": ["loss"]}
    assert tree == {"model": {"name": "a"}, "adapter": None}
    assert not problems


class TestTables:
    """Recipes on files of rows."""

    @pytest.fixture
    def path(self, tmp_path):
        model = tmp_path / "model"
        model.mkdir()
        (model / "config.json").write_text("{}", encoding="utf-8")
        return write_recipe(tmp_path, text_recipe(model, write_sentences(tmp_path / "rows.jsonl")))

    def test_a_good_one(self, path):
        recipe = parse_recipe(path)
        assert recipe.data.by_label
        assert recipe.data.group_column == "label"
        assert recipe.metrics == ["accuracy", "loss"]
        by_task = parse_recipe(
            path,
            ["~data.label_column", "data.task_column=label", "data.target_column=label", "~data.n_way", "~data.k_shot"],
        )
        assert not by_task.data.by_label
        assert by_task.data.group_column == "label"

    def test_metrics_have_a_default(self, path):
        assert parse_recipe(path, ["~metrics"]).metrics == ["accuracy"]

    @pytest.mark.parametrize(
        ("overrides", "problem"),
        [
            (["data.input_column=sentense"], "has no column sentense (did you mean sentence?); it has sentence, label"),
            (["~data.input_column"], "data.input_column: missing; name the column the model reads"),
            (["~data.label_column"], "data.task_column: missing; name it, or label_column for N-way episodes"),
            (["data.task_column=label"], "data.task_column: not used with label_column"),
            (["data.support=3"], "data.support: not used with label_column; leave it out"),
            (["~data.label_column", "data.task_column=label"], "data.n_way: not used with task_column; leave it out"),
            (["model.task=causal-lm"], "data.label_column: N-way episodes are classification, model.task is causal-lm"),
            (["data.path=nowhere.jsonl"], "data.path: nowhere.jsonl: no such file"),
            (
                ["data.path={train: a.csv, tset: b.csv}"],
                "data.path: expected the parts train, valid (may be left out) and test",
            ),
            (["data.path={train: a.csv, test: b.csv}"], "data.path.train: a.csv: no such file"),
            (["data.shares={train: 0.5, test: 0.4}"], "data.shares: expected positive shares that sum to 1"),
            (["data.shares={train: 1.0}"], "data.shares: expected the parts train"),
            (["data.rotations=true"], "data.rotations: not used with path; leave it out"),
            (
                ["data.shares={train: 0.5, test: 0.5}"],
                "data.shares: there is no valid part; name one, or set data.valid_tasks to 0",
            ),
            (["data.n_way=1"], "data.n_way: expected at least 2, received 1"),
        ],
    )
    def test_each_refusal(self, path, overrides, problem):
        problems = problems_of(path, *overrides)
        assert any(problem in found for found in problems), problems


def test_every_key_of_data_belongs_to_a_source():
    used = set().union(*KEYS.values()) | {"query", "test_query", "train_tasks", "valid_tasks", "test_tasks", "seed"}
    assert used == set(DataSection.__dataclass_fields__)
    assert set(KEYS) == {*CORPORA, "path", "dataset"}
    assert set(TASK_OF_CORPUS) == set(CORPORA)
    assert {"accuracy", "mse", "loss"} == set(METRICS)


def test_trees_in_memory_are_named_as_the_caller_says():
    with pytest.raises(RecipeError, match=r"^a checkpoint: 1 problem, nothing was run or written"):
        parse_tree({**SINUSOID, "metrics": ["acc"]}, "a checkpoint")
    bad_base = {**SINUSOID, "model": {**SINUSOID["model"], "name": "./gone"}}
    assert parse_tree(bad_base, "a checkpoint", needs_base=False).model.name == "./gone"


def test_hints_list_the_choices_when_they_are_few():
    assert closest("inner_step", ["inner_steps", "order"]) == " (did you mean inner_steps?)"
    assert closest("zzz", ["a", "b"]) == " (known: a, b)"
    assert closest("zzz", map(str, range(40))) == ""


def test_read_yaml_returns_the_sections(path):
    assert read_yaml(path)["data"]["corpus"] == "sinusoid"
