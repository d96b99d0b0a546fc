"""Configurations of the LSTM sequence-to-sequence models: Seq2seq, Seq2SPG and Seq2SP'G, Speaker.

Here: their fields, sizes that follow from others, and what is refused. Not here: the networks (`encoder.py`, `decoder.py`,
`model.py`).
"""

from __future__ import annotations

from transformers import AutoConfig, PreTrainedConfig

from hfmeta.inner.errors import HfmetaError
from hfmeta.models.private_mlp import check_private_sizes

PRIVATE_INITS = ("default", "kaiming")
PRIVATE_INPUTS = ("embedding_and_state", "state")


class LstmSeq2SeqConfig(PreTrainedConfig):
    """Configuration of `LstmSeq2SeqForConditionalGeneration`; the defaults are the sizes of Song et al. 2020 (arXiv 1910.14326).

    Args:
        vocab_size: tokens of the vocabulary (V), its special tokens included.
        embedding_size: width of a token's embedding (E).
        hidden_size: width of all states (H).
        encoder_layers: LSTM layers of the encoder; the decoder has one cell.
        dropout: share of the outputs dropped between layers of the encoder, in training only.
        tie_word_embeddings: one matrix serves as embedding and as output projection; needs embedding_size = hidden_size.
        embedding_std: embeddings start from a normal of this standard deviation.
        use_cache: `generate` carries the decoder's state from step to step.

    Raises:
        HfmetaError: a size below 1, a dropout outside of [0, 1), or tied embeddings of another width than the states.
    """

    model_type = "hfmeta-lstm-seq2seq"
    keys_to_ignore_at_inference = ["past_key_values"]
    attribute_map = {"num_hidden_layers": "encoder_layers"}

    vocab_size: int = 20_000
    embedding_size: int = 300
    hidden_size: int = 300
    encoder_layers: int = 4
    dropout: float = 0.2
    tie_word_embeddings: bool = True
    embedding_std: float = 0.01
    use_cache: bool = True
    is_encoder_decoder: bool = True
    pad_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    bos_token_id: int | None = 3
    decoder_start_token_id: int | None = 3

    def __post_init__(self, **kwargs: object) -> None:
        for key in ("vocab_size", "embedding_size", "hidden_size", "encoder_layers"):
            if getattr(self, key) < 1:
                raise HfmetaError(f"{key}={getattr(self, key)} is impossible; it must be at least 1.")
        if not 0 <= self.dropout < 1:
            raise HfmetaError(f"dropout={self.dropout} is impossible; it must be at least 0 and below 1.")
        if self.tie_word_embeddings and self.embedding_size != self.hidden_size:
            raise HfmetaError(
                f"embedding_size={self.embedding_size} and hidden_size={self.hidden_size} differ, so the output projection cannot be "
                "the embedding: make them equal, or set tie_word_embeddings=false."
            )
        super().__post_init__(**kwargs)


class Seq2SpgConfig(LstmSeq2SeqConfig):
    """Configuration of `Seq2SpgForConditionalGeneration`: Seq2SPG, and with `private_input="state"` Seq2SP'G.

    Args:
        private_input: what the private network reads at a step: the token's embedding and the decoder's previous output
            (`embedding_and_state`, Seq2SPG), or the latter alone (`state`, Seq2SP'G).
        private_sizes: widths of the private network from input to output; None: the paper's, in proportion to H (600, 600, 500, 400,
            300 for Seq2SPG and 300, 300, 200, 100, 300 for Seq2SP'G at E = H = 300).
        private_init: how its weights are drawn: `default` (the framework's, as in the reference code; after some training in common
            its gradient is a thousandth of the gate's, and users hardly differ in it) or `kaiming` (He et al. 2015).

    Raises:
        HfmetaError: as `LstmSeq2SeqConfig`; an unknown `private_input` or `private_init`; widths that do not begin or end as the
            network around them.
    """

    model_type = "hfmeta-seq2spg"

    private_input: str = "embedding_and_state"
    private_sizes: list[int] | tuple[int, ...] | None = None
    private_init: str = "default"

    def __post_init__(self, **kwargs: object) -> None:
        super().__post_init__(**kwargs)
        if self.private_input not in PRIVATE_INPUTS:
            raise HfmetaError(
                f"private_input={self.private_input!r} is not known; choose one of {', '.join(PRIVATE_INPUTS)}."
            )
        if self.private_init not in PRIVATE_INITS:
            raise HfmetaError(
                f"private_init={self.private_init!r} is not known; choose one of {', '.join(PRIVATE_INITS)}."
            )
        if self.private_sizes is None:
            return
        self.private_sizes = list(self.private_sizes)
        check_private_sizes(self.private_sizes)
        ends = (self.private_sizes[0], self.private_sizes[-1])
        if ends != (self.private_input_size, self.hidden_size):
            raise HfmetaError(
                f"private_sizes={self.private_sizes} do not fit: with private_input={self.private_input!r} they must begin with "
                f"{self.private_input_size} and end with {self.hidden_size}."
            )

    @property
    def private_input_size(self) -> int:
        """Width of what the private network reads: E + H or H."""
        return self.hidden_size + (self.embedding_size if self.private_input == "embedding_and_state" else 0)

    @property
    def private_widths(self) -> list[int]:
        """`private_sizes`, or the paper's in proportion to H."""
        if self.private_sizes is not None:
            return list(self.private_sizes)
        thirds = (6, 5, 4) if self.private_input == "embedding_and_state" else (3, 2, 1)
        inside = [max(1, round(self.hidden_size * share / 3)) for share in thirds]
        return [self.private_input_size, *inside, self.hidden_size]


class SpeakerConfig(LstmSeq2SeqConfig):
    """Configuration of `SpeakerForConditionalGeneration`.

    Args:
        num_speakers: rows of the speaker table: one for every speaker of the training data, and no more, since an unseen speaker
            starts from the mean of all rows.
        speaker_size: width of a speaker's vector.

    Raises:
        HfmetaError: as `LstmSeq2SeqConfig`.
    """

    model_type = "hfmeta-speaker"

    num_speakers: int = 1
    speaker_size: int = 64

    def __post_init__(self, **kwargs: object) -> None:
        for key in ("num_speakers", "speaker_size"):
            if getattr(self, key) < 1:
                raise HfmetaError(f"{key}={getattr(self, key)} is impossible; it must be at least 1.")
        super().__post_init__(**kwargs)


for _config in (LstmSeq2SeqConfig, Seq2SpgConfig, SpeakerConfig):
    AutoConfig.register(_config.model_type, _config, exist_ok=True)
