"""Where a task's values start: `init(theta, labels, features) -> stack`."""

from hfmeta.inner.inits.head import HEADS, HeadInit, Plain, class_means

__all__ = ["HEADS", "HeadInit", "Plain", "class_means"]
