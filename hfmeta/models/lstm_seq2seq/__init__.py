"""LSTM sequence-to-sequence models with attention: Seq2seq, Seq2SPG and Seq2SP'G, Speaker; importing registers them."""

from hfmeta.models.lstm_seq2seq.config import LstmSeq2SeqConfig, Seq2SpgConfig, SpeakerConfig
from hfmeta.models.lstm_seq2seq.decoder import DecoderState
from hfmeta.models.lstm_seq2seq.encoder import LstmEncoderOutput
from hfmeta.models.lstm_seq2seq.model import (
    LstmSeq2SeqForConditionalGeneration,
    Seq2SpgForConditionalGeneration,
    SpeakerForConditionalGeneration,
)

__all__ = [
    "DecoderState",
    "LstmEncoderOutput",
    "LstmSeq2SeqConfig",
    "LstmSeq2SeqForConditionalGeneration",
    "Seq2SpgConfig",
    "Seq2SpgForConditionalGeneration",
    "SpeakerConfig",
    "SpeakerForConditionalGeneration",
]
