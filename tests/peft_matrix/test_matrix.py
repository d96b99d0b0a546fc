"""PEFT's own test matrix on PRIVATE_MLP: everything that does not concern merging passes (`make test-long`; README.md
has the counts).

Downloads the source distribution of the installed PEFT, and two packages that its tests import, with pip.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import peft
import pytest

HERE = Path(__file__).parent
KNOWN = {"0.21.2": {"passed": 843, "skipped": 262}}
"""What was counted, by PEFT's version."""
UNLOCK = [
    ("testing_common.py", "config_cls not in (LoraConfig, RoadConfig):", 1),
    ("testing_common.py", "config_cls not in (LoraConfig,):", 1),
    ("testing_common.py", "config_cls not in (IA3Config, LoHaConfig, LoKrConfig, LoraConfig):", 1),
    (
        "test_decoder_models.py",
        'config_cls != LoraConfig:\n            pytest.skip("Mixed adapter batches not supported for this config.")',
        2,
    ),
]
"""Conditions under which PEFT skips a test for methods it does not know to be able; ours is able."""
NOT_OURS = [
    "merging: ",
    "Testing bias warnings only for LoraConfig or BOFTConfig",
    "does not support the 'bias' argument",
    "requires the PEFT method to support training the bias directly",
    "Test not applicable for",  # prompt learning; weighted combinations
    "This test does not apply to",  # prompt tuning
    "This test is only for prompt learning methods",
    "Skip tests that are not prompt learning",
    "Multiple active adapters with modules_to_save/trainable_token_indices is not supported",
]
"""Reasons to skip that concern merging, or what the method has not: biases of the base, prompts, weighted combinations."""


def pip(*arguments: str) -> None:
    """Run pip, quietly."""
    subprocess.run([sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"], check=True)


def unpack_peft(folder: Path) -> Path:
    """PEFT's source distribution, of the installed version, with its tests as a package and unlocked for the method."""
    pip(
        "download",
        f"peft=={peft.__version__}",
        "--no-binary",
        ":all:",
        "--no-deps",
        "--no-build-isolation",
        "-d",
        str(folder),
    )
    with tarfile.open(next(folder.glob("peft-*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    root = folder / f"peft-{peft.__version__}"
    (root / "tests" / "__init__.py").touch()
    for name, condition, count in UNLOCK:
        path = root / "tests" / name
        text = path.read_text(encoding="utf-8")
        assert text.count(condition) == count, f"{name} of peft {peft.__version__} has no longer {condition!r}"
        path.write_text(
            text.replace(condition, f"config_cls.__name__ != 'PrivateMlpConfig' and {condition}"), encoding="utf-8"
        )
    shutil.copy(HERE / "suites.py", root / "test_private_mlp.py")
    return root


@pytest.mark.long
def test_pefts_own_matrix(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    from little_models import write_models

    root = unpack_peft(tmp_path)
    pip("install", "--no-deps", "--target", str(tmp_path / "extra"), "diffusers", "parameterized")
    paths = [root, tmp_path / "extra", HERE, HERE.parent]
    report = tmp_path / "report.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        os.devnull,
        "--rootdir",
        ".",
        "-p",
        "selection",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        [*command, "-q", "--tb=short", "-rf", f"--junitxml={report}", "test_private_mlp.py"],
        cwd=root,
        env=os.environ
        | {
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "PRIVATE_MLP_MODELS": str(write_models(tmp_path / "models")),
        },
        capture_output=True,
        text=True,
    )
    assert report.is_file(), done.stdout[-3000:] + done.stderr[-3000:]
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    bad = [case.get("name") for case in cases if case.find("failure") is not None or case.find("error") is not None]
    assert not bad, done.stdout[-6000:]
    reasons = Counter(skip.get("message", "") for case in cases for skip in case.findall("skipped"))
    strange = [reason for reason in reasons if not any(part in reason for part in NOT_OURS)]
    assert not strange, strange
    counts = {"passed": len(cases) - reasons.total(), "skipped": reasons.total()}
    print(f"\npeft {peft.__version__}: {counts}")
    for reason, number in reasons.most_common():
        print(f"  {number:4d} {re.sub(r'<class .*?>', 'the method', reason)}")
    if peft.__version__ in KNOWN:
        assert counts == KNOWN[peft.__version__], counts
    assert counts["passed"] > 700
