"""A metric folder in the layout of the evaluate library: open it with `evaluate.load`, which reads `dialogue_bleu.py`."""

__all__ = []
