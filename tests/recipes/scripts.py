"""Opens a script of the recipes folder as a module, and a tiny backbone for it to train."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from tiny import tiny_bert, tiny_tokenizer

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def script(name: str) -> ModuleType:
    """The script at a path under `recipes/`, as a module."""
    spec = importlib.util.spec_from_file_location(f"recipe_{Path(name).parent.name}_{Path(name).stem}", RECIPES / name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where a dataclass looks its annotations up
    spec.loader.exec_module(module)
    return module


def backbone(folder: Path) -> str:
    """A tiny encoder without a trained head, with a tokenizer."""
    tiny_bert(num_labels=2).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)
