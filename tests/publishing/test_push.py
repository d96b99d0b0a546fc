"""`hfmeta push`, revisions, subfolders, the cache offline, private and public, and tokens: through the real client."""

from __future__ import annotations

import json

import pytest

from hub.server import OWNER, TOKEN

pytestmark = pytest.mark.xdist_group("hub")

CLI = """
from typer.testing import CliRunner
from hfmeta.cli import app
import logging
logging.basicConfig(level=logging.DEBUG)

def cli(*words):
    done = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
    print(done.stdout)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, " ".join(done.stderr.split())
"""
FOUR_KINDS = (
    CLI
    + """
learner = make_learner("bert")
learner.save_pretrained(work / "learner")
learner.save_adapted(learner.adapt(support_of(TEXT)), work / "adapted")
peft = make_learner("bert-lora")
peft.save_adapted(peft.adapt(support_of(TEXT)), work / "peft")
private = served_learner("seq2spg")
private.save_private(private.adapt(rows_of_user("seq2spg", "anna")), work / "private")
for user in USERS:
    private.save_private(private.adapt(rows_of_user("seq2spg", user)), work / "people", task=user)
for kind in ("learner", "adapted", "peft", "private", "people"):
    code, said = cli("push", work / kind, kind, "--json", work / f"{kind}.json")
    assert code == 0, said
for again in range(2):
    code, said = cli("push", work / "people", "tester/named", "--with-ids", "--public")
    assert code == 0, said
private.serve(work / "bank").close()
for folder, words in (
    (work / "bank", "is a bank, whose files name its users. Export adapters from it"),
    (work, "is no folder of a learner (hfmeta_config.json), an adapted model"),
    (work / "absent", "is not a folder"),
):
    code, said = cli("push", folder, "tester/never")
    assert code == 2 and words in said and "Traceback" not in said, said
code, said = cli("push", work / "people", "tester/learner")
assert code == 2 and "tester/learner is a public repository, and a collection goes to a private one" in said, said
code, said = cli("push", work / "learner", "not a/name/at all")
assert code == 1 and "the push to not a/name/at all failed" in said, said
ask("fault", kind="error", path="POST .*/commit/", times=50)
code, said = cli("push", work / "learner", "tester/failing")
assert code == 1 and "the push to tester/failing failed: " in said and "Push again" in said, said
assert os.environ["HF_TOKEN"] not in said
"""
)
STRANGERS = (
    CLI
    + """
make_learner("mlp").save_pretrained(work / "learner")
ask("fault", kind="refused", path="POST /api/repos/create", times=2)
code, said = cli("push", work / "learner", "tester/never")
assert code == 1 and "the push to tester/never was refused: the token may not do that (" in said, said
assert "Log in with a token that may write (hf auth login, or the environment variable HF_TOKEN)" in said, said
assert os.environ.pop("HF_TOKEN") not in said
code, said = cli("push", work / "learner", "tester/never")
assert code == 1 and "was refused: no token is known here (" in said, said
"""
)
REVISIONS = (
    CLI
    + """
import torch
(work / "rows.csv").write_text("text,intent\\nmy card,a\\nmy money,b\\nyes,c\\nno,d\\nhello,e\\n")
from hfmeta.episodes import build_encoder
from tiny import tiny_tokenizer
learner = make_learner("bert")
learner.encoder = build_encoder(TEXT, input_column="text", target_column="intent", processing_class=tiny_tokenizer())
learner.save_pretrained(work / "learner")
hfmeta.publishing.push_folder(work / "learner", "tester/versions")
first = ask("files/tester/versions")
with torch.no_grad():
    learner.model.classifier.bias += 1
learner.save_pretrained(work / "learner")
hfmeta.publishing.push_folder(work / "learner", "tester/versions", revision="next")
assert ask("files/tester/versions") == first, "another branch changed main"
main, new = (MetaLearner.from_pretrained("tester/versions", revision=name) for name in ("main", "next"))
assert torch.equal(new.model.classifier.bias, main.model.classifier.bias + 1)
import huggingface_hub
commit = huggingface_hub.model_info("tester/versions", revision="next").sha
assert same_adaptation(MetaLearner.from_pretrained("tester/versions", revision=commit), learner, TEXT)
code, said = cli("adapt", "tester/versions", "--support", work / "rows.csv", "--output", work / "out", "--revision", "next")
assert code == 0, said
try:
    MetaLearner.from_pretrained("tester/versions", revision="absent")
except ValueError as error:
    assert "'tester/versions' is neither a folder nor a repository that can be reached" in str(error), error
else:
    raise SystemExit("a revision that does not exist was opened")
api = huggingface_hub.HfApi()
api.upload_folder(repo_id="tester/versions", folder_path=work / "learner", path_in_repo="deep/one")
code, said = cli("adapt", "tester/versions", "--support", work / "rows.csv", "--output", work / "out2", "--subfolder", "deep/one")
assert code == 0, said
ask("requests")
again = MetaLearner.from_pretrained("tester/versions", subfolder="deep/one")
asked = [request for request in ask("requests") if "/resolve/" in request]
assert not [request for request in asked if "deep/one" not in request], asked
assert same_adaptation(again, learner, TEXT)
ask("requests")
for options in (dict(revision="next", local_files_only=True), dict(revision="next"), dict(subfolder="deep/one")):
    offline = MetaLearner.from_pretrained("tester/versions", **options)
    assert same_adaptation(offline, learner, TEXT), options
    huggingface_hub.constants.HF_HUB_OFFLINE = True
assert ask("requests") == ["POST /tests/requests"], "somebody was asked"
"""
)
STALE = """
make_learner("bert-lora").push_to_hub("tester/changes")
assert any(name.startswith("base_model/") for name in ask("files/tester/changes"))
learner = make_learner("bert")
learner.push_to_hub("tester/changes")
assert same_adaptation(MetaLearner.from_pretrained("tester/changes"), learner, TEXT)
"""
EVIL_NAMES = """
import huggingface_hub.constants
home = Path(huggingface_hub.constants.HF_HOME)
before = {path for path in home.parent.rglob("evil*")}
for name in names:
    try:
        MetaLearner.from_pretrained("tester/evil")
    except ValueError as error:
        print(str(error))
        assert "\\n" not in str(error), error
    else:
        raise SystemExit("opened")
assert {path for path in home.parent.rglob("evil*")} == before
"""


def text_of(hub) -> bytes:
    """Everything that any repository holds."""
    return b"".join(content for name in hub.repos for content in hub.files(name).values())


def test_four_kinds_by_one_command(run, hub, tmp_path):
    done = run(FOUR_KINDS, tmp_path)
    private = {name.removeprefix(f"{OWNER}/"): repository.private for name, repository in hub.repos.items()}
    assert private == {
        "learner": False,
        "adapted": False,
        "peft": True,
        "private": True,
        "people": True,
        "named": False,
        "failing": False,
    }
    kinds = {
        name: json.loads((tmp_path / f"{name}.json").read_text())
        for name in ("learner", "adapted", "peft", "private", "people")
    }
    assert [told["kind"] for told in kinds.values()] == [
        "learner",
        "adapted model",
        "adapter",
        "private adapter",
        "collection",
    ]
    assert set(kinds["people"]["members"]) == {"anna ✿", "../bob", "cleo"}
    names = {name.split("/")[1] for name in hub.files(f"{OWNER}/people") if "/" in name}
    assert names == {place.split("/")[1] for place in kinds["people"]["members"].values()}
    assert (tmp_path / "people" / ".member_names.key").stat().st_mode & 0o777 == 0o600
    assert "adapters/%2e%2e%2fbob/adapter_config.json" in hub.files(f"{OWNER}/named")
    assert "Uploaded a collection, 10 files" in done.out
    for told in (done.out, done.err, text_of(hub).decode(errors="replace")):
        assert TOKEN not in told
    assert (tmp_path / "people" / ".member_names.key").read_bytes() not in text_of(hub)
    assert str(tmp_path).encode() not in text_of(hub)


def test_a_push_without_a_token_that_may_write(run, hub, tmp_path):
    run(STRANGERS, tmp_path)
    assert not hub.repos


def test_revisions_subfolders_and_the_cache(run, hub, tmp_path):
    run(REVISIONS, tmp_path)


def test_a_learner_of_another_kind_leaves_no_file_of_the_old_one(run, hub, tmp_path):
    run(STALE, tmp_path)
    files = hub.files(f"{OWNER}/changes")
    assert not [name for name in files if name.startswith("base_model/") or name.startswith("adapter_")]
    assert len(hub.repos[f"{OWNER}/changes"].messages) == 2, "one commit each"


def test_a_hub_that_lists_names_outside_of_the_folder_writes_nothing(run, hub, tmp_path):
    names = ["../../../evil.json", "/evil.json", "a/../../../../evil.json"]
    hub.add("tester/evil", {**dict.fromkeys(names, b"{}"), "hfmeta_config.json": b"{}"})
    done = run(EVIL_NAMES, tmp_path, names=names)
    assert len(done.out.strip().splitlines()) == len(names)
