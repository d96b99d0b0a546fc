"""Where the named corpora come from and under which licences, for cards; one entry for every corpus that a recipe can name.

Reading them is in the file of each corpus. What is not known here is left out, never guessed.
"""

from __future__ import annotations

from dataclasses import dataclass

CC_BY_4 = ("CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/")
CC_BY_3 = ("CC BY 3.0", "https://creativecommons.org/licenses/by/3.0/")
MIT = ("MIT", "https://opensource.org/license/mit")
SPLITS = "the division of the classes is that of tdopierre/ProtAugment (Apache-2.0)"


@dataclass(frozen=True)
class CorpusOrigin:
    """Where a corpus comes from.

    Args:
        title: as its authors write it.
        url: where it is published; None for corpora that are drawn from formulas or are the user's own.
        licence: its name and address; None where the publisher states none that we know of.
        hub_id: the same corpus as a dataset on the hub.
        note: what else a user of it should know.
        generated: whether it is drawn from formulas and has no licence to respect.
    """

    title: str
    url: str | None = None
    licence: tuple[str, str] | None = None
    hub_id: str | None = None
    note: str | None = None
    generated: bool = False

    @property
    def markdown(self) -> str:
        """One sentence on the licence, for a card; empty where nothing is known."""
        named = f"[{self.title}]({self.url})" if self.url else self.title
        if self.generated:
            return f"{named} is drawn from formulas; no data are under a licence."
        if self.licence is None:
            return f"{named}: see there for its licence." if self.url else ""
        return f"{named}: [{self.licence[0]}]({self.licence[1]})" + (f"; {self.note}." if self.note else ".")


ORIGINS = {
    "banking77": CorpusOrigin(
        "BANKING77",
        "https://github.com/PolyAI-LDN/task-specific-datasets",
        CC_BY_4,
        "PolyAI/banking77",
        SPLITS,
    ),
    "clinc150": CorpusOrigin("CLINC150", "https://github.com/clinc/oos-eval", CC_BY_3, "clinc/clinc_oos", SPLITS),
    "clinc150_quickstart": CorpusOrigin(
        "CLINC150",
        "https://github.com/clinc/oos-eval",
        CC_BY_3,
        "clinc/clinc_oos",
        f"the part that ships with hfmeta; {SPLITS}",
    ),
    "omniglot": CorpusOrigin("Omniglot", "https://github.com/brendenlake/omniglot", MIT),
    "sinusoid": CorpusOrigin("Sinusoid regression", generated=True),
    "function_families": CorpusOrigin("Regression on four families of functions", generated=True),
    "persona_chat": CorpusOrigin("Persona-Chat", "https://parl.ai/projects/personachat/", CC_BY_4),
    "synthetic_persona_chat": CorpusOrigin(
        "Synthetic-Persona-Chat",
        "https://github.com/google-research-datasets/Synthetic-Persona-Chat",
        CC_BY_4,
        "google/Synthetic-Persona-Chat",
        "its dialogues were written by a language model",
    ),
    "mojitalk": CorpusOrigin("MojiTalk", "https://github.com/claude-zhou/MojiTalk"),
    "tweet_eval_emoji": CorpusOrigin(
        "TweetEval, emoji", "https://github.com/cardiffnlp/tweeteval", hub_id="cardiffnlp/tweet_eval"
    ),
    "mini_imagenet": CorpusOrigin("miniImagenet", "https://github.com/twitter-research/meta-learning-lstm"),
    "fine_grained": CorpusOrigin("Birds, textures, aircraft and fungi"),
    "image_folder": CorpusOrigin("A folder of images"),
}
"""Name in a recipe's `data.corpus` -> origin."""
