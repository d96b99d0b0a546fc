"""Every kind of folder there and back through huggingface_hub's real client, against a hub on this machine (tests/hub)."""

from __future__ import annotations

import json
import re

import pytest

from hub.server import OWNER

pytestmark = pytest.mark.xdist_group("hub")
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
    raise SystemExit("a repository that does not exist was opened")
"""
PUSH_FOLDER = """
from hfmeta.publishing import push_folder
folder = work / "out"
make_learner("bert").save_pretrained(folder)
make_learner("bert").save_pretrained(folder / "checkpoint-3")
(folder / "bank" / "users" / "ab").mkdir(parents=True)
for name in ("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "notes.pkl", "split.json",
             "checkpoint-3/optimizer.pt", "checkpoint-3/training_args.bin", "checkpoint-3/trainer_state.json",
             "masks.safetensors", "bank/adapters.json", "notes.txt"):
    (folder / name).write_bytes(b"not for others")
(folder / "masks.safetensors").unlink()
push_folder(folder, "tester/folder", message="second")
"""
PUSH_TRAINER = """
from hfmeta import MamlTrainer, MetaConfig
from tiny import random_batch, tiny_bert, tiny_tokenizer
rows = [{name: {key: value[0] for key, value in random_batch(TEXT, T=1, seed=seed)[name].items()}
         for name in ("support", "query")} | {"task": seed} for seed in range(4)]
config = MetaConfig(output_dir=str(work / "run"), max_steps=4, per_device_train_batch_size=2, save_steps=2, report_to="none",
                    push_to_hub=True, hub_model_id="tester/run", use_cpu=True, disable_tqdm=True)
trainer = MamlTrainer(tiny_bert(), config, train_dataset=rows, processing_class=tiny_tokenizer())
trainer.train()
trainer.push_to_hub("the end")
assert same_adaptation(trainer.learner, MetaLearner.from_pretrained("tester/run"), TEXT)
"""
ADAPTED = """
import torch, transformers
from safetensors.torch import save_file
from tiny import tiny_tokenizer
learner, rows = make_learner("bert"), support_of(TEXT)
adapted = learner.adapt(rows)
adapted.push_to_hub("tester/stock")
learner.save_adapted(adapted, work / "adapted")
hfmeta.publishing.push_folder(work / "adapted", "tester/adapted")
for name in ("tester/stock", "tester/adapted"):
    again = transformers.AutoModelForSequenceClassification.from_pretrained(name)
    assert torch.equal(answers(again, rows), answers(adapted, rows)), name
save_file({**rows, "expected": answers(adapted, rows)}, work / "rows.safetensors")
"""
ADAPTED_STOCK = """
from safetensors.torch import load_file
rows = load_file(work / "rows.safetensors")
expected = rows.pop("expected")
model = transformers.AutoModelForSequenceClassification.from_pretrained("tester/adapted").eval()
with torch.no_grad():
    assert torch.equal(model(**rows).logits, expected)
assert len(transformers.AutoTokenizer.from_pretrained("tester/adapted")("the card")["input_ids"]) == 4
try:
    import hfmeta
except ImportError:
    raise SystemExit(0)
raise SystemExit("hfmeta could be imported")
"""
PRIVATE = """
import torch
from peft import PeftModel
from safetensors.torch import save_file
for kind in ("seq2spg", "gpt2-lora", "bert-mlp"):
    learner = served_learner(kind)
    anna, rows = learner.adapt(rows_of_user(kind, USERS[0])), questions(kind)
    learner.save_private(anna, work / kind)
    hfmeta.publishing.push_folder(work / kind, f"tester/{kind}")
    ours = learner.open_private(f"tester/{kind}")
    torch.testing.assert_close(answers(ours, rows), answers(anna, rows), rtol=1e-6, atol=1e-6)
    stock = PeftModel.from_pretrained(base_of(kind), f"tester/{kind}").eval()
    torch.testing.assert_close(answers(stock, rows), answers(anna, rows), rtol=1e-5, atol=1e-5)
    save_file({**rows, "expected": answers(anna, rows)}, work / f"{kind}.safetensors")
    base_of(kind).save_pretrained(work / f"{kind}-base")
"""
PRIVATE_STOCK = """
from safetensors.torch import load_file
rows = load_file(work / "gpt2-lora.safetensors")
expected = rows.pop("expected")
base = transformers.AutoModelForCausalLM.from_pretrained(work / "gpt2-lora-base")
model = peft.PeftModel.from_pretrained(base, "tester/gpt2-lora").eval()
with torch.no_grad():
    torch.testing.assert_close(model(**rows).logits, expected, rtol=1e-5, atol=1e-5)
"""
MEMBER_STOCK = """
from safetensors.torch import load_file
rows = load_file(work / "member.safetensors")
expected = rows.pop("expected")
base = transformers.AutoModelForCausalLM.from_pretrained(work / "base")
model = peft.PeftModel.from_pretrained(base, "tester/people", subfolder=place).eval()
with torch.no_grad():
    torch.testing.assert_close(model(**rows).logits, expected, rtol=1e-5, atol=1e-5)
"""
COLLECTION = """
import torch
from peft import PeftModel
from safetensors.torch import save_file
kind = "gpt2-lora"
learner, rows = served_learner(kind), questions(kind)
with learner.serve(work / "bank") as serving:
    for user in USERS:
        serving.add(user, rows_of_user(kind, user))
    places = serving.push_to_hub("tester/people")
    assert places == serving.push_to_hub("tester/people"), "a user keeps the name"
    expected = {user: answers(serving.switch(user), rows).clone() for user in USERS}
    print(json.dumps(places))
    user = USERS[1]
    ours = learner.open_private("tester/people", subfolder=places[user])
    torch.testing.assert_close(answers(ours, rows), expected[user], rtol=1e-6, atol=1e-6)
    stock = PeftModel.from_pretrained(base_of(kind), "tester/people", subfolder=places[USERS[2]]).eval()
    torch.testing.assert_close(answers(stock, rows), expected[USERS[2]], rtol=1e-5, atol=1e-5)
    save_file({**rows, "expected": expected[USERS[2]]}, work / "member.safetensors")
    base_of(kind).save_pretrained(work / "base")
    try:
        learner.open_private("tester/people")
    except ValueError as error:
        assert "In a repository of several, name one: subfolder='adapters/...'" in str(error), error
    serving.push_to_hub("tester/named", with_ids=True)
    serving.bank.delete(USERS[0])
    serving.push_to_hub("tester/people")
"""


def publishable(files):
    """Whether only safetensors, JSON, tokenizer files and the card are there, and nothing of a run."""
    fine = {"safetensors", "json", "md", "gitattributes"}
    run_files = {name for name in files if re.search("checkpoint|trainer_state|split|masks|users|bank", name)}
    return not run_files and {name.rsplit(".")[-1] for name in files} <= fine


def test_a_pushed_learner_comes_back(run, hub, tmp_path):
    run(PUSH_LEARNERS, tmp_path)
    assert set(hub.repos) == {f"{OWNER}/bert", f"{OWNER}/bert-lora"}
    for name, repository in hub.repos.items():
        assert publishable(hub.files(name))
        assert set(repository.messages) == {"Upload a learner of hfmeta"}
        assert not repository.private
    assert "base_model/model.safetensors" in hub.files(f"{OWNER}/bert-lora")
    assert len(hub.cards) == 5  # the client has every uploaded card checked itself, and we check two


def test_resume_files_never_travel(run, hub, tmp_path):
    run(PUSH_FOLDER, tmp_path)
    files = hub.files(f"{OWNER}/folder")
    assert publishable(files)
    assert {"hfmeta_config.json", "hfmeta.safetensors", "model.safetensors", "config.json", "README.md"} <= set(files)
    assert hub.repos[f"{OWNER}/folder"].messages == ["second"]


def test_the_trainer_pushes_the_learner_alone(run, hub, tmp_path):
    run(PUSH_TRAINER, tmp_path)
    assert publishable(hub.files(f"{OWNER}/run"))
    messages = hub.repos[f"{OWNER}/run"].messages
    assert "Training in progress, step 2" in messages
    assert messages[-1] == "the end"


def test_an_adapted_model_opens_without_hfmeta(run, stock, hub, tmp_path):
    run(ADAPTED, tmp_path)
    stock(ADAPTED_STOCK, tmp_path)
    for name in ("stock", "adapted"):
        assert publishable(hub.files(f"{OWNER}/{name}"))
        assert not [file for file in hub.files(f"{OWNER}/{name}") if "hfmeta" in file]


def test_a_private_adapter_goes_to_a_private_repository(run, stock, hub, tmp_path):
    run(PRIVATE, tmp_path)
    stock(PRIVATE_STOCK, tmp_path)
    for name, repository in hub.repos.items():
        assert repository.private, name
        expected = {"adapter_config.json", "adapter_model.safetensors", "hfmeta_adapter.json", "README.md"}
        assert set(hub.files(name)) == {*expected, ".gitattributes"}
        about = json.loads(hub.files(name)["hfmeta_adapter.json"])
        assert about["learner"]["revision"].startswith("sha256:")
        assert about["learner"]["revision"].encode() in hub.files(name)["README.md"]
        assert str(tmp_path).encode() not in b"".join(hub.files(name).values())


def test_a_collection_names_nobody_and_opens_one_member_alone(run, stock, hub, tmp_path):
    places = json.loads(run(COLLECTION, tmp_path).out.splitlines()[0])
    stock(MEMBER_STOCK, tmp_path, place=next(place for user, place in places.items() if "cleo" in user))
    assert len(set(places.values())) == 3
    assert all(re.fullmatch("adapters/[0-9a-f]{16}", place) for place in places.values())
    repository = hub.repos[f"{OWNER}/people"]
    assert repository.private
    everything = b"".join(name.encode() + content for name, content in hub.files(f"{OWNER}/people").items())
    for word in (b"anna", b"bob", b"cleo"):
        assert word not in everything
    fetched = hub.asked(r"^GET /tester/people/resolve/.*safetensors")
    assert {request.split("/")[-2] for request in fetched} == {
        places[user].removeprefix("adapters/") for user in places if "anna" not in user
    }, "the third member was downloaded"
    named = {name.split("/")[1] for name in hub.files(f"{OWNER}/named") if name.startswith("adapters/")}
    assert "cleo" in named
    left = {name.split("/")[1] for name in hub.files(f"{OWNER}/people") if name.startswith("adapters/")}
    assert len(left) == 2, "a user who left the bank left the repository"
