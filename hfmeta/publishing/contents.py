"""What a folder is (a learner, an adapted model, private adapters) and which of its files others may have.

Of a run's folder that is little: checkpoints, the Trainer's resume files, banks, splits and masks stay, since they are of no use to
others or name the users that a learner was trained on. Not here: the way to the hub (hub.py).
"""

from __future__ import annotations

import hmac
import json
import logging
import secrets
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from hfmeta.adapters.durable import write_file
from hfmeta.adapters.ids import unescaped
from hfmeta.adapters.private_folder import ABOUT
from hfmeta.adapters.rank_private import CONFIG_FILE, WEIGHTS_FILE
from hfmeta.adapters.together import finish
from hfmeta.inner.errors import HfmetaError
from hfmeta.publishing.card import IMAGES, private_card
from hfmeta.publishing.card.runs import without_places
from hfmeta.publishing.checkpoint import CONFIG
from hfmeta.publishing.folders import BASE, TOKENIZER_FILES, check_folder
from hfmeta.publishing.results import RESULTS, TESTED
from hfmeta.publishing.resuming import unfinished

logger = logging.getLogger(__name__)
WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors", WEIGHTS_FILE, "hfmeta.safetensors")
INDICES = "*.safetensors.index.json"
TOKENIZER_JSON = ("tokenizer.json", "*vocab*.json", "added_tokens.json", "special_tokens_map.json", "normalizer.json")
TESTS = (RESULTS, "per_task.json", *IMAGES)
PUBLISHED = (*WEIGHTS, INDICES, "*config.json", *TOKENIZER_JSON, *TOKENIZER_FILES, "README.md", *TESTS)
"""All else stays: how to go on with a run, names of tasks, and whatever somebody put there."""
MEMBERS, HEADER, KEY = "adapters", "adapters.json", ".member_names.key"
ADAPTER_FILES = (CONFIG_FILE, WEIGHTS_FILE, ABOUT)


@dataclass(frozen=True)
class Contents:
    """What of a folder goes to a repository.

    Args:
        kind: `learner`, `adapted model`, `adapter`, `private adapter` or `collection`.
        files: a file, or bytes, by path in the repository.
        members: of a collection: the subfolder in the repository by the task's id (or escaped id, where that is a digest).
    """

    kind: str
    files: dict[str, Path | bytes]
    members: dict[str, str] = field(default_factory=dict)

    @property
    def named(self) -> str:
        """The kind with its article."""
        return f"{'an' if self.kind.startswith('a') else 'a'} {self.kind}"

    @property
    def personal(self) -> bool:
        """Whether it was made from one task's examples and holds little else: a user's adapter is personal data."""
        return self.kind in ("adapter", "private adapter", "collection")

    def replaces(self, path: str) -> bool:
        """Whether a file of the repository that is not among these is of an earlier version of the same thing, and must go."""
        if path in self.files:
            return False
        if self.kind == "collection":
            return path.startswith(f"{MEMBERS}/")
        return path.startswith(f"{BASE}/") or any(
            fnmatch(path, pattern) and "/" not in path
            for pattern in (*WEIGHTS, INDICES, CONFIG_FILE, CONFIG, ABOUT, "config.json", *TESTS)
        )


def contents_of(folder: Path, with_ids: bool = False, keys: Path | None = None) -> Contents:
    """What of a folder may be published.

    Args:
        folder: of a learner, an adapted model, one private adapter, or `adapters/<id>/` as `export` writes them.
        with_ids: whether a collection's members keep names that follow from the tasks' ids.
        keys: where the key to their names lies; None: in the folder.

    Raises:
        HfmetaError: nothing of these, links that leave the folder, or a base that nobody else has.
    """
    if not folder.is_dir():
        raise HfmetaError(
            f"{folder} is not a folder; give the folder of a learner, an adapted model or private adapters."
        )
    finish(folder, CONFIG)
    check_folder(folder)
    if (folder / CONFIG).is_file():
        files = _files(folder) | _files(folder / BASE, f"{BASE}/")
        if not _tested(folder):
            files = {name: path for name, path in files.items() if not any(fnmatch(name, pattern) for pattern in TESTS)}
        if (folder / CONFIG_FILE).is_file():
            _check_base(folder / CONFIG, _json(folder / CONFIG)["base"].get("name"))
        told: dict[str, Path | bytes] = {name: _shareable(folder / name) for name in (CONFIG, RESULTS) if name in files}
        return Contents("learner", files | told)
    if (folder / CONFIG_FILE).is_file():
        _check_base(folder / CONFIG_FILE, _json(folder / CONFIG_FILE).get("base_model_name_or_path"))
        if (folder / ABOUT).is_file():
            return Contents("private adapter", {**_member(folder), "README.md": _card(folder, 1)})
        return Contents("adapter", _files(folder))
    if (folder / MEMBERS).is_dir():
        return _collection(folder, with_ids, keys or folder)
    if (folder / HEADER).is_file():
        raise HfmetaError(
            f"{folder} is a bank, whose files name its users. Export adapters from it and push their folder: "
            "learner.serve(bank).export(folder), or learner.serve(bank).push_to_hub(repository)."
        )
    if (folder / "config.json").is_file():
        return Contents("adapted model", _files(folder))
    raise HfmetaError(
        f"{folder} is no folder of a learner ({CONFIG}), an adapted model (config.json), a private adapter ({CONFIG_FILE}) or "
        f"several ({MEMBERS}/).{unfinished(folder)}"
    )


def member_name(folder: Path, task: str) -> str:
    """The name of a task's adapter in a repository: nobody who lacks the key file of the folder can tell whose it is.

    Args:
        folder: where the key lies; it is made if it is not there. With the same key a task keeps its name.
        task: the id.
    """
    path = folder / KEY
    if not path.is_file():
        write_file(path, secrets.token_bytes(32))
        path.chmod(0o600)
    return hmac.new(path.read_bytes(), task.encode("utf-8"), "sha256").hexdigest()[:16]


def _collection(folder: Path, with_ids: bool, keys: Path) -> Contents:
    files: dict[str, Path | bytes] = {}
    members: dict[str, str] = {}
    places = sorted(path for path in (folder / MEMBERS).iterdir() if (path / CONFIG_FILE).is_file())
    if not places:
        raise HfmetaError(f"{folder / MEMBERS} has no adapter in it (no folder with {CONFIG_FILE}).")
    for place in places:
        check_folder(place, folder)
        task = unescaped(place.name) or place.name
        members[task] = f"{MEMBERS}/{place.name if with_ids else member_name(keys, task)}"
        files |= _member(place, f"{members[task]}/")
    return Contents("collection", {**files, "README.md": _card(places[0], len(places))}, members)


def _member(folder: Path, prefix: str = "") -> dict[str, Path | bytes]:
    """The files of one private adapter."""
    missing = [name for name in ADAPTER_FILES if not (folder / name).is_file()]
    if missing:
        raise HfmetaError(f"{folder} has no {', '.join(missing)}; export the adapter again (learner.save_private).")
    _check_base(folder, _json(folder / CONFIG_FILE).get("base_model_name_or_path"))
    return {prefix + name: folder / name for name in ADAPTER_FILES}


def _card(folder: Path, count: int) -> bytes:
    return private_card(_json(folder / ABOUT), _json(folder / CONFIG_FILE)["peft_type"], count).encode("utf-8")


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HfmetaError(f"{path} is damaged ({error}), so nothing was pushed. Save the folder again.") from error


def _shareable(path: Path) -> bytes:
    """A run's JSON without the places on this machine where its data, its base and its recipe lie."""
    return (json.dumps(without_places(_json(path)), indent=2, ensure_ascii=False) + "\n").encode("utf-8")


def _tested(folder: Path) -> bool:
    """Whether the results in a learner's folder are of its values, as far as both say whose they are."""
    if not (folder / RESULTS).is_file():
        return True
    results, fingerprint = _json(folder / RESULTS), _json(folder / CONFIG).get("fingerprint")
    tested = results.get(TESTED) if isinstance(results, dict) else None
    if None in (tested, fingerprint) or tested == fingerprint:
        return True
    logger.warning(
        "%s is of this learner before further training, or of another: it stays here, with its plots.", folder / RESULTS
    )
    return False


def _files(folder: Path, prefix: str = "") -> dict[str, Path | bytes]:
    if not folder.is_dir():
        return {}
    return {
        prefix + path.name: path
        for path in sorted(folder.iterdir())
        if path.is_file() and any(fnmatch(path.name, pattern) for pattern in PUBLISHED)
    }


def _check_base(path: Path, name: str | None) -> None:
    if name and Path(name).is_absolute():
        raise HfmetaError(
            f"{path} names as its base model the folder {name}, which nobody else has. Train on a base from a hub or a package, or "
            "let the base travel: a model built without a name is saved with its learner."
        )
