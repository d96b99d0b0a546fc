"""A plugin of somebody else's: pip-installed from its folder, found by name, trained by a recipe, saved, reloaded, conforming.

Everything runs in processes of its own: the plugin is on the path there and nowhere else.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import safe_open

# One worker runs all of this file: every other one would install and train again.
pytestmark = pytest.mark.xdist_group("heavyball")

FOLDER = Path(__file__).parent / "hfmeta_heavyball"
RECIPE = """
model: {name: hfmeta-mlp, task: regression, config: {hidden_sizes: [8, 8], init_std: 0.3}}
algorithm: {name: heavyball, inner_steps: 2, inner_lr: 0.02, momentum: 0.25}
data: {corpus: sinusoid, support: 5, query: 5, train_tasks: 16, valid_tasks: 4, test_tasks: 8}
training: {output_dir: out, max_steps: 3, per_device_train_batch_size: 4, learning_rate: 1.0e-2}
metrics: [mse]
"""


def python(*arguments: str, path: Path | None, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the interpreter with the plugin's folder on its path, or without it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    return subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=cwd, capture_output=True, text=True, timeout=300
    )


def succeeds(run: subprocess.CompletedProcess[str]) -> str:
    """The standard output of a run that must have worked."""
    assert run.returncode == 0, f"{run.args}\n{run.stdout}\n{run.stderr}"
    return run.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder with the plugin installed by pip, from a copy of its source, since pip builds where the source is."""
    room = tmp_path_factory.mktemp("heavyball")
    shutil.copytree(FOLDER, room / "source", ignore=shutil.ignore_patterns("*.egg-info", "build", "__pycache__"))
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    succeeds(python(*install, "--target", str(room / "site"), str(room / "source"), path=None, cwd=room))
    return room / "site"


@pytest.fixture(scope="module")
def trained(site, tmp_path_factory) -> Path:
    """The folder in which the recipe was trained."""
    room = tmp_path_factory.mktemp("trained")
    (room / "recipe.yaml").write_text(RECIPE)
    succeeds(python("-m", "hfmeta", "train", "recipe.yaml", path=site, cwd=room))
    return room


def test_the_installed_distribution_is_complete(site):
    assert (site / "hfmeta_heavyball.py").is_file()
    (info,) = site.glob("*.dist-info")
    assert "heavyball = hfmeta_heavyball:HeavyBallMaml" in (info / "entry_points.txt").read_text()


def test_it_is_found_by_name_with_its_package_and_version(site, tmp_path):
    code = "from hfmeta.algorithms import list_algorithms as l; print([(i.name, i.package, i.version) for i in l()])"
    found = succeeds(python("-c", code, path=site, cwd=tmp_path))
    assert "('heavyball', 'hfmeta-heavyball', '0.3.1')" in found
    assert "heavyball" not in succeeds(python("-c", code, path=None, cwd=tmp_path))


def test_the_command_line_lists_it(site, tmp_path):
    listed = succeeds(python("-m", "hfmeta", "list", path=site, cwd=tmp_path))
    (line,) = [line for line in listed.splitlines() if "heavyball" in line]
    assert "hfmeta-heavyball" in line
    assert "0.3.1" in line


def test_its_own_refusal_reaches_the_user(site, tmp_path):
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    run = python("-m", "hfmeta", "train", "recipe.yaml", "algorithm.momentum=1.5", path=site, cwd=tmp_path)
    assert run.returncode == 2
    assert "momentum must be at least 0 and below 1, not 1.5" in " ".join((run.stdout + run.stderr).split())
    assert not (tmp_path / "out").exists()


def test_the_checkpoint_names_the_package_and_holds_what_was_learned(trained):
    config = json.loads((trained / "out" / "hfmeta_config.json").read_text())
    assert "heavyball" in json.dumps(config)
    assert "hfmeta-heavyball" in json.dumps(config)
    with safe_open(trained / "out" / "hfmeta.safetensors", "pt") as file:
        learned = {name: file.get_tensor(name).item() for name in file.keys()}  # noqa: SIM118
    (momentum,) = [value for name, value in learned.items() if name.endswith("momentum")]
    assert 0 < abs(momentum - 0.25) < 0.1


def test_the_checkpoint_is_evaluated_and_the_result_repeats(site, trained):
    command = ["-m", "hfmeta", "evaluate", "out", "--episodes", "6", "--seed", "1", "--json"]
    for name in ("one.json", "two.json"):
        succeeds(python(*command, name, path=site, cwd=trained))
    one, two = (json.loads((trained / name).read_text()) for name in ("one.json", "two.json"))
    assert one["metrics"] == two["metrics"]
    assert one["metrics"]


def test_without_the_plugin_the_error_names_the_package(trained):
    run = python("-m", "hfmeta", "evaluate", "out", "--episodes", "2", path=None, cwd=trained)
    assert run.returncode == 2
    said = " ".join((run.stdout + run.stderr).split())
    assert "no algorithm named 'heavyball' is installed" in said
    assert "pip install hfmeta-heavyball" in said
    assert "Traceback" not in said


def test_it_passes_the_conformance_kit(site, tmp_path):
    code = (
        "from hfmeta.testing import check_algorithm; from hfmeta_heavyball import HeavyBallMaml; "
        "report = check_algorithm(HeavyBallMaml); assert not report.refused; print(report)"
    )
    said = succeeds(python("-c", code, path=site, cwd=tmp_path))
    assert "HeavyBallMaml: " in said
    assert "bert-lora: saved and loaded, it adapts the same" in said
