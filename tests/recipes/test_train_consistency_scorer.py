"""Runs recipes/persona/train_consistency_scorer.py on a small file in the corpus' own format."""

from __future__ import annotations

import csv
import json

from hfmeta.metrics import consistency_labels, consistency_score, load_classifier
from recipes.scripts import backbone, script

PERSONAS = [
    "I have two dogs.\nI am a nurse.\nI love tacos.\nI play chess.",
    "I live in alaska.\nMy favorite color is blue.\nI hate math.\nI am old.",
    "I am married.\nI drive a bmw.\nI enjoy gardening.\nI have a cat.",
    "I am a vegan.\nI play the violin.\nI like jazz.\nMy name is george.",
    "I am 40 years old.\nI do not drink.\nI like to travel.\nI own a house.",
]


def corpus(folder):
    path = folder / "Synthetic-Persona-Chat_valid.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["user 1 personas", "user 2 personas", "Best Generated Conversation"])
        for place, first in enumerate(PERSONAS):
            second = PERSONAS[(place + 1) % len(PERSONAS)]
            said = [
                f"User {1 + n % 2}: {text}"
                for n, pair in enumerate(zip(first.split("\n"), second.split("\n"), strict=True))
                for text in pair[:1]
            ]
            writer.writerow([first, second, "\n".join(["User 1: Hi there!", "User 2: Hello!", *said])])
    return path


def test_it_trains_a_stock_model_and_says_how_good_it_is(tmp_path, capsys):
    output = tmp_path / "scorer"
    arguments = ["--data", str(corpus(tmp_path)), "--model", backbone(tmp_path / "base"), "--output", str(output)]
    arguments += ["--epochs", "0.1", "--held-out", "0.4"]
    results = script("persona/train_consistency_scorer.py").main(arguments)
    assert "5 personas" in capsys.readouterr().out
    saved = json.loads((output / "results.json").read_text(encoding="utf-8"))
    assert saved["held_out"]["all"]["accuracy"] == results["held_out"]["all"]["accuracy"]
    assert saved["command"].startswith("python recipes/persona/train_consistency_scorer.py --data")
    assert set(saved["held_out"]["all"]["by_class"]) == {"entailment", "neutral", "contradiction"}
    assert set(saved["c_score_of_real_turns"]) == {"own_persona", "another_persona"}
    judge = load_classifier(output)
    assert consistency_labels(judge.model) == {0: "entailment", 1: "neutral", 2: "contradiction"}
    assert consistency_score(["i have two dogs"], [["I have two dogs."]], judge).model == str(output)
