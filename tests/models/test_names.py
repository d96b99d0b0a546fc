"""Checks of hfmeta/models/names.py."""

from __future__ import annotations

import json
import sys

import pytest

from hfmeta.inner.errors import HfmetaError
from hfmeta.models.names import nearest, package_folder, resolve_name


@pytest.fixture
def make_package(tmp_path, monkeypatch):
    """A function that makes an importable package whose code must not run, with the given config files."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name: str, configs: dict[str, dict]):
        root = tmp_path / name
        root.mkdir()
        (root / "__init__.py").write_text("raise RuntimeError('imported')")
        for folder, content in configs.items():
            (root / folder).mkdir(parents=True, exist_ok=True)
            (root / folder / "config.json").write_text(json.dumps(content))
        return root

    return make


def test_the_model_folder_of_a_package_is_found_and_nothing_imported(make_package):
    root = make_package(
        "made_up_encoder", {"model": {"model_type": "bert"}, "model/1_Pooling": {"pooling_mode": "mean"}}
    )
    assert package_folder("made_up_encoder") == root / "model"
    assert resolve_name("package:made_up_encoder") == str(root / "model")
    assert "made_up_encoder" not in sys.modules


@pytest.mark.parametrize(
    ("configs", "message"),
    [
        ({}, "package:made_up_models holds no config.json of a model"),
        ({"a": {"pooling_mode": "mean"}}, "package:made_up_models holds no config.json of a model"),
        (
            {"a": {"model_type": "bert"}, "b": {"model_type": "t5"}},
            r"package:made_up_models holds several model folders \(.*a, .*b\): give the path of one",
        ),
    ],
)
def test_no_model_folder_or_several_are_refused(make_package, configs, message):
    make_package("made_up_models", configs)
    with pytest.raises(HfmetaError, match=message):
        package_folder("made_up_models")


def test_an_unreadable_config_is_no_model(make_package):
    root = make_package("made_up_broken", {"model": {}})
    (root / "model" / "config.json").write_text("{not json")
    with pytest.raises(HfmetaError, match="holds no config.json of a model"):
        package_folder("made_up_broken")


def test_packages_that_are_not_installed_are_refused_with_the_nearest_name():
    with pytest.raises(HfmetaError, match=r"no such package is installed \(did you mean transformers\?\). Install the"):
        package_folder("transfomers")
    with pytest.raises(HfmetaError, match=r"package:safe-tensors is not the name of a Python package \(did you mean"):
        package_folder("safe-tensors")
    with pytest.raises(HfmetaError, match="package:a.b is not the name of a Python package"):
        package_folder("a.b")


def test_folders_and_hub_ids(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert resolve_name(str(tmp_path)) == str(tmp_path)
    assert resolve_name("someone/some-model") == "someone/some-model"
    (tmp_path / "empty").mkdir()
    with pytest.raises(HfmetaError, match="holds no model: there is no config.json in it"):
        resolve_name(str(tmp_path / "empty"))
    with pytest.raises(HfmetaError, match="the model folder .*nowhere does not exist"):
        resolve_name(str(tmp_path / "nowhere"))


def test_nearest():
    assert nearest("relo", ["relu", "gelu"]) == " (did you mean relu?)"
    assert nearest("zzz", ["relu", "gelu"]) == ""
