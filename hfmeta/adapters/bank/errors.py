"""What goes wrong with a bank."""

from __future__ import annotations

from hfmeta.inner.errors import HfmetaError


class BankError(HfmetaError):
    """A bank, or an adapter in it, that is absent, damaged, of another learner, or used in a way it was not opened for."""
