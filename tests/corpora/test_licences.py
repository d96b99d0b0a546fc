"""Every corpus that a recipe can name has an origin, and what the repository ships is licensed as its notice says."""

from __future__ import annotations

from pathlib import Path

from hfmeta.corpora.licences import ORIGINS
from hfmeta.recipe.schema import CORPORA

ROOT = Path(__file__).resolve().parents[2]


def test_every_named_corpus_has_an_origin():
    assert set(ORIGINS) == set(CORPORA)


def test_sentences_on_licences():
    assert ORIGINS["sinusoid"].markdown == "Sinusoid regression is drawn from formulas; no data are under a licence."
    assert ORIGINS["image_folder"].markdown == ""
    assert ORIGINS["mojitalk"].markdown.endswith("see there for its licence.")
    assert "[CC BY 4.0](https://creativecommons.org/licenses/by/4.0/); the division" in ORIGINS["banking77"].markdown


def test_the_shipped_corpus_has_the_licence_of_its_notice():
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    origin = ORIGINS["clinc150_quickstart"]
    assert origin.url in notice
    assert origin.licence[1] in notice
