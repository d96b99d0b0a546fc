"""Folders from anybody: nothing in them is run, nothing outside of them is read or written, and lies about sizes take no memory."""

from __future__ import annotations

import ast
import builtins
import importlib
import json
import os
import pickle
import shutil
import struct
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import hfmeta
from hfmeta import Maml, MetaLearner
from hfmeta.adapters.bank import AdapterBank, BankError
from hfmeta.inner.errors import HfmetaError
from hfmeta.publishing.contents import contents_of
from hfmeta.publishing.folders import check_folder, is_inside, local_folder
from learner.served import answers, questions, rows_of_user, served_learner
from saving import TEXT, make_learner, same_adaptation
from tiny import tiny_bert, with_lora

PACKAGE = Path(hfmeta.__file__).parent
LOADERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "runpy"}


# ---- the source --------------------------------------------------------------------------------------------------------


def calls(tree):
    """Every call of a file as dotted text, with the call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_the_source_has_no_pickle_no_torch_load_and_trusts_no_code():
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else [str(node.module)]
                assert not LOADERS & {name.split(".")[0] for name in names}, f"{path}:{node.lineno}"
        for name, call in calls(tree):
            where = f"{path}:{call.lineno}: {name}"
            assert name not in ("torch.load", "torch.save", "exec", "eval", "__import__", "compile", "np.fromfile"), (
                where
            )
            if name.endswith("import_module"):  # the lazy names of the package itself
                assert path == PACKAGE / "__init__.py", where
            for word in call.keywords:
                on = isinstance(word.value, ast.Constant) and word.value.value is True
                assert not (word.arg in ("trust_remote_code", "allow_pickle") and on), where
                assert not (word.arg == "weights_only" and not on), where


# ---- while loading -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Folders of every kind that is published: name -> folder; `served` is the learner of the private adapters."""
    root = tmp_path_factory.mktemp("published")
    for name in ("learned-rates", "bert-lora"):
        make_learner(name).save_pretrained(root / name)
    learner = served_learner("seq2spg")
    with learner.serve(root / "bank") as serving:
        serving.add("anna", rows_of_user("seq2spg", "anna"))
        serving.export(root / "collection")
    learner.save_pretrained(root / "served")
    base = tiny_bert()
    base.save_pretrained(root / "a base")
    return root


@pytest.fixture
def folder(published, tmp_path, request):
    """A copy of a published folder, to be damaged."""
    return Path(shutil.copytree(published / request.param, tmp_path / "folder"))


plain = pytest.mark.parametrize("folder", ["learned-rates"], indirect=True)
lora = pytest.mark.parametrize("folder", ["bert-lora"], indirect=True)


def test_loading_calls_no_pickle_no_torch_load_and_imports_nothing_of_a_folder(published, monkeypatch):
    seen: list[tuple[str, str]] = []

    def watch(place, name):
        original = getattr(place, name)

        def watched(*args, **kwargs):
            caller = sys._getframe(1).f_code.co_filename
            seen.append((f"{getattr(place, '__name__', place)}.{name}", caller))
            return original(*args, **kwargs)

        monkeypatch.setattr(place, name, watched)

    for name in ("load", "loads", "Unpickler"):
        watch(pickle, name)
    watch(torch, "load")
    watch(importlib, "import_module")
    watch(builtins, "exec")
    before, path = set(sys.modules), list(sys.path)
    for name in ("learned-rates", "bert-lora", "served"):
        MetaLearner.from_pretrained(published / name)
    served = MetaLearner.from_pretrained(published / "served")
    served.open_private(published / "collection", subfolder="adapters/anna")
    with AdapterBank.open(published / "bank") as bank:
        bank.get("anna")
    assert not [what for what, _ in seen if what.startswith(("pickle", "torch"))], seen
    assert not [where for _, where in seen if Path(where).is_relative_to(PACKAGE)], seen
    assert sys.path == path
    for name in set(sys.modules) - before:
        origin = getattr(sys.modules[name], "__file__", None)
        assert origin is None or not Path(origin).is_relative_to(published), name


# ---- folders that lead elsewhere ---------------------------------------------------------------------------------------


def refused(act) -> str:
    """The one paragraph with which an act is refused."""
    with pytest.raises(HfmetaError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def opening(folder):
    return lambda: MetaLearner.from_pretrained(folder)


def edited(path: Path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


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
    shutil.move(folder / "model.safetensors", folder / "weights")
    (folder / "model.safetensors").symlink_to("weights")
    (tmp_path / "link").symlink_to(folder)
    MetaLearner.from_pretrained(tmp_path / "link")


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


# ---- code that a folder asks for ---------------------------------------------------------------------------------------


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


# ---- lies about sizes --------------------------------------------------------------------------------------------------


def header(**tensors) -> bytes:
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text


def tensor(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


LIES = {
    "a header longer than the file": struct.pack("<Q", 1 << 62) + b"{}",
    "a header of 90 MB that is not there": struct.pack("<Q", 90_000_000) + b"{}",
    "more data than there is": header(x=tensor([1 << 40], 0, 1 << 42)) + bytes(64),
    "a shape that is not the data": header(x=tensor([1 << 30, 1 << 30], 0, 64)) + bytes(64),
    "an overflow": header(x=tensor([1 << 62, 8], 0, 0)),
    "a negative place": header(x=tensor([16], -64, 0)) + bytes(64),
    "tensors over each other": header(x=tensor([16], 0, 64), y=tensor([16], 32, 96)) + bytes(96),
    "data behind the tensors": header(x=tensor([1], 0, 4)) + bytes(64),
    "nonsense": b"PK\x03\x04 not at all",
    "nothing": b"",
}


@pytest.mark.parametrize("file", ["model.safetensors", "hfmeta.safetensors"])
@pytest.mark.parametrize("lie", LIES)
@plain
def test_a_header_that_lies_is_refused_by_its_header(folder, lie, file):
    (folder / file).write_bytes(LIES[lie])
    message = refused(opening(folder))
    assert f"{folder / file} cannot be read, since it is damaged, cut short, or not what its header says" in message


@pytest.mark.parametrize(
    "change", [{"vocab_size": 10**10}, {"hidden_size": 2**20}, {"num_labels": 10**11}, {"num_hidden_layers": 10**8}]
)
@plain
def test_a_config_that_asks_for_what_is_not_stored(folder, change):
    edited(folder / "config.json", **change)
    message = refused(opening(folder))
    assert "and its weights" in message
    assert "Save or download it again" in message


@lora
@pytest.mark.parametrize("change", [{"r": 10**10}, {"rank_pattern": {"query": 10**10}}])
def test_an_adapter_that_asks_for_what_is_not_stored(folder, change):
    edited(folder / "adapter_config.json", **change)
    assert f"says {next(iter(change))}=10,000,000,000, and no tensor" in refused(opening(folder))


def test_a_private_network_that_asks_for_what_is_not_stored(published, tmp_path):
    folder = Path(shutil.copytree(published / "collection" / "adapters" / "anna", tmp_path / "anna"))
    edited(folder / "adapter_config.json", hidden_sizes=[10**10, 8])
    learner = MetaLearner.from_pretrained(published / "served")
    assert "says hidden_sizes=10,000,000,000, and no tensor" in refused(lambda: learner.open_private(folder))


def test_a_bank_that_claims_other_sizes(published, tmp_path):
    folder = Path(shutil.copytree(published / "bank", tmp_path / "bank"))
    edited(folder / "adapters.json", tensors={"w": [1 << 40, 1 << 20]})
    with pytest.raises(BankError, match="damaged"):
        AdapterBank.open(folder)


# ---- other versions, other bases ---------------------------------------------------------------------------------------


def test_a_base_that_was_swapped_is_told(tmp_path):
    from transformers import AutoModelForSequenceClassification

    tiny_bert().save_pretrained(tmp_path / "base")
    base = AutoModelForSequenceClassification.from_pretrained(tmp_path / "base")
    MetaLearner(with_lora(base), Maml(inner_lr=0.1)).save_pretrained(tmp_path / "learner")
    MetaLearner.from_pretrained(tmp_path / "learner")
    tiny_bert(seed=1).save_pretrained(tmp_path / "base")
    assert "is not the one that the learner in" in refused(opening(tmp_path / "learner"))
    message = refused(lambda: contents_of(tmp_path / "learner"))
    assert f"the folder {tmp_path / 'base'}, which nobody else has" in message


@plain
def test_weights_of_another_learner_in_a_folder_are_told(folder):
    stored = load_file(folder / "model.safetensors")
    stored["classifier.bias"] += 1
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    message = refused(opening(folder))
    assert "is damaged or was changed: model.safetensors has another checksum" in message


def test_private_adapters_of_another_learner_a_newer_format_or_damaged(published, tmp_path):
    folder = Path(shutil.copytree(published / "collection" / "adapters" / "anna", tmp_path / "anna"))
    learner = MetaLearner.from_pretrained(published / "served")
    rows = questions("seq2spg")
    opened = learner.open_private(folder)
    assert not torch.equal(answers(opened, rows), answers(learner.model, rows))
    with torch.no_grad():
        learner.model.lm_head.bias += 1
    assert "belongs to the learner 'cmaml on hfmeta-seq2spg' at revision" in refused(
        lambda: learner.open_private(folder)
    )
    learner = MetaLearner.from_pretrained(published / "served")
    about = (folder / "hfmeta_adapter.json").read_text()
    edited(folder / "hfmeta_adapter.json", format=2)
    assert "written in format 2 by a newer hfmeta" in refused(lambda: learner.open_private(folder))
    for text in ("{", "[]", '{"format": 1}', '{"format": 1, "learner": 3, "files": {}}'):
        (folder / "hfmeta_adapter.json").write_text(text)
        assert "hfmeta_adapter.json is damaged" in refused(lambda: learner.open_private(folder))
    (folder / "hfmeta_adapter.json").write_text(about)
    weights = bytearray((folder / "adapter_model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "adapter_model.safetensors").write_bytes(weights)
    assert "has another checksum" in refused(lambda: learner.open_private(folder))
    assert "is no private adapter" in refused(lambda: learner.open_private(published / "collection"))


def test_check_folder_passes_what_we_write(published):
    for name in ("learned-rates", "bert-lora", "served", "a base"):
        check_folder(published / name)


def test_private_adapters_name_no_folder_as_their_base(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "mine").mkdir(parents=True)
    learner = served_learner("gpt2-lora")
    for name in ("models/mine", str(tmp_path / "models" / "mine")):
        learner.info["model"] = {"name": name}
        learner.model.peft_config["default"].base_model_name_or_path = name
        folder = learner.save_private(learner.adapt(rows_of_user("gpt2-lora", "anna")), tmp_path / "anna")
        assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] is None, name
        assert json.loads((folder / "hfmeta_adapter.json").read_text())["base"]["name"] is None, name
    learner.info["model"] = {"name": "some/base"}
    folder = learner.save_private(learner.adapt(rows_of_user("gpt2-lora", "anna")), tmp_path / "anna")
    assert json.loads((folder / "hfmeta_adapter.json").read_text())["base"]["name"] == "some/base"
