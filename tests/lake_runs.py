"""Writes one-shot trials in the layout of Lake's all_runs.zip, with made-up drawings."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image


def drawing(seed: int, side: int = 105, shift: int = 0) -> bytes:
    """A 1-bit PNG, ink 0, paper 1: some strokes that depend on the seed, moved down by `shift` pixels."""
    rng = np.random.default_rng(seed)
    paper = np.ones((side, side), bool)
    for row in rng.integers(5, side // 2, 3):
        paper[shift + row : shift + row + 3, 5 : side // 2] = False
    column = int(rng.integers(5, side // 2))
    paper[shift + 5 : shift + side // 2, column : column + 3] = False
    buffer = io.BytesIO()
    Image.fromarray(paper).save(buffer, "png")
    return buffer.getvalue()


def made_runs(folder: Path, runs: int = 20, ways: int = 3, shift: int = 0, side: int = 105) -> Path:
    """`runs` runs; test item i shows the drawing of its class, moved down by `shift`."""
    for run in range(1, runs + 1):
        name = f"run{run:02d}"
        for kind in ("training", "test"):
            (folder / name / kind).mkdir(parents=True)
        order = np.random.default_rng(run).permutation(ways)
        lines = []
        for item, c in enumerate(order, start=1):
            moved = drawing(run * 100 + int(c), side, shift)
            (folder / name / "test" / f"item{item:02d}.png").write_bytes(moved)
            (folder / name / "training" / f"class{item:02d}.png").write_bytes(drawing(run * 100 + item - 1, side))
            lines.append(f"{name}/test/item{item:02d}.png {name}/training/class{c + 1:02d}.png")
        (folder / name / "class_labels.txt").write_text("\n".join(lines) + "\n")
    return folder
