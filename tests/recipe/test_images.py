"""Image corpora in recipes: photographs by part and by set, Lake's official runs as test tasks, and every refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hfmeta.inner import HfmetaError
from hfmeta.recipe import parse_recipe, run_recipe
from hfmeta.recipe.data import build_episodes
from hfmeta.recipe.evaluating import evaluate_checkpoint
from lake_runs import made_runs
from photographs import write_divided, write_mini_imagenet
from tiny_recipes import SINUSOID, write_omniglot, write_recipe

TASK = "image-classification"


def sections(data: dict[str, Any], **config: Any) -> dict[str, Any]:
    """A recipe of seconds."""
    return {
        "model": {"name": "hfmeta-conv4", "task": TASK, "config": {"num_filters": 2, **config}},
        "algorithm": {"name": "maml", "inner_steps": 1, "inner_lr": 0.1},
        "data": {"n_way": 3, "query": 1, "train_tasks": 4, "valid_tasks": 0, "test_tasks": 5, **data},
        "training": {**SINUSOID["training"], "max_steps": 1, "per_device_train_batch_size": 2},
        "metrics": ["accuracy", "loss"],
    }


def photographs(**data: Any) -> dict[str, Any]:
    return sections(data, num_channels=3, image_size=16)


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Sections of a recipe within one alphabet, tested on made official runs."""
    monkeypatch.setenv("HFMETA_CACHE", str(tmp_path / "cache"))
    write_omniglot(tmp_path, characters=1100)
    runs = str(made_runs(tmp_path / "runs", side=40))
    return sections({"corpus": "omniglot", "split": "lake", "root": str(tmp_path), "official_runs": runs})


def test_official_runs_are_the_test_tasks(lake: dict[str, Any], tmp_path: Path) -> None:
    lake["data"]["test_tasks"] = 600
    results = run_recipe(write_recipe(tmp_path, lake, baselines=["modified_hausdorff"]))
    assert results["episodes"]["count"] == 20
    assert results["metrics"]["accuracy"]["tasks"] == 20
    assert results["baselines"]["modified_hausdorff"]["mean"] == 1, (
        "a test drawing is the training drawing of its class here"
    )
    runs = lake["data"].pop("official_runs")
    plain = write_recipe(tmp_path, lake, name="plain.yaml", training={"output_dir": str(tmp_path / "plain")})
    drawn = run_recipe(plain, ["data.test_tasks=4"])
    assert drawn["episodes"]["count"] == 4
    assert drawn["split"] == results["split"]
    later = evaluate_checkpoint(str(tmp_path / "plain"), [f"data.official_runs={runs}"], episodes=20)
    assert later["episodes"]["sha256"] == results["episodes"]["sha256"]


def test_refusals_of_official_runs(lake: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(HfmetaError, match=r"data.official_runs: its runs are 3-way, but data.n_way is 4"):
        run_recipe(write_recipe(tmp_path, lake, data={"n_way": 4}))
    with pytest.raises(HfmetaError, match="data.official_runs: no such folder: nowhere"):
        parse_recipe(write_recipe(tmp_path, lake, data={"official_runs": "nowhere"}))
    wanting = write_recipe(tmp_path, lake, data={"valid_tasks": 2})
    with pytest.raises(
        HfmetaError, match="the split lake of Omniglot has no validation part; set valid_alphabets above 0"
    ):
        run_recipe(wanting)


def test_mini_imagenet_runs(tmp_path: Path) -> None:
    write_mini_imagenet(tmp_path)
    recipe = write_recipe(
        tmp_path, photographs(corpus="mini_imagenet", root=str(tmp_path), image_size=16, valid_tasks=2)
    )
    results = run_recipe(recipe)
    assert results["metrics"]["accuracy"]["tasks"] == 5
    default = parse_recipe(recipe, ["~data.image_size"])
    pixels = build_episodes(default.data, TASK, None, 0).test[0]["query"]["pixel_values"]
    assert pixels.shape == (3, 3, 84, 84)


def test_a_folder_of_images_without_validation(tmp_path: Path) -> None:
    write_divided(tmp_path / "images", classes={"train": 4, "test": 3})
    recipe = write_recipe(tmp_path, photographs(corpus="image_folder", root=str(tmp_path / "images")))
    parsed = parse_recipe(recipe)
    episodes = build_episodes(parsed.data, TASK, None, 0)
    assert episodes.split == {"train": [f"train_{c}" for c in range(4)], "test": [f"test_{c}" for c in range(3)]}
    with pytest.raises(HfmetaError, match="data: the folder has no validation part; add val/, or valid_tasks to 0"):
        build_episodes(parse_recipe(recipe, ["data.valid_tasks=2"]).data, TASK, None, 0)


def test_fine_grained_tasks_are_of_one_set(tmp_path: Path) -> None:
    write_divided(tmp_path / "CUB_Bird")
    write_divided(tmp_path / "DTD_Texture")
    given = photographs(corpus="fine_grained", root=str(tmp_path), sets=["cub_birds", "dtd_textures"], test_tasks=8)
    recipe = write_recipe(tmp_path, given)
    episodes = build_episodes(parse_recipe(recipe).data, TASK, None, 0)
    sets = [{name.split("/")[0] for name in draw.names} for draw in episodes.test.draws()]
    assert all(len(names) == 1 for names in sets)
    assert {name for names in sets for name in names} == {"cub_birds", "dtd_textures"}
    one = build_episodes(parse_recipe(recipe, ["data.test_sets=[dtd_textures]"]).data, TASK, None, 0)
    assert {name.split("/")[0] for draw in one.test.draws() for name in draw.names} == {"dtd_textures"}
    assert one.split_sha256 == episodes.split_sha256, "the same classes are held out whichever are tested"
    with pytest.raises(HfmetaError, match="data.sets: unknown set cub_bird .did you mean cub_birds") as problems:
        parse_recipe(recipe, ["data.sets=[cub_bird]", "data.test_sets=[]"])
    assert "data.test_sets: expected at least one of cub_bird, received an empty list" in str(problems.value)
    with pytest.raises(HfmetaError, match="data.test_sets: unknown set fgvcx_fungi"):
        parse_recipe(recipe, ["data.test_sets=[fgvcx_fungi]"])
    with pytest.raises(HfmetaError, match="data.rotations: not used with corpus fine_grained; leave it out"):
        parse_recipe(recipe, ["data.rotations=true"])
