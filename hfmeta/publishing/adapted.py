"""`push_to_hub` of adapted models: what `save_adapted` writes, under the rules of every other push of ours.

An adapted model is of a stock class, whose own `push_to_hub` would make a public repository of a person's adapter and leave tokenizer
and card behind; so the one model that `adapt` returns has a `push_to_hub` of its own. Not here: the files (checkpoint.py), the way to
the hub (hub.py).
"""

from __future__ import annotations

import copy
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hfmeta.inner.errors import HfmetaError
from hfmeta.publishing.checkpoint import about_adapted, write_adapted
from hfmeta.publishing.hub import push_saved

if TYPE_CHECKING:
    from hfmeta.learner import MetaLearner


def with_push(learner: MetaLearner, model: Any) -> Any:
    """The same model, with a `push_to_hub` of its own where its class has one.

    Args:
        learner: what it was adapted from; it is not kept alive.
        model: of a stock class. `del model.push_to_hub` gives that of the class back.
    """
    if hasattr(model, "push_to_hub"):
        about = about_adapted(learner, model)
        model.push_to_hub = AdaptedPush(model, about, learner.processing_class, shell=copy.copy(model))
    return model


class AdaptedPush:
    """The method of one model; copies of the model get their own.

    It refers to the model weakly, so that a model goes when nobody needs it, without waiting for the collector of cycles; for
    `learner.adapt(rows).push_to_hub(...)`, whose model nobody else holds, it has another shell around the same modules.

    Args:
        model: the adapted model.
        about: facts for its card.
        processing_class: tokenizer or image processor that goes with it.
        shell: the same model without this method.
    """

    def __init__(self, model: Any, about: dict[str, Any], processing_class: Any, shell: Any = None):
        self._model, self._shell = weakref.ref(model), shell
        self.about, self.processing_class = about, processing_class

    def __call__(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | None = None,
        commit_message: str | None = None,
        revision: str | None = None,
    ) -> Any:
        """Upload the model (or PEFT adapter), tokenizer and card in one commit.

        Args:
            repo_id: `owner/name`, or `name` for the caller's own.
            private: whether a new repository is private; None: yes for an adapter, which is personal data, else the owner's default.
            token: access token; None: the one saved on this machine.
            commit_message: of the commit.
            revision: branch, made if need be; None: the main one.

        Returns:
            the commit, as `huggingface_hub` describes it.

        Raises:
            HfmetaError: a base model that nobody else has, or an adapter on its way to a public repository.
            PushError: the hub failed; the repository is as it was.
        """
        model = self._model()
        model = self._shell if model is None else model
        if model is None:
            raise HfmetaError(
                "the model whose push_to_hub this is does not exist any more; keep the copy in a variable."
            )

        def save(folder: Path) -> None:
            write_adapted(model, folder, self.processing_class, self.about)

        return push_saved(save, repo_id, private, token, message=commit_message, revision=revision)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        copied = memo.get(id(self._model()))
        return self if copied is None else AdaptedPush(copied, self.about, self.processing_class)

    def __reduce__(self) -> Any:
        return _forgotten, ()


def _forgotten() -> Any:
    return push_of_a_pickled_copy


def push_of_a_pickled_copy(*_: Any, **__: Any) -> None:
    """What a pickled copy of an adapted model has in the place of the method.

    Raises:
        HfmetaError: always.
    """
    raise HfmetaError(
        "this copy of an adapted model came out of a pickle and does not know its tokenizer and its card. Push the model that "
        "adapt returned, or save it (learner.save_adapted) and push the folder (hfmeta push)."
    )
