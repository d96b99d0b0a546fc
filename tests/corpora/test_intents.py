"""Intent corpora: a made folder in the published layout, the part that ships, and the full corpora where they are at hand."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import pytest

from hfmeta.corpora import load_intents, load_quickstart_intents
from hfmeta.corpora.folders import corpus_path
from hfmeta.episodes import EpisodeDataset, EpisodeError, check_disjoint, shared_inputs
from tiny import tiny_tokenizer

CLASSES = {"train": ["a?", "B_b"], "valid": ["c"], "test": ["d", "e"]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Both corpora, split 02 only, three sentences a class; a line separator inside a sentence is not a line end."""
    for name, numbered in (("BANKING77", False), ("OOS", True)):
        folder = tmp_path / "intent" / name / "few_shot" / "02"
        folder.mkdir(parents=True)
        for part, labels in CLASSES.items():
            (folder / f"labels.{part}.txt").write_text("\n".join(labels))
            rows = [{"sentence": f"{name} {c}\u2028{i}", "label": c} for c in labels for i in range(3)]
            if numbered:
                rows = [{"global_ix": i, **row} for i, row in enumerate(rows)]
            (folder / f"{part}.jsonl").write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in rows))
        (folder / "train.10samples.jsonl").write_text((folder / "train.jsonl").read_text() + "\n")
    return tmp_path


@pytest.mark.parametrize("part", ["train", "valid", "test", "train.10samples"])
def test_parts(root: Path, part: str) -> None:
    rows = load_intents("banking77", root, split="02", part=part)
    labels = CLASSES[part.split(".")[0]]
    assert rows.column_names == ["sentence", "label"]
    assert rows["label"][:] == [c for c in labels for _ in range(3)]
    assert rows[0]["sentence"] == f"BANKING77 {labels[0]}\u20280"
    assert load_intents("clinc150", root, split="02", part=part).column_names == ["global_ix", "sentence", "label"]


def test_root_may_be_the_variable_or_a_nearer_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load_intents("clinc150", root, "02").to_list()
    monkeypatch.setenv("HFMETA_DATA", str(root))
    assert load_intents("clinc150", split="02").to_list() == expected
    monkeypatch.delenv("HFMETA_DATA")
    assert load_intents("clinc150", root / "intent", "02").to_list() == expected
    assert load_intents("clinc150", root / "intent" / "OOS", "02").to_list() == expected


def test_refusals_of_names(root: Path) -> None:
    with pytest.raises(
        EpisodeError,
        match="corpus='banking' is unknown; .* 'banking77', 'clinc150'. Did you mean 'banking77'",
    ):
        load_intents("banking", root)
    with pytest.raises(EpisodeError, match="split='6' is unknown; choose one of '01', '02', '03', '04', '05'"):
        load_intents("clinc150", root, split="6")
    with pytest.raises(EpisodeError, match="part='dev' is unknown"):
        load_intents("clinc150", root, split="02", part="dev")
    with pytest.raises(EpisodeError, match="part='validation' is unknown; .*'valid', 'test'. Did you mean 'valid'"):
        load_quickstart_intents("validation")


def test_refusals_of_folders(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HFMETA_DATA", raising=False)
    with pytest.raises(
        EpisodeError,
        match="pass root=.* data.root=.*, or set HFMETA_DATA to the folder that holds intent/OOS/few_shot/01",
    ):
        load_intents("clinc150")
    with pytest.raises(
        EpisodeError, match="the data folder '/no/such' does not exist; clinc150, split 01 is expected at intent/OOS"
    ):
        load_intents("clinc150", "/no/such")
    with pytest.raises(
        EpisodeError, match="split 01 is not in .*; expected there: intent/OOS/few_shot/01 or OOS/few_shot/01"
    ):
        load_intents("clinc150", root)
    assert corpus_path(root, ["none", "intent"], "x", "y") == root / "intent"


def test_refusals_of_contents(root: Path) -> None:
    folder = root / "intent" / "OOS" / "few_shot" / "02"
    original = (folder / "test.jsonl").read_text()
    for text, message in (
        (original + "\n{", "test.jsonl, line 7, is no JSON"),
        (
            '{"text": "x", "label": "d"}',
            r"line 1, have no column 'sentence'; the columns found are \['text', 'label'\]",
        ),
        (original.replace('"d"', '"D"'), r"only in the rows \['D'\], only in the list \['d'\]"),
        ("\n", "test.jsonl has no rows"),
    ):
        (folder / "test.jsonl").write_text(text)
        with pytest.raises(EpisodeError, match=message):
            load_intents("clinc150", root, "02", "test")
    (folder / "test.jsonl").unlink()
    with pytest.raises(
        EpisodeError, match="test.jsonl is missing. It is the folder data/ of https://github.com/tdopierre/ProtAugment"
    ):
        load_intents("clinc150", root, "02", "test")
    (folder / "labels.test.txt").write_text("d\nc")
    with pytest.raises(EpisodeError, match=r"'valid' and 'test' share 1 \('c'\)"):
        load_intents("clinc150", root, "02", "train")


def test_the_part_that_ships() -> None:
    parts = {part: load_quickstart_intents(part) for part in ("train", "valid", "test")}
    expected = {"train": (50, 30), "valid": (20, 25), "test": (50, 40)}
    for part, (classes, sentences) in expected.items():
        labels = parts[part]["label"][:]
        assert parts[part].column_names == ["sentence", "label", "global_ix"]
        assert len(set(labels)) == classes
        assert {labels.count(label) for label in set(labels)} == {sentences}
    check_disjoint(parts, "label")
    assert not any(shared_inputs(parts, "sentence").values())
    episodes = EpisodeDataset.n_way(
        parts["test"],
        label_column="label",
        input_column="sentence",
        k_shot=5,
        query=25,
        processing_class=tiny_tokenizer(),
    )
    assert episodes[0]["query"]["labels"].shape == (125,)


def test_the_part_that_ships_has_its_licence_and_is_small() -> None:
    import hfmeta.corpora

    folder = Path(hfmeta.corpora.__file__).parent / "data" / "clinc150"
    assert sum(p.stat().st_size for p in folder.iterdir()) < 500_000
    assert "creativecommons.org/licenses/by/3.0" in (folder / "LICENSE").read_text()
    attribution = (folder / "ATTRIBUTION.md").read_text()
    assert "Larson" in attribution
    assert "What was changed" in attribution


needs_data = pytest.mark.skipif("HFMETA_DATA" not in os.environ, reason="the full corpora are not at hand")


@needs_data
@pytest.mark.parametrize("split", ["01", "02", "03", "04", "05"])
def test_the_full_corpora(split: str) -> None:
    sizes = {"banking77": (13_083, (25, 25, 27)), "clinc150": (22_500, (50, 50, 50))}
    for corpus, (sentences, classes) in sizes.items():
        parts = {part: load_intents(corpus, split=split, part=part) for part in ("train", "valid", "test")}
        assert sum(map(len, parts.values())) == sentences
        assert tuple(len(set(rows["label"])) for rows in parts.values()) == classes
        shared = sum(map(len, shared_inputs(parts, "sentence").values()))
        assert shared == 0 if corpus == "banking77" else shared <= 4


@needs_data
def test_the_script_reproduces_the_part_that_ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(__file__).parents[2] / "scripts" / "make_clinc150_subset.py"
    spec = importlib.util.spec_from_file_location("make_clinc150_subset", path)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    shipped = script.OUT
    monkeypatch.setattr(script, "OUT", tmp_path)
    script.main()
    for part in ("train", "valid", "test"):
        assert (tmp_path / f"{part}.jsonl").read_bytes() == (shipped / f"{part}.jsonl").read_bytes()
