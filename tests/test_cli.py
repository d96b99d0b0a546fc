"""Checks of hfmeta/cli.py and hfmeta/__main__.py: words in, exit status and files out. The results are checked in tests/recipe."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import subprocess
import sys
from importlib.metadata import version

import pytest
from rich.logging import RichHandler
from typer.testing import CliRunner

import hfmeta.recipe.running
from hfmeta.cli import app
from tiny_recipes import save_tiny_bert, text_recipe, write_recipe, write_sentences

COMMANDS = ("train", "evaluate", "adapt", "push", "list", "report")


@pytest.fixture(autouse=True)
def _quiet_logger():
    """What the command line does to logging ends with the test."""
    logger = logging.getLogger("hfmeta")
    level = logger.level
    yield
    logger.handlers = [handler for handler in logger.handlers if not isinstance(handler, RichHandler)]
    logger.setLevel(level)


def run(*words: object):
    """The result of a command line."""
    return CliRunner().invoke(
        app, [str(word) for word in words], env={"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"}
    )


def refused(result, *sentences: str) -> None:
    """Assert status 2 and one message on standard error."""
    assert result.exit_code == 2, result.output
    said = " ".join(result.stderr.split())
    for sentence in sentences:
        assert sentence in said
    assert said.count("hfmeta: ") == 1
    assert "Traceback" not in result.output
    assert not result.stdout.strip()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a trained run of a tiny text recipe, its recipe and a support file."""
    room = tmp_path_factory.mktemp("trained")
    sections = text_recipe(save_tiny_bert(room / "bert"), write_sentences(room / "rows.jsonl"))
    path = write_recipe(room, sections, baselines=["frozen_ncm"])
    result = run("train", path, "training.max_steps=1", "--json", room / "train.json")
    assert result.exit_code == 0, result.output
    (room / "support.csv").write_text("sentence,label\nthe card,a\nmy money,b\n", encoding="utf-8")
    return room, result


def test_help_is_complete():
    said = run("--help").stdout
    assert all(name in said for name in COMMANDS)
    for name in COMMANDS:
        result = run(name, "--help")
        assert result.exit_code == 0
        assert len(result.stdout.splitlines()) > 6
    said = run("train", "--help").stdout
    assert all(word in said for word in ("RECIPE", "--resume", "--json", "section.key=value", "~section.key"))
    said = run("adapt", "--help").stdout
    assert all(word in said for word in ("CHECKPOINT", "--support", "--output", "--steps", ".parquet", "--revision"))
    said = run("push", "--help").stdout
    assert all(word in said for word in ("DIR", "REPO_ID", "--private", "--public", "--with-ids", "--json"))


def test_the_version():
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"hfmeta {version('hfmeta')}\n")


def test_train_shows_a_table_and_writes_its_results(trained):
    room, result = trained
    assert "Test: 4 tasks" in result.stdout
    for name in ("class means", "frozen ncm", "maml"):
        assert name in result.stdout
    assert f"Written to {room / 'out'}" in result.stdout
    written = json.loads((room / "train.json").read_text(encoding="utf-8"))
    assert written == json.loads((room / "out" / "results.json").read_text(encoding="utf-8"))
    assert written["command"] == f"hfmeta train {room / 'recipe.yaml'} training.max_steps=1"


def test_evaluate_repeats_and_writes_only_where_asked(trained, tmp_path):
    room, _ = trained
    before = sorted(room.rglob("*"))
    result = run("evaluate", room / "out", "--episodes", 3, "--seed", 1, "--json", tmp_path / "one.json")
    assert result.exit_code == 0, result.output
    assert "Test: 3 tasks" in result.stdout
    again = run("evaluate", room / "out", "data.test_tasks=3", "data.seed=1", "--json", tmp_path / "two.json")
    assert again.exit_code == 0
    one, two = (json.loads((tmp_path / name).read_text(encoding="utf-8")) for name in ("one.json", "two.json"))
    assert one["metrics"] == two["metrics"]
    assert one["command"] == f"hfmeta evaluate {room / 'out'} --episodes 3 --seed 1"
    words = ("evaluate", room, "--subfolder", "out", "--episodes", 3, "--seed", 1, "--json", tmp_path / "three.json")
    assert run(*words).exit_code == 0
    three = json.loads((tmp_path / "three.json").read_text(encoding="utf-8"))
    assert three["metrics"] == one["metrics"]
    assert three["command"] == f"hfmeta evaluate {room} --episodes 3 --seed 1 --subfolder out"
    assert sorted(room.rglob("*")) == before


def test_adapt_says_how_to_open_the_result(trained, tmp_path):
    room, _ = trained
    result = run("adapt", room / "out", "--support", room / "support.csv", "--output", tmp_path / "anna", "--steps", 2)
    assert result.exit_code == 0, result.output
    assert "Adapted to 2 rows in 2 inner steps, 2 classes: a, b." in result.stdout
    assert f"AutoModelForSequenceClassification.from_pretrained('{tmp_path / 'anna'}')" in result.stdout
    assert (tmp_path / "anna" / "model.safetensors").is_file()


def test_list_shows_what_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "Recipes: none" in run("list").stdout
    (tmp_path / "recipes").mkdir()
    write_recipe(tmp_path / "recipes", name="mine.yaml")
    result = run("list", "--json", tmp_path / "list.json")
    assert result.exit_code == 0
    assert re.search(r"maml_plus_plus +hfmeta +\d", result.stdout)
    assert re.search(r"recipes/mine\.yaml +maml +sinusoid", result.stdout)
    assert all(name in result.stdout for name in ("frozen_ncm", "dialogue_bleu", "task_perplexity", "distinct_n"))
    assert {"algorithms", "recipes", "metrics", "modules", "baselines"} == set(
        json.loads((tmp_path / "list.json").read_text())
    )


def test_report_shows_runs(trained, tmp_path):
    room, _ = trained
    result = run("report", room / "out", "--output", tmp_path / "report", "--json", tmp_path / "report.json")
    assert result.exit_code == 0, result.output
    assert "frozen ncm" in result.stdout
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == [
        "adaptation_accuracy.png",
        "report.html",
        "results_accuracy.png",
    ]
    told = json.loads((tmp_path / "report.json").read_text())
    assert {"name", "metric", "mean", "ci95", "tasks"} == set(told["rows"][0])
    assert told["paired"] == []
    refused(run("report", room / "out" / "..", tmp_path, "--output", tmp_path / "none"), "has no results.json")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("overrides", "sentences"),
    [
        (["algorithm.inner_step=3", "training.max_step=x"], ["did you mean inner_steps?", "did you mean max_steps?"]),
        (["algorithm.inner_lr=abc"], ["algorithm.inner_lr: expected a number, received 'abc'"]),
        (["algorithm.name=no_such"], ["no algorithm named 'no_such' is installed", "Installed: anil"]),
        (["~data.corpus", "data.path=gone.jsonl", "data.task_column=u"], ["data.path: gone.jsonl: no such file"]),
        (["training.output_dir=[1]"], ["training.output_dir: expected text"]),
        (["algorithm.adapt=nothing_of_this_name"], ["matches no trainable tensor"]),
        (["algorithm.inner_lr=1e30", "algorithm.inner_steps=3"], ["task(s)", "inner step", "is not finite"]),
    ],
)
def test_bad_recipes_end_with_status_2_and_nothing_written(tmp_path, monkeypatch, overrides, sentences):
    monkeypatch.chdir(tmp_path)
    path = write_recipe(tmp_path, training={"output_dir": "deep/out"})
    result = run("train", path, *overrides, "--json", "results.json")
    assert result.exit_code == 2
    refused(result, *sentences) if "1e30" not in str(overrides) else None
    assert [p.name for p in tmp_path.iterdir()] == ["recipe.yaml"]


def test_missing_columns_and_files(trained, tmp_path):
    room, _ = trained
    target = tmp_path / "out"
    refused(run("train", tmp_path / "gone.yaml"), "no such file")
    result = run("train", room / "recipe.yaml", f"training.output_dir={target}", "data.label_column=intent")
    refused(result, "data.label_column:", "has no column intent", "it has sentence, label")
    result = run("train", room / "recipe.yaml", f"training.output_dir={target}", "data.n_way=50")
    refused(result, "50")
    refused(run("train", room / "recipe.yaml"), "holds checkpoints of an earlier run") if (
        room / "out" / "checkpoint-1"
    ).exists() else None
    assert not target.exists()


def test_folders_numbers_and_yaml_that_no_recipe_has(trained, tmp_path):
    room, _ = trained
    recipe = room / "recipe.yaml"
    refused(run("train", room / "out"), "it is a folder; give a recipe's file", "recipe.yaml")
    words = ("training.per_device_train_batch_size=0", "training.learning_rate=-1")
    refused(
        run("train", recipe, *words, f"training.output_dir={tmp_path / 'out'}"),
        "training.per_device_train_batch_size: must be at least 1, received 0",
        "training.learning_rate: must be at least 0, received -1.0",
    )
    (tmp_path / "broken.yaml").write_text("model: {name: x\n task: y", encoding="utf-8")
    result = run("train", tmp_path / "broken.yaml")
    refused(result, "the file is not valid YAML: line 2, column 6: while parsing a flow mapping: expected ',' or '}'")
    assert "<unicode string>" not in result.stderr
    refused(run("evaluate", room / "out", "--ensemble", 3), "has 0. Train with", "save_steps equal to eval_steps.")
    (tmp_path / "one.jsonl").write_text('{"sentence": "the card", "label": "a"}\n', encoding="utf-8")
    refused(
        run("adapt", room / "out", "--support", tmp_path / "one.jsonl", "--output", tmp_path / "adapted"),
        "have one class, 'a': there is nothing to tell apart",
    )
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_a_run_is_resumed_by_its_own_recipe(tmp_path):
    path = write_recipe(tmp_path, training={"save_strategy": "steps", "save_steps": 2})
    assert run("train", path, "training.max_steps=2").exit_code == 0
    words = ("--resume", "training.max_steps=4")
    result = run("train", path, *words, "algorithm.name=meta_sgd")
    refused(result, f"--resume: {tmp_path / 'out'} holds another run: algorithm.name is maml there and meta_sgd here")
    assert str(path) in result.stderr.replace("\n", "")
    result = run("train", path, *words)
    assert result.exit_code == 0, result.output


def test_bad_checkpoints_and_rows(trained, tmp_path):
    room, _ = trained
    before = sorted(room.rglob("*"))
    (tmp_path / "rows.jsonl").write_text('{"text": "a", "label": "b"}\n', encoding="utf-8")
    (tmp_path / "broken.jsonl").write_text("{", encoding="utf-8")
    adapt = ("--output", tmp_path / "adapted")
    refused(run("adapt", room / "out", "--support", tmp_path / "rows.jsonl", *adapt), "no column 'sentence'")
    refused(run("adapt", room / "out", "--support", tmp_path / "broken.jsonl", *adapt), "line 1, is no JSON")
    refused(run("adapt", room / "out", "--support", tmp_path / "gone.csv", *adapt), "no such file")
    refused(run("adapt", room / "bert", "--support", room / "support.csv", *adapt), "not a saved learner")
    refused(
        run("adapt", room / "out", "--support", room / "support.csv", "--output", room / "out"), "not an empty folder"
    )
    refused(run("evaluate", room / "bert"), "not a saved learner")
    refused(run("evaluate", room / "out", "data.shots=1"), "data.shots: unknown key")
    refused(run("evaluate", room / "out", "algorithm.order=1"), "a trained learner is tested as it is")
    assert not (tmp_path / "adapted").exists()
    assert sorted(room.rglob("*")) == before


def test_usage_errors_end_with_status_2():
    assert run("train").exit_code == 2
    assert run("train", "a.yaml", "--no-such-option").exit_code == 2
    assert run("evaluate", "x", "--episodes", 0).exit_code == 2
    assert run("no_such_command").exit_code == 2


def test_a_failed_run_ends_with_status_1(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(hfmeta.recipe.running, "run_recipe", fail)
    result = run("train", write_recipe(tmp_path))
    assert result.exit_code == 1
    assert isinstance(result.exception, RuntimeError)


def test_other_processes_say_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(hfmeta.recipe.running, "run_recipe", lambda *_, **__: {})
    monkeypatch.setenv("RANK", "1")
    result = run("train", write_recipe(tmp_path), "--json", tmp_path / "r.json")
    assert result.exit_code == 0
    assert not result.stdout
    assert not (tmp_path / "r.json").exists()
    assert logging.getLogger("hfmeta").level == logging.WARNING


def python(*words: object, cwd, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_python_m_hfmeta_is_the_command_line(tmp_path):
    path = write_recipe(tmp_path)
    done = python("-m", "hfmeta", "train", path, "training.max_stepz=1", cwd=tmp_path)
    assert done.returncode == 2
    assert "did you mean max_steps?" in done.stderr
    assert "Traceback" not in done.stderr
    done = python("-m", "hfmeta", "train", path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "maml" in done.stdout


def test_two_processes_write_one_run_equal_to_one_process(tmp_path):
    path = write_recipe(tmp_path, baselines=["no_adaptation"])
    words = ("train", path, "training.per_device_train_batch_size=2", f"training.output_dir={tmp_path / 'two'}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = ("-m", "torch.distributed.run", "--nproc_per_node", 2, "--master_port", port, "-m", "hfmeta")
    done = python(*launcher, *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert run("train", path, f"training.output_dir={tmp_path / 'one'}", "training.use_cpu=true").exit_code == 0
    two, one = (json.loads((tmp_path / name / "results.json").read_text(encoding="utf-8")) for name in ("two", "one"))
    assert (two["world_size"], one["world_size"]) == (2, 1)
    assert two["metrics"]["mse"]["mean"] == pytest.approx(one["metrics"]["mse"]["mean"], rel=1e-4)
    assert two["metrics"]["mse"]["mean"] != two["baselines"]["no_adaptation"]["mean"]
    assert two["baselines"]["no_adaptation"]["mean"] == pytest.approx(one["baselines"]["no_adaptation"]["mean"])
