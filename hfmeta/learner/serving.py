"""From adapted learners to served users: a bank of private adapters, one live user, many users in one batch, PEFT folders.

Not here: how a user adapts (adaptation.py), how rows of many users pass together (mixed.py), the bank's files (adapters/bank) and the
form of PEFT folders (adapters/private_folder.py).
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from hfmeta.adapters.bank import AdapterBank, BankError, LiveSlot, Owner, Record
from hfmeta.adapters.ids import escaped, task_key
from hfmeta.adapters.private_folder import save_private_adapter
from hfmeta.inner.errors import HfmetaError
from hfmeta.learner.adaptation import check_private, private_values
from hfmeta.learner.mixed import MixedBatch
from hfmeta.models import portable_name
from hfmeta.publishing.contents import contents_of
from hfmeta.publishing.hub import push_contents
from hfmeta.publishing.identity import learner_identity

if TYPE_CHECKING:
    from hfmeta.learner.core import MetaLearner

ADAPTERS, HEADER = "adapters", "adapters.json"


def save_private(
    learner: MetaLearner, model: nn.Module, folder: Path, task: str | int | None = None, *, sparse: bool = True
) -> Path:
    """Write what one task owns of an adapted model as a PEFT folder.

    A LoRA opens with stock PEFT; a private MLP, a Seq2SPG's own too, with `PeftModel.from_pretrained(base, folder)` after
    `import hfmeta`, where the base of a Seq2SPG is the learner's folder. Exact zeros, which is what pruning leaves, are not stored.

    Args:
        learner: what `model` was adapted from.
        model: what `learner.adapt` gave.
        folder: where to write; with a task, its folder is `adapters/<escaped id>/` in there.
        task: the task's id, any text.
        sparse: whether a private MLP is stored as kept values and bits; transformers' own `load_adapter` opens dense files alone.

    Returns:
        the folder of the adapter.

    Raises:
        HfmetaError: a learner whose tasks move more than private tensors, a model of another kind, or nothing left of a LoRA.
    """
    check_private(learner)
    named = dict(model.named_parameters())
    missing = [name for name in learner.private_names if name not in named]
    if missing:
        raise HfmetaError(f"{type(model).__name__} has no {missing[0]}: it is no model that this learner adapted.")
    values = {name: named[name].detach() for name in learner.private_names}
    masks = {name: value != 0 for name, value in values.items()} if _cuts(learner) else {}
    target = folder if task is None else folder / ADAPTERS / escaped(task_key(task))
    return _write(learner, target, values, masks, learner_identity(learner), sparse)


class Serving:
    """Users of one learner: their private adapters in a bank, and one model for all of them.

    The model shares every shared tensor with the learner's and has private tensors of its own, so serving costs no second copy and the
    learner stays as it is. Made by `learner.serve(folder)`; closed by `close` or a `with` block. One call at a time: a model has one
    state. The learner must not be trained further meanwhile: adapters fit the values that they were made on.

    Args:
        learner: its tasks must move private tensors alone (`adapt="private"`).
        folder: of the bank; made if there is none and the mode is for writing.
        mode: `r` to read, `r+` to read and write.

    Attributes:
        bank: the `AdapterBank`.
        model: the live model.

    Raises:
        HfmetaError: a learner whose tasks move more than private tensors.
        BankError: a bank of another learner, or a folder that cannot be opened.
    """

    def __init__(self, learner: MetaLearner, folder: Path, mode: str = "r+"):
        check_private(learner)
        self.learner, self.identity = learner, learner_identity(learner)
        named = dict(learner.model.named_parameters())
        template = {name: named[name].detach() for name in learner.private_names}
        self.bank = _open(folder, mode, template, self.identity)
        self.model: Any = _live_model(learner.model, learner.private_names)
        self._slot = LiveSlot(self.bank)
        try:
            self._slot.attach(self.model)
        except HfmetaError:
            self.bank.close()
            raise
        self._mixed = MixedBatch(self.model, learner.private_names)

    def add(self, task: str | int, rows: Any) -> None:
        """Adapt to one user and keep the result, in the place of what was kept before; durable when this returns.

        Args:
            task: the user's id, any text.
            rows: as for `MetaLearner.adapt`.
        """
        self.bank.put(task, *private_values(self.learner, rows))

    def add_all(self, users: Mapping[str, Any] | Iterable[tuple[str | int, Any]]) -> int:
        """Adapt to users one after another and keep each; returns their number.

        Args:
            users: id to rows, or pairs of both (a generator keeps one user's rows in memory at a time).
        """
        count = 0
        for task, rows in users.items() if isinstance(users, Mapping) else users:
            self.add(task, rows)
            count += 1
        return count

    @property
    def current(self) -> str | None:
        """The user who is in the live model; None: the learner's own start."""
        return self._slot.current

    def switch(self, task: str | int) -> Any:
        """Put a user into the live model and return it: its answers are the adapted model's.

        Raises:
            BankError: an unknown user, or a damaged file; the model is then as it was.
        """
        self._slot.switch(task)
        return self.model

    def restore(self) -> Any:
        """Put the learner's own start back into the live model and return it."""
        self._slot.restore()
        return self.model

    def __call__(self, users: Sequence[str | int], **inputs: Any) -> Any:
        """Pass the rows of many users through the model together, each row with its own user's private adapter.

        Args:
            users: one id for each row; a user may have several rows.
            inputs: the model's arguments, tensors `[rows, ...]`; padding must be masked, as rows of unequal length always need.

        Returns:
            what the model returns, in the order of the rows; without a gradient.

        Raises:
            HfmetaError: not as many ids as rows.
            BankError: an unknown user.
        """
        return self._mixed(self._values(users), list(map(task_key, users)), self.model, inputs)

    def generate(self, users: Sequence[str | int], **inputs: Any) -> Any:
        """Generate for the rows of many users together; see `__call__`, and `transformers` for further arguments (`num_beams`)."""
        return self._mixed(self._values(users), list(map(task_key, users)), self.model.generate, inputs)

    def export(
        self, folder: str | Path, tasks: Iterable[str | int] | None = None, *, sparse: bool = True
    ) -> list[Path]:
        """Write one, some or all users as PEFT folders, `adapters/<escaped id>/`; see `save_private`.

        Args:
            folder: the repository's folder.
            tasks: ids; None: all.
            sparse: as for `save_private`.

        Returns:
            the folders, in the order of the tasks.
        """

        def writer(path: Path, record: Record) -> None:
            _write(self.learner, path, record.values, record.masks, self.identity, sparse)

        return self.bank.export(Path(folder) / ADAPTERS, writer, tasks)

    def push_to_hub(
        self,
        repo_id: str,
        tasks: Iterable[str | int] | None = None,
        *,
        private: bool = True,
        token: str | None = None,
        with_ids: bool = False,
    ) -> dict[str, str]:
        """Upload one, some or all users' adapters into one repository, in one commit; other adapters in it go.

        Args:
            repo_id: `owner/name`, or `name` for the caller's own.
            tasks: ids; None: all.
            private: whether it must be a private repository. Anybody's adapter is personal data.
            token: access token; None: the one saved on this machine.
            with_ids: name the adapters after their users; else by what only a key in the bank's folder can tell.

        Returns:
            the subfolder of each user in the repository, which `MetaLearner.open_private` and PEFT take.
        """
        with tempfile.TemporaryDirectory() as temporary:
            self.export(temporary, tasks)
            contents = contents_of(Path(temporary), with_ids, keys=self.bank.folder)
            push_contents(contents, repo_id, private, token)
        return contents.members

    def close(self) -> None:
        """Let go of the bank."""
        self.bank.close()

    def __enter__(self) -> Serving:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _values(self, users: Sequence[str | int]) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Each user of a batch once, with the values."""
        for task in dict.fromkeys(map(task_key, users)):
            yield task, self.bank.get(task)


def _cuts(learner: MetaLearner) -> bool:
    """Whether a pruned edge is an exact zero in what adapts."""
    return learner.private is not None and learner.private.ready and learner.private.algorithm.masks == "forward"


def _write(
    learner: MetaLearner,
    folder: Path,
    values: dict[str, Tensor],
    masks: dict[str, Tensor],
    identity: tuple[str, str],
    sparse: bool,
) -> Path:
    name = learner.info.get("model", {}).get("name") if hasattr(learner.model, "peft_config") else None
    name = name or portable_name(getattr(learner.model, "name_or_path", "") or "")
    return save_private_adapter(
        learner.model,
        values,
        folder,
        masks=masks,
        task_type=learner.task_type,
        base=name if name and not Path(name).is_absolute() else None,
        learner=identity,
        sparse=sparse,
    )


def _open(folder: Path, mode: str, template: dict[str, Tensor], identity: tuple[str, str]) -> AdapterBank:
    """A bank of this learner, which is known by its values wherever it was published."""
    if mode == "r+" and not (folder / HEADER).exists():
        return AdapterBank.create(folder, template, learner_id=identity[0], revision=identity[1])
    bank = AdapterBank.open(folder, mode)
    if bank.owner.revision != identity[1]:
        owner = bank.owner
        bank.close()
        raise BankError(
            f"{folder} keeps adapters of {owner}, and this is {Owner(*identity)}. Open it with the learner that it was filled by; "
            "after further training, adapt the users anew into a new folder."
        )
    return bank


def _live_model(model: nn.Module, names: Sequence[str]) -> nn.Module:
    """A copy with private tensors of its own, which shares every other tensor."""
    own = set(names)
    shared = [value for name, value in model.named_parameters(remove_duplicate=False) if name not in own]
    live: nn.Module = copy.deepcopy(model, {id(value): value for value in [*shared, *model.buffers()]})
    return live.eval()
