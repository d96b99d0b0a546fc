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
PHOTO_CORPORA = ("mini_imagenet", "fine_grained", "image_folder")
DIALOGUE_CORPORA = ("persona_chat", "synthetic_persona_chat", "mojitalk")
FAMILIES = ("sinusoid", "function_families")
"""Endless families of regression tasks."""
CORPORA = (
    *INTENT_CORPORA,
    "clinc150_quickstart",
    "omniglot",
    *FAMILIES,
    *DIALOGUE_CORPORA,
    "tweet_eval_emoji",
    *PHOTO_CORPORA,
)
CLASSIFICATION = ("sequence-classification", "image-classification")
TEXT = ("sequence-classification", "causal-lm", "seq2seq-lm")
PARTS = ("train", "valid", "test")
ADAPTERS = {"lora": ("r", "alpha", "dropout"), "private_mlp": ("hidden_sizes", "last", "gate", "layers_to_transform")}
"""PEFT method -> the keys of `adapter` that it reads besides those that all read."""


@dataclass(kw_only=True)
class ModelSection:
    """`model`: which stock model is meta-trained.

    Args:
        name: hub id, folder, `package:<installed package>`, or a reference network (hfmeta-conv4, hfmeta-seq2spg, ...).
        task: task type, which chooses the Auto class.
        revision: branch, tag or commit on the hub.
        pooling: `mean`: the classification head reads the mean over tokens.
        config: fields of the model's configuration that replace what it has.
        from_scratch: take the configuration only and draw all weights from `training.seed`.
        dtype: of the weights, such as float32; the checkpoint's own when None.
        min_count: a reference network that reads text, and a folder without a tokenizer that starts from scratch, get a vocabulary
            of the training texts' words; how often one must occur.
        max_words: how many words that vocabulary keeps at most, the most frequent ones; None: all.
        trainable: regular expression; tensors whose name it does not find are frozen (None: all stay as they are).
    """

    name: str
    task: Literal["sequence-classification", "image-classification", "causal-lm", "seq2seq-lm", "regression"]
    revision: str | None = None
    pooling: Literal["mean"] | None = None
    config: dict[str, Any] = field(default_factory=dict)
    from_scratch: bool = False
    dtype: str | None = None
    min_count: int = 1
    max_words: int | None = None
    trainable: str | None = None


@dataclass(kw_only=True)
class AdapterSection:
    """`adapter`: a PEFT adapter put on the model; an empty section means none.

    Args:
        type: the PEFT method: `lora`, or `private_mlp` (a gated private perceptron beside each block).
        target_modules: ends of the names of the modules that get one; None: the method's choice for the architecture.
        train_head: also train the classification head (and adapt it, where `algorithm.adapt` lets it).
        r: rank (lora).
        alpha: scale; the adapter's output is multiplied by alpha / r. None: 2 r (lora).
        dropout: share of the adapter's inputs dropped; 0 keeps adaptation deterministic (lora).
        hidden_sizes: inner widths of the perceptron (private_mlp); cmaml thins the layers between the first and the last, so it needs
            two or more.
        last: what ends the perceptron (private_mlp).
        gate: form of the gate's logits: `diagonal`, three numbers for each feature, or `full`, as in the paper (private_mlp).
        layers_to_transform: indices of the blocks that get one; None: all (private_mlp).
    """

    type: Literal["lora", "private_mlp"]
    target_modules: list[str] | None = None
    train_head: bool = True
    r: int = 8
    alpha: float | None = None
    dropout: float = 0.0
    hidden_sizes: list[int] = field(default_factory=lambda: [64, 64])
    last: Literal["linear", "tanh"] = "linear"
    gate: Literal["diagonal", "full"] = "diagonal"
    layers_to_transform: list[int] | None = None

    @property
    def options(self) -> dict[str, Any]:
        """What the chosen method is told."""
        return {key: getattr(self, key) for key in ("target_modules", *ADAPTERS[self.type])}


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
        parts: `{train: <split>, valid: <split>, test: <split>}` of the dataset; None: its `train` split, divided by `shares`. For
            persona_chat, the first word of the files' names; None: train, valid and test.
        shares: share of the tasks that goes to train, valid and test; they sum to 1.
        root: folder of the corpus; None: the environment variable HFMETA_DATA.
        split: class split of an intent corpus (01 to 05), scheme of Omniglot (maml, lake, lake-minimal-1, lake-minimal-2), or a file
            that lists the classes of fine_grained by part; None: 01, maml, or drawn from `split_seed`.
        split_seed: seed of splits that are drawn.
        train_part: part of an intent corpus to train on: train, or train.10samples (10 sentences a class).
        valid_alphabets: alphabets taken from Lake's training part for validation.
        rotations: turn each class of an Omniglot episode by a random multiple of 90 degrees, in training and evaluation.
        test_rotations: the same in evaluation only; None: as `rotations`.
        official_runs: folder with Lake's run01 to run20 on Omniglot, which are then the test tasks.
        sets: which sets of fine_grained are used; None: all four. The classes of an episode are of one set.
        test_sets: which of them are tested; None: all of `sets`.
        image_size: pixels of a side; None: 28 (omniglot) or 84 (photographs).
        task_column: column that says whose task a row is.
        input_column: column the model reads.
        target_column: column it is to produce.
        label_column: column of classes, for N-way episodes.
        dialogue_column: column whose rows of one value (a dialogue, a session) are never divided over support and query; sizes
            then count its values. The query is another one at every training visit, the first one in validation, and in the
            test each one in turn. Named dialogue corpora have such a column (mojitalk: five folds of each emoji).
        n_way: classes per episode (C).
        k_shot: support rows per class; S = C k_shot.
        train_n_way: classes per training episode, at least `n_way`; None: `n_way`. More make harder episodes (Snell et al. 2017).
        train_k_shot: support rows per class of a training episode; None: `k_shot`.
        support: support rows per task (S) where episodes are not N-way; None: 8, or by dialogue all that are not the query.
        query: query rows: per class where episodes are N-way, else per task; None: 15, or 1 dialogue.
        noise_std: standard deviation of noise on the values to predict (function_families).
        sin_form: whether the offset of a sinusoid is added to the sine or inside it (function_families).
        test_support: support rows in evaluation; None: as `support`.
        test_query: query rows in evaluation; None: as `query`.
        max_support_rows: rows kept of a longer support set, where sizes count dialogues.
        max_query_rows: the same for the query set.
        too_small: tasks or classes with too few rows raise, are left out, or shrink.
        max_length: tokens kept of a text.
        personas: whose persona sentences the files of persona_chat have.
        wording: their wording.
        grouping: which dialogues are one user's: `shared` (descriptions with two sentences in common), `dialogue` (each its own; not
            for synthetic_persona_chat), or a file: `{train: map, valid: map, test: map}` for persona_chat, a CSV of persona ids
            for synthetic_persona_chat.
        min_dialogues: users of persona_chat with fewer dialogues are left out.
        max_dialogues_per_user: dialogues kept of a user, drawn from `split_seed`.
        test_users: which users of a persona corpus are tested: all, those whose persona sentences have most (similar) or least
            (dissimilar) words in common, or those of the validation part (validation), on whom options are chosen.
        test_users_count: how many these are.
        max_context_tokens: words kept of the turns before a reply, the last ones (`max_length` cuts at the tokenizer's side, which
            usually is the end of a text, and so the latest turns).
        max_context_turns: turns kept, the last ones.
        min_context_turns: replies after fewer turns are left out.
        separator: what stands between two turns of a context.
        with_persona: whether the persona's sentences stand in front of the context.
        placeholders: what happens to turns of synthetic_persona_chat with stand-ins such as [name].
        tokenise: lower-case, and spaces between words and punctuation, for models of words (synthetic_persona_chat).
        emoji_counts: emoji of each part of mojitalk; None: 50, 6 and 8.
        max_pairs: pairs kept of an emoji in training and validation (mojitalk).
        strict: raise at a line of a dialogue corpus that cannot be used, rather than count it.
        train_tasks: episodes in one epoch; None: the number of tasks, or 1,000 where they have no end.
        valid_tasks: fixed validation episodes; 0: none. By dialogue at most one a task.
        test_tasks: fixed test episodes. By dialogue at most one a dialogue and task.
        seed: seed of validation and test episodes; training episodes come from `training.data_seed`, else `training.seed`.
    """

    corpus: (
        Literal[
            "banking77",
            "clinc150",
            "clinc150_quickstart",
            "omniglot",
            "sinusoid",
            "function_families",
            "persona_chat",
            "synthetic_persona_chat",
            "mojitalk",
            "tweet_eval_emoji",
            "mini_imagenet",
            "fine_grained",
            "image_folder",
        ]
        | None
    ) = None
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
    official_runs: str | None = None
    sets: list[str] | None = None
    test_sets: list[str] | None = None
    image_size: int | None = None
    task_column: str | None = None
    input_column: str | None = None
    target_column: str | None = None
    label_column: str | None = None
    dialogue_column: str | None = None
    n_way: int = 5
    k_shot: int = 1
    train_n_way: int | None = None
    train_k_shot: int | None = None
    support: int | None = None
    query: int | None = None
    noise_std: float = 0.0
    sin_form: Literal["offset", "phase"] = "offset"
    test_support: int | None = None
    test_query: int | None = None
    max_support_rows: int | None = None
    max_query_rows: int | None = None
    too_small: Literal["error", "drop", "shrink"] = "error"
    max_length: int | None = None
    personas: Literal["self", "both", "other", "none"] = "self"
    wording: Literal["original", "revised"] = "original"
    grouping: str | dict[str, str] = "shared"
    min_dialogues: int = 2
    max_dialogues_per_user: int | None = None
    test_users: Literal["all", "similar", "dissimilar", "validation"] = "all"
    test_users_count: int = 5
    max_context_tokens: int | None = None
    max_context_turns: int | None = None
    min_context_turns: int = 0
    separator: str = " "
    with_persona: bool = False
    placeholders: Literal["mask", "drop", "keep"] = "mask"
    tokenise: bool = False
    emoji_counts: dict[str, int] | None = None
    max_pairs: int | None = 1000
    strict: bool = False
    train_tasks: int | None = None
    valid_tasks: int = 100
    test_tasks: int = 600
    seed: int = 0

    @property
    def by_label(self) -> bool:
        """Whether episodes are N-way by label."""
        by_task = (*FAMILIES, *DIALOGUE_CORPORA)
        return self.corpus not in by_task and (self.corpus is not None or self.label_column is not None)

    @property
    def group_column(self) -> str | None:
        """The column whose values are split over train, valid and test."""
        return self.label_column if self.by_label else self.task_column

    @property
    def columns(self) -> dict[str, str]:
        """Key of this section -> the column it names, for those that are set."""
        keys = ("task_column", "input_column", "target_column", "label_column", "dialogue_column")
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
