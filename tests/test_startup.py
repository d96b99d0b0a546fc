"""What starting hfmeta imports: the library registers its classes at once, the command line's help waits for nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

import hfmeta

HEAVY = ("torch", "transformers", "peft", "datasets", "matplotlib", "sklearn", "numpy")


def test_every_public_name_is_found_and_listed():
    assert sorted(name for names in hfmeta._HOMES.values() for name in names) == sorted(hfmeta.__all__)
    assert set(hfmeta.__all__) <= set(dir(hfmeta))
    for home, names in hfmeta._HOMES.items():
        for name in names:
            assert getattr(hfmeta, name) is getattr(sys.modules[home], name)


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'hfmeta' has no attribute 'MetaLerner'"):
        _ = hfmeta.MetaLerner
    with pytest.raises(ImportError, match="cannot import name 'MetaLerner'"):
        exec("from hfmeta import MetaLerner")


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["no_such_command"]])
def test_help_imports_nothing_heavy(words):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "hfmeta", *words], capture_output=True, text=True, check=False
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "hfmeta.cli" in imported
    assert not imported.intersection(HEAVY)
    assert done.returncode == (2 if "no_such_command" in words else 0)


def test_importing_hfmeta_registers_its_classes(tmp_path):
    """Also where the importing package is itself being started with -m, which is when sys.argv does not yet name it."""
    package = tmp_path / "personas"
    package.mkdir()
    (package / "__init__.py").write_text("import hfmeta\n", encoding="utf-8")
    (package / "__main__.py").write_text(
        "from transformers import AutoConfig, AutoModel\n"
        "from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING\n"
        "print(type(AutoModel.from_config(AutoConfig.for_model('hfmeta-mlp'))).__name__)\n"
        "print(*sorted(str(kind.value) for kind in PEFT_TYPE_TO_CONFIG_MAPPING))\n",
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, "-m", "personas"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    model, kinds = done.stdout.splitlines()
    assert model == "MlpForRegression"
    assert "PRIVATE_MLP" in kinds.split()


@pytest.mark.parametrize(
    ("argv", "orig_argv", "expected"),
    [
        (["-m"], ["python", "-m", "hfmeta", "list"], True),
        (["-m", "list"], ["python", "-u", "-m", "hfmeta", "list"], True),
        (["/env/bin/hfmeta", "list"], ["/env/bin/python", "/env/bin/hfmeta", "list"], True),
        (["-m"], ["python", "-m", "personas", "hfmeta"], False),
        (["-m"], ["python", "-m"], False),
        (["train.py", "-m", "hfmeta"], ["python", "train.py", "-m", "hfmeta"], False),
        ([""], ["python"], False),
        ([], ["python"], False),
    ],
)
def test_the_command_line_is_told_from_other_programs(monkeypatch, argv, orig_argv, expected):
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(sys, "orig_argv", orig_argv)
    assert hfmeta._is_command_line() is expected
