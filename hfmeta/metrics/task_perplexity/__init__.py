"""A metric folder in the layout of the evaluate library: open it with `evaluate.load`, which reads `task_perplexity.py`."""

__all__ = []
