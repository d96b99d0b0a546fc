"""Adapt a saved learner to the rows of one file and save the stock model that results: what `hfmeta adapt` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hfmeta.inner.errors import HfmetaError
from hfmeta.learner import MetaLearner
from hfmeta.models import AUTO_CLASSES
from hfmeta.recipe.evaluating import with_steps
from hfmeta.recipe.rows import check_readable, read_rows


def adapt_checkpoint(
    name: str,
    support: str | Path,
    output: str | Path,
    *,
    steps: int | None = None,
    revision: str | None = None,
    subfolder: str | None = None,
) -> dict[str, Any]:
    """Adapt to a file of support rows and write the adapted model as a stock folder.

    Args:
        name: folder or hub id of a learner.
        support: a .jsonl, .csv or .parquet file with the recipe's columns.
        output: the folder to write; it must be absent or empty.
        steps: inner steps, in place of the learner's own number.
        revision: branch, tag or commit on the hub.
        subfolder: where in the repository, or in the folder, the learner is.

    Returns:
        `rows` (S), `steps` (K), `classes` (names in the order of the model's outputs, or None), `output`, and `open`, the Python
        expression that opens the result.

    Raises:
        HfmetaError: no learner there, a file that cannot be read or lacks columns, rows of one class, or an output folder in use.
    """
    output = Path(output).expanduser()
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise HfmetaError(f"{output} exists and is not an empty folder; choose another --output, or delete it first.")
    check_readable(Path(support).expanduser())
    learner = MetaLearner.from_pretrained(name, revision=revision, subfolder=subfolder)
    if steps is not None:
        with_steps(learner, steps)
    rows = read_rows(support, learner.encoder.text_columns if learner.encoder is not None else ())
    model = learner.adapt(rows)
    if learner.kind == "classification" and model.config.num_labels == 1:
        raise HfmetaError(
            f"all rows of {support} have one class, {model.config.id2label[0]!r}: there is nothing to tell apart. Give rows of two "
            "classes or more."
        )
    learner.save_adapted(model, output)
    names = getattr(model.config, "id2label", None) if learner.kind == "classification" else None
    return {
        "rows": len(rows),
        "steps": learner.algorithm.eval_steps,
        "classes": None if names is None else [names[i] for i in sorted(names)],
        "output": str(output),
        "open": opening(model, learner.task_type, str(output)),
    }


def opening(model: Any, task: str | None, folder: str) -> str:
    """The Python expression that opens an adapted model.

    Args:
        model: the adapted model.
        task: its task type.
        folder: where it was saved.
    """
    if hasattr(model, "get_base_model"):
        return f"peft.PeftModel.from_pretrained(<base model>, {folder!r})"
    if task is None:
        return f"{type(model).__name__}.from_pretrained({folder!r})"
    auto = f"{AUTO_CLASSES[task].__name__}.from_pretrained({folder!r})"
    return auto if type(model).__module__.startswith("transformers.") else f"{auto}, after import hfmeta"
