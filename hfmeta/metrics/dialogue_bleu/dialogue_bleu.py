"""BLEU per dialogue and pooled, as a metric of the evaluate library: `evaluate.load("<this folder>")`."""

import datasets
import evaluate

from hfmeta.metrics import bleu

_DESCRIPTION = """
Corpus BLEU-4 without smoothing of each dialogue, averaged over dialogues, and of all responses together; in percent, by sacrebleu.
"""
_INPUTS = """
Args:
    predictions (list of str): generated responses, tokens separated by white space.
    references (list of str): true responses, likewise.
    dialogues (list): the dialogue each response belongs to; without it, all are one.
    lowercase (bool): compare in lower case; true by default.
Returns:
    bleu: mean over dialogues.
    ci95: half width of its 95 % interval over dialogues; nan for one.
    corpus_bleu: BLEU of all responses together.
    dialogues: how many.
    signature: sacrebleu's description of how it was computed.
"""


class DialogueBleu(evaluate.Metric):
    """BLEU-4 averaged over dialogues."""

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": text, "references": text}),
        )

    def _compute(
        self,
        predictions: list[str],
        references: list[str],
        dialogues: list[object] | None = None,
        lowercase: bool = True,
    ) -> dict[str, object]:
        result = bleu.bleu_scores(predictions, references, dialogues, lowercase=lowercase)
        return {
            "bleu": result.dialogue_mean,
            "ci95": result.ci95,
            "corpus_bleu": result.corpus,
            "dialogues": len(result.per_dialogue),
            "signature": result.signature,
        }
