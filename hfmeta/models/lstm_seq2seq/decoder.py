"""The decoder of the LSTM sequence-to-sequence models: a cell with Luong attention and input feeding, private network, gate, speaker.

Here: everything between the embedded target and the vectors that the vocabulary is scored with, and the state that generation
carries. Not here: the vocabulary, losses and files (`model.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import initialization as init

from hfmeta.inner.errors import HfmetaError
from hfmeta.models.lstm_seq2seq.recurrence import held, lstm_cell
from hfmeta.models.private_mlp import PrivateMlp


@dataclass(eq=False)
class DecoderState:
    """All that the decoder remembers of the tokens it has read: what `generate` carries as `past_key_values`.

    Args:
        state: the last attentional vector d [B, H].
        cell: the cell state [B, H].
        length: tokens read so far.
    """

    state: Tensor
    cell: Tensor
    length: int = 0

    is_compileable = False

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens read so far."""
        return self.length

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Continue from the rows `beam_idx` [B]; beam search calls this between steps."""
        index = beam_idx.to(self.state.device)
        self.state, self.cell = self.state.index_select(0, index), self.cell.index_select(0, index)


@dataclass(eq=False)
class DecoderOutput:
    """What the decoder gives.

    Args:
        output: the vectors that the vocabulary is scored with [B, L, H].
        shared: the attentional vectors d [B, L, H]; the same where there is no private network.
        state: what it remembers after the last step.
        attentions: weights over the source [B, 1, L, S], on demand.
    """

    output: Tensor
    shared: Tensor
    state: DecoderState
    attentions: Tensor | None

    @property
    def layers(self) -> tuple[Tensor, ...]:
        """The shared vectors and, where they are others, those that the vocabulary is scored with."""
        return (self.shared,) if self.output is self.shared else (self.shared, self.output)


class Gate(nn.Module):
    """Blends the shared and the private output: tanh(sigmoid(q_d) * d + sigmoid(q_p) * p), [q_d ; q_p] = W_d d + b_d + W_p p + b_p.

    Source: the reference code of Song et al. 2020; the paper's equation 1 writes it over the vocabulary.

    Args:
        hidden_size: width of both (H).
    """

    def __init__(self, hidden_size: int):
        super().__init__()
        self.linear_d = nn.Linear(hidden_size, 2 * hidden_size)
        self.linear_p = nn.Linear(hidden_size, 2 * hidden_size)

    def forward(self, d: Tensor, p: Tensor) -> Tensor:
        """Blend `d` and `p`, both [..., H]."""
        q_d, q_p = torch.sigmoid(self.linear_d(d) + self.linear_p(p)).chunk(2, -1)
        return torch.tanh(q_d * d + q_p * p)


class SpeakerTable(nn.Module):
    """A vector for every speaker of the training data, and one for a speaker who is not among them.

    The latter is the mean of all rows plus `unseen`, which starts at zero and is what fine-tuning on a new speaker moves (each row
    moves by the share that it has in the mean). Source: Li et al. 2016 (arXiv 1603.06155), for the table.

    Args:
        num_speakers: rows.
        size: width of a vector.
    """

    def __init__(self, num_speakers: int, size: int):
        super().__init__()
        self.table = nn.Embedding(num_speakers, size)
        self.unseen = nn.Parameter(torch.zeros(size))

    def reset_unseen(self) -> None:
        """Put the unseen speaker back to the mean of the rows."""
        init.zeros_(self.unseen)

    def forward(self, speaker_ids: Tensor | None, rows: int) -> Tensor:
        """The vectors of a batch of speakers.

        Args:
            speaker_ids: [B], row numbers, or -1 for an unseen speaker; None: all are unseen.
            rows: B.

        Returns:
            [B, size].

        Raises:
            HfmetaError: a number beyond the table.
        """
        unseen = (self.table.weight.mean(0) + self.unseen).expand(rows, -1)
        if speaker_ids is None:
            return unseen
        try:
            seen = self.table(speaker_ids.clamp(min=0))
        except IndexError as error:
            raise HfmetaError(
                f"speaker_ids go beyond the {self.table.num_embeddings} row(s) of the speaker table: set num_speakers to the "
                "number of training speakers, and give -1 for an unseen one."
            ) from error
        return torch.where((speaker_ids < 0).unsqueeze(-1), unseen, seen)


class LstmDecoder(nn.Module):
    """One LSTM cell whose recurrent state is the attentional vector of the step before (Luong et al. 2015, "general", input feeding).

    At step t, with x_t the embedded previous token (and the speaker's vector): gates = W_x x_t + b_x + W_h d_{t-1} + b_h; h_t, c_t by
    the LSTM cell; a_t = softmax over the source of src_h (W_a h_t); d_t = tanh(W_c [sum_j a_tj src_h_j ; h_t]). With a private network
    p_t = private([x_t ; d_{t-1}]) (or of d_{t-1} alone), which feeds nothing back, and o_t = gate(d_t, p_t).

    Args:
        input_size: width of what enters the cell (E, and the speaker's width).
        hidden_size: width of the states (H).
        private: the private network, or None.
        private_reads_input: whether it reads x_t besides d_{t-1}.
        speakers: the speakers' vectors, or None.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        private: PrivateMlp | None = None,
        private_reads_input: bool = True,
        speakers: SpeakerTable | None = None,
    ):
        super().__init__()
        self.from_input = nn.Linear(input_size, 4 * hidden_size)
        self.from_state = nn.Linear(hidden_size, 4 * hidden_size)
        self.attention = nn.Linear(hidden_size, hidden_size, bias=False)
        self.combine = nn.Linear(2 * hidden_size, hidden_size, bias=False)
        self.speakers = speakers
        self.private_reads_input = private_reads_input
        self.private = private
        self.gate = None if private is None else Gate(hidden_size)

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        memory_mask: Tensor | None,
        state: DecoderState,
        mask: Tensor | None = None,
        speaker_ids: Tensor | None = None,
        output_attentions: bool = False,
    ) -> DecoderOutput:
        """Read the embedded tokens of a batch of targets, one step each.

        Args:
            x: [B, L, E].
            memory: outputs of the encoder [B, S, H].
            memory_mask: [B, S] bool, or None.
            state: where to start; it is left as it is.
            mask: [B, L] bool; where false, the state stays as it is. None: all true.
            speaker_ids: [B], see `SpeakerTable`.
            output_attentions: also return the attention weights.
        """
        entering = x
        if self.speakers is not None:
            vectors = self.speakers(speaker_ids, x.shape[0])
            entering = torch.cat([x, vectors.unsqueeze(1).expand(-1, x.shape[1], -1)], -1)
        # Whatever does not depend on the recurrence is done before or after the loop, for all steps at once.
        into_gates = self.from_input(entering)
        hidden = None if memory_mask is None else _additive(memory_mask, memory.dtype)
        d, cell = state.state, state.cell
        before, after, weights = [], [], []
        for t, given in enumerate(into_gates.unbind(1)):
            before.append(d)
            h, new_cell = lstm_cell(given + self.from_state(d), cell)
            context, attention = self._attend(h, memory, hidden)
            new_d = torch.tanh(self.combine(torch.cat([context, h], -1)))
            d, cell = held((new_d, new_cell), (d, cell), None if mask is None else mask[:, t])
            after.append(d)
            weights.append(attention)
        shared = torch.stack(after, 1)
        return DecoderOutput(
            output=self._gated(x, torch.stack(before, 1), shared),
            shared=shared,
            state=DecoderState(d, cell, state.length + x.shape[1]),
            attentions=torch.cat(weights, 1).unsqueeze(1) if output_attentions else None,
        )

    def _attend(self, h: Tensor, memory: Tensor, hidden: Tensor | None) -> tuple[Tensor, Tensor]:
        """The context [B, H] of a state `h` [B, H], and the weights [B, 1, S]."""
        scores = torch.bmm(self.attention(h).unsqueeze(1), memory.transpose(1, 2))
        weights = torch.softmax(scores if hidden is None else scores + hidden, -1)
        return torch.bmm(weights, memory).squeeze(1), weights

    def _gated(self, x: Tensor, before: Tensor, shared: Tensor) -> Tensor:
        """The decoder's output [B, L, H], from its inputs, its states before every step and those after."""
        if self.private is None or self.gate is None:
            return shared
        read = torch.cat([x, before], -1) if self.private_reads_input else before
        return self.gate(shared, self.private(read))


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to attention scores [B, 1, S]: 0 at tokens, the most negative finite number at padding."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)[:, None]
