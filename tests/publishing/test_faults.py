"""The four kinds of folders there and back while the hub fails, one fault after the other: all of it arrives, or nothing changes."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.xdist_group("hub")
KINDS = ("learner", "adapted model", "private adapter", "collection")
PUSH_FAULTS = {
    "errors": dict(kind="error", path="POST .*/(preupload|commit)/", times=1),
    "an error that stays": dict(kind="error", path="POST .*/commit/", times=50),
    "a dropped upload": dict(kind="drop", path="PUT /lfs", times=1),
    "uploads that all drop": dict(kind="drop", path="PUT /lfs", times=50),
    "slow answers": dict(kind="slow", path="commit|batch", times=3, seconds=0.1),
    "half a commit": dict(kind="half a commit", path="POST .*/commit/", times=50),
    "an upload that changes on its way": dict(kind="wrong checksum", path="PUT /lfs", times=50),
    "a dropped commit": dict(kind="drop", path="POST .*/commit/", times=50),
}
MUST_FAIL = [
    "an error that stays",
    "uploads that all drop",
    "half a commit",
    "an upload that changes on its way",
    "a dropped commit",
]
LOAD_FAULTS = {
    "an error": dict(kind="error", path="GET .*/resolve/", times=1),
    "a dropped answer": dict(kind="drop", path="GET .*/resolve/", times=1),
    "half a file": dict(kind="cut", path="GET .*/resolve/.*safetensors", times=1),
    "slow answers": dict(kind="slow", path="GET .*/resolve/", times=3, seconds=0.1),
    "a bit of a file": dict(kind="wrong checksum", path="GET .*/resolve/.*(model|hfmeta).safetensors", times=1),
}
START = """
import torch, transformers, shutil
from peft import PeftModel
from huggingface_hub.constants import HF_HUB_CACHE

def build(kind, folder, seed):
    '''A folder of that kind, and what a model opened from it must answer.'''
    torch.manual_seed(seed)
    if kind in ("learner", "adapted model"):
        learner, rows = make_learner("bert"), support_of(TEXT, seed=seed)
        with torch.no_grad():
            learner.model.classifier.bias.normal_()
        adapted = learner.adapt(rows)
        learner.save_pretrained(folder) if kind == "learner" else learner.save_adapted(adapted, folder)
        return lambda name: answers(opened(kind, name, learner, rows), rows), answers(adapted, rows)
    learner, rows = served_learner("gpt2-lora"), questions("gpt2-lora")
    user = learner.adapt(rows_of_user("gpt2-lora", USERS[seed]))
    learner.save_private(user, folder, task=None if kind == "private adapter" else "user")
    if kind == "collection":
        learner.save_private(user, folder, task="other")
    return lambda name: answers(opened(kind, name, learner, rows), rows), answers(user, rows)

def opened(kind, name, learner, rows):
    if kind == "learner":
        return MetaLearner.from_pretrained(name).adapt(rows)
    if kind == "adapted model":
        return transformers.AutoModelForSequenceClassification.from_pretrained(name).eval()
    if kind == "private adapter":
        return learner.open_private(name)
    place = next(file.rpartition("/")[0] for file in ask("files/" + name) if file.startswith("adapters/"))
    return learner.open_private(name, subfolder=place)

def same(one, other):
    torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
"""
PUSH = (
    START
    + """
for kind in kinds:
    opening, expected = build(kind, work / kind / "1", 1)
    opening2, expected2 = build(kind, work / kind / "2", 2)
    for number, (name, fault) in enumerate(faults.items()):
        repository = f"tester/{kind.split()[0]}-{number}"
        hfmeta.publishing.push_folder(work / kind / "1", repository)
        before = ask("files/" + repository)
        ask("fault", **fault)
        ask("requests")
        try:
            hfmeta.publishing.push_folder(work / kind / "2", repository)
            failed = False
        except hfmeta.publishing.PushError as error:
            failed = True
            assert "\\n" not in str(error) and "push again" in str(error).lower(), error
            assert os.environ["HF_TOKEN"] not in str(error)
            assert ask("files/" + repository) == before, (kind, name, "the failed push changed something")
            same(opening(repository), expected)
        sent = len([request for request in ask("requests") if request.startswith("PUT /lfs")])
        assert failed or name not in must_fail, (kind, name, "it passed")
        if failed:
            ask("clear")
            hfmeta.publishing.push_folder(work / kind / "2", repository)
            again = len([request for request in ask("requests") if request.startswith("PUT /lfs")])
            if "commit" in name or name == "an error that stays":
                assert again == 0 < sent, (kind, name, "what had arrived was sent again", sent, again)
        else:
            ask("clear")
        same(opening2(repository), expected2)
        print(kind, name, "failed and went on" if failed else "went through")
"""
)
LOAD = (
    START
    + """
for kind in kinds:
    opening, expected = build(kind, work / kind, 1)
    repository = "tester/" + kind.split()[0]
    hfmeta.publishing.push_folder(work / kind, repository)
    for name, fault in faults.items():
        shutil.rmtree(HF_HUB_CACHE, ignore_errors=True)
        ask("fault", **fault)
        try:
            same(opening(repository), expected)
            print(kind, name, "went through")
        except (ValueError, OSError, AssertionError) as error:
            assert "\\n" not in str(error) or kind == "adapted model", error
            print(kind, name, "refused:", str(error).splitlines()[0])
            if name == "a bit of a file" and kind != "adapted model":
                assert "checksum" in str(error) and "download it again" in str(error), error
        else:
            assert name != "a bit of a file" or kind == "adapted model", (kind, "a changed file was taken")
        ask("clear")
        shutil.rmtree(HF_HUB_CACHE, ignore_errors=True)
        same(opening(repository), expected)
"""
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_push_arrives_whole_or_changes_nothing(kind, run, hub, tmp_path):
    done = run(PUSH, tmp_path, kinds=[kind], faults=PUSH_FAULTS, must_fail=MUST_FAIL)
    told = done.out.strip().splitlines()
    assert len(told) == len(PUSH_FAULTS), told
    assert sum("failed and went on" in line for line in told) >= len(MUST_FAIL)


@pytest.mark.parametrize("kind", KINDS)
def test_a_download_gives_what_was_pushed_or_says_why_not(kind, run, hub, tmp_path):
    done = run(LOAD, tmp_path, kinds=[kind], faults=LOAD_FAULTS)
    told = dict(line.removeprefix(f"{kind} ").split(" went", 1) for line in done.out.splitlines() if " went " in line)
    assert {"slow answers"} <= set(told), done.out
