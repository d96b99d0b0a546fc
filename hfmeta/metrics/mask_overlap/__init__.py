"""A metric folder in the layout of the evaluate library: open it with `evaluate.load`, which reads `mask_overlap.py`."""

__all__ = []
