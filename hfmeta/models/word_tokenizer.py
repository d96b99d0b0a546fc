"""A word-level tokenizer made from texts, for models that are trained from scratch.

Here: the vocabulary and the tokenizer's files. Not here: vectors for its words (`word_vectors.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from hfmeta.inner.errors import HfmetaError

SPECIAL_TOKENS = {"unk_token": "<unk>", "pad_token": "<pad>", "eos_token": "</s>", "bos_token": "<sos>"}
"""The special tokens by their role in transformers; their ids are 0 to 3, in this order."""


def word_tokenizer(
    texts: Iterable[str], min_count: int = 1, max_size: int | None = None, lower: bool = False
) -> PreTrainedTokenizerFast:
    """A tokenizer whose tokens are the words of some texts: what stands between white space.

    It writes the end token after every text and decodes to words with single spaces between them. A word that it does not know
    becomes `<unk>`. Ids 0 to 3 are `<unk>`, `<pad>`, `</s>` and `<sos>`; words follow, the most frequent first, then by alphabet.
    `save_pretrained` writes files that `AutoTokenizer` opens.

    Args:
        texts: what the words are taken from; the training texts alone, if unknown words are to occur at test time.
        min_count: how often a word must occur.
        max_size: how many words are kept at most, besides the special tokens; None: all.
        lower: turn everything into lower case, in these texts and in those that are encoded.

    Raises:
        HfmetaError: a single string in place of texts, something that is no text, counts below 1, or no word at all.
    """
    for name, value in (("min_count", min_count), ("max_size", max_size)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise HfmetaError(f"{name}={value!r} is impossible for a vocabulary; give a whole number of at least 1.")
    if isinstance(texts, str):
        raise HfmetaError("word_tokenizer was given one string; give a list of texts, or any iterable of them.")
    special = list(SPECIAL_TOKENS.values())
    tokenizer = Tokenizer(models.WordLevel(unk_token=SPECIAL_TOKENS["unk_token"]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if lower:
        tokenizer.normalizer = normalizers.Lowercase()
    size = 2**31 - 1 if max_size is None else max_size + len(special)
    trainer = trainers.WordLevelTrainer(
        vocab_size=size, min_frequency=min_count, special_tokens=special, show_progress=False
    )
    tokenizer.train_from_iterator(_checked(texts, special), trainer)
    if tokenizer.get_vocab_size() == len(special):
        raise HfmetaError(
            f"no word is left for the vocabulary: the texts hold none that occurs {min_count} time(s) or more."
        )
    end = SPECIAL_TOKENS["eos_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {end}", pair=f"$A $B {end}", special_tokens=[(end, special.index(end))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, padding_side="right", clean_up_tokenization_spaces=False, **SPECIAL_TOKENS
    )


def _checked(texts: Iterable[str], special: list[str]) -> Iterator[str]:
    """The texts, without special tokens, which would be counted as words a second time."""
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise HfmetaError(f"text number {number} of a vocabulary is {type(text).__name__}; text was expected.")
        for token in special:
            text = text.replace(token, " ")
        yield text
