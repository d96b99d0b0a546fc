"""The encoder of the LSTM sequence-to-sequence models: embedding and a stack of LSTM layers over a padded batch.

Here: what is read, up to the states that the decoder starts from. Not here: one layer and its kernels (`recurrence.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.utils import ModelOutput

from hfmeta.inner.errors import HfmetaError
from hfmeta.models.lstm_seq2seq.config import LstmSeq2SeqConfig
from hfmeta.models.lstm_seq2seq.recurrence import LstmLayer


@dataclass
class LstmEncoderOutput(ModelOutput):
    """What the encoder has read.

    Args:
        last_hidden_state: outputs of the top layer [B, S, H], zero at padding.
        final_state: output of the top layer at the last token of each row [B, H].
        final_cell: its cell state there [B, H].
        hidden_states: the embedded tokens and the outputs of every layer, on demand.
    """

    last_hidden_state: Tensor | None = None
    final_state: Tensor | None = None
    final_cell: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None


class LstmEncoder(nn.Module):
    """Embedding and unidirectional LSTM layers with zero initial state; dropout between layers, not after the last.

    Args:
        config: the model's configuration.
    """

    main_input_name = "input_ids"

    def __init__(self, config: LstmSeq2SeqConfig):
        super().__init__()
        self.dropout = config.dropout
        self.embed_tokens = nn.Embedding(config.vocab_size, config.embedding_size)
        widths = [config.embedding_size] + [config.hidden_size] * (config.encoder_layers - 1)
        self.layers = nn.ModuleList(LstmLayer(width, config.hidden_size) for width in widths)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
    ) -> LstmEncoderOutput | tuple[Tensor | tuple[Tensor, ...], ...]:
        """Read the sources of a batch.

        Args:
            input_ids: [B, S].
            attention_mask: see `token_mask`; a row's result does not depend on how much padding it has, nor on which side.
            inputs_embeds: [B, S, E], in place of `input_ids`.
            output_hidden_states: also return what every layer gives.
            output_attentions: passed by `generate` to every encoder; this one has none to return.
            return_dict: False: return a plain tuple of what there is.

        Raises:
            HfmetaError: not exactly one of `input_ids` and `inputs_embeds`.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise HfmetaError(
                f"the encoder was given {'neither' if input_ids is None else 'both'} of input_ids and inputs_embeds; give exactly one."
            )
        hidden = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        mask = token_mask(attention_mask)
        seen = [hidden]
        for layer in self.layers:
            if len(seen) > 1:
                hidden = functional.dropout(hidden, self.dropout, self.training)
            hidden, cell = layer(hidden, mask)
            seen.append(hidden)
        if mask is None:
            final = hidden[:, -1]
        else:
            hidden = seen[-1] = hidden * mask.unsqueeze(-1)
            last = (torch.arange(mask.shape[1], device=mask.device) * mask).amax(1)
            final = hidden.gather(1, last[:, None, None].expand(-1, 1, hidden.shape[-1])).squeeze(1)
        output = LstmEncoderOutput(hidden, final, cell, tuple(seen) if output_hidden_states else None)
        return output.to_tuple() if return_dict is False else output


def token_mask(attention_mask: Tensor | None) -> Tensor | None:
    """Where tokens are, [B, L] bool, from any of the forms in which masks are passed.

    Args:
        attention_mask: [B, L], nonzero for tokens; or the additive mask that transformers makes of it, [B, 1, L, L], 0 for tokens and
            very negative for padding (boolean: true for tokens); None: every position holds a token.
    """
    if attention_mask is None:
        return None
    if attention_mask.dim() == 4:
        seen = attention_mask[:, 0, -1]
        return seen if seen.dtype == torch.bool else seen == 0
    return attention_mask.bool()
