"""Serving: users in a bank, one in the live model, many in one batch, and their adapters as PEFT folders; all the same function."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from hfmeta import Maml, MetaLearner
from hfmeta.adapters.bank import BankError
from hfmeta.inner.errors import HfmetaError
from hfmeta.testing.promises import fingerprint
from learner.served import KINDS, USERS, answers, base_of, questions, rows_of_user, served_learner
from tiny import tiny_bert, tiny_gpt2, tiny_lstm, tiny_mlp, with_lora


@pytest.fixture(scope="module", params=KINDS)
def users(request, tmp_path_factory):
    """Each kind of learner with its users in a bank, and their adapted models."""
    learner = served_learner(request.param)
    adapted = {user: learner.adapt(rows_of_user(request.param, user)) for user in USERS}
    before = fingerprint(learner)
    with learner.serve(tmp_path_factory.mktemp("bank") / "users") as serving:
        assert serving.add_all((user, rows_of_user(request.param, user)) for user in USERS) == 3
        assert fingerprint(learner) == before
        yield request.param, learner, adapted, serving


def test_a_user_in_the_live_model_answers_as_adapted(users):
    name, learner, adapted, serving = users
    rows = questions(name)
    before = fingerprint(learner)
    for user in (*USERS, USERS[0]):
        model = serving.switch(user)
        assert serving.current == user
        torch.testing.assert_close(answers(model, rows), answers(adapted[user], rows), rtol=1e-5, atol=1e-6)
    assert torch.equal(answers(serving.restore(), rows), answers(learner.model, rows))
    assert fingerprint(learner) == before, "the learner stays as it was"
    assert len({answers(adapted[user], rows).sum().item() for user in USERS}) == 3


def test_the_live_model_shares_the_learners_tensors(users):
    _, learner, _, serving = users
    ours, theirs = dict(serving.model.named_parameters()), dict(learner.model.named_parameters())
    assert {name for name, value in ours.items() if value is not theirs[name]} == set(learner.private_names)


def test_the_bank_holds_masks_and_zeros(users):
    _, learner, adapted, serving = users
    record = serving.bank.read(USERS[1])
    assert set(record.values) == set(record.masks) == set(learner.private_names)
    model = dict(adapted[USERS[1]].named_parameters())
    for name, value in record.values.items():
        assert not value[~record.masks[name]].any()
        torch.testing.assert_close(value, model[name].detach(), rtol=1e-5, atol=1e-6)
    thin = learner.private.thinnable
    kept = sum(record.masks[name].sum() for name in thin) / sum(record.masks[name].numel() for name in thin)
    assert 0.05 < kept < 0.8


WHO = {
    "each row its own": [0, 1, 2],
    "mixed": [2, 0, 0, 1, 2, 0],
    "together": [1, 1, 0, 0, 2, 2],
    "one user": [1, 1, 1],
}


@pytest.mark.parametrize("who", WHO)
def test_a_mixed_batch_equals_switching(users, who):
    name, _, _, serving = users
    ids = [USERS[i] for i in WHO[who]]
    rows = questions(name, len(ids))
    found = serving(ids, **rows).logits
    one_by_one = [
        answers(serving.switch(user), {key: value[i : i + 1] for key, value in rows.items()})
        for i, user in enumerate(ids)
    ]
    serving.restore()
    expected = torch.cat(one_by_one)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(found.argmax(-1), expected.argmax(-1))
    torch.testing.assert_close(serving(ids, **rows).logits, found, rtol=0, atol=0)


def test_generating_for_many_users_equals_one_by_one(users):
    name, _, _, serving = users
    if "bert" in name:
        return
    rows = {key: value for key, value in questions(name, 3).items() if not key.startswith("decoder")}
    options = {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False, "num_beams": 2}
    found = serving.generate(USERS, **rows, **options)
    for i, user in enumerate(USERS):
        alone = serving.switch(user).generate(**{key: value[i : i + 1] for key, value in rows.items()}, **options)
        assert torch.equal(found[i : i + 1], alone)
    serving.restore()


def test_published_adapters_are_the_adapted_models(users, tmp_path):
    name, learner, adapted, serving = users
    rows = questions(name)
    folders = serving.export(tmp_path / "some", USERS[:2])
    assert [folder.parent for folder in folders] == [tmp_path / "some" / "adapters"] * 2
    folders += [learner.save_private(adapted[USERS[2]], tmp_path / "some", task=USERS[2])]
    for user, folder in zip(USERS, folders, strict=True):
        # A LoRA's head and a Seq2SPG's base belong to the learner; here the learner has learned nothing, so the base is at hand.
        model = PeftModel.from_pretrained(
            base_of(name), str(tmp_path / "some"), subfolder=f"adapters/{folder.name}"
        ).eval()
        torch.testing.assert_close(answers(model, rows), answers(adapted[user], rows), rtol=1e-5, atol=1e-5)
    dense = sum(dict(learner.model.named_parameters())[key].numel() for key in learner.private_names)
    stored = load_file(folders[0] / "adapter_model.safetensors")
    if name in ("bert-mlp", "gpt2-mlp", "t5-mlp"):
        assert any(key.endswith("_bits") for key in stored)
    if name.endswith("lora"):
        private = [value.numel() for key, value in stored.items() if "lora_" in key]
        assert sum(private) < dense
    assert len(serving.export(tmp_path / "all")) == 3


STOCK = """
import sys
sys.modules["hfmeta"] = None
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
base = AutoModelForCausalLM.from_pretrained(sys.argv[1]).eval()
model = PeftModel.from_pretrained(base, sys.argv[2], subfolder=sys.argv[3]).eval()
with torch.no_grad():
    save_file({"logits": model(**load_file(sys.argv[4])).logits}, sys.argv[5])
"""


def test_a_private_lora_opens_without_hfmeta(tmp_path):
    learner = served_learner("gpt2-lora")
    tiny_gpt2().save_pretrained(tmp_path / "base")
    anna = learner.adapt(rows_of_user("gpt2-lora", "anna"))
    folder = learner.save_private(anna, tmp_path / "repository", task="anna ✿")
    rows = questions("gpt2-lora")
    save_file({key: value.contiguous() for key, value in rows.items()}, tmp_path / "rows")
    words = [
        tmp_path / "base",
        tmp_path / "repository",
        f"adapters/{folder.name}",
        tmp_path / "rows",
        tmp_path / "found",
    ]
    done = subprocess.run(
        [sys.executable, "-I", "-c", STOCK, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = load_file(tmp_path / "found")["logits"]
    torch.testing.assert_close(found, answers(anna, rows), rtol=1e-5, atol=1e-5)


def test_a_published_seq2spg_knows_its_adapters(tmp_path):
    """The base is the learner's own folder, opened as the stock model it is; another learner's is refused."""
    from transformers import AutoModelForSeq2SeqLM

    learner = served_learner("seq2spg")
    anna = learner.adapt(rows_of_user("seq2spg", "anna"))
    learner.save_private(anna, tmp_path / "repository", task="anna")
    learner.save_pretrained(tmp_path / "learner")
    base = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "learner")
    assert base.config.base_learner == "cmaml on hfmeta-seq2spg"
    assert base.config.base_learner_revision.startswith("sha256:")
    model = PeftModel.from_pretrained(base, str(tmp_path / "repository"), subfolder="adapters/anna").eval()
    rows = questions("seq2spg")
    torch.testing.assert_close(answers(model, rows), answers(anna, rows), rtol=1e-6, atol=1e-6)
    assert model.peft_config["default"].base_learner == "cmaml on hfmeta-seq2spg"
    other = served_learner("seq2spg")
    with torch.no_grad():
        other.model.decoder.gate.linear_d.bias += 1
    other.save_pretrained(tmp_path / "other")
    with pytest.raises(HfmetaError, match="belongs to revision sha256:.*trained further since"):
        PeftModel.from_pretrained(
            AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "other"),
            str(tmp_path / "repository"),
            subfolder="adapters/anna",
        )


def test_a_bank_goes_on_with_a_reopened_learner_and_with_no_other(tmp_path):
    learner = served_learner("seq2spg")
    with learner.serve(tmp_path / "bank") as serving:
        serving.add("anna", rows_of_user("seq2spg", "anna"))
        rows = questions("seq2spg")
        expected = answers(serving.switch("anna"), rows)
    learner.save_pretrained(tmp_path / "learner")
    again = MetaLearner.from_pretrained(tmp_path / "learner")
    with again.serve(tmp_path / "bank", mode="r") as serving:
        assert torch.equal(answers(serving.switch("anna"), rows), expected)
        with pytest.raises(BankError, match="open for reading"):
            serving.add("bob", rows_of_user("seq2spg", "bob"))
        with pytest.raises(BankError, match="no adapter of task 'nobody'"):
            serving(["anna", "nobody"], **questions("seq2spg", 2))
        with pytest.raises(HfmetaError, match=r"one user for each row; received 2 users and \[3\] rows"):
            serving(["anna", "anna"], **questions("seq2spg", 3))
    with torch.no_grad():
        again.model.lm_head.bias += 1
    with pytest.raises(BankError, match="adapt the users anew"):
        again.serve(tmp_path / "bank")
    with pytest.raises(BankError, match="no bank"):
        learner.serve(tmp_path / "nowhere", mode="r")


def test_gradient_masks_and_learners_that_do_not_prune_keep_every_value(tmp_path):
    cases = {
        "gradient": served_learner("seq2spg", masks="gradient"),
        "maml": MetaLearner(with_lora(tiny_gpt2(), r=4), Maml(adapt="private", inner_lr=0.5)).eval(),
    }
    for case, learner in cases.items():
        kind = "seq2spg" if case == "gradient" else "gpt2-lora"
        support, rows = rows_of_user(kind, "anna"), questions(kind)
        expected = answers(learner.adapt(support), rows)
        with learner.serve(tmp_path / case) as serving:
            serving.add("anna", support)
            assert serving.bank.get_masks("anna") == {}
            torch.testing.assert_close(answers(serving.switch("anna"), rows), expected, rtol=1e-5, atol=1e-6)
            (folder,) = serving.export(tmp_path / case / "out")
        model = PeftModel.from_pretrained(base_of(kind), str(folder)).eval()
        torch.testing.assert_close(answers(model, rows), expected, rtol=1e-5, atol=1e-5)


def test_refusals(tmp_path):
    whole = served_learner("seq2spg", adapt="all")
    anna = whole.adapt(rows_of_user("seq2spg", "anna"))
    for attempt in (lambda: whole.serve(tmp_path), lambda: whole.save_private(anna, tmp_path)):
        with pytest.raises(HfmetaError, match=r"adapt='all' moves encoder\..*no private tensor.*adapt=\"private\""):
            attempt()
    learner = served_learner("seq2spg")
    with pytest.raises(HfmetaError, match="no model that this learner adapted"):
        learner.save_private(tiny_mlp(), tmp_path)
    with pytest.raises(HfmetaError, match="the head is everybody's and has 5"):
        served_learner("bert-mlp").serve(tmp_path / "bank").add(
            "anna", {**rows_of_user("bert-mlp", "anna"), "labels": torch.tensor([0, 6, 1, 2])}
        )
    assert not (tmp_path / "adapters").exists()


def test_a_dora_is_served_one_by_one(tmp_path):
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=2, target_modules=["query"], use_dora=True)
    learner = MetaLearner(get_peft_model(tiny_bert(), config), Maml(adapt="private", order=1)).eval()
    with learner.serve(tmp_path) as serving:
        serving.add("anna", rows_of_user("bert-lora", "anna"))
        serving.switch("anna")
        with pytest.raises(HfmetaError, match="cannot be mixed.*DoRA.*one by one"):
            serving(["anna"], **questions("bert-lora", 1))


def test_an_adapted_whole_model_of_everything_is_nobodys_base(tmp_path):
    """With adapt="all" shared values move: the copy must not pass for the learner."""
    learner = MetaLearner(tiny_lstm(), Maml(inner_lr=0.1, order=1))
    learner.model.config.base_learner, learner.model.config.base_learner_revision = "me/learner", "sha256:0"
    adapted = learner.adapt(rows_of_user("seq2spg", "anna"))
    assert not hasattr(adapted.config, "base_learner")
    assert learner.model.config.base_learner == "me/learner"
