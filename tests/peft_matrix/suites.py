"""PEFT's own test classes, given PRIVATE_MLP for a method; run by test_matrix.py inside PEFT's source distribution,
never by itself.

PEFT parametrises its tests by lists of configurations. Here every list is changed in place, before pytest collects the
classes: cases of LoRA become cases of PRIVATE_MLP where the target is a linear layer or a model's blocks, and all
    others are dropped. What is left without
one of our configurations is a test of another method and is deselected.
"""

from __future__ import annotations

import inspect
import json
import os
from pathlib import Path
from typing import Any

import peft.tuners.lora.model
import pytest
from peft import LoraConfig, PeftConfig
from torch import nn

import hfmeta  # noqa: F401  (registers the method)
from hfmeta.adapters.private_mlp import PrivateMlpConfig
from hfmeta.adapters.private_mlp.targets import DEFAULT_TARGETS
from hfmeta.models.private_mlp import PrivateMlp
from tests import (
    test_config,
    test_custom_models,
    test_decoder_models,
    test_encoder_decoder_models,
    test_feature_extraction_models,
    test_seq_classifier,
    test_token_classification_qa,
    testing_common,
)

MODELS: dict[str, list[str]] = json.loads(Path(os.environ["PRIVATE_MLP_MODELS"]).read_text(encoding="utf-8"))
LINEAR = {"lin0", "lin1"}
COMMON = {"target_modules", "modules_to_save", "exclude_modules", "layers_to_transform", "task_type", "inference_mode"}


class MlpWithPrivate(test_custom_models.MLP):
    """PEFT's MLP with a private module of its own, for adapters that stand in for it."""

    def __init__(self) -> None:
        super().__init__()
        self.lin0 = nn.Sequential(nn.Linear(10, 20), PrivateMlp([20, 12, 20], last="tanh"))


test_custom_models.MLP2 = MlpWithPrivate
test_custom_models.TEST_CASES[:] = [
    (f"Vanilla MLP {number} PrivateMlp", "MLP", PrivateMlpConfig, options)
    for number, options in enumerate(
        [
            {"target_modules": "lin0"},
            {"target_modules": ["lin0"]},
            {"target_modules": ["lin1"]},
            {"target_modules": ["lin0", "lin1"]},
            {"target_modules": ["lin0"], "modules_to_save": ["lin1"]},
            {"target_modules": ["lin0"], "hidden_sizes": [8, 4], "last": "tanh"},
            {"target_modules": ["lin0"], "gate": "full"},
            {"target_modules": ["lin0", "lin1"], "sparse": True},
        ],
        1,
    )
] + [
    ("Private module 1", "MLP2", PrivateMlpConfig, {"target_modules": ["lin0.1"]}),
    ("Private module 2", "MLP2", PrivateMlpConfig, {"target_modules": ["lin0.1", "lin1"], "sparse": True}),
]
# The tests of default targets patch LoRA's table; here they patch ours.
peft.tuners.lora.model.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING = DEFAULT_TARGETS
test_config.PEFT_MODELS_TO_TEST[:] = [(MODELS["adapter"][0], "main")]
test_custom_models.ALL_PEFT_CONFIG_CLASSES[:] = [PrivateMlpConfig]
test_custom_models.MULTIPLE_ACTIVE_ADAPTERS_TEST_CASES[:] = [
    ("PrivateMlp Same", "private_mlp", PrivateMlpConfig, *[{"target_modules": ["lin0"], "init_weights": False}] * 2),
    (
        "PrivateMlp Different",
        "private_mlp",
        PrivateMlpConfig,
        {"target_modules": ["lin0"], "init_weights": False},
        {"target_modules": ["lin1"], "init_weights": False},
    ),
]
for module, models, task in (
    (test_decoder_models, test_decoder_models.PEFT_DECODER_MODELS_TO_TEST, "CAUSAL_LM"),
    (test_encoder_decoder_models, test_encoder_decoder_models.PEFT_ENCODER_DECODER_MODELS_TO_TEST, "SEQ_2_SEQ_LM"),
    (
        test_feature_extraction_models,
        test_feature_extraction_models.PEFT_FEATURE_EXTRACTION_MODELS_TO_TEST,
        "FEATURE_EXTRACTION",
    ),
    (test_seq_classifier, test_seq_classifier.PEFT_SEQ_CLS_MODELS_TO_TEST, "SEQ_CLS"),
):
    models[:] = MODELS[task]
    module.ALL_CONFIGS[:] = [
        (PrivateMlpConfig, {"task_type": task}),
        (PrivateMlpConfig, {"task_type": task, "hidden_sizes": [24, 16], "gate": "full"}),
    ]
test_decoder_models.SMALL_GRID_MODELS[:] = MODELS["CAUSAL_LM"]
test_token_classification_qa.PEFT_TOKEN_CLS_MODELS_TO_TEST[:] = MODELS["TOKEN_CLS"]
test_token_classification_qa.TOKEN_CLS_CONFIGS[:] = [(PrivateMlpConfig, {"task_type": "TOKEN_CLS"})]
test_token_classification_qa.QA_CONFIGS[:] = [(PrivateMlpConfig, {"task_type": "QUESTION_ANS"})]


def _skip_merging(model_id: str, config_cls: type, config_kwargs: dict[str, Any]) -> None:
    pytest.skip("merging: a private adapter is not linear and refuses")


# It means to leave other methods alone and skips them all on Llama.
test_decoder_models.check_beft_config = lambda config_cls, model_id, config_kwargs: None


def _ours(value: Any) -> Any:
    """LoRA's configuration, class or object, as ours; None where there is no like of it."""
    if value is LoraConfig:
        return PrivateMlpConfig
    if isinstance(value, PrivateMlpConfig) or value is PrivateMlpConfig:
        return value
    targets = value.target_modules if isinstance(value, LoraConfig) else None
    if not isinstance(targets, set | list) or not set(targets) <= LINEAR or value.use_dora:
        return None
    options = {name: getattr(value, name) for name in COMMON}
    return PrivateMlpConfig(**{**options, "target_modules": sorted(targets)}, init_weights=False)


def _rewrite(rows: Any) -> list[Any]:
    """A list of parameters with the cases of LoRA made ours and those of other methods dropped."""
    kept = []
    for row in rows:
        if hasattr(row, "values") and hasattr(row, "marks"):  # pytest.param
            row = row.values if len(row.values) > 1 else row.values[0]
        parts = list(row) if isinstance(row, tuple) else [row]
        configs = [
            index
            for index, part in enumerate(parts)
            if isinstance(part, PeftConfig) or (inspect.isclass(part) and issubclass(part, PeftConfig))
        ]
        for index in configs:
            parts[index] = _ours(parts[index])
        if all(parts[index] is not None for index in configs):
            kept.append(tuple(parts) if isinstance(row, tuple) else parts[0])
    return list(dict.fromkeys(kept)) if all(inspect.isclass(part) for part in kept) else kept


def _adopt(owner: type) -> type:
    for name, function in inspect.getmembers(owner, inspect.isfunction):
        marks = getattr(function, "pytestmark", [])
        if name.startswith("test") and marks:
            function.pytestmark = [
                pytest.mark.parametrize(mark.args[0], _rewrite(mark.args[1])).mark
                if mark.name == "parametrize" and isinstance(mark.args[1], list | tuple)
                else mark
                for mark in marks
            ]
    return owner


for module in (testing_common, test_custom_models, test_decoder_models, test_encoder_decoder_models):
    module._skip_if_merging_not_supported = _skip_merging

TestConfig = _adopt(test_config.TestPeftConfig)
TestCustomModel = _adopt(test_custom_models.TestPeftCustomModel)
TestMultipleActiveAdapters = _adopt(test_custom_models.TestMultipleActiveAdapters)
TestRequiresGrad = _adopt(test_custom_models.TestRequiresGrad)
TestMixedAdapterBatches = _adopt(test_custom_models.TestMixedAdapterBatches)
TestDefaultTargetModules = _adopt(test_custom_models.TestDefaultTargetModules)
TestFsdpStateDict = _adopt(test_custom_models.TestPeftFsdpStateDict)
TestDecoder = _adopt(test_decoder_models.TestDecoderModels)
TestEncoderDecoder = _adopt(test_encoder_decoder_models.TestEncoderDecoderModels)
TestFeatureExtraction = _adopt(test_feature_extraction_models.TestPeftFeatureExtractionModel)
TestSequenceClassification = _adopt(test_seq_classifier.TestSequenceClassificationModels)
TestTokenClassification = _adopt(test_token_classification_qa.TestTokenClassificationModels)
TestQuestionAnswering = _adopt(test_token_classification_qa.TestQuestionAnsweringModels)
