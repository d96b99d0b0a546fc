"""Plots of a task gate are drawn, and the plane of embeddings is that of their principal components."""

from __future__ import annotations

import numpy as np
from PIL import Image

from hfmeta.reporting import cluster_plot, embedding_plot, task_gate_plot
from hfmeta.reporting.clusters import principal_plane


def is_drawn(path):
    with Image.open(path) as image:
        return image.format == "PNG" and len(image.convert("RGB").getcolors(maxcolors=1 << 20)) > 20


def test_the_plots_are_drawn(tmp_path):
    dice = np.random.default_rng(0)
    names = ("sinusoid", "line")
    shares = {name: [dice.dirichlet(np.ones(4), 9), dice.dirichlet(np.ones(2), 9)] for name in names}
    assert is_drawn(cluster_plot(shares, tmp_path / "clusters.png"))
    gates = {name: {"layers.0.weight": dice.random(9), "head.bias": dice.random(9)} for name in names}
    assert is_drawn(task_gate_plot(gates, tmp_path / "gates.png"))
    assert is_drawn(embedding_plot({name: dice.normal(size=(9, 5)) for name in names}, tmp_path / "embeddings.png"))


def test_the_plane_has_the_largest_variance():
    dice = np.random.default_rng(0)
    points = dice.normal(size=(500, 4)) * np.array([1.0, 5.0, 0.1, 3.0]) + 7
    places, shares = principal_plane(points)
    assert abs(np.corrcoef(places[:, 0], points[:, 1])[0, 1]) > 0.99
    assert abs(np.corrcoef(places[:, 1], points[:, 3])[0, 1]) > 0.99
    np.testing.assert_allclose(
        shares, np.sort(np.linalg.eigvalsh(np.cov(points.T)))[::-1][:2] / np.cov(points.T).trace()
    )


def test_a_line_or_a_point_has_a_plane_too():
    places, shares = principal_plane(np.array([[1.0], [3.0]]))
    assert places.shape == (2, 2)
    assert shares.tolist() == [1.0, 0.0]
    assert principal_plane(np.ones((3, 4)))[1].tolist() == [0.0, 0.0]
