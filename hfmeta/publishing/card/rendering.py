"""Templates to text: the Markdown files in `templates/`, filled in by the hub client."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

TEMPLATES = Path(__file__).with_name("templates")


def render(template: str, data: ModelCardData, **facts: Any) -> str:
    """A card's text, ending with a line feed.

    Args:
        template: name of the file.
        data: the header.
        facts: what the template names.
    """
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    card = str(ModelCard.from_template(data, template_str=text, **facts))
    return re.sub(r"\n{3,}", "\n\n", card).strip() + "\n"
