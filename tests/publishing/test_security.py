"""Nothing that is loaded is a pickle or runs code; other bases, other learners and newer formats are told."""

from __future__ import annotations

import ast
import builtins
import importlib
import json
import pickle
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

import hfmeta
from hfmeta import Maml, MetaLearner
from hfmeta.adapters.bank import AdapterBank
from hfmeta.publishing.contents import contents_of
from learner.served import answers, questions, rows_of_user, served_learner
from publishing.strangers import edited, opening, plain, refused
from tiny import tiny_bert, with_lora

PACKAGE = Path(hfmeta.__file__).parent
LOADERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "runpy"}


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
