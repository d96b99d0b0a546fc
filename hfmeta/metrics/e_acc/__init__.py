"""A metric folder in the layout of the evaluate library: open it with `evaluate.load`, which reads `e_acc.py`."""

__all__ = []
