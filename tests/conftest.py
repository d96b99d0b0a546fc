"""Settings that hold for every test and must be in place before torch and the Hugging Face libraries are imported."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

_home = tempfile.mkdtemp(prefix="hfmeta-tests-")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_HOME=_home,
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    TOKENIZERS_PARALLELISM="false",
    OMP_NUM_THREADS="1",
    MPLBACKEND="Agg",
    MPLCONFIGDIR=_home,
)

import pytest  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _same_start():
    """Every test starts from one seed of torch's global generator, and none may leave another default type behind."""
    torch.manual_seed(0)
    yield
    assert torch.get_default_dtype() == torch.float32, "this test, or the code under test, left another default dtype"
