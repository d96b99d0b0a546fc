"""Damaged, foreign and newer learner folders: each is one clear error that names the file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from hfmeta import MetaLearner
from publishing.strangers import refused_at
from saving import make_learner
from tiny import tiny_bert


def edited(folder, file="hfmeta_config.json", **changes):
    """Change keys of a JSON file; a value of None removes the key."""
    content = json.loads((folder / file).read_text()) | changes
    (folder / file).write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Folders of a plain learner with learned rates and of a LoRA learner, to be copied and damaged."""
    root = tmp_path_factory.mktemp("saved")
    for name in ("rates-per-step", "bert-lora"):
        make_learner(name).save_pretrained(root / name)
    return root


@pytest.fixture
def plain(saved, tmp_path):
    return Path(shutil.copytree(saved / "rates-per-step", tmp_path / "plain"))


@pytest.fixture
def lora(saved, tmp_path):
    return Path(shutil.copytree(saved / "bert-lora", tmp_path / "lora"))


def _damage(path, how):
    if how == "absent":
        path.unlink()
    else:
        path.write_bytes(b"{nonsense" if how == "damaged" else path.read_bytes()[: path.stat().st_size // 2])


def test_an_algorithm_that_is_not_installed_names_its_package(plain):
    options = json.loads((plain / "hfmeta_config.json").read_text())["algorithm"]["options"]
    edited(plain, algorithm={"name": "fancy", "package": "hfmeta-fancy", "version": "1", "options": options})
    message = refused_at(plain)
    assert "'fancy' is installed" in message
    assert "pip install hfmeta-fancy" in message


def test_a_newer_format_asks_for_an_upgrade(plain):
    edited(plain, format=2)
    assert "format 2 by a newer hfmeta; this version reads up to 1. Upgrade" in refused_at(plain)


def test_an_unknown_option_warns_and_loads(plain, caplog):
    algorithm = json.loads((plain / "hfmeta_config.json").read_text())["algorithm"]
    algorithm["options"]["spice"] = 7
    edited(plain, algorithm=algorithm)
    learner = MetaLearner.from_pretrained(plain)
    assert "unknown options of maml are ignored: spice" in caplog.text
    assert not hasattr(learner.algorithm, "spice")


def test_a_bad_option_is_the_algorithms_error(plain):
    algorithm = json.loads((plain / "hfmeta_config.json").read_text())["algorithm"]
    algorithm["options"]["order"] = 3
    edited(plain, algorithm=algorithm)
    assert "order must be one of 1, 2, not 3" in refused_at(plain)


@pytest.mark.parametrize("text", ["{", "", "[1, 2]", '"x"', '{"format": 1}'])
def test_a_damaged_hfmeta_config(plain, text):
    (plain / "hfmeta_config.json").write_text(text)
    assert "damaged" in refused_at(plain)


@pytest.mark.parametrize(
    "change", [{"format": "1"}, {"algorithm": "maml"}, {"algorithm": {"name": "maml"}}, {"base": 3}]
)
def test_a_hfmeta_config_with_values_of_the_wrong_kind(plain, change):
    edited(plain, **change)
    assert f"no usable {next(iter(change))}: it is damaged" in refused_at(plain)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json", "hfmeta.safetensors"])
@pytest.mark.parametrize("how", ["damaged", "cut", "absent"])
def test_damaged_files_of_a_plain_learner(plain, file, how):
    if how == "absent" and file == "tokenizer.json":
        pytest.skip("a tokenizer may be made of other files")
    _damage(plain / file, how)
    assert str(plain) in refused_at(plain)


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "base_model/model.safetensors", "adapter_config.json"])
@pytest.mark.parametrize("how", ["damaged", "cut"])
def test_damaged_files_of_an_adapter(lora, file, how):
    _damage(lora / file, how)
    assert str(lora) in refused_at(lora)


def test_an_absent_adapter(lora):
    (lora / "adapter_model.safetensors").unlink()
    assert "the adapter in" in refused_at(lora)


@pytest.mark.parametrize(
    ("folder", "file", "words"),
    [
        ("plain", "model.safetensors", "are not those of its config.json"),
        ("plain", "hfmeta.safetensors", "does not fit this learner"),
        ("lora", "adapter_model.safetensors", "does not fit adapter_config.json"),
        ("lora", "base_model/model.safetensors", "are not those of its config.json"),
    ],
)
@pytest.mark.parametrize("how", ["missing", "unexpected"])
def test_missing_and_extra_tensors(folder, file, words, how, request):
    folder = request.getfixturevalue(folder)
    tensors = load_file(folder / file)
    if how == "missing":
        name = sorted(tensors)[-1]
        del tensors[name]
    else:
        name = "zz.strange"
        tensors[name] = torch.zeros(1)
    save_file(tensors, folder / file, metadata={"format": "pt"})
    message = refused_at(folder)
    assert words in message
    assert how in message
    assert name in message


def test_tensors_of_another_shape(plain):
    tensors = load_file(plain / "hfmeta.safetensors")
    name = next(iter(tensors))
    tensors[name] = torch.zeros(7, 7)
    save_file(tensors, plain / "hfmeta.safetensors")
    assert f"of another shape ['{name}']" in refused_at(plain)


def test_pickled_weights_are_not_read(plain):
    (plain / "model.safetensors").unlink()
    torch.save(tiny_bert().state_dict(), plain / "pytorch_model.bin")
    assert "cannot be opened" in refused_at(plain)
