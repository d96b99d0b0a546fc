"""A metric folder in the layout of the evaluate library: open it with `evaluate.load`, which reads `model_difference.py`."""

__all__ = []
