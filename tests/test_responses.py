"""Replies of adapted models: one run for each episode, of the adapted values, with the rows they belong to."""

from __future__ import annotations

import pytest
import torch

from hfmeta.algorithms import Maml
from hfmeta.episodes import EpisodeDataset, FixedEpisodes
from hfmeta.inner.errors import HfmetaError
from hfmeta.learner import MetaLearner
from hfmeta.metrics import DifferenceSums, sequence_nll
from hfmeta.responses import Decoding, generate, respond, without_repeats
from invariants.cmaml_runs import USERS, rows
from tiny import tiny_bert, tiny_gpt2, tiny_lstm, tiny_tokenizer


def episodes(task_type="seq2seq-lm", count=6) -> FixedEpisodes:
    columns = {"task_column": "user", "input_column": "said", "target_column": "reply"}
    data = EpisodeDataset(rows(), **columns, support=3, query=2, processing_class=tiny_tokenizer(), task_type=task_type)
    return FixedEpisodes(data, count)


def learner_of(model, **options) -> MetaLearner:
    return MetaLearner(model, Maml(inner_lr=0.5, order=1, **options), processing_class=tiny_tokenizer())


def test_a_run_is_the_adapted_models_and_its_rows_are_the_query():
    learner, tests = learner_of(tiny_lstm()), episodes()
    sums = DifferenceSums(learner.model)
    runs = list(respond(learner, tests, decoding=Decoding(2, 4), observe=lambda task, model: sums.add(model)))
    assert len(runs) == 6
    assert {run.task for run in runs} == set(USERS)
    assert sums.result().models == len(USERS), "a task counts once, however many episodes it has"
    assert sums.result().delta > 0
    for index, run in enumerate(runs):
        adapted = learner.adapt(tests[index]["support"])
        query = tests[index]["query"]
        assert run.nll == sequence_nll(adapted, [query])[0]
        assert run.responses == generate(adapted, query, tiny_tokenizer(), Decoding(2, 4))
        assert [row["user"] for row in run.rows] == [run.task] * 2
        truth = tiny_tokenizer()([row["reply"] for row in run.rows])["input_ids"]
        for labels, ids in zip(query["labels"], truth, strict=True):
            kept = labels[labels != -100].tolist()
            assert kept[: len(ids)] == ids or kept == ids[: len(kept)]


def test_without_adaptation_the_learner_answers():
    learner, tests = learner_of(tiny_lstm()), episodes(count=4)
    for index, run in enumerate(respond(learner, tests, adapt=False, decoding=Decoding(1, 3))):
        assert run.nll == sequence_nll(learner.model, [tests[index]["query"]])[0]


def test_a_causal_model_continues_the_prompt_alone():
    model, tests = tiny_gpt2().eval(), episodes("causal-lm", count=1)
    query = tests[0]["query"]
    found = generate(model, query, tiny_tokenizer(), Decoding(1, 3))
    for row, text in enumerate(found):
        prompt = query["input_ids"][row][
            (query["labels"][row] == -100).long().cumprod(0).bool() & query["attention_mask"][row].bool()
        ]
        alone = model.generate(
            prompt[None], attention_mask=torch.ones_like(prompt[None]), max_new_tokens=3, do_sample=False
        )
        expected = tiny_tokenizer().decode(alone[0, len(prompt) :], skip_special_tokens=True).strip()
        assert text == expected


def test_a_classifier_is_refused():
    learner = MetaLearner(tiny_bert(), Maml(), processing_class=tiny_tokenizer())
    with pytest.raises(HfmetaError, match="this learner is sequence-classification"):
        next(respond(learner, episodes()))


def test_length_penalty_reaches_the_beam():
    """With the sum of log-probabilities no hypothesis beats a shorter one that is likelier: its score is the greater of the two."""
    learner, tests = learner_of(tiny_lstm()), episodes(count=1)
    query = tests[0]["query"]
    inputs = {name: query[name] for name in ("input_ids", "attention_mask")}
    for penalty in (0.0, 3.0):
        found = generate(learner.model, query, tiny_tokenizer(), Decoding(4, 6, length_penalty=penalty))
        own = learner.model.generate(**inputs, num_beams=4, max_new_tokens=6, do_sample=False, length_penalty=penalty)
        assert found == [text.strip() for text in tiny_tokenizer().batch_decode(own, skip_special_tokens=True)]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("a a a b", "a a b"),
        ("a b b b a", "a b a"),
        ("no no no i i run", "no no i run"),
        ("a  b", "a b"),
        ("", ""),
    ],
)
def test_repeats_are_dropped_from_the_third_word_on(said, kept):
    assert without_repeats(said) == kept


def test_clean_up_is_applied_to_replies():
    learner, tests = learner_of(tiny_lstm()), episodes(count=1)
    query = tests[0]["query"]
    plain = generate(learner.model, query, tiny_tokenizer(), Decoding(2, 6))
    clean = generate(learner.model, query, tiny_tokenizer(), Decoding(2, 6, drop_repeats=True))
    assert clean == [without_repeats(text) for text in plain]


def test_a_beam_of_no_width_is_refused():
    with pytest.raises(HfmetaError, match="num_beams=0 is impossible"):
        Decoding(num_beams=0)
