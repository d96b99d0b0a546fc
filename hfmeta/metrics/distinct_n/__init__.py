"""A metric folder in the layout of the evaluate library: open it with `evaluate.load`, which reads `distinct_n.py`."""

__all__ = []
