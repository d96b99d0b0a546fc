"""What is written opens with stock transformers and PEFT, in a process that cannot import hfmeta, with equal answers."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from hfmeta import MetaLearner
from saving import LEARNERS, answers, make_learner, support_of

PLAIN = ["bert", "gpt2", "t5"]
ADAPTERS = ["bert-lora", "gpt2-lora", "t5-lora", "vit-lora"]
SCRIPT = """
import sys
sys.modules["hfmeta"] = None
from pathlib import Path
import torch, transformers
from peft import PeftModel
from safetensors.torch import load_file, save_file
root = Path(sys.argv[1])
auto = {"bert": "SequenceClassification", "vit": "ImageClassification", "gpt2": "CausalLM", "t5": "Seq2SeqLM"}
found = {}
for folder in sorted(root.glob("*/*")):
    name, kind = folder.parent.name, folder.name
    if kind not in ("learner", "adapted"):
        continue
    cls = getattr(transformers, "AutoModelFor" + auto[name.split("-")[0]])
    if "-" in name:
        base = cls.from_pretrained(root / name / "learner" / "base_model")
        model = PeftModel.from_pretrained(base, folder)
    else:
        model, info = cls.from_pretrained(folder, output_loading_info=True)
        assert not any(info.values()), (folder, info)
    if name != "vit-lora":
        text = transformers.AutoTokenizer.from_pretrained(folder)("the card is lost", return_tensors="pt")
        assert text["input_ids"].shape[1] == 6
    with torch.no_grad():
        found[f"{name}/{kind}"] = model.eval()(**load_file(root / name / "rows.safetensors")).logits.contiguous()
save_file(found, root / "found.safetensors")
try:
    import hfmeta
except ImportError:
    sys.exit(0)
sys.exit("hfmeta could be imported")
"""


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Answers of each model here, and of its files in the other process: name -> [rows, ...]."""
    root, expected = tmp_path_factory.mktemp("stock"), {}
    for name in PLAIN + ADAPTERS:
        learner, rows = make_learner(name), support_of(LEARNERS[name][0])
        adapted = learner.adapt(rows)
        learner.save_pretrained(root / name / "learner")
        learner.save_adapted(adapted, root / name / "adapted")
        save_file({key: value.contiguous() for key, value in rows.items()}, root / name / "rows.safetensors")
        expected[f"{name}/learner"], expected[f"{name}/adapted"] = answers(learner.model, rows), answers(adapted, rows)
    done = subprocess.run([sys.executable, "-I", "-c", SCRIPT, str(root)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return expected, load_file(root / "found.safetensors"), root


@pytest.mark.parametrize("name", PLAIN + ADAPTERS)
def test_learner_and_adapted_model_open_without_hfmeta(opened, name):
    expected, found, _ = opened
    for kind in ("learner", "adapted"):
        assert torch.equal(found[f"{name}/{kind}"], expected[f"{name}/{kind}"]), kind
    assert not torch.equal(expected[f"{name}/learner"], expected[f"{name}/adapted"])


@pytest.mark.parametrize("name", PLAIN + ADAPTERS)
def test_an_adapted_folder_holds_nothing_of_ours(opened, name):
    files = {path.name for path in (opened[2] / name / "adapted").iterdir()}
    assert not {file for file in files if file.startswith("hfmeta")}
    assert {file.rsplit(".")[-1] for file in files} <= {"safetensors", "json", "md"}


def test_an_adapted_model_that_is_no_learner_is_said_to_be_none(opened):
    with pytest.raises(ValueError, match="not a saved learner"):
        MetaLearner.from_pretrained(opened[2] / "bert" / "adapted")
