"""Checks of hfmeta/reporting/gates.py."""

from __future__ import annotations

from PIL import Image

from hfmeta.reporting import gate_plot

COURSE = {"mean": [0.1, 0.2], "low": [0.05, 0.1], "high": [0.2, 0.4], "tensors": {"a": [0.1, 0.3], "b": [0.1, 0.1]}}


def test_gates_are_drawn(tmp_path):
    gates = {"tasks": 2, "input": COURSE, "forget": COURSE}
    path = gate_plot(gates, tmp_path / "gates.png")
    with Image.open(path) as image:
        assert image.width > 900
        assert len(image.convert("RGB").getcolors(maxcolors=1 << 20)) > 20
    assert [one.name for one in tmp_path.iterdir()] == ["gates.png"]
    assert gate_plot(gates, tmp_path / "named.png", "a run").read_bytes() != path.read_bytes()
