"""What the sections of a recipe may hold: one dataclass per section; every field is a key, every key is read somewhere.

`algorithm` is the dataclass that its name finds, and `training` is MetaConfig, so they are not repeated here. Reading YAML is in
`parsing.py`, what fits together is in `checks.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from hfmeta.algorithms.base import Algorithm

SECTIONS = ("model", "adapter", "algorithm", "data", "training", "metrics", "baselines")
INTENT_CORPORA = ("banking77", "clinc150")
CORPORA = (*INTENT_CORPORA, "clinc150_quickstart", "omniglot", "sinusoid")
CLASSIFICATION = ("sequence-classification", "image-classification")
TEXT = ("sequence-classification", "causal-lm", "seq2seq-lm")
PARTS = ("train", "valid", "test")


@dataclass(kw_only=True)
class ModelSection:
    """`model`: which stock model is meta-trained.

    Args:
        name: hub id, folder, `package:<installed package>`, or a reference network (hfmeta-conv4, hfmeta-mlp).
        task: task type, which chooses the Auto class.
        revision: branch, tag or commit on the hub.
        pooling: `mean`: the classification head reads the mean over tokens.
        config: fields of the model's configuration that replace what it has.
        from_scratch: take the configuration only and draw all weights from `training.seed`.
        dtype: of the weights, such as float32; the checkpoint's own when None.
        trainable: regular expression; tensors whose name it does not find are frozen (None: all stay as they are).
    """

    name: str
    task: Literal["sequence-classification", "image-classification", "causal-lm", "seq2seq-lm", "regression"]
    revision: str | None = None
    pooling: Literal["mean"] | None = None
    config: dict[str, Any] = field(default_factory=dict)
    from_scratch: bool = False
    dtype: str | None = None
    trainable: str | None = None


@dataclass(kw_only=True)
class AdapterSection:
    """`adapter`: a PEFT adapter put on the model; an empty section means none.

    Args:
        type: the PEFT method.
        r: rank.
        alpha: scale; the adapter's output is multiplied by alpha / r. None: 2 r.
        target_modules: names of the modules that get one; None: PEFT's choice for the architecture.
        dropout: share of the adapter's inputs dropped; 0 keeps adaptation deterministic.
        train_head: also train (and adapt) the classification head.
    """

    type: Literal["lora"]
    r: int = 8
    alpha: float | None = None
    target_modules: list[str] | None = None
    dropout: float = 0.0
    train_head: bool = True


@dataclass(kw_only=True)
class DataSection:
    """`data`: where rows come from, how they become episodes, and on which tasks a run is validated and tested.

    Args:
        corpus: a named corpus; or
        path: a .jsonl, .csv or .parquet file (relative to the working directory) whose tasks are split by `shares`, or
            `{train: file, valid: file, test: file}`; or
        dataset: hub id or folder for `datasets.load_dataset`.
        config: the dataset's configuration name.
        revision: the dataset's branch, tag or commit.
        parts: `{train: <split>, valid: <split>, test: <split>}` of the dataset; None: its `train` split, divided by `shares`.
        shares: share of the tasks that goes to train, valid and test; they sum to 1.
        root: folder of the corpus; None: the environment variable HFMETA_DATA.
        split: class split of an intent corpus (01 to 05), or scheme of Omniglot (maml, lake, lake-minimal-1, lake-minimal-2).
        split_seed: seed of splits that are drawn.
        train_part: part of an intent corpus to train on: train, or train.10samples (10 sentences a class).
        valid_alphabets: alphabets taken from Lake's training part for validation.
        rotations: turn each class of an Omniglot episode by a random multiple of 90 degrees, in training and evaluation.
        test_rotations: the same in evaluation only; None: as `rotations`.
        image_size: pixels of a side, Omniglot.
        task_column: column that says whose task a row is.
        input_column: column the model reads.
        target_column: column it is to produce.
        label_column: column of classes, for N-way episodes.
        n_way: classes per episode (C).
        k_shot: support rows per class; S = C k_shot.
        support: support rows per task (S) where episodes are not N-way.
        query: query rows: per class where episodes are N-way, else per task.
        test_support: support rows in evaluation; None: as `support`.
        test_query: query rows in evaluation; None: as `query`.
        too_small: tasks or classes with too few rows raise, are left out, or shrink.
        max_length: tokens kept of a text.
        train_tasks: episodes in one epoch; None: the number of tasks, or 1,000 where they have no end.
        valid_tasks: fixed validation episodes; 0: none.
        test_tasks: fixed test episodes.
        seed: seed of validation and test episodes; training episodes come from `training.data_seed`, else `training.seed`.
    """

    corpus: Literal["banking77", "clinc150", "clinc150_quickstart", "omniglot", "sinusoid"] | None = None
    path: str | dict[str, str] | None = None
    dataset: str | None = None
    config: str | None = None
    revision: str | None = None
    parts: dict[str, str] | None = None
    shares: dict[str, float] = field(default_factory=lambda: {"train": 0.8, "valid": 0.1, "test": 0.1})
    root: str | None = None
    split: str | int | None = None
    split_seed: int = 0
    train_part: Literal["train", "train.10samples"] = "train"
    valid_alphabets: int = 0
    rotations: bool = True
    test_rotations: bool | None = None
    image_size: int = 28
    task_column: str | None = None
    input_column: str | None = None
    target_column: str | None = None
    label_column: str | None = None
    n_way: int = 5
    k_shot: int = 1
    support: int = 8
    query: int = 15
    test_support: int | None = None
    test_query: int | None = None
    too_small: Literal["error", "drop", "shrink"] = "error"
    max_length: int | None = None
    train_tasks: int | None = None
    valid_tasks: int = 100
    test_tasks: int = 600
    seed: int = 0

    @property
    def by_label(self) -> bool:
        """Whether episodes are N-way by label."""
        return self.corpus != "sinusoid" and (self.corpus is not None or self.label_column is not None)

    @property
    def group_column(self) -> str | None:
        """The column whose values are split over train, valid and test."""
        return self.label_column if self.by_label else self.task_column

    @property
    def columns(self) -> dict[str, str]:
        """Key of this section -> the column it names, for those that are set."""
        keys = ("task_column", "input_column", "target_column", "label_column")
        return {key: value for key in keys if (value := getattr(self, key)) is not None}


@dataclass
class Recipe:
    """A checked recipe; see the sections for their keys.

    Args:
        source: the file it came from, or a word for where it came from.
        model: the `model` section.
        adapter: the `adapter` section; None for a model without adapter.
        algorithm: the algorithm with its options.
        algorithm_name: the name it was found by.
        data: the `data` section.
        training: keyword arguments of MetaConfig.
        metrics: names of metrics, the primary one first.
        baselines: name -> options.
        tree: the sections that were given, overrides applied and values converted; a recipe again when written as YAML.
    """

    source: str
    model: ModelSection
    adapter: AdapterSection | None
    algorithm: Algorithm
    algorithm_name: str
    data: DataSection
    training: dict[str, Any]
    metrics: list[str]
    baselines: dict[str, dict[str, Any]]
    tree: dict[str, Any]
