"""What a folder is, and which of its files others may have."""

from __future__ import annotations

import json

import pytest

from hfmeta.inner.errors import HfmetaError
from hfmeta.publishing.contents import contents_of, member_name

ABOUT = {
    "format": 1,
    "learner": {"name": "me/x", "revision": "sha256:1"},
    "base": {"name": None, "revision": None},
    "files": {},
}


def adapter(folder, about=True, **config):
    """A folder with the names of a private adapter's files."""
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "base_model_name_or_path": None, **config})
    )
    if about:
        (folder / "hfmeta_adapter.json").write_text(json.dumps(ABOUT))
    (folder / "adapter_model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    (folder / "notes.txt").write_text("anna likes ducks")
    (folder / "anna.json").write_text("{}")


def test_of_a_private_adapter_go_its_three_files_and_a_card_of_ours(tmp_path):
    adapter(tmp_path / "anna")
    (tmp_path / "anna" / "README.md").write_text("anna likes ducks")
    found = contents_of(tmp_path / "anna")
    assert found.kind == "private adapter"
    assert found.personal
    assert set(found.files) == {"adapter_config.json", "adapter_model.safetensors", "hfmeta_adapter.json", "README.md"}
    card = found.files["README.md"].decode()
    assert "anna" not in card
    assert "`me/x`, revision `sha256:1`" in card


def test_members_have_names_that_only_the_key_tells(tmp_path):
    for user in ("anna", "bob"):
        adapter(tmp_path / "one" / "adapters" / user)
        adapter(tmp_path / "two" / "adapters" / user)
    one, again, two = (contents_of(tmp_path / name) for name in ("one", "one", "two"))
    assert one.members == again.members
    assert one.members["anna"] == f"adapters/{member_name(tmp_path / 'one', 'anna')}"
    assert not set(one.members.values()) & set(two.members.values())
    assert contents_of(tmp_path / "two", with_ids=True).members == {"anna": "adapters/anna", "bob": "adapters/bob"}
    assert contents_of(tmp_path / "one", keys=tmp_path / "two").members == two.members
    assert one.replaces("adapters/gone/adapter_config.json")
    assert not one.replaces("README.md")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: (folder / "adapters").mkdir(), "has no adapter in it"),
        (
            lambda folder: adapter(folder / "adapters" / "anna", about=False),
            "has no hfmeta_adapter.json; export the adapter",
        ),
        (
            lambda folder: adapter(folder / "adapters" / "a", base_model_name_or_path="/home/me/x"),
            "the folder /home/me/x, which nobody",
        ),
        (lambda folder: (folder / "adapters.json").write_text("{}"), "is a bank, whose files name its users"),
        (lambda folder: None, "is no folder of a learner"),
    ],
)
def test_what_cannot_be_published_is_told(make, words, tmp_path):
    make(tmp_path)
    with pytest.raises(HfmetaError, match=words):
        contents_of(tmp_path)


def test_of_a_learner_go_the_files_on_the_list_without_the_places_on_this_machine(tmp_path):
    (tmp_path / "base_model").mkdir()
    for name in ("config.json", "tokenizer.json", "vocab.json", "per_task.json", "adaptation_curve.png", "gates.png"):
        (tmp_path / name).write_bytes(b"{}")
    for name in ("anna.json", "split.json", "replies.json", "people.png", "trainer_state.json", "recipe.yaml", "x.pt"):
        (tmp_path / name).write_bytes(b"anna likes ducks")
        (tmp_path / "base_model" / name).write_bytes(b"anna likes ducks")
    data = {
        "path": {"train": "/home/anna/a.csv", "test": "~/my rows.csv"},
        "root": "..",
        "separator": " / ",
        "corpus": None,
    }
    config = {
        "base": {"name": None},
        "info": {"recipe": "/home/anna/r.yaml", "data": data},
        "options": {"adapt": "a/.*"},
    }
    (tmp_path / "hfmeta_config.json").write_text(json.dumps(config))
    results = {"command": "hfmeta train /home/anna/r.yaml data.root=/home/anna", "metrics": {"loss": {"mean": 1.5}}}
    (tmp_path / "results.json").write_text(json.dumps(results))
    found = contents_of(tmp_path)
    assert found.kind == "learner"
    expected = {"config.json", "tokenizer.json", "vocab.json", "per_task.json", "adaptation_curve.png", "gates.png"}
    assert set(found.files) == {*expected, "hfmeta_config.json", "results.json"}
    told = json.loads(found.files["hfmeta_config.json"])
    data |= {"path": {"train": "FOLDER", "test": "FOLDER"}, "root": "FOLDER"}
    assert told == {**config, "info": {"recipe": "r.yaml", "data": data}}
    command = "hfmeta train r.yaml data.root=FOLDER"
    assert json.loads(found.files["results.json"]) == {**results, "command": command}
    assert found.replaces("learning_curve.png"), "plots of an earlier version go"
    assert not found.replaces("notes.md")


def test_a_damaged_configuration_is_told(tmp_path):
    (tmp_path / "hfmeta_config.json").write_text("{")
    with pytest.raises(HfmetaError, match=r"hfmeta_config.json is damaged \(.*so nothing was pushed"):
        contents_of(tmp_path)
