"""The LSTM sequence-to-sequence models as transformers models: Seq2seq, Seq2SPG (and Seq2SP'G), Speaker.

Here: their parts put together, the loss, what `generate` needs, initial weights and registration with the Auto classes. Not here:
the encoder, the decoder and their configurations (files of those names), tokenizers and word vectors (`word_tokenizer.py`,
`word_vectors.py`).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModelForSeq2SeqLM, GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import Seq2SeqLMOutput

from hfmeta.inner.errors import HfmetaError
from hfmeta.models.lstm_seq2seq.config import LstmSeq2SeqConfig, Seq2SpgConfig, SpeakerConfig
from hfmeta.models.lstm_seq2seq.decoder import DecoderOutput, DecoderState, LstmDecoder, SpeakerTable
from hfmeta.models.lstm_seq2seq.encoder import LstmEncoder, LstmEncoderOutput, token_mask
from hfmeta.models.lstm_seq2seq.recurrence import LstmLayer
from hfmeta.models.private_mlp import PrivateMlp


class LstmSeq2SeqForConditionalGeneration(PreTrainedModel, GenerationMixin):
    """An LSTM encoder and an LSTM decoder with Luong attention and input feeding: the Seq2seq baseline, and the body of the others.

    Source: Song et al. 2020 (arXiv 1910.14326), as its reference code has it, but for what depended on padding: here a row's result
    depends on that row alone.

    Args:
        config: an `LstmSeq2SeqConfig`.
    """

    config_class = LstmSeq2SeqConfig
    base_model_prefix = "seq2seq"
    main_input_name = "input_ids"
    _tied_weights_keys = {"lm_head.weight": "encoder.embed_tokens.weight"}
    _skip_keys_device_placement = ["past_key_values"]
    _is_stateful = True  # the state after a token cannot be taken back, so transformers refuses assisted generation

    def __init__(self, config: Any):
        super().__init__(config)
        self.encoder = LstmEncoder(config)
        self.bridge = nn.Linear(config.hidden_size, config.hidden_size)
        self.decoder = self._make_decoder(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size)
        self.post_init()

    def _make_decoder(self, config: Any) -> LstmDecoder:
        return LstmDecoder(config.embedding_size, config.hidden_size)

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear) and module in self._kaiming:
            init.kaiming_uniform_(module.weight, nonlinearity="relu")
            init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            bound = 1 / math.sqrt(module.in_features)
            init.uniform_(module.weight, -bound, bound)
            if module.bias is not None:
                init.uniform_(module.bias, -bound, bound)
        elif isinstance(module, nn.Embedding):
            init.normal_(module.weight, std=self.config.embedding_std)
        elif isinstance(module, LstmLayer):
            module.reset_parameters()
        elif isinstance(module, SpeakerTable):
            module.reset_unseen()

    @property
    def _kaiming(self) -> frozenset[nn.Module]:
        """Linear layers whose weights are drawn as He et al. 2015 do; the framework's defaults shrink what passes through several."""
        private = self.decoder.private if getattr(self.config, "private_init", "default") == "kaiming" else None
        return frozenset() if private is None else frozenset(private.layers)

    def get_input_embeddings(self) -> nn.Module:
        """The embedding of source and target tokens."""
        return self.encoder.embed_tokens

    def set_input_embeddings(self, value: Any) -> None:
        """Replace the embedding of source and target tokens."""
        self.encoder.embed_tokens = value

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False  # `forward` makes the cache, a `DecoderState`: there are no keys and values to keep

    def prepare_decoder_input_ids_from_labels(self, labels: Tensor) -> Tensor:
        """Shift labels to the right: what the decoder reads when it learns to give them.

        Args:
            labels: [B, L], int64, -100 for what does not count.

        Returns:
            [B, L]: the start token before the first label of a row, padding before that and wherever a label does not count.
        """
        padding, start = self.config.pad_token_id, self.config.decoder_start_token_id
        counts = labels != -100
        before = functional.pad(torch.where(counts, labels, padding)[:, :-1], (1, 0), value=padding)
        # A row's target begins at its first label; one without any begins at once.
        begun = counts.cumsum(1)
        first = (begun == 1) & counts
        first = torch.cat([first[:, :1] | (begun[:, -1:] == 0), first[:, 1:]], 1)
        return torch.where(first, start, before)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        encoder_outputs: LstmEncoderOutput | tuple[Any, ...] | None = None,
        past_key_values: DecoderState | None = None,
        inputs_embeds: Tensor | None = None,
        decoder_inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        speaker_ids: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Seq2SeqLMOutput | tuple[Any, ...]:
        """Score the next token after every token of the targets.

        Args:
            input_ids: source tokens [B, S].
            attention_mask: [B, S], 1 for tokens, 0 for padding on either side; None: all are tokens.
            decoder_input_ids: [B, L], from the start token on, or what follows `past_key_values`; None: made from `labels`.
            decoder_attention_mask: [B, L], 0 where the decoder's state shall stay as it is; None: padding before the start token.
            encoder_outputs: what the encoder gave, if it has run.
            past_key_values: where an earlier call stopped; it is left as it is.
            inputs_embeds: [B, S, E], in place of `input_ids`.
            decoder_inputs_embeds: [B, L, E], in place of `decoder_input_ids`.
            labels: [B, L], int64; the loss is the mean cross-entropy in nats over labels other than -100.
            speaker_ids: [B], Speaker only: rows of the speaker table, -1 for an unseen speaker; None: all are unseen.
            use_cache: also return the decoder's state; None: as configured, and never with `labels`.
            output_attentions: also return the weights over the source, [B, 1, L, S], as `cross_attentions`.
            output_hidden_states: also return the embedded tokens and every layer's outputs.
            return_dict: False: return a plain tuple of what there is.

        Raises:
            HfmetaError: no source or no target, both forms of one of them, or `speaker_ids` for a model without speakers.
        """
        source = self._encoded(input_ids, attention_mask, inputs_embeds, encoder_outputs, bool(output_hidden_states))
        if labels is not None and decoder_input_ids is None and decoder_inputs_embeds is None:
            decoder_input_ids = self.prepare_decoder_input_ids_from_labels(labels)
        x = self._target_embeddings(decoder_input_ids, decoder_inputs_embeds)
        self._check_speakers(speaker_ids)
        decoded = self.decoder(
            x,
            source.last_hidden_state,
            token_mask(attention_mask),
            past_key_values or DecoderState(torch.tanh(self.bridge(source.final_state)), source.final_cell),
            self._target_mask(decoder_input_ids, decoder_attention_mask, past_key_values, x.shape[1]),
            speaker_ids,
            bool(output_attentions),
        )
        output = self._scored(decoded, source, labels)
        if labels is None and (self.config.use_cache if use_cache is None else use_cache):
            output.past_key_values = decoded.state
        if output_attentions:
            output.cross_attentions = (decoded.attentions,)
        if output_hidden_states:
            output.decoder_hidden_states = (x, *decoded.layers)
        return output.to_tuple() if return_dict is False else output

    def _scored(self, decoded: DecoderOutput, source: LstmEncoderOutput, labels: Tensor | None) -> Any:
        """Logits [B, L, V] and, with labels, the loss."""
        logits, loss = self.lm_head(decoded.output), None
        if labels is not None:
            loss = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
        return Seq2SeqLMOutput(
            loss=loss,
            logits=logits,
            encoder_last_hidden_state=source.last_hidden_state,
            encoder_hidden_states=source.hidden_states,
        )

    def _check_speakers(self, speaker_ids: Tensor | None) -> None:
        if speaker_ids is not None and self.decoder.speakers is None:
            raise HfmetaError(
                f"{type(self).__name__} has no speakers: leave out speaker_ids, or use a {SpeakerConfig.model_type} model."
            )

    def _encoded(
        self,
        input_ids: Tensor | None,
        attention_mask: Tensor | None,
        inputs_embeds: Tensor | None,
        given: LstmEncoderOutput | tuple[Any, ...] | None,
        output_hidden_states: bool,
    ) -> Any:
        """What the encoder gives, now or before."""
        if given is None:
            return self.encoder(input_ids, attention_mask, inputs_embeds, output_hidden_states)
        return LstmEncoderOutput(*given) if isinstance(given, tuple) else given

    def _target_embeddings(self, ids: Tensor | None, embeds: Tensor | None) -> Tensor:
        """The embedded target [B, L, E]."""
        if (ids is None) == (embeds is None):
            given = "neither decoder_input_ids, decoder_inputs_embeds nor labels"
            raise HfmetaError(
                f"{type(self).__name__} was given {given if ids is None else 'both decoder_input_ids and decoder_inputs_embeds'}; "
                "give one of them, or call generate."
            )
        return self.get_input_embeddings()(ids) if embeds is None else embeds

    def _target_mask(
        self, ids: Tensor | None, given: Tensor | None, past: DecoderState | None, length: int
    ) -> Tensor | None:
        """Where the decoder reads [B, L] bool; by default from the first token that is not padding on."""
        if given is not None:
            return given[:, -length:].bool()
        config = self.config
        if ids is None or past is not None or config.pad_token_id in (None, config.decoder_start_token_id):
            return None
        return (ids != config.pad_token_id).cumsum(1) > 0


class Seq2SpgForConditionalGeneration(LstmSeq2SeqForConditionalGeneration):
    """Seq2SPG: the shared sequence-to-sequence network, a private network at `decoder.private`, and the gate that blends the two.

    `decoder.private` is a `PrivateMlp`, is called as a module, and may be replaced or wrapped by another of the same widths. With
    `private_input="state"` in the configuration the model is Seq2SP'G. Source: Song et al. 2020 (arXiv 1910.14326).

    Args:
        config: a `Seq2SpgConfig`.
    """

    config_class = Seq2SpgConfig

    def _make_decoder(self, config: Any) -> LstmDecoder:
        reads_input = config.private_input == "embedding_and_state"
        private = PrivateMlp(config.private_widths)
        return LstmDecoder(config.embedding_size, config.hidden_size, private, reads_input)


class SpeakerForConditionalGeneration(LstmSeq2SeqForConditionalGeneration):
    """The Speaker baseline: the Seq2seq baseline whose decoder reads the speaker's vector at every step.

    `speaker_ids` chooses rows of the table; by convention row i belongs to training task i. An unseen speaker (-1, or no ids at all)
    has the mean of all rows plus a vector of its own, zero until fine-tuned; see `SpeakerTable`. Source: Li et al. 2016 (arXiv
    1603.06155), as Song et al. 2020 use it.

    Args:
        config: a `SpeakerConfig`.
    """

    config_class = SpeakerConfig

    def _make_decoder(self, config: Any) -> LstmDecoder:
        speakers = SpeakerTable(config.num_speakers, config.speaker_size)
        return LstmDecoder(config.embedding_size + config.speaker_size, config.hidden_size, speakers=speakers)


AutoModelForSeq2SeqLM.register(LstmSeq2SeqConfig, LstmSeq2SeqForConditionalGeneration, exist_ok=True)
AutoModelForSeq2SeqLM.register(Seq2SpgConfig, Seq2SpgForConditionalGeneration, exist_ok=True)
AutoModelForSeq2SeqLM.register(SpeakerConfig, SpeakerForConditionalGeneration, exist_ok=True)
