"""Checks of hfmeta/recipe/dialogues.py: dialogue corpora and tables with a dialogue column, from recipe to episodes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from hfmeta.corpora.dialogue import write_persona_map
from hfmeta.episodes import EpisodeError
from hfmeta.recipe.data import build_episodes, load_tables
from hfmeta.recipe.errors import RecipeError
from hfmeta.recipe.parsing import parse_recipe
from hfmeta.recipe.running import run_recipe
from hfmeta.recipe.schema import DataSection
from tiny import tiny_t5, tiny_tokenizer
from tiny_dialogues import subset, write_mojitalk, write_persona_chat, write_synthetic, write_tweet_eval
from tiny_recipes import SINUSOID, write_recipe

TASK = "seq2seq-lm"


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def section(root: Path, corpus: str, **changes) -> DataSection:
    return DataSection(corpus=corpus, root=str(root), max_length=48, **changes)


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    for part, users in (("train", 5), ("valid", 3), ("test", 4)):
        write_persona_chat(tmp_path, part, users=users, dialogues=4)
    return tmp_path


def test_persona_chat(chat, tokenizer):
    made = build_episodes(section(chat, "persona_chat"), TASK, tokenizer, 0)
    assert made.split == {
        part: [f"{part}:{n}" for n in range(k)] for part, k in (("train", 5), ("valid", 3), ("test", 4))
    }
    assert len(made.train) == 5
    assert made.valid is not None
    assert len(made.valid) == 3, "each persona once, its first dialogue held out"
    assert len(made.test) == 16, "each dialogue of each persona held out once"
    assert len({draw.query.tobytes() for draw in made.test.draws()}) == 16
    first = {int(draw.query[0]) for draw in made.valid.draws()}
    assert first == {0, 3, 6}
    episode = made.train[0]
    assert (len(episode["support"]["labels"]), len(episode["query"]["labels"])) == (9, 3)
    assert made.num_labels is None


def test_persona_chat_options(chat, tokenizer):
    data = section(
        chat, "persona_chat", support=2, test_support=1, query=2, max_support_rows=4, max_dialogues_per_user=4,
        max_context_turns=1, with_persona=True, separator=" | ", min_context_turns=2, valid_tasks=0, test_tasks=5,
    )  # fmt: skip
    made = build_episodes(data, TASK, tokenizer, 0)
    assert made.valid is None
    assert len(made.test) == 5
    rows = load_tables(data, TASK)["train"]
    assert min(rows["turn"]) == 3
    assert rows[0]["context"].startswith(" | ".join(one[:-1] for one in subset(0, 0)) + " | how is it")
    assert (len(made.train[0]["support"]["labels"]), len(made.train[0]["query"]["labels"])) == (4, 4)
    fewer = load_tables(section(chat, "persona_chat", max_dialogues_per_user=2), TASK)
    assert {len(set(table["dialogue"])) for table in fewer.values()} == {10, 6, 8}
    alike = section(chat, "persona_chat", test_users="dissimilar", test_users_count=2)
    assert {part: len(set(table["persona"])) for part, table in load_tables(alike, TASK).items()} == {
        "train": 5,
        "valid": 3,
        "test": 2,
    }
    chosen_on = section(chat, "persona_chat", test_users="validation")
    assert set(load_tables(chosen_on, TASK)["test"]["persona"]) == {"valid:0", "valid:1", "valid:2"}
    assert len(build_episodes(chosen_on, TASK, tokenizer, 0).test) == 12, "each of their dialogues held out once"
    with pytest.raises(EpisodeError, match="needs validation users: set data.valid_tasks to at least 1"):
        load_tables(section(chat, "persona_chat", test_users="validation", valid_tasks=0), TASK)
    swapped = section(chat, "persona_chat", parts={"train": "test", "test": "valid"}, valid_tasks=0)
    assert set(load_tables(swapped, TASK)["test"]["persona"]) == {"valid:0", "valid:1", "valid:2"}


def test_persona_chat_maps(chat):
    maps = {}
    for part in ("train", "test"):
        maps[part] = str(chat / f"{part}.json")
        write_persona_map({u: [[s[:-1] for s in subset(u, d)] for d in range(4)] for u in range(5)}, maps[part])
    tables = load_tables(section(chat, "persona_chat", grouping=maps, valid_tasks=0), TASK)
    assert set(tables["test"]["persona"]) == {f"test:{u}" for u in range(4)}
    with pytest.raises(EpisodeError, match=r"data.grouping: there is no persona map for the valid part"):
        load_tables(section(chat, "persona_chat", grouping=maps), TASK)


def test_synthetic_persona_chat(tmp_path, tokenizer):
    write_synthetic(tmp_path, users=10, rounds=4)
    shares = {"train": 0.6, "valid": 0.2, "test": 0.2}
    data = section(tmp_path, "synthetic_persona_chat", shares=shares, tokenise=True, support=2, too_small="drop")
    made = build_episodes(data, TASK, tokenizer, 0)
    assert made.split is not None
    assert {part: len(tasks) for part, tasks in made.split.items()} == {"train": 6, "valid": 2, "test": 2}
    assert len(made.test) == 16, "eight dialogues of each test persona"
    tables = load_tables(data, TASK)
    later = {*tables["valid"]["persona"], *tables["test"]["persona"]}
    assert not later & {*tables["train"]["partner"]}
    assert tables["train"][0]["reply"].startswith("it's ")
    other = build_episodes(DataSection(**{**vars(data), "split_seed": 1}), TASK, tokenizer, 0)
    assert other.split_sha256 != made.split_sha256
    without = load_tables(DataSection(**{**vars(data), "valid_tasks": 0}), TASK)
    assert {part: len(set(table["persona"])) for part, table in without.items()} == {"train": 7, "test": 3}
    groups = tmp_path / "groups.csv"
    with groups.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "user", "persona_id"])
        writer.writerows(
            [row, user, f"p{(row - 1 + (user - 1) * (1 + (row - 1) // 10)) % 10}"]
            for row in range(1, 41)
            for user in (1, 2)
        )
    named = load_tables(DataSection(**{**vars(data), "grouping": str(groups)}), TASK)
    assert {name for table in named.values() for name in table["persona"]} == {f"p{n}" for n in range(10)}
    with pytest.raises(EpisodeError, match="data.grouping: synthetic_persona_chat is one file"):
        load_tables(DataSection(**{**vars(data), "grouping": {"train": "x"}}), TASK)


def test_mojitalk(tmp_path, tokenizer):
    write_mojitalk(tmp_path)
    data = section(
        tmp_path,
        "mojitalk",
        emoji_counts={"test": 2, "train": 4, "valid": 2},
        max_pairs=6,
        max_support_rows=4,
        max_query_rows=2,
    )
    made = build_episodes(data, TASK, tokenizer, 0)
    assert made.split is not None
    assert {part: len(tasks) for part, tasks in made.split.items()} == {"train": 4, "valid": 2, "test": 2}
    assert len(made.test) == 10, "five folds of each test emoji"
    assert len(made.train[0]["support"]["labels"]) == 4
    assert max(len(table) for table in load_tables(data, TASK).values()) == 24
    with pytest.raises(EpisodeError, match="asks for 64 emoji"):
        load_tables(section(tmp_path, "mojitalk"), TASK)


def test_tweets_by_emoji(tmp_path, tokenizer):
    write_tweet_eval(tmp_path)
    shares = {"train": 0.5, "valid": 0.2, "test": 0.3}
    data = section(tmp_path, "tweet_eval_emoji", shares=shares, n_way=2, k_shot=1, query=2)
    made = build_episodes(data, "sequence-classification", tokenizer, 0)
    assert made.split is not None
    assert {part: len(tasks) for part, tasks in made.split.items()} == {"train": 5, "valid": 2, "test": 3}
    assert made.num_labels == 2
    assert sorted(made.test[0]["support"]["labels"].tolist()) == [0, 1]
    assert sum(len(table) for table in load_tables(data, "sequence-classification").values()) == 120


def test_a_table_with_a_dialogue_column(tmp_path, tokenizer):
    path = tmp_path / "rows.jsonl"
    rows = [
        {"user": f"u{u}", "session": f"{u}-{d}", "said": f"how {u} {d} {t}", "reply": f"yes {t}"}
        for u in range(10) for d in range(3) for t in range(2)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    columns = {"task_column": "user", "input_column": "said", "target_column": "reply"}
    data = DataSection(path=str(path), dialogue_column="session", **columns)
    made = build_episodes(data, TASK, tokenizer, 0)
    assert len(made.test) == 3
    draw = next(made.test.draws())
    sessions = np.array(made.test.dataset.source.rows["session"])
    assert not {*sessions[draw.support]} & {*sessions[draw.query]}
    assert (len(draw.support), len(draw.query)) == (4, 2)
    by_rows = build_episodes(DataSection(path=str(path), support=3, query=2, **columns), TASK, tokenizer, 0)
    assert len(by_rows.test) == 600


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"corpus": "persona_chat"}, "model.task: persona_chat is seq2seq-lm, received sequence-classification"),
        ({"corpus": "persona_chatt"}, "data.corpus: expected .*did you mean persona_chat"),
        ({"corpus": "mojitalk", "personas": "self"}, "data.personas: not used with corpus mojitalk; leave it out"),
        ({"corpus": "persona_chat", "tokenise": True}, "data.tokenise: not used with corpus persona_chat; leave it out"),
        ({"corpus": "persona_chat", "n_way": 5}, "data.n_way: not used with corpus persona_chat"),
        ({"corpus": "persona_chat", "personas": "own"}, "data.personas: expected one of self, both, other, none, received 'own'"),
        ({"corpus": "persona_chat", "max_dialogues_per_user": 1}, "data.max_dialogues_per_user: expected at least 2, received 1"),
        ({"corpus": "persona_chat", "test_users_count": 1}, "data.test_users_count: expected at least 2, received 1"),
        ({"corpus": "mojitalk", "test_users": "similar"}, "data.test_users: not used with corpus mojitalk"),
        ({"corpus": "persona_chat", "max_context_tokens": 0}, "data.max_context_tokens: expected at least 1, received 0"),
        ({"corpus": "persona_chat", "parts": {"train": "train"}}, r"data.parts: expected the parts train, .*received \['train'\]"),
        ({"corpus": "mojitalk", "emoji_counts": {"train": 1, "tests": 2}}, "data.emoji_counts: expected the parts train"),
        ({"corpus": "synthetic_persona_chat", "shares": {"train": 0.5, "valid": 0.1, "test": 0.1}}, "data.shares: expected positive"),
        ({"corpus": "tweet_eval_emoji", "support": 3}, "data.support: not used with corpus tweet_eval_emoji"),
        ({"path": "x.jsonl", "task_column": "a", "input_column": "b", "target_column": "c", "max_query_rows": 3},
         "data.max_query_rows: only used with dialogue_column"),
        ({"path": "x.jsonl", "label_column": "a", "input_column": "b", "dialogue_column": "c"},
         r"data.dialogue_column: not used with label_column \(N-way episodes\)"),
    ],
)  # fmt: skip
def test_refusals(tmp_path, keys, problem):
    path = write_recipe(tmp_path)
    with pytest.raises(RecipeError, match=problem):
        parse_recipe(path, [f"data={json.dumps(keys)}", "model.task=sequence-classification"])


def test_a_corpus_that_is_not_there_says_what_is_expected(tmp_path, chat):
    with pytest.raises(EpisodeError, match="test_both_original.txt|train_both_original.txt"):
        load_tables(section(chat, "persona_chat", personas="both"), TASK)
    with pytest.raises(EpisodeError, match=r"separator='\|' would glue turns"):
        load_tables(section(chat, "persona_chat", separator="|"), TASK)


def test_a_run_from_recipe_to_results(tmp_path):
    write_synthetic(tmp_path / "data", users=10, rounds=3)
    tiny_t5(num_layers=1, num_decoder_layers=1).save_pretrained(tmp_path / "t5")
    tiny_tokenizer().save_pretrained(tmp_path / "t5")
    sections = {
        "model": {"name": str(tmp_path / "t5"), "task": TASK},
        "algorithm": {"name": "maml", "inner_steps": 1, "inner_lr": 0.1, "order": 1},
        "data": {
            **{
                "corpus": "synthetic_persona_chat",
                "root": str(tmp_path / "data"),
                "max_length": 24,
                "max_support_rows": 6,
            },
            **{"shares": {"train": 0.6, "valid": 0.2, "test": 0.2}, "too_small": "drop", "max_context_tokens": 8},
        },
        "training": {**SINUSOID["training"], "max_steps": 2, "per_device_train_batch_size": 2},
        "metrics": ["loss"],
    }
    results = run_recipe(write_recipe(tmp_path, sections))
    assert results["episodes"]["count"] == 12, "six dialogues of each of two test personas"
    assert results["metrics"]["loss"]["tasks"] == 12
    assert 0 < results["metrics"]["loss"]["mean"] < 50
