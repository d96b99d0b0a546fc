"""`generate` of the LSTM models: greedy, beam and sampling, with the decoder's state carried along and without."""

from __future__ import annotations

import pytest
import torch

from tiny import random_batch, tiny_lstm

NAMES = ["hfmeta-lstm-seq2seq", "hfmeta-seq2spg", "hfmeta-speaker"]
END, START, STEPS = 3, 2, 7


def sources(extra=0):
    batch = random_batch("seq2seq-lm", S=4)["support"]
    ids, mask = batch["input_ids"][0], batch["attention_mask"][0]
    return {
        "input_ids": torch.nn.functional.pad(ids, (extra, 0), value=9),
        "attention_mask": torch.nn.functional.pad(mask, (extra, 0)),
    }


def talkative(name="hfmeta-seq2spg", end=None):
    """A model in double of large weights: its rows differ in words and in length.

    Args:
        end: the score of the end token; None: one with which rows end at different steps.
    """
    seed, bias = {"hfmeta-seq2spg": (4, 7.5)}.get(name, (1, 3.5))
    options = {"num_speakers": 3} if name == "hfmeta-speaker" else {}
    model = tiny_lstm(name, seed=seed, dtype=torch.float64, **options)
    with torch.no_grad():
        for value in model.parameters():
            value.mul_(5)
        model.lm_head.bias.zero_()
        model.lm_head.bias[END] = bias if end is None else end
    return model


def words(row):
    """A generated row up to its end token: what follows is padding."""
    tokens = row.tolist()
    return tokens[: tokens.index(END) + 1] if END in tokens else tokens


def log_probabilities(model, ids, mask, prefix):
    """Of every token after a prefix, from the start and without any carried state."""
    with torch.no_grad():
        logits = model(ids, mask, decoder_input_ids=torch.tensor([prefix]), use_cache=False).logits
    return logits[0, -1].log_softmax(-1)


def beam_search(model, ids, mask, width, steps):
    """The best token sequence by sum of log-probabilities: a plain beam search that reads every prefix anew."""
    running, ended = [(0.0, [START])], []
    for step in range(steps):
        options = []
        for score, prefix in running:
            found = log_probabilities(model, ids, mask, prefix)
            options += [(score + found[token].item(), [*prefix, token]) for token in range(len(found))]
        options.sort(key=lambda option: -option[0])
        running = []
        for rank, (score, prefix) in enumerate(options[: 2 * width]):
            if prefix[-1] == END or step == steps - 1:
                ended += [(score, prefix)] if rank < width else []
            else:
                running.append((score, prefix))
        running = running[:width]
    return max(ended)


@pytest.mark.parametrize("name", NAMES)
def test_greedy_is_the_most_likely_token_after_every_prefix(name):
    model, given = talkative(name), sources()
    found = model.generate(**given, do_sample=False, num_beams=1, max_new_tokens=STEPS)
    for row in range(4):
        prefix = [START]
        while len(prefix) <= STEPS and prefix[-1] != END:
            after = log_probabilities(model, given["input_ids"][[row]], given["attention_mask"][[row]], prefix)
            prefix.append(int(after.argmax()))
        assert words(found[row]) == prefix
    assert len({len(words(row)) for row in found}) > 2
    assert len(set(found.flatten().tolist())) > 6


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [2, 5])
def test_beam_search_is_that_of_prefixes_read_anew(name, width):
    model, given = talkative(name), sources()
    options = {"num_beams": width, "do_sample": False, "max_new_tokens": STEPS, "length_penalty": 0.0}
    found = model.generate(**given, **options, return_dict_in_generate=True, output_scores=True)
    for row in range(4):
        score, expected = beam_search(model, given["input_ids"][[row]], given["attention_mask"][[row]], width, STEPS)
        assert words(found.sequences[row]) == expected
        assert found.sequences_scores[row].item() == pytest.approx(score, rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "options",
    [
        {"do_sample": False},
        {"do_sample": False, "num_beams": 5, "num_return_sequences": 3},
        {"do_sample": True, "temperature": 1.5},
        {"do_sample": True, "num_beams": 3},
        {"do_sample": True, "top_k": 5, "num_return_sequences": 2},
    ],
)
def test_the_carried_state_changes_nothing(name, options):
    model, given = talkative(name), sources()
    found = []
    for use_cache in (True, False):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            found.append(model.generate(**given, **options, use_cache=use_cache, max_new_tokens=STEPS))
    assert torch.equal(*found)
    assert found[0].shape[0] == 4 * options.get("num_return_sequences", 1)


def test_every_token_costs_one_step():
    model, given = talkative(end=-100.0), sources()
    steps, reads = [], []
    model.decoder.attention.register_forward_hook(lambda module, given, output: steps.append(len(given[0])))
    model.encoder.register_forward_hook(lambda module, given, output: reads.append(1))
    model.generate(**given, do_sample=False, num_beams=3, max_new_tokens=STEPS)
    assert steps == [12] * STEPS
    assert len(reads) == 1


@pytest.mark.parametrize("width", [1, 4])
def test_what_is_generated_for_a_row_does_not_depend_on_its_batch(width):
    model, given = talkative(), sources()
    options = {"do_sample": False, "num_beams": width, "max_new_tokens": STEPS}
    found = model.generate(**given, **options)
    assert torch.equal(model.generate(**sources(extra=5), **options), found)
    for row in range(4):
        length = int(given["attention_mask"][row].sum())
        assert words(model.generate(given["input_ids"][[row], :length], **options)[0]) == words(found[row])


def test_speakers_are_carried_through_beams():
    model, given = talkative("hfmeta-speaker"), sources()
    ids = torch.tensor([0, 2, -1, 1])
    options = {"do_sample": False, "num_beams": 3, "max_new_tokens": STEPS}
    found = model.generate(**given, speaker_ids=ids, **options)
    for row in range(4):
        one = {name: value[[row]] for name, value in given.items()}
        assert words(model.generate(**one, speaker_ids=ids[[row]], **options)[0]) == words(found[row])
    assert not torch.equal(found, model.generate(**given, speaker_ids=ids.flip(0), **options))


def test_a_beginning_is_continued():
    model, given = talkative(end=-100.0), sources()
    begun = torch.tensor([[START, 8, 9]]).expand(4, -1)
    found = model.generate(**given, decoder_input_ids=begun, do_sample=False, max_new_tokens=4)
    assert torch.equal(found[:, :3], begun)
    same = model.generate(**given, decoder_input_ids=begun, do_sample=False, max_new_tokens=4, use_cache=False)
    assert torch.equal(found, same)


def test_the_state_continues_a_text_and_is_left_as_it_is():
    model, given = talkative(), sources()
    tokens = torch.tensor([[START, 8, 9, 7]]).expand(4, -1)
    with torch.no_grad():
        whole = model(**given, decoder_input_ids=tokens)
        first = model(**given, decoder_input_ids=tokens[:, :2])
        state = first.past_key_values
        before = state.state.clone()
        for _ in range(2):
            rest = model(**given, decoder_input_ids=tokens[:, 2:], past_key_values=state)
            torch.testing.assert_close(rest.logits, whole.logits[:, 2:])
        assert torch.equal(state.state, before)
    assert (state.get_seq_length(), rest.past_key_values.get_seq_length()) == (2, 4)
    state.reorder_cache(torch.tensor([3, 3, 0, 1]))
    assert torch.equal(state.state, before[[3, 3, 0, 1]])


def test_assisted_generation_is_refused_by_transformers():
    model = talkative()
    with pytest.raises(ValueError, match="assisted generation is not supported with stateful models"):
        model.generate(**sources(), assistant_model=talkative(), do_sample=False, max_new_tokens=3)
