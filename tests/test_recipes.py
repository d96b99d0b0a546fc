"""Every recipe of the project: found recursively and counted, parsed, and run for one step with tiny models and made-up data."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from hfmeta.recipe import parse_recipe, run_recipe
from photographs import write_divided, write_mini_imagenet
from tiny_dialogues import write_mojitalk, write_synthetic
from tiny_recipes import save_tiny_bert, save_tiny_t5, write_intents, write_omniglot

ROOT = Path(__file__).resolve().parents[1]
RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))
COUNT = 82
NAMES = [str(path.relative_to(ROOT)) for path in RECIPES]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Intents, Omniglot, photographs and personas in their layouts, made up, a tiny BERT and a tiny T5."""
    room = tmp_path_factory.mktemp("data")
    write_omniglot(write_intents(room, classes=14, each=12))
    save_tiny_bert(room / "bert")
    save_tiny_t5(room / "t5")
    write_synthetic(room / "synthetic_persona_chat", users=10, rounds=3)
    write_mojitalk(room / "mojitalk")
    write_mini_imagenet(room, each=6, classes=dict.fromkeys(("train", "val", "test"), 5))
    for name in ("CUB_Bird", "DTD_Texture", "FGVC_Aircraft", "FGVCx_Fungi"):
        write_divided(room / name, each=2, classes=dict.fromkeys(("train", "val", "test"), 5))
    return room


def substitutes(path: Path, room: Path, output: Path) -> list[str]:
    """Overrides that make a recipe tiny and leave everything else as it is."""
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    words = [
        *("training.max_steps=1", "training.per_device_train_batch_size=1", "training.report_to=none"),
        *("training.eval_steps=1", "training.save_steps=1", "training.disable_tqdm=true"),
        *("data.train_tasks=2", "data.valid_tasks=2", "data.test_tasks=2", f"training.output_dir={output}"),
    ]
    if tree["data"].get("valid_tasks") == 0:
        words.remove("data.valid_tasks=2")
    if "warmup_steps" in tree["training"]:
        words.append("training.warmup_steps=0")
    if tree["data"]["corpus"] in ("sinusoid", "function_families"):
        words += ["model.config.hidden_sizes=[4]", "data.test_query=3"]
        words.append("baselines=[{pretrained: {inner_lr: [0.01, 0.02], iterations: 2}}]")
    elif tree["data"]["corpus"] == "synthetic_persona_chat":
        words += [f"data.root={room}", "data.max_support_rows=4", "data.max_query_rows=2", "data.too_small=drop"]
        words += ["data.shares={train: 0.6, valid: 0.2, test: 0.2}", "data.max_length=24", "data.max_context_tokens=8"]
        words += persona_model(tree["model"]["name"], room)
    elif tree["data"]["corpus"] == "mojitalk":
        words += [f"data.root={room / 'mojitalk'}", "data.max_support_rows=4", "data.max_query_rows=2"]
        words += ["data.emoji_counts={train: 4, valid: 2, test: 2}", *persona_model(tree["model"]["name"], room)]
    elif tree["data"]["corpus"] == "omniglot":
        words += [
            "model.config.num_filters=2",
            f"data.root={room}",
            "data.k_shot=1",
            "data.query=1",
            "data.test_query=1",
        ]
        words += [] if tree["model"]["name"].startswith("hfmeta-") else ["model.name=hfmeta-conv4"]
        words += ["data.train_k_shot=1"] if "train_k_shot" in tree["data"] else []
    elif tree["data"]["corpus"] in ("mini_imagenet", "fine_grained"):
        words += ["model.config.num_filters=2", f"data.root={room}", "data.query=1", "data.test_query=1"]
    else:
        words += [f"model.name={room / 'bert'}", "data.query=1", "data.test_query=2"]
        words += [] if tree["data"]["corpus"] == "clinc150_quickstart" else [f"data.root={room}"]
        words.append("baselines=[{frozen_ncm: {metric: [euclidean, cosine]}}, {fine_tuning: {steps: 1, tasks: 1}}]")
    return words


def persona_model(name: str, room: Path) -> list[str]:
    """A tiny model in the place of a transformer, of a network drawn at random, or of one that another recipe left behind."""
    if not name.startswith(("hfmeta-", "out/")) or "/t5/" in name:
        return [f"model.name={room / 't5'}"]
    drawn = name if name.startswith("hfmeta-") else f"hfmeta-{'seq2spg' if 'seq2sp' in name else 'lstm-seq2seq'}"
    return [f"model.name={drawn}", "model.config.embedding_size=6", "model.config.hidden_size=6"]


def test_all_recipes_are_found():
    assert len(RECIPES) == COUNT, "a recipe came or went: change COUNT, and the table in recipes/README.md"


@pytest.mark.parametrize("path", RECIPES, ids=NAMES)
def test_it_parses_as_it_stands(path, data, monkeypatch):
    # The encoder's package need not be installed to read a recipe; all else must be right.
    monkeypatch.setattr("hfmeta.recipe.checks.resolve_name", lambda name: name)
    recipe = parse_recipe(path)
    assert Path(recipe.training["output_dir"]).is_relative_to("out" / path.parent.relative_to(ROOT / "recipes"))
    assert recipe.training["optim"] == ("sgd" if recipe.algorithm_name == "reptile" else "adamw_torch")
    assert recipe.data.test_tasks >= (40 if recipe.data.corpus == "mojitalk" else 100), "8 emoji in five folds are 40"


@pytest.mark.parametrize("path", RECIPES, ids=NAMES)
def test_its_header_has_the_command(path):
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert re.search(rf"hfmeta train {re.escape(str(path.relative_to(ROOT)))}( data\.root=<folder>|\))?$", first)


@pytest.mark.parametrize("path", RECIPES, ids=NAMES)
def test_it_runs_one_step(path, data, tmp_path, monkeypatch):
    monkeypatch.setenv("HFMETA_CACHE", str(data / "cache"))
    results = run_recipe(path, substitutes(path, data, tmp_path / "out"))
    assert results["iterations"] == 1
    assert results["episodes"]["count"] == 2
    steps = len(results["adaptation_curve"][results["primary_metric"]]["mean"]) - 1
    assert steps == parse_recipe(tmp_path / "out" / "recipe.yaml").algorithm.eval_steps
    assert (tmp_path / "out" / "results.json").is_file()


def test_the_readme_lists_every_recipe():
    text = (ROOT / "recipes" / "README.md").read_text(encoding="utf-8")
    for path in RECIPES:
        assert f"({path.relative_to(ROOT / 'recipes')})" in text, f"{path.name} is not in recipes/README.md"
    links = re.findall(r"\]\(([^)]+\.yaml)\)", text)
    assert all((ROOT / "recipes" / link).is_file() for link in links)
    assert len(links) == COUNT


def test_omniglot_rates_are_those_of_mean_losses():
    for path in (ROOT / "recipes" / "omniglot").glob("maml_[0-9]*.yaml"):
        assert parse_recipe(path).algorithm.inner_lr == 2.0
