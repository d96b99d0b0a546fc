"""What was saved is opened again and compared while the learner is still in memory."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from hfmeta.inner.errors import HfmetaError
from hfmeta.publishing import check_saved, checkpoint
from invariants.runs import trainer
from saving import TEXT, make_learner
from tiny import random_batch


@pytest.fixture(autouse=True)
def _sums_pass(monkeypatch):
    """Damage that checksums do not see: what the writer itself got wrong."""
    monkeypatch.setattr(checkpoint, "first_difference", lambda folder, recorded: None)


@pytest.mark.parametrize("name", ["bert", "bert-lora", "learned-rates"])
def test_a_learner_that_came_back_the_same_is_passed(name, tmp_path):
    learner = make_learner(name)
    learner.save_pretrained(tmp_path)
    check_saved(learner, tmp_path, random_batch(TEXT, T=1))


def test_a_tensor_that_came_back_otherwise_is_told(tmp_path):
    learner = make_learner("bert")
    learner.save_pretrained(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    stored["classifier.bias"][0] += 1
    save_file(stored, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        HfmetaError, match="does not hold the learner that was saved there: model.classifier.bias came back"
    ):
        check_saved(learner, tmp_path)


def test_an_adaptation_that_came_back_otherwise_is_told(tmp_path, monkeypatch):
    learner = make_learner("bert")
    learner.save_pretrained(tmp_path)
    path = tmp_path / "hfmeta_config.json"
    path.write_text(path.read_text().replace('"inner_lr": 0.1', '"inner_lr": 0.3'))
    check_saved(learner, tmp_path)
    with pytest.raises(HfmetaError, match=r"adapts otherwise than the one that was saved there: losses \["):
        check_saved(learner, tmp_path, random_batch(TEXT, T=1))


def test_no_room_for_two_is_a_warning(tmp_path, monkeypatch, caplog):
    learner = make_learner("bert")
    learner.save_pretrained(tmp_path)

    def full(*_, **__):
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(type(learner), "from_pretrained", full)
    check_saved(learner, tmp_path)
    assert "was not compared with the learner in memory" in caplog.text


def test_the_trainer_compares_at_the_end_and_not_at_checkpoints(tmp_path, monkeypatch):
    import hfmeta.publishing.verifying as verifying

    seen = []
    monkeypatch.setattr(verifying, "check_saved", lambda learner, folder, episode: seen.append((folder.name, episode)))
    run = trainer(tmp_path / "run", max_steps=2, save_steps=1)
    run.train()
    assert not seen
    run.save_model()
    assert [name for name, _ in seen] == ["run"]
    assert {"support", "query"} <= seen[0][1].keys()
