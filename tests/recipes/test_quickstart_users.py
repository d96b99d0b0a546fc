"""The quickstart's private adapters, trained for a few steps: what is published and opened again answers as what was adapted."""

from __future__ import annotations

import json
import sys

from recipes.scripts import script

users = script("quickstart/users.py")
sys.modules.setdefault("users", users)  # as it is called beside the scripts that import it
overlap = script("quickstart/overlap.py")


def test_everybody_answers_all_topics_in_three_ways_and_seeds_repeat():
    rows = users.people(3, seed=4)
    assert len(rows) == 3 * 5 * 3
    assert rows == users.people(3, seed=4) != users.people(3, seed=5)
    replies = {row["reply"] for row in rows if row["user"] == "person 4-0"}
    assert len(replies) == 5, "one answer a topic, however it is asked"


def test_two_strangers_from_training_to_opened_adapters(tmp_path):
    learner, scores = users.train(tmp_path / "learner", steps=5, count=16)
    assert scores["eval_tasks"] == 20
    found = users.side_by_side(learner, tmp_path)
    assert [question for question, _, _ in found] == [asked[2] for _, asked, _ in users.ABOUT.values()]
    folders = sorted((tmp_path / "adapters").iterdir())
    assert len(folders) == 2
    assert {path.suffix for folder in folders for path in folder.iterdir()} <= {".json", ".safetensors", ".md"}
    tokenizer, rows = learner.processing_class, users.people(2, seed=2)
    asked = tokenizer([q[2] for _, q, _ in users.ABOUT.values()], padding=True, return_tensors="pt")
    asked.pop("token_type_ids", None)
    for place, name in enumerate(("person 2-0", "person 2-1")):
        told = [row for row in rows if row["user"] == name and row["said"] not in {q for q, _, _ in found}]
        assert len(told) == 10
        expected = users.generate(learner.adapt(told), dict(asked), tokenizer, users.GREEDY)
        assert [mine[place].split(" (true: ")[0] for _, _, mine in found] == expected


def test_similar_strangers_have_similar_structures_and_it_is_written(tmp_path):
    found = overlap.main(["--output", str(tmp_path), "--steps", "8", "--strangers", "5"])
    assert json.loads((tmp_path / "overlap.json").read_text(encoding="utf-8")) == found
    assert set(found["ways"]) == set(overlap.WAYS)
    for one in found["ways"].values():
        assert (one["users"], one["pairs"]) == (5, 10)
        assert 0 < one["overlap"] <= 1
    assert (tmp_path / "overlap.png").is_file()
