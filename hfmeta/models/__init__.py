"""Models: loading by name, mean pooling inside BERT, and the reference networks of the papers; importing registers the latter."""

from hfmeta.models.conv4 import Conv4Config, Conv4ForImageClassification
from hfmeta.models.heads import head_of, mixes_rows
from hfmeta.models.loading import AUTO_CLASSES, REFERENCE_MODELS, load_model, load_processing_class, task_type_of
from hfmeta.models.lstm_seq2seq import (
    LstmSeq2SeqConfig,
    LstmSeq2SeqForConditionalGeneration,
    Seq2SpgConfig,
    Seq2SpgForConditionalGeneration,
    SpeakerConfig,
    SpeakerForConditionalGeneration,
)
from hfmeta.models.mean_pooling import append_mean_pooling
from hfmeta.models.mlp import MlpConfig, MlpForRegression
from hfmeta.models.names import portable_name, resolve_name
from hfmeta.models.private_mlp import PrivateMlp
from hfmeta.models.word_tokenizer import word_tokenizer
from hfmeta.models.word_vectors import load_word_vectors

__all__ = [
    "AUTO_CLASSES",
    "REFERENCE_MODELS",
    "Conv4Config",
    "Conv4ForImageClassification",
    "LstmSeq2SeqConfig",
    "LstmSeq2SeqForConditionalGeneration",
    "MlpConfig",
    "MlpForRegression",
    "PrivateMlp",
    "Seq2SpgConfig",
    "Seq2SpgForConditionalGeneration",
    "SpeakerConfig",
    "SpeakerForConditionalGeneration",
    "append_mean_pooling",
    "head_of",
    "load_model",
    "load_processing_class",
    "load_word_vectors",
    "mixes_rows",
    "portable_name",
    "resolve_name",
    "task_type_of",
    "word_tokenizer",
]
