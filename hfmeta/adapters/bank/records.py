"""One user's adapter as a safetensors file, dense or sparse, with a checksum over everything. Not here: where files lie.

A tensor without a mask is stored as it is, under its name. One with a mask is stored as its kept values, `[kept]`, under its name, and
the mask's bits under `mask:<name>`. The header's metadata says, as JSON, whose adapter it is and of which learner.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from hfmeta.adapters.bank.errors import BankError
from hfmeta.adapters.ids import nearest
from hfmeta.adapters.pruning.bits import pack, unpack
from hfmeta.inner.errors import HfmetaError

FORMAT = 1
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
_ENTRY = "hfmeta_adapter"
_MASK = "mask:"


@dataclass(frozen=True)
class Record:
    """One user's adapter.

    Args:
        task: the user's id.
        values: tensors by name, of the template's shapes; zero where a mask is false.
        masks: bool masks of the same shapes, for those that were stored with one.
    """

    task: str
    values: dict[str, Tensor]
    masks: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Owner:
    """The learner that a bank's adapters belong to.

    Args:
        learner_id: its name, a hub id for example; None: not said.
        revision: its commit or version; None: not said.
    """

    learner_id: str | None = None
    revision: str | None = None

    def __str__(self) -> str:
        name = "a learner without a name" if self.learner_id is None else f"learner {self.learner_id!r}"
        return name if self.revision is None else f"{name} at revision {self.revision!r}"


def check_record(record: Record, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Check that an adapter has exactly the template's tensors, and masks of their shapes.

    Raises:
        HfmetaError: what does not fit.
    """
    whose = f"the adapter of task {record.task!r}"
    for name in dict.fromkeys((*shapes, *record.values, *record.masks)):
        if name not in shapes:
            raise HfmetaError(f"{whose} has {name!r}, which the bank's adapters do not have.{nearest(name, shapes)}")
        if name not in record.values:
            raise HfmetaError(f"{whose} lacks {name!r}; a bank keeps whole adapters of one learner.")
        value = record.values[name]
        if tuple(value.shape) != shapes[name]:
            raise HfmetaError(
                f"{whose}: {name} has shape {tuple(value.shape)}; the bank's adapters have {shapes[name]}."
            )
        if value.dtype not in DTYPES:
            known = ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES)
            raise HfmetaError(f"{whose}: {name} is {value.dtype}; a bank keeps {known}.")
        if name in record.masks and record.masks[name].shape != value.shape:
            raise HfmetaError(
                f"{whose}: the mask of {name} has shape {tuple(record.masks[name].shape)}; the tensor has {shapes[name]}."
            )


def encode(record: Record, owner: Owner) -> bytes:
    """The bytes of an adapter's file; what masks cut is not in them."""
    tensors: dict[str, Tensor] = {}
    for name, value in record.values.items():
        value = value.detach().cpu().contiguous()
        if name in record.masks:
            mask = record.masks[name].detach().to("cpu", torch.bool)
            tensors[_MASK + name] = torch.from_numpy(pack(mask[None])[0])
            value = _selected(value, mask)
        tensors[name] = value
    header = {
        "format": FORMAT,
        "task": record.task,
        "learner_id": owner.learner_id,
        "revision": owner.revision,
        "masked": list(record.masks),
    }
    text = json.dumps(header)
    return save(tensors, {_ENTRY: text, "crc32": str(_checksum(text, tensors))})


def decode(path: Path, shapes: Mapping[str, tuple[int, ...]], owner: Owner, task: str | None = None) -> Record:
    """Read an adapter's file through a memory map, and check all of it.

    Args:
        path: the file.
        shapes: the template's.
        owner: whose adapters the bank keeps.
        task: the id that the file must be of; None: any.

    Raises:
        FileNotFoundError: no such file.
        BankError: it is damaged, or the adapter of another task or learner.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            # Copies, so that what is checked is what is returned, whatever happens to the mapped file meanwhile.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        text = metadata[_ENTRY]
        if int(metadata["crc32"]) != _checksum(text, tensors):
            raise ValueError("its checksum does not fit its content")
        header = json.loads(text)
        if header["format"] != FORMAT:
            raise BankError(
                f"{path} has format {header['format']!r}; this hfmeta reads {FORMAT}. Install a newer hfmeta."
            )
        _check_whose(path, header, owner, task)
        masked = set(header["masked"])
        masks = {
            name: unpack(tensors[_MASK + name].numpy()[None], shapes[name])[0] for name in shapes if name in masked
        }
        values = {name: _expanded(tensors[name], masks.get(name)) for name in shapes}
        record = Record(header["task"], values, masks)
        check_record(record, shapes)
    except FileNotFoundError:
        raise
    except BankError:
        raise
    except (
        SafetensorError,
        HfmetaError,
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
        RuntimeError,
        OSError,
    ) as error:
        raise damaged(path, error) from error
    return record


def task_of(path: Path) -> str:
    """Whose adapter a file is, from its header alone.

    Raises:
        FileNotFoundError: no such file.
        BankError: it is damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            return str(json.loads((file.metadata() or {})[_ENTRY])["task"])
    except FileNotFoundError:
        raise
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, why: Exception) -> BankError:
    """The error for a file that cannot be what it should."""
    reason = " ".join(str(why).split()) or type(why).__name__
    return BankError(
        f"{path} is damaged, cut short or foreign ({reason}). Put it back from a backup, or adapt anew and replace it."
    )


def _check_whose(path: Path, header: Mapping[str, object], owner: Owner, task: str | None) -> None:
    if task is not None and header["task"] != task:
        raise BankError(
            f"{path} holds the adapter of task {header['task']!r}, not of {task!r}; it was moved there by hand."
        )
    if (header["learner_id"], header["revision"]) != (owner.learner_id, owner.revision):
        theirs = Owner(header["learner_id"], header["revision"])  # type: ignore[arg-type]
        raise BankError(f"{path} holds an adapter of {theirs}; this bank is for {owner}.")


def _expanded(value: Tensor, mask: Tensor | None) -> Tensor:
    """Kept values put back in their places, zeros elsewhere."""
    if mask is None:
        return value
    places = _places(mask)
    if value.dim() != 1 or len(value) != len(places):
        raise ValueError("as many values as its masks keep are expected")
    full = torch.zeros(mask.shape, dtype=value.dtype)
    _raw(full)[places] = _raw(value)
    return full


def _selected(value: Tensor, mask: Tensor) -> Tensor:
    """The values that a mask keeps, `[kept]`."""
    places = _places(mask)
    kept = torch.empty(len(places), dtype=value.dtype)
    _raw(kept)[:] = _raw(value)[places]
    return kept


def _places(mask: Tensor) -> NDArray[np.intp]:
    """Where a mask is true, counted through all its entries.

    Selecting by a list of places is many times quicker than by the mask: 1 ms for a million entries, where numpy's and torch's
    selections take 20 (and torch's starts threads, which a busy machine keeps waiting).
    """
    return np.flatnonzero(mask.numpy())


def _raw(value: Tensor) -> NDArray[np.generic]:
    """A contiguous tensor's entries as whole numbers of their size, in its own memory: numpy has no bfloat16."""
    return value.reshape(-1).view(torch.uint8).numpy().view(f"i{value.element_size()}")


def _checksum(text: str, tensors: Mapping[str, Tensor]) -> int:
    """CRC-32 of the header and of every tensor with its name, type and shape."""
    total = zlib.crc32(text.encode("utf-8"))
    for name in sorted(tensors):
        value = tensors[name]
        total = zlib.crc32(f"{name} {value.dtype} {tuple(value.shape)}".encode(), total)
        total = zlib.crc32(value.reshape(-1).view(torch.uint8).numpy().data, total)
    return total
