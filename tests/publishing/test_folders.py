"""Folders from anybody that lead elsewhere: links, paths, subfolders, names of files and of bases; and code beside the weights."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from hfmeta import MetaLearner
from hfmeta.publishing.contents import contents_of
from hfmeta.publishing.folders import check_folder, is_inside, local_folder
from publishing.strangers import edited, lora, opening, plain, refused
from saving import TEXT, same_adaptation


@plain
@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "hfmeta_config.json"])
@pytest.mark.parametrize("how", ["absolute", "relative"])
def test_links_out_of_a_folder_are_not_followed(folder, file, how, tmp_path):
    secret = tmp_path / "secret"
    shutil.move(folder / file, secret)
    (folder / file).symlink_to(secret if how == "absolute" else Path("..") / "secret")
    message = refused(opening(folder))
    assert f"{folder / file} is a link out of its folder" in message
    assert "not followed" in message
    assert "is a link out of its folder" in refused(lambda: contents_of(folder)), "nor pushed"


@lora
def test_a_link_to_another_folder_in_the_place_of_the_base(folder, published):
    shutil.rmtree(folder / "base_model")
    (folder / "base_model").symlink_to(published / "a base")
    assert "base_model is a link out of its folder" in refused(opening(folder))


@plain
def test_links_inside_a_folder_and_links_to_it_are_fine(folder, tmp_path):
    plain_files = MetaLearner.from_pretrained(folder)
    shutil.move(folder / "model.safetensors", folder / "weights")
    (folder / "model.safetensors").symlink_to("weights")
    (tmp_path / "link").symlink_to(folder)
    assert same_adaptation(MetaLearner.from_pretrained(tmp_path / "link"), plain_files, TEXT)


@plain
@pytest.mark.parametrize("name", ["../outside.safetensors", "/etc/passwd", "sub/part.safetensors"])
def test_an_index_that_names_files_elsewhere(folder, name, tmp_path):
    shutil.copy(folder / "model.safetensors", tmp_path / "outside.safetensors")
    weights = dict.fromkeys(load_file(folder / "model.safetensors"), name)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weights}))
    assert f"names the file {name!r}" in refused(opening(folder))


@plain
def test_a_tokenizer_that_names_a_file_elsewhere(folder):
    edited(folder / "tokenizer_config.json", vocab_file="/etc/passwd")
    assert "names the file '/etc/passwd' (vocab_file), which is outside of its folder" in refused(opening(folder))


@lora
@pytest.mark.parametrize("name", ["../a base", "./base", "~/base"])
def test_a_base_by_a_path_that_leads_out(folder, name):
    content = json.loads((folder / "hfmeta_config.json").read_text())
    edited(folder / "hfmeta_config.json", base={**content["base"], "name": name})
    assert f"says that its base model lies at {name!r}, a path outside of it" in refused(opening(folder))


@plain
@pytest.mark.parametrize("subfolder", ["..", "../x", "/etc", "a/../../b", "~", "C:\\x", "\\x"])
def test_a_subfolder_stays_inside(folder, subfolder):
    assert not is_inside(subfolder)
    assert "leaves the folder that it should be in" in refused(
        lambda: MetaLearner.from_pretrained(folder, subfolder=subfolder)
    )


def test_a_subfolder_is_opened_and_a_missing_one_is_told(published, tmp_path):
    shutil.copytree(published / "learned-rates", tmp_path / "all" / "deep" / "learner")
    learner = MetaLearner.from_pretrained(tmp_path / "all", subfolder="deep/learner")
    assert same_adaptation(learner, MetaLearner.from_pretrained(published / "learned-rates"), TEXT)
    assert "has no folder 'deep/other'" in refused(lambda: local_folder(str(tmp_path / "all"), subfolder="deep/other"))


def test_check_folder_passes_what_we_write(published):
    for name in ("learned-rates", "bert-lora", "served", "a base"):
        check_folder(published / name)


@plain
@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_beside_the_weights_is_not_imported(folder, file, tmp_path):
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    changes = {"auto_map": {name: "evil.Evil" for name in ("AutoConfig", "AutoModelForSequenceClassification")}}
    if file == "tokenizer_config.json":
        changes = {"auto_map": {"AutoTokenizer": ["evil.Evil", None]}, "tokenizer_class": "Evil"}
    else:
        changes |= {"model_type": "evil"}
    edited(folder / file, **changes)
    if file == "config.json":
        assert str(folder) in refused(opening(folder))
    else:  # transformers reads the tokenizer's data with a class of its own
        assert type(MetaLearner.from_pretrained(folder).processing_class).__module__.startswith("transformers.")
    assert not (tmp_path / "ran").exists()
    assert not [name for name in sys.modules if name.split(".")[-1] == "evil"]


@lora
@pytest.mark.parametrize(
    "change",
    [{"megatron_config": {"x": 1}, "megatron_core": "evil"}, {"tokenizer_kwargs": {"trust_remote_code": True}}],
)
def test_an_adapter_that_asks_peft_for_code(folder, change, tmp_path, monkeypatch):
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    edited(folder / "adapter_config.json", **change)
    assert f"sets {next(iter(change))}, which would make PEFT load code" in refused(opening(folder))
    assert not (tmp_path / "ran").exists()


@plain
@pytest.mark.parametrize("name", ["os.system", "hfmeta.algorithms.maml:Maml", "../maml", "evil"])
def test_an_algorithm_is_looked_up_and_never_imported_by_path(folder, name):
    content = json.loads((folder / "hfmeta_config.json").read_text())["algorithm"]
    edited(folder / "hfmeta_config.json", algorithm={**content, "name": name, "package": "os"})
    assert f"no algorithm named {name!r} is installed" in refused(opening(folder))


@lora
def test_a_base_with_an_adapter_of_its_own(folder):
    shutil.copy(folder / "adapter_config.json", folder / "base_model")
    assert "should hold a whole model and has an adapter_config.json" in refused(opening(folder))


@plain
def test_pickles_in_a_folder_are_left_alone(folder, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    for name in ("pytorch_model.bin", "training_args.bin", "optimizer.pt", "adapter_model.bin"):
        (folder / name).write_bytes(pickle.dumps(Evil()))
    MetaLearner.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    refused(opening(folder))
    assert not (tmp_path / "ran").exists()
    assert not {name for name in contents_of(folder).files if name.endswith((".bin", ".pt"))}
