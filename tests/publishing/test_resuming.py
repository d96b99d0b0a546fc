"""Damaged and half-written checkpoints of a run: recognised, named, passed over; the run goes on from the one before, bit for bit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from hfmeta import MetaLearner
from hfmeta.inner.errors import HfmetaError
from hfmeta.publishing import resuming
from hfmeta.publishing.contents import contents_of
from hfmeta.publishing.resuming import last_good_checkpoint, seal, whole_checkpoint
from invariants.runs import tensors, trainer


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of six steps with checkpoints 2, 4 and 6, and what it learned."""
    folder = tmp_path_factory.mktemp("run")
    run = trainer(folder)
    run.train()
    return folder, tensors(run)


@pytest.fixture
def output(finished, tmp_path):
    return Path(shutil.copytree(finished[0], tmp_path / "run"))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "cut short": (lambda last: cut(last / "optimizer.pt"), r"optimizer.pt has \d+,?\d* bytes instead of"),
    "another bit": (lambda last: flip(last / "model.safetensors"), "model.safetensors has another checksum"),
    "a file gone": (lambda last: (last / "scheduler.pt").unlink(), "scheduler.pt is missing"),
    "never finished": (
        lambda last: (last / "checksums.json").unlink(),
        "not written to its end, or by an hfmeta older than these lists: it has no checksums.json",
    ),
    "half a list": (lambda last: cut(last / "checksums.json"), "checksums.json is damaged"),
    "another list": (lambda last: (last / "checksums.json").write_text("[]"), "its list of checksums is damaged"),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(output, how, caplog):
    damage, words = DAMAGE[how]
    damage(output / "checkpoint-6")
    assert last_good_checkpoint(output) == output / "checkpoint-4"
    assert len(caplog.messages) == 1
    assert "checkpoint-6 is left out: " in caplog.text
    assert "Going on from checkpoint-4." in caplog.text
    with pytest.raises(HfmetaError, match=f"checkpoint-6 cannot be gone on from: .*{words}"):
        whole_checkpoint(str(output / "checkpoint-6"), output)


def test_the_run_goes_on_from_the_one_before_to_the_same_bits(finished, output):
    cut(output / "checkpoint-6" / "optimizer.pt")
    flip(output / "checkpoint-4" / "trainer_state.json")
    again = trainer(output)
    again.train(resume_from_checkpoint=True)
    found = tensors(again)
    assert all(torch.equal(found[name], value) for name, value in finished[1].items())
    assert last_good_checkpoint(output) == output / "checkpoint-6", "the damaged ones were written again"
    assert resuming.damage(output / "checkpoint-4") is None
    flip(output / "checkpoint-2" / "rng_state.pth")
    with pytest.raises(HfmetaError, match="cannot be gone on from"):
        trainer(output).train(resume_from_checkpoint=str(output / "checkpoint-2"))


def test_resume_files_are_read_with_weights_only(output, monkeypatch):
    how, load = [], torch.load
    monkeypatch.setattr(
        torch, "load", lambda *args, **kwargs: (how.append(kwargs.get("weights_only")), load(*args, **kwargs))[1]
    )
    trainer(output).train(resume_from_checkpoint=str(output / "checkpoint-4"))
    assert how
    assert set(how) == {True}


def test_no_checkpoint_and_none_that_is_whole(output, tmp_path):
    assert last_good_checkpoint(tmp_path / "nowhere") is None
    assert whole_checkpoint(None, output) is None
    with pytest.raises(HfmetaError, match="has no checkpoint to go on from"):
        whole_checkpoint(True, tmp_path / "nowhere")
    for path in output.glob("checkpoint-*"):
        (path / "checksums.json").unlink()
    with pytest.raises(HfmetaError, match=r"no checkpoint in .* is whole \(checkpoint-6: .*checkpoint-2.*Delete them"):
        last_good_checkpoint(output)


def test_a_run_that_has_not_ended_says_where_its_learner_is(output):
    (output / "hfmeta_config.json").unlink(missing_ok=True)
    for act in (MetaLearner.from_pretrained, contents_of):
        with pytest.raises(HfmetaError) as caught:
            act(output)
        assert str(caught.value).endswith(f"Its run has not ended; the last checkpoint is {output / 'checkpoint-6'}.")
    assert contents_of(output / "checkpoint-6").kind == "learner"
    assert MetaLearner.from_pretrained(output / "checkpoint-6").task_type


def test_a_checkpoint_of_before_there_were_lists_can_be_given_one(output):
    for path in output.glob("checkpoint-*"):
        (path / "checksums.json").unlink()
    last = output / "checkpoint-6"
    with pytest.raises(
        HfmetaError, match="if you know that it is whole, make its list: hfmeta.publishing.seal"
    ) as caught:
        last_good_checkpoint(output)
    assert f"seal({str(last)!r})" in str(caught.value)
    with pytest.raises(HfmetaError, match=r"older than these lists.*hfmeta\.publishing\.seal"):
        whole_checkpoint(str(last), output)
    seal(str(last))
    assert last_good_checkpoint(output) == last
    flip(last / "optimizer.pt")
    with pytest.raises(HfmetaError) as caught:
        whole_checkpoint(str(last), output)
    assert "seal(" not in str(caught.value), "damage is not to be sealed"


def test_older_checkpoints_go_only_when_the_new_one_counts(tmp_path, monkeypatch):
    run = trainer(tmp_path, save_total_limit=1)

    def killed(checkpoint: Path) -> None:
        if checkpoint.name == "checkpoint-6":
            raise KeyboardInterrupt
        seal(checkpoint)

    monkeypatch.setattr(resuming, "seal", killed)
    with pytest.raises(KeyboardInterrupt):
        run.train()
    assert {path.name for path in tmp_path.glob("checkpoint-*")} == {"checkpoint-4", "checkpoint-6"}
    assert last_good_checkpoint(tmp_path) == tmp_path / "checkpoint-4"
    assert run.args.save_total_limit == 1
    monkeypatch.undo()
    trainer(tmp_path, save_total_limit=1).train(resume_from_checkpoint=True)
    assert {path.name for path in tmp_path.glob("checkpoint-*")} == {"checkpoint-6"}
    assert last_good_checkpoint(tmp_path) == tmp_path / "checkpoint-6"


def test_a_list_that_leads_out_of_the_checkpoint_is_damage(output):
    path = output / "checkpoint-6" / "checksums.json"
    content = json.loads(path.read_text())
    content["files"]["../../secret"] = {"size": 1, "sha256": ""}
    path.write_text(json.dumps(content))
    assert "outside of it" in str(resuming.damage(output / "checkpoint-6"))
