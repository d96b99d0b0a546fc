"""The errors of hfmeta's own making: every message says what was received, what was expected and what to do."""

from __future__ import annotations

from collections.abc import Sequence


class HfmetaError(ValueError):
    """Bad input or an illegal combination; the command line prints its message and exits with status 2."""


class UnusedParameterError(HfmetaError):
    """An adapted tensor that the support loss does not depend on."""

    def __init__(self, names: Sequence[str]):
        self.names = list(names)
        shown = ", ".join(self.names[:5]) + (f" and {len(self.names) - 5} more" if len(self.names) > 5 else "")
        super().__init__(
            f"the support loss does not depend on {len(self.names)} adapted tensor(s): {shown}. An inner step could never "
            "move them. Leave them out of `adapt` (a regular expression on names), or freeze them with requires_grad_(False)."
        )


NOT_FINITE_AT_START = -2
"""The step of a `NonFiniteLossError` where it is not a loss but the start of a task that is not finite."""


class NonFiniteLossError(HfmetaError):
    """A loss inside the inner loop, or what a task starts from, became infinite or NaN.

    Args:
        rows: positions in the batch of the tasks concerned.
        step: the inner step (from 0) whose support loss is not finite, -1 for the query loss after the last step, or
            `NOT_FINITE_AT_START`.
        tasks: the tasks' ids, where known.
    """

    def __init__(self, rows: Sequence[int], step: int, tasks: Sequence[int] | None = None):
        self.rows, self.step = list(rows), step
        self.tasks = list(tasks) if tasks is not None else None
        what = f"task(s) {self.tasks}" if self.tasks is not None else f"task(s) at batch position(s) {self.rows}"
        if step == NOT_FINITE_AT_START:
            super().__init__(
                f"the gates of {what} are not finite: a support row holds a number that is not, or what makes the gates "
                "diverged in training. Look at the rows, lower rule_learning_rate, or set "
                'on_nonfinite="skip" to leave such tasks out and count them.'
            )
            return
        where = "query loss after the last inner step" if step < 0 else f"support loss at inner step {step}"
        super().__init__(
            f"the {where} of {what} is not finite. Lower inner_lr, clip inner gradients (inner_clip=1.0), or set "
            'on_nonfinite="skip" to leave such tasks out and count them.'
        )
