"""The README.md of a saved learner, from facts only."""

from __future__ import annotations

from typing import Any

TEMPLATE = """---
library_name: hfmeta
tags:
- meta-learning
- hfmeta
{base}---

# A meta-learned {task_type} model

Adapts to a new task from a handful of examples. Trained with **{algorithm}** ({package} {version}), meta-gradient: **{gradient}**.

| option | value |
|---|---|
{options}

## Adapt it

```python
from hfmeta import MetaLearner

learner = MetaLearner.from_pretrained("<this folder or repository>")
model = learner.adapt(rows){columns}
```

The result of `adapt` is a stock model of transformers (or PEFT) and opens without hfmeta. The files of this folder hold the learned
start; they open with stock transformers too, unadapted.
"""


def learner_card(content: dict[str, Any]) -> str:
    """The card of a learner.

    Args:
        content: what `hfmeta_config.json` holds.
    """
    algorithm, encoder = content["algorithm"], content["encoder"]
    options = algorithm["options"]
    base = content["base"].get("name")
    columns = f"   # columns {encoder['input_column']}, {encoder['target_column']}" if encoder else ""
    # `package:` names are ours and no repository of a hub.
    is_repository = base and not base.startswith(("package:", "hfmeta-", "/", "."))
    return TEMPLATE.format(
        base=f"base_model: {base}\n" if is_repository else "",
        task_type=content["task_type"] or "custom",
        algorithm=algorithm["name"],
        package=algorithm["package"],
        version=algorithm["version"],
        gradient="exact" if options.get("order") == 2 else "first order",
        options="\n".join(f"| {name} | {value} |" for name, value in options.items()),
        columns=columns,
    )
