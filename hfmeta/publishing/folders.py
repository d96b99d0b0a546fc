"""From a name to a folder on this machine that is safe to read: folders, hub ids, revisions, subfolders, the cache.

A folder may come from anybody. What is checked before anything in it is opened: links and paths lead nowhere else, weights say the
truth about their sizes (so no memory is taken on a lie), and no adapter's configuration names code or other files to be loaded. Not
here: what the files hold (models.py, checkpoint.py).
"""

from __future__ import annotations

import glob
import json
from pathlib import Path, PurePosixPath

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from safetensors import SafetensorError, safe_open

from hfmeta.adapters.together import settled
from hfmeta.inner.errors import HfmetaError

TOKENIZER_FILES = ("merges.txt", "vocab.txt", "*.model", "chat_template.jinja")
READ = ("*.safetensors", "*.json", *TOKENIZER_FILES, "README.md")
"""What is downloaded of a repository; nothing else in it is ever read."""
APART = ("adapters/*", "checkpoint-*", "users/*")
"""What of a repository a learner does not need."""
BASE = "base_model"
CANNOT_REACH: tuple[type[BaseException], ...] = (HFValidationError, *HfHubHTTPError.__bases__)
"""What the client raises: for impossible names, the error of its HTTP library (whichever that is), OSError; the hub's are both."""
LOADING_MORE = ("megatron_config", "tokenizer_kwargs", "prompt_tuning_init_state_dict_path")
"""Fields of PEFT configurations that make PEFT import modules, trust code or open files which the configuration names."""


def local_folder(
    name: str, *, revision: str | None = None, subfolder: str | None = None, local_files_only: bool = False
) -> Path:
    """The folder that a name points to, downloaded if need be, checked (see `check_folder`).

    Args:
        name: a folder or a hub id.
        revision: branch, tag or commit on the hub.
        subfolder: inside of it; nothing else is then downloaded.
        local_files_only: take what the cache has and ask nobody.

    Raises:
        HfmetaError: nothing there, or a folder that is not safe to read.
    """
    if subfolder is not None and not is_inside(subfolder):
        raise HfmetaError(
            f"subfolder={subfolder!r} leaves the folder that it should be in; give a path such as 'adapters/anna'."
        )
    root = Path(name).expanduser()
    if not root.is_dir():
        root = _downloaded(name, revision, subfolder, local_files_only)
    folder = root if subfolder is None else root / subfolder
    if not folder.is_dir():
        raise HfmetaError(f"{name} has no folder {subfolder!r}.")
    check_folder(folder, root)
    return settled(folder)


def is_inside(path: str) -> bool:
    """Whether a relative path stays in its folder."""
    parts = PurePosixPath(path.replace("\\", "/")).parts
    return bool(parts) and not path.startswith(("/", "~", "\\")) and ".." not in parts and ":" not in parts[0]


def check_folder(folder: Path, root: Path | None = None) -> None:
    """Refuse a folder that leads out of itself or says what is not true of its sizes.

    Args:
        folder: its own files and those of its `base_model` are checked: no others are read.
        root: what links may not lead out of; None: the folder.

    Raises:
        HfmetaError: names the file and what is wrong with it.
    """
    inside = _holder(root or folder)
    inner = settled(folder)
    for place in dict.fromkeys((folder, inner, folder / BASE, inner / BASE)):
        if not (place.is_dir() or place.is_symlink()):
            continue
        for path in (place, *sorted(place.iterdir())):
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                raise HfmetaError(
                    f"{path} is a link out of its folder, to {path.resolve()}; it is not followed. Put the file itself there."
                )
            if path.suffix == ".safetensors" and path.is_file():
                _check_sizes(path)
            elif path.suffix == ".json" and path.is_file():
                _check_paths(path)


def check_base_name(name: str | None, folder: Path) -> None:
    """Refuse a learner's base that is named by a path which leads out of the learner's own folder in a roundabout way.

    A learner that was saved on this machine may stand on a folder of this machine, by its whole path.

    Args:
        name: of the base, as the folder's `hfmeta_config.json` has it.
        folder: of the learner.

    Raises:
        HfmetaError: a relative path, or in a downloaded folder any path.
    """
    path = Path(name or "")
    downloaded = _holder(folder) != folder.resolve()
    if name and (".." in path.parts or name.startswith((".", "~")) or (path.is_absolute() and downloaded)):
        raise HfmetaError(
            f"{folder} says that its base model lies at {name!r}, a path outside of it; that is not followed. A base is named by hub "
            "id or package, or comes along in base_model."
        )


def _downloaded(name: str, revision: str | None, subfolder: str | None, local_files_only: bool) -> Path:
    if len(Path(name).parts) > 2 or name.startswith((".", "/", "~")):
        raise HfmetaError(f"there is no folder {name!r}, and a hub id is owner/name.")
    within = "" if subfolder is None else f"{glob.escape(subfolder.strip('/'))}/"
    try:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=[within + pattern for pattern in READ],
                ignore_patterns=list(APART) if subfolder is None else None,
                local_files_only=local_files_only,
            )
        )
    except CANNOT_REACH as error:
        raise HfmetaError(
            f"{name!r} is neither a folder nor a repository that can be reached: {_first_line(error)}"
        ) from error
    except (ValueError, RuntimeError) as error:  # paths that leave the cache; lists and files cut short
        raise HfmetaError(f"{name!r} cannot be downloaded: {_first_line(error)}") from error


def _holder(folder: Path) -> Path:
    """What links of a folder may lead to: itself, or all of its repository's cache, where files are links to their contents."""
    for place in (folder, *folder.parents):
        if place.parent.name == "snapshots" and (place.parent.parent / "blobs").is_dir():
            return place.parent.parent.resolve()
    return folder.resolve()


def _check_sizes(path: Path) -> None:
    """Names, types, shapes and places in the header of a file are those of its bytes; nothing is read but the header."""
    try:
        with safe_open(path, "pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise HfmetaError(
            f"{path} cannot be read, since it is damaged, cut short, or not what its header says ({_first_line(error)}). "
            "Save or download it again."
        ) from error


def _check_paths(path: Path) -> None:
    """File names in JSON stay in the folder, and adapters' configurations load nothing else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # whoever needs the file says so
    if not isinstance(content, dict):
        return
    named = {key: value for key, value in content.items() if key.endswith("_file") and isinstance(value, str)}
    if path.name.endswith(".index.json") and isinstance(content.get("weight_map"), dict):
        named |= {f"weight_map {key}": str(value) for key, value in content["weight_map"].items()}
    for key, value in named.items():
        if not is_inside(value) or len(Path(value).parts) > 1:
            raise HfmetaError(
                f"{path} names the file {value!r} ({key}), which is outside of its folder; it is not opened."
            )
    asked = [key for key in LOADING_MORE if content.get(key)]
    if asked and path.name == "adapter_config.json":
        raise HfmetaError(
            f"{path} sets {', '.join(asked)}, which would make PEFT load code or files that it names. Take that out if you trust the "
            "folder; the weights do not need it."
        )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
