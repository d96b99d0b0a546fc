"""A metric folder in the layout of the evaluate library: open it with `evaluate.load`, which reads `c_score.py`."""

__all__ = []
