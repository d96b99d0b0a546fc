"""A checked recipe to the objects it names: model, adapter, episodes, learner, trainer. Nothing is trained or written here."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel, TrainerCallback

from hfmeta.adapters import attach_lora, attach_private_mlp
from hfmeta.config import MetaConfig
from hfmeta.episodes import Encoder, build_encoder
from hfmeta.inner.errors import HfmetaError
from hfmeta.learner import MetaLearner
from hfmeta.models import head_of, load_model, load_processing_class
from hfmeta.models.lstm_seq2seq import SpeakerConfig
from hfmeta.recipe.data import Episodes, build_episodes, load_tables
from hfmeta.recipe.schema import CLASSIFICATION, Recipe
from hfmeta.recipe.words import needs_words, words_of
from hfmeta.trainer import MetaTrainer


@dataclass(frozen=True)
class Build:
    """What a run needs, made from a recipe.

    Args:
        recipe: the recipe.
        args: the outer loop's arguments.
        episodes: training, validation and test episodes.
        new_model: makes the model as it is before meta-training; equal at every call.
        learner: model and algorithm.
    """

    recipe: Recipe
    args: MetaConfig
    episodes: Episodes
    new_model: Callable[[], Any]
    learner: MetaLearner

    def trainer(self, callbacks: list[TrainerCallback] | None = None) -> MetaTrainer:
        """The trainer; making it creates the output folder, so it comes after everything that can be refused.

        Args:
            callbacks: further callbacks.
        """
        return MetaTrainer(
            self.learner,
            self.args,
            train_dataset=self.episodes.train,
            eval_dataset=self.episodes.valid,
            processing_class=self.learner.processing_class,
            callbacks=callbacks,
        )


def build(recipe: Recipe) -> Build:
    """Load data and model, make the learner, and try one episode, so that what cannot work is refused before anything is written.

    Args:
        recipe: a checked recipe.

    Raises:
        HfmetaError: data or a model that the recipe names and that do not fit it.
    """
    args = training_arguments(recipe)
    section = recipe.model
    tables = None
    if needs_words(recipe):
        tables = load_tables(recipe.data, section.task)
        processing_class = words_of(recipe, tables)
    else:
        processing_class = load_processing_class(section.name, section.task, revision=section.revision)
    train_seed = args.seed if args.data_seed is None else args.data_seed
    episodes = build_episodes(recipe.data, section.task, processing_class, train_seed, tables)
    num_labels = episodes.num_labels
    speakers = len(episodes.split["train"]) if episodes.split is not None else None

    def new_model() -> Any:
        return build_model(recipe, num_labels, args.seed, processing_class, speakers)

    head = num_labels
    if recipe.data.by_label and recipe.data.train_n_way not in (None, num_labels):
        if recipe.algorithm.head == "shared":
            raise HfmetaError(
                f"data.train_n_way={recipe.data.train_n_way} with n_way={num_labels} needs a head that each task makes itself: "
                'algorithm.head=prototype or zero, not "shared".'
            )
        head = max(int(num_labels or 0), int(recipe.data.train_n_way or 0))
    model = build_model(recipe, head, args.seed, processing_class, speakers)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(args.seed)  # what a rule or an init draws
        learner = MetaLearner(
            model,
            recipe.algorithm,
            processing_class=processing_class,
            encoder=episodes.train.encoder or _encoder_of_family(section.task),
            info=learner_info(recipe, episodes),
        )
    built = Build(recipe, args, episodes, new_model, learner)
    _try_one_episode(built)
    return built


def training_arguments(recipe: Recipe, **changes: Any) -> MetaConfig:
    """The `training` section as the Trainer's arguments.

    Args:
        recipe: a checked recipe.
        changes: fields set over the recipe's.
    """
    return MetaConfig(**{**recipe.training, **changes})


def build_model(
    recipe: Recipe, num_labels: int | None, seed: int, processing_class: Any = None, speakers: int | None = None
) -> Any:
    """The stock model, with the adapter where the recipe has one.

    Args:
        recipe: a checked recipe.
        num_labels: classes of the head (C); None outside classification.
        seed: draws what is not loaded: a head, an adapter, or all weights.
        processing_class: the tokenizer, whose size a network's vocabulary has that was made for it.
        speakers: training tasks, where they are counted: the rows of a table of speakers.

    Raises:
        HfmetaError: a model that cannot be loaded or does not serve the task type; a pattern that trains nothing.
    """
    section = recipe.model
    config = dict(section.config)
    if needs_words(recipe) and processing_class is not None:
        config["vocab_size"] = len(processing_class)
    if section.name == SpeakerConfig.model_type and speakers is not None:
        config.setdefault("num_speakers", speakers)
    model = load_model(
        section.name,
        section.task,
        num_labels=num_labels if section.task in CLASSIFICATION else None,
        pooling=section.pooling,
        revision=section.revision,
        config_overrides=config,
        from_scratch=section.from_scratch,
        seed=seed,
        torch_dtype=section.dtype,
    )
    if recipe.adapter is not None:
        adapter = recipe.adapter
        head = head_of(model)[0] if adapter.train_head and section.task in CLASSIFICATION else None
        attach = attach_lora if adapter.type == "lora" else attach_private_mlp
        return attach(model, section.task, head=head, seed=seed, **adapter.options)
    if section.trainable is not None:
        _freeze_others(model, section.trainable)
    return model


def learner_info(recipe: Recipe, episodes: Episodes) -> dict[str, Any]:
    """What a checkpoint carries so that `hfmeta evaluate` and `adapt` run on their own.

    Args:
        recipe: the recipe.
        episodes: its episodes.
    """
    tree = recipe.tree
    return {
        "recipe": recipe.source,
        "model": {**tree["model"], "num_labels": episodes.num_labels},
        "adapter": tree.get("adapter") or {},
        "data": tree["data"],
        "metrics": recipe.metrics,
        "baselines": tree.get("baselines") or [],
        "split": {"seed": recipe.data.split_seed, "sha256": episodes.split_sha256},
        "seed": recipe.training.get("seed", MetaConfig.seed),
    }


def _encoder_of_family(task: str) -> Encoder | None:
    """What reads rows for `adapt` where training episodes came from a family without a table: columns x and y."""
    return build_encoder(task, input_column="x", target_column="y") if task == "regression" else None


def _freeze_others(model: PreTrainedModel, pattern: str) -> None:
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise HfmetaError(f"model.trainable={pattern!r} is no regular expression: {error}.") from error
    names = [name for name, _ in model.named_parameters()]
    if not any(wanted.search(name) for name in names):
        raise HfmetaError(
            f"model.trainable={pattern!r} matches no tensor of {type(model).__name__}; the first of {len(names)}: "
            f"{', '.join(names[:5])}."
        )
    for name, value in model.named_parameters():
        value.requires_grad_(bool(wanted.search(name)))


def _try_one_episode(built: Build) -> None:
    """Make one episode of each part: rows that cannot be encoded are found here rather than in the middle of a run."""
    episodes = built.episodes
    for part in (episodes.train, episodes.valid, episodes.test):
        if part is not None:
            part[0]
