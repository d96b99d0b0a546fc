"""Upload and download through huggingface_hub's real client, against a hub on this machine (tests/hub/server.py)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hub.server import OWNER, Hub

TESTS = Path(__file__).resolve().parents[1]
START = f"""
import sys
sys.path.insert(0, {str(TESTS)!r})
import warnings
import torch
from pathlib import Path
from saving import *
work = Path(sys.argv[1])
"""
PUSH_LEARNERS = """
from huggingface_hub import ModelCard
for name in ("bert", "bert-lora"):
    learner = make_learner(name)
    commit = learner.push_to_hub(f"tester/{name}")
    assert commit.oid, commit
    again = MetaLearner.from_pretrained(f"tester/{name}")
    assert same_adaptation(learner, again, TEXT), name
    card = ModelCard.load(f"tester/{name}")
    card.validate()
    assert card.data.library_name == "hfmeta", card.data
learner.push_to_hub("bert-lora")  # again, and without an owner
try:
    MetaLearner.from_pretrained("tester/absent")
except ValueError as error:
    assert "'tester/absent' is neither a folder nor a repository that can be reached" in str(error), error
else:
    sys.exit("a repository that does not exist was opened")
"""
PUSH_FOLDER = """
from hfmeta.publishing import push_folder
folder = work / "out"
make_learner("bert").save_pretrained(folder)
make_learner("bert").save_pretrained(folder / "checkpoint-3")
for name in ("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "notes.pkl",
             "checkpoint-3/optimizer.pt", "checkpoint-3/training_args.bin", "checkpoint-3/trainer_state.json",
             "masks.safetensors"):
    (folder / name).write_bytes(b"not for others")
push_folder(folder, "tester/folder", message="second")
"""
PUSH_TRAINER = """
from hfmeta import MamlTrainer, MetaConfig
rows = [{name: {key: value[0] for key, value in random_batch(TEXT, T=1, seed=seed)[name].items()}
         for name in ("support", "query")} | {"task": seed} for seed in range(4)]
config = MetaConfig(output_dir=str(work / "run"), max_steps=4, per_device_train_batch_size=2, save_steps=2, report_to="none",
                    push_to_hub=True, hub_model_id="tester/run", use_cpu=True, disable_tqdm=True)
trainer = MamlTrainer(tiny_bert(), config, train_dataset=rows, processing_class=tiny_tokenizer())
trainer.train()
trainer.push_to_hub("the end")
assert same_adaptation(trainer.learner, MetaLearner.from_pretrained("tester/run"), TEXT)
"""


@pytest.fixture
def hub():
    with Hub() as server:
        yield server


def run(script, hub, work):
    """Run a script in a process whose hub is ours."""
    settings = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    settings |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(work / "home"), "HF_TOKEN": "hf_test", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", START + script, str(work)], env=settings, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def publishable(files):
    """Whether only safetensors, JSON, text and the card are there, and nothing of a run."""
    fine = {"safetensors", "json", "md", "txt", "gitattributes"}
    run_files = {name for name in files if "checkpoint-" in name or "trainer_state" in name}
    return not run_files and {name.rsplit(".")[-1] for name in files} <= fine


def test_a_pushed_learner_comes_back(hub, tmp_path):
    run(PUSH_LEARNERS, hub, tmp_path)
    assert set(hub.repos) == {f"{OWNER}/bert", f"{OWNER}/bert-lora"}
    assert all(publishable(files) for files in hub.repos.values())
    assert "base_model/model.safetensors" in hub.repos[f"{OWNER}/bert-lora"]
    assert hub.messages == ["Upload a learner of hfmeta"] * 3
    assert len(hub.cards) == 5  # the client has every uploaded card checked itself, and we check two


def test_resume_files_never_travel(hub, tmp_path):
    run(PUSH_FOLDER, hub, tmp_path)
    files = hub.repos[f"{OWNER}/folder"]
    assert publishable(files)
    assert {"hfmeta_config.json", "hfmeta.safetensors", "model.safetensors", "config.json", "README.md"} <= set(files)
    assert hub.messages == ["second"]


def test_the_trainer_pushes_the_learner_alone(hub, tmp_path):
    run(PUSH_TRAINER, hub, tmp_path)
    assert publishable(hub.repos[f"{OWNER}/run"])
    assert "Training in progress, step 2" in hub.messages
    assert hub.messages[-1] == "the end"
