"""Where a task's values start: `init(theta, support, features) -> stack`, or a `Start`."""

from hfmeta.inner.inits.head import HEADS, HeadInit, Plain, class_means

__all__ = ["HEADS", "HeadInit", "Plain", "class_means"]
