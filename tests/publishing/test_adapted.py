"""`push_to_hub` of what `adapt` returns: tokenizer, card and base go along, adapters stay private, and the model stays stock."""

from __future__ import annotations

import copy
import gc
import io
import json
import weakref

import pytest
import torch

from hfmeta.inner.errors import HfmetaError
from hub.server import OWNER
from saving import TEXT, make_learner, support_of

PUSHED = """
import copy, peft, transformers
rows = support_of(TEXT)
learner = make_learner("bert")
adapted = learner.adapt(rows)
assert adapted.push_to_hub("tester/whole", commit_message="of a user").oid
learner = make_learner("bert-lora")
learner.model.get_base_model().config._commit_hash = "c" * 40
learner.info["model"] = {"name": "some/base", "revision": None}
learner.model.peft_config["default"].base_model_name_or_path = "some/base"
adapter = learner.adapt(rows)
adapter.push_to_hub("adapter")
again = copy.deepcopy(adapter)
again.push_to_hub("tester/copy", private=False, revision="next")
learner.adapt(rows).push_to_hub("tester/chained")
try:
    adapter.push_to_hub("tester/whole")
except ValueError as error:
    assert "tester/whole is a public repository, and a adapter goes to a private one" in str(error).replace("an a", "a a"), error
else:
    raise SystemExit("an adapter went to a public repository")
base = make_learner("bert-lora").model.unload()
again = peft.PeftModel.from_pretrained(base, "tester/adapter").eval()
assert torch.equal(answers(again, rows), answers(adapter, rows))
learner.model.peft_config["default"].base_model_name_or_path = str(work / "base")
try:
    learner.adapt(rows).push_to_hub("tester/never")
except ValueError as error:
    assert "which nobody else has" in str(error), error
else:
    raise SystemExit("a folder of this machine was published as a base")
"""


@pytest.mark.xdist_group("hub")
def test_an_adapted_model_pushes_itself(run, hub, tmp_path):
    run("import torch" + PUSHED, tmp_path)
    private = {name.removeprefix(f"{OWNER}/"): repository.private for name, repository in hub.repos.items()}
    assert private == {"whole": False, "adapter": True, "copy": False, "chained": True}
    assert hub.files(f"{OWNER}/chained") == hub.files(f"{OWNER}/adapter")
    whole, adapter, copied = (hub.files(f"{OWNER}/{name}") for name in ("whole", "adapter", "copy"))
    assert set(copied) == {".gitattributes"}, "the branch that was asked for"
    copied = hub.files(f"{OWNER}/copy", "next")
    assert hub.repos[f"{OWNER}/whole"].messages == ["of a user"], "one commit"
    assert {"model.safetensors", "config.json", "tokenizer.json", "README.md"} <= set(whole)
    assert set(adapter) == set(copied) >= {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json"}
    assert adapter["adapter_model.safetensors"] == copied["adapter_model.safetensors"]
    assert b"keep it as private as they are" in whole["README.md"]
    config = json.loads(adapter["adapter_config.json"])
    assert (config["base_model_name_or_path"], config["revision"]) == ("some/base", "c" * 40)
    everything = b"".join(content for files in (whole, adapter) for content in files.values())
    assert str(tmp_path).encode() not in everything


def test_the_model_is_stock_and_neither_it_nor_the_learner_is_kept_alive():
    learner = make_learner("bert")
    adapted = learner.adapt(support_of(TEXT))
    assert type(adapted) is type(learner.model)
    known = weakref.ref(learner)
    del learner
    gc.collect()
    assert known() is None, "the learner goes, however long its adapted models stay"
    watched, push = weakref.ref(adapted), adapted.push_to_hub
    again, weights = copy.deepcopy(adapted), weakref.ref(adapted.classifier.weight)
    del adapted
    assert watched() is None
    assert weights() is not None, "whoever holds the method can push"
    del push
    assert weights() is None, "no cycle: it goes at once"
    push = again.push_to_hub
    del again.push_to_hub
    assert again.push_to_hub.__func__ is type(again).push_to_hub
    del again
    with pytest.raises(HfmetaError, match="does not exist any more; keep the copy in a variable"):
        push("tester/never")


def test_a_copy_out_of_a_pickle_says_that_it_cannot():
    adapted, file = make_learner("bert").adapt(support_of(TEXT)), io.BytesIO()
    torch.save(adapted, file)
    file.seek(0)
    again = torch.load(file, weights_only=False)
    with pytest.raises(HfmetaError, match=r"came out of a pickle .*hfmeta push"):
        again.push_to_hub("tester/never")
