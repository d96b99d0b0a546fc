"""Checks of hfmeta/models/word_tokenizer.py."""

from __future__ import annotations

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from hfmeta.episodes import build_encoder
from hfmeta.inner.errors import HfmetaError
from hfmeta.models import LstmSeq2SeqConfig, word_tokenizer

TEXTS = ["hello , how are you ?", "i am fine . how are you ?", "Hello !"]


def words(tokenizer):
    """The vocabulary in the order of ids."""
    return sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)


def test_words_come_by_frequency_and_then_by_alphabet():
    tokenizer = word_tokenizer(TEXTS)
    special = ["<unk>", "<pad>", "</s>", "<sos>"]
    assert words(tokenizer) == [*special, "?", "are", "how", "you", "!", ",", ".", "Hello", "am", "fine", "hello", "i"]
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    assert words(word_tokenizer(reversed(TEXTS))) == words(tokenizer)
    config = LstmSeq2SeqConfig()
    for role in ("pad", "eos", "bos"):
        assert getattr(tokenizer, f"{role}_token_id") == getattr(config, f"{role}_token_id")
    assert config.decoder_start_token_id == tokenizer.bos_token_id


def test_texts_are_encoded_and_come_back_with_single_spaces():
    tokenizer = word_tokenizer(TEXTS)
    known = tokenizer.get_vocab()
    ids = tokenizer("how  are\t you today ?")["input_ids"]
    assert ids == [known["how"], known["are"], known["you"], 0, known["?"], 2]
    assert tokenizer.decode(ids) == "how are you <unk> ? </s>"
    assert tokenizer.decode([3, *ids, 1, 1], skip_special_tokens=True) == "how are you ?"
    assert tokenizer("")["input_ids"] == [2]
    assert tokenizer(text_target="fine .")["input_ids"] == [known["fine"], known["."], 2]
    assert tokenizer("fine", "you")["input_ids"] == [known["fine"], known["you"], 2]
    batch = tokenizer(["how", "how are you ?"], padding=True)
    assert batch["input_ids"][0] == [known["how"], 2, 1, 1, 1]
    assert batch["attention_mask"][0] == [1, 1, 0, 0, 0]
    cut = tokenizer("how are you ?", truncation=True, max_length=3)["input_ids"]
    assert cut == [known["how"], known["are"], 2]


def test_fewer_words():
    assert words(word_tokenizer(TEXTS, min_count=2))[4:] == ["?", "are", "how", "you"]
    assert words(word_tokenizer(TEXTS, max_size=3))[4:] == ["?", "are", "how"]
    lower = word_tokenizer(TEXTS, lower=True)
    assert words(lower)[4:10] == ["?", "are", "hello", "how", "you", "!"]
    assert lower("HELLO")["input_ids"] == lower("hello")["input_ids"] == [6, 2]
    assert word_tokenizer(TEXTS)("HELLO")["input_ids"] == [0, 2]


def test_special_tokens_in_texts_are_no_words():
    tokenizer = word_tokenizer(["a <pad> b", "</s>a<unk>", "<sos> <sos>"])
    assert words(tokenizer) == ["<unk>", "<pad>", "</s>", "<sos>", "a", "b"]


@pytest.mark.parametrize("lower", [True, False])
def test_save_and_open(lower, tmp_path):
    tokenizer = word_tokenizer(TEXTS, lower=lower)
    tokenizer.save_pretrained(tmp_path)
    LstmSeq2SeqConfig().save_pretrained(tmp_path)  # beside a model
    opened = AutoTokenizer.from_pretrained(tmp_path)
    assert opened.get_vocab() == tokenizer.get_vocab()
    text = "Hello , how are you ? x"
    assert opened(text)["input_ids"] == tokenizer(text)["input_ids"]
    ids = opened(text)["input_ids"]
    assert opened.decode(ids, skip_special_tokens=True) == ("hello" if lower else "Hello") + " , how are you ?"
    assert (opened.pad_token_id, opened.eos_token_id, opened.padding_side) == (1, 2, "right")


def test_it_serves_the_episodes():
    encoder = build_encoder(
        task_type="seq2seq-lm", input_column="source", target_column="target", processing_class=word_tokenizer(TEXTS)
    )
    rows = encoder.prepare({"source": ["how are you ?", "hello"], "target": ["fine .", ""]}, [0, 1])
    tensors = encoder.assemble(rows)
    assert tensors["labels"].tolist() == [[13, 10, 2], [2, -100, -100]]
    assert tensors["input_ids"].shape == (2, 5)


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        ("how are you", {}, "was given one string; give a list of texts"),
        (["a", None], {}, "text number 1 of a vocabulary is NoneType; text was expected"),
        ([], {}, r"no word is left for the vocabulary: the texts hold none that occurs 1 time\(s\) or more"),
        (["a b"], {"min_count": 2}, r"no word is left .* 2 time\(s\) or more"),
        (["a"], {"min_count": 0}, "min_count=0 is impossible for a vocabulary; give a whole number of at least 1"),
        (["a"], {"max_size": 1.5}, "max_size=1.5 is impossible"),
        (["a"], {"max_size": True}, "max_size=True is impossible"),
    ],
)
def test_what_makes_no_vocabulary_is_refused(texts, options, message):
    with pytest.raises(HfmetaError, match=message):
        word_tokenizer(texts, **options)
