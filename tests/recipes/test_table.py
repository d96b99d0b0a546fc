"""Runs recipes/persona/table.py and recipes/moji/table.py from training to Markdown, on small files in the corpora's own formats."""

from __future__ import annotations

import json

import pytest

from hfmeta.inner.errors import HfmetaError
from recipes.scripts import script
from tiny import tiny_bert, tiny_tokenizer
from tiny_dialogues import EMOJI, write_mojitalk, write_synthetic

SIZES = [
    "model.config.embedding_size=6",
    "model.config.hidden_size=6",
    "training.report_to=none",
    "training.disable_tqdm=true",
]
SMALL = ["data.max_support_rows=4", "data.max_query_rows=2", "data.valid_tasks=0", "data.too_small=drop"]
DECODING = ["--beams", "2", "--max-new-tokens", "3"]


def judge(folder, labels):
    """A stock classifier with these classes, which knows nothing."""
    model = tiny_bert(num_labels=len(labels))
    model.config.id2label, model.config.label2id = dict(enumerate(labels)), {name: i for i, name in enumerate(labels)}
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def persona(tmp_path_factory):
    """Words of a quick persona table, and where it goes."""
    room = tmp_path_factory.mktemp("persona")
    write_synthetic(room / "synthetic_persona_chat", users=24, rounds=4, turns=4)
    scorer = judge(room / "scorer", ["contradiction", "entailment", "neutral"])
    shares = "data.shares={train: 0.5, valid: 0.25, test: 0.25}"
    words = ["--output", str(room / "out"), "--steps", "2", "--test-tasks", "8", "--scorer", scorer, *DECODING]
    return room / "out", [*words, "--set", f"data.root={room}", shares, "data.query=1", *SIZES, *SMALL]


def test_a_table_from_training_to_markdown(persona, capsys):
    output, words = persona
    chosen = ["--methods", "seq2spg", "seq2spg_f", "cmaml_seq2spg"]
    page = script("persona/table.py").main([*words, *chosen])
    text = page.read_text(encoding="utf-8")
    assert "| CMAML-Seq2SPG | 1 |" in text
    assert "(36.3)" in text, "the published perplexity stands beside ours"
    assert "CMAML-Seq2SPG minus Seq2SPG-F" in text
    rows = {path.stem: json.loads(path.read_text()) for path in (output / "rows" / "main").glob("*.json")}
    plain, tuned, cmaml = (rows[f"{name}_seed0"] for name in ("seq2spg", "seq2spg_f", "cmaml_seq2spg"))
    assert plain["episodes"]["sha256"] == cmaml["episodes"]["sha256"]
    assert plain["metrics"]["diff"]["mean"] == plain["metrics"]["delta"]["mean"] == 0
    assert tuned["metrics"]["delta"]["mean"] > 0
    assert set(cmaml["metrics"]) >= {
        "perplexity",
        "perplexity_micro",
        "bleu",
        "bleu_corpus",
        "dist1",
        "dist2",
        "c_score",
        "overlap",
    }
    assert cmaml["sizes"]["model"]["name"] == "models/seq2spg_seed0/checkpoint-2", "it starts where that run ended"
    assert "root" not in cmaml["sizes"]["data"]
    assert (plain["adaptation"], tuned["adaptation"]["prune"]) == ({}, 0)
    assert sum(cmaml["adaptation"].values()) == tuned["adaptation"]["adapt"], "all adapt for as long"
    replies = (output / "rows" / "main" / "cmaml_seq2spg_seed0.replies.jsonl").read_text().splitlines()
    assert len(replies) == cmaml["episodes"]["replies"]
    (found,) = output.glob("overlap_main_cmaml_seq2spg_seed0.json")
    assert json.loads(found.read_text())["train"]["users"] > 2
    assert found.with_suffix(".png").is_file()

    # What is there is read, and not made again; other test users take the same models.
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.suffix in (".json", ".safetensors")}
    again = script("persona/table.py").main([*words, "--methods", "seq2spg", "--seeds", "0"])
    assert again.read_text(encoding="utf-8").count("| CMAML-Seq2SPG ") == text.count("| CMAML-Seq2SPG "), "others stay"
    changed = [path for path, at in before.items() if path.stat().st_mtime_ns != at and "overlap" not in path.name]
    assert not changed
    script("persona/table.py").main([*words, "--methods", "seq2spg", "--setting", "shot100"])
    row = json.loads((output / "rows" / "shot100" / "seq2spg_seed0.json").read_text())
    assert "data.max_dialogues_per_user=11" in row["options"]["setting"]
    assert (output / "table_shot100.md").is_file()
    script("persona/table.py").main([*words, "--methods", "cmaml_seq2spg", "--setting", "long"])
    longer = json.loads((output / "rows" / "long" / "cmaml_seq2spg_seed0.json").read_text())
    assert longer["adaptation"] == {"prune": cmaml["adaptation"]["prune"], "adapt": 25 - cmaml["adaptation"]["prune"]}
    assert longer["metrics"]["delta"]["mean"] != cmaml["metrics"]["delta"]["mean"]
    assert "0 passes in training, none in the test" in text, "a method that does not adapt"
    assert "23 in the test after 2 before pruning" in (output / "table_long.md").read_text()

    # A row of another number of passes than the recipe's is made again.
    path = output / "rows" / "shot100" / "seq2spg_seed0.json"
    path.write_text(json.dumps({**row, "adaptation": {"prune": 0, "adapt": 1}}))
    script("persona/table.py").main([*words, "--methods", "seq2spg", "--setting", "shot100"])
    assert json.loads(path.read_text())["adaptation"] == {}
    capsys.readouterr()


def test_passes_are_compared_on_validation_users(persona, tmp_path, capsys):
    output, words = persona
    methods = ["--methods", "seq2spg_f", "cmaml_seq2spg"]
    script("persona/table.py").main([*words, *methods])
    scorer, chosen = words[words.index("--scorer") + 1], words[words.index("--set") + 1 :]
    options = ["--scorer", scorer, *methods, "--passes", "0", "5", "--test-tasks", "3"]
    page = script("persona/passes.py").main(
        [str(output), str(tmp_path), *options, "--set", *chosen, "data.valid_tasks=2"]
    )
    assert "| CMAML-Seq2SPG | 5 |" in page.read_text(encoding="utf-8")
    found = json.loads((tmp_path / "passes.json").read_text())["methods"]
    (before, after), (own_before, own_after) = (found[name]["curve"] for name in ("seq2spg_f", "cmaml_seq2spg"))
    assert (
        before["diff"]["mean"]
        == own_before["diff"]["mean"]
        == 0
        < min(after["diff"]["mean"], own_after["diff"]["mean"])
    )
    assert before["dialogues"] == 3
    with pytest.raises(HfmetaError, match="2 passes end before CMAML-Seq2SPG adapts: it prunes after 2"):
        script("persona/passes.py").main(
            [str(output), str(tmp_path), *options, "--passes", "2", "--set", *chosen, "data.valid_tasks=2"]
        )
    capsys.readouterr()


def test_runs_trained_otherwise_are_not_mixed(persona):
    _, words = persona
    script("persona/table.py").main([*words, "--methods", "seq2spg"])
    with pytest.raises(HfmetaError, match=r"trained otherwise: steps 2 \(now 3\)"):
        script("persona/table.py").main([*words[:2], "--steps", "3", *words[4:], "--methods", "seq2spg"])


def test_an_unknown_method_is_named(persona):
    with pytest.raises(HfmetaError, match="did you mean seq2spg"):
        script("persona/table.py").main(["--methods", "seq2spgg"])


def test_the_moji_table_has_emoji_accuracy(tmp_path, capsys):
    root = write_mojitalk(tmp_path / "moji")
    classifier = judge(tmp_path / "classifier", EMOJI[:8])
    counts = "data.emoji_counts={train: 4, valid: 2, test: 2}"
    words = [
        "--output",
        str(tmp_path / "out"),
        "--steps",
        "1",
        "--from-scratch",
        "--methods",
        "cmaml_seq2spg",
        *DECODING,
    ]
    words += [
        "--emoji-classifier",
        classifier,
        "--test-tasks",
        "4",
        "--set",
        f"data.root={root}",
        counts,
        *SIZES,
        *SMALL,
    ]
    page = script("moji/table.py").main(words)
    assert "E-acc" in page.read_text(encoding="utf-8")
    row = json.loads((tmp_path / "out" / "rows" / "main" / "cmaml_seq2spg_seed0.json").read_text())
    assert row["metrics"]["e_acc_top5"]["mean"] >= row["metrics"]["e_acc"]["mean"]
    assert row["sizes"]["model"]["name"] == "hfmeta-seq2spg"
    assert not (tmp_path / "out" / "models" / "seq2spg_seed0").exists()
    capsys.readouterr()
