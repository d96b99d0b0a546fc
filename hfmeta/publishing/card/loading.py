"""How a learner's folder is opened, as Python to copy: with hfmeta, and by stock classes as far as they can."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hfmeta.models import AUTO_CLASSES
from hfmeta.models.origins import hub_id_of

REPOSITORY = "<this folder or repository>"


def loading_code(content: Mapping[str, Any], model_type: str | None) -> dict[str, str | None]:
    """`adapt`, Python that opens the learner and adapts it, `stock`, Python without hfmeta, and `note`, a sentence on the latter.

    Args:
        content: what `hfmeta_config.json` holds.
        model_type: of the model's configuration.
    """
    encoder, task = content.get("encoder"), content.get("task_type")
    columns = ""
    if encoder and encoder.get("input_column"):
        columns = f"   # columns {encoder['input_column']}, {encoder['target_column']}"
    adapt = (
        "from hfmeta import MetaLearner\n\n"
        f'learner = MetaLearner.from_pretrained("{REPOSITORY}")\n'
        f"model = learner.adapt(rows){columns}\n"
        'learner.save_adapted(model, "mine")'
    )
    if task not in AUTO_CLASSES:
        return {"adapt": adapt, "stock": None, "note": None}
    auto = AUTO_CLASSES[task].__name__
    kind = model_type or str(content["base"].get("name") or "")
    own = kind.startswith("hfmeta-")
    with_adapter = content["base"].get("adapter") is not None
    lines = [f"from transformers import {auto}", ""]
    if own:
        lines.insert(0, "import hfmeta  # registers the network")
    if with_adapter:
        lines.insert(1 if own else 0, "from peft import PeftModel")
        lines += [*_base(content, auto), f'start = PeftModel.from_pretrained(base, "{REPOSITORY}")']
    else:
        lines.append(f'start = {auto}.from_pretrained("{REPOSITORY}")')
    opens, verb = ("PEFT and transformers", "open") if with_adapter else ("transformers", "opens")
    if own:
        note = f"The network is one of hfmeta: after its import {opens} {verb} the learned start and what `save_adapted` writes."
    else:
        note = f"Without hfmeta: {opens} {verb} the learned start, unadapted, and what `save_adapted` writes."
    return {"adapt": adapt, "stock": "\n".join(lines), "note": note}


def _base(content: Mapping[str, Any], auto: str) -> list[str]:
    """The line that opens the base of an adapter."""
    base = content["base"]
    name, labels = hub_id_of(base.get("name")), base.get("num_labels")
    options = f", num_labels={labels}" if labels else ""
    if base.get("name") is None:
        return [f'base = {auto}.from_pretrained("{REPOSITORY}", subfolder="base_model")']
    if str(base["name"]).startswith("package:"):
        return [f'base = {auto}.from_pretrained("<the folder of {base["name"]}>"{options})']
    if base.get("revision"):
        options += f', revision="{base["revision"]}"'
    return [f'base = {auto}.from_pretrained("{name or "<the base model>"}"{options})']
