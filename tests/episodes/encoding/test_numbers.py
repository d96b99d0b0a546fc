"""Plain numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from datasets import Dataset

from hfmeta.episodes import EpisodeError, RegressionEncoder


def test_numbers_and_lists() -> None:
    rows = Dataset.from_dict({"x": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], "y": [1, 2, 3]})
    encoded = RegressionEncoder("x", "y").encode(rows)
    assert torch.equal(encoded["inputs"], torch.tensor([[1.0, 2], [3, 4], [5, 6]]))
    assert torch.equal(encoded["labels"], torch.tensor([[1.0], [2], [3]]))
    assert encoded["inputs"].dtype == encoded["labels"].dtype == torch.float32
    arrays = RegressionEncoder("x", "y").encode([{"x": np.ones(3), "y": np.float64(2)}, {"x": torch.zeros(3), "y": 1}])
    assert arrays["inputs"].tolist() == [[1, 1, 1], [0, 0, 0]]


def test_refusals() -> None:
    encoder = RegressionEncoder("x", "y")
    with pytest.raises(EpisodeError, match="row 1 of column 'x' holds str; a number or a list of numbers was expected"):
        encoder.encode([{"x": 1.0, "y": 1.0}, {"x": "2", "y": 1.0}])
    with pytest.raises(EpisodeError, match="row 0 of column 'y' holds list"):
        encoder.encode([{"x": 1.0, "y": [[1.0]]}])
    with pytest.raises(EpisodeError, match=r"column 'x' holds vectors of unequal lengths: \[1, 2\]"):
        encoder.encode([{"x": 1.0, "y": 1.0}, {"x": [1.0, 2.0], "y": 1.0}])
    with pytest.raises(EpisodeError, match="label ids belong to classification"):
        encoder.encode([{"x": 1.0, "y": 1.0}], [0])
