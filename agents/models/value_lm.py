"""``ValueLM``: a causal language model with Q and V heads whose output, but for training, is the improved policy.

    log pi(a | s) = log pi_beta(a | s) + beta (min_h Qbar_h(s, a) - V(s)) + const      beta is ``advantage_weight``

(Snell et al. 2023, arXiv:2206.11871, section 4.3.) It is an ordinary model of the transformers library: ``generate``,
``save_pretrained`` and ``AutoModelForCausalLM.from_pretrained`` work as ever.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, GenerationMixin, PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache
from transformers.modeling_outputs import CausalLMOutputWithPast

from agents.decoding.sampling import shape_scores
from agents.models.heads import Heads
from agents.models.lora import copy_of
from agents.models.reading import read
from agents.models.value_config import SPOKEN, ValueLMConfig

if TYPE_CHECKING:
    from agents.data.batch import Batch


@dataclass
class Values:
    """What the losses are made of, at the A actions of each of B episodes; 0 in the padding."""

    q: list[Tensor]
    """num_q x [B, A, V]"""
    target_q: Tensor
    """[B, A], the smaller target head at the action taken; no gradient"""
    v: Tensor
    """[B, A]"""
    v_next: Tensor
    """[B, A], V (or what is backed up) of the next state, whether or not the episode ended there; no gradient"""
    logits: Tensor
    """[B, A, V] of the language model"""
    unit: float = 1.0
    """what the heads learn values in, in units of reward; everything above is in units of reward"""
    backed_up: Tensor | None = None
    """[B, A], what ``values`` was told to back up in the place of V, of each state; no gradient"""


StateValue = Callable[[Tensor, Tensor], Tensor]
"""The value of S states, from the smaller target head [S, V] and the language model's logits [S, V] -> [S]"""


class ValueLM(PreTrainedModel, GenerationMixin):
    """A language model with values; make one with ``ValueLM.around(lm)``."""

    config_class = ValueLMConfig
    base_model_prefix = "lm"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True

    def __init__(self, config: ValueLMConfig, lm: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        self.lm = AutoModelForCausalLM.from_config(config.lm, trust_remote_code=False) if lm is None else lm
        head = cast(nn.Linear, self.lm.get_output_embeddings())
        d = head.in_features
        width, utterance = config.head_width * d, config.q_head == "utterance"
        outputs, last = (1, "full") if utterance else (head.out_features, config.q_head)
        self.q = Heads(config.num_q, d, width, outputs, last, config.q_rank)
        self.v = Heads(1, d, width, 1)
        for heads in (self.q, self.v):
            heads.unit = config.value_unit or 1.0
            heads.start_at(config.bias_init or 0.0, exactly=config.zero_init)
        self.target_q = copy.deepcopy(self.q)
        if config.trunks == "separate":
            self.value_trunk, self.target_trunk = copy_of(self.lm.base_model), copy_of(self.lm.base_model)
        for target, _ in self.followers():
            target.requires_grad_(False)
        self.post_init()

    @classmethod
    def around(cls, lm: PreTrainedModel, seed: int = 0, **settings: Any) -> ValueLM:
        """Adds heads to a language model, which becomes a part of the result (it is not copied).

        Args:
            lm: any causal language model whose logits are a linear map of its last hidden states.
            seed: of the heads' weights; torch's global generator is not touched.
            **settings: fields of ``ValueLMConfig``.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = cls(ValueLMConfig(lm=lm.config, **settings), lm)
        return nn.Module.to(model, device=lm.device)  # heads are in float32, whatever the language model is in

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """As every model's; the targets stay without gradients, which loading would give them."""
        loaded = super().from_pretrained(*args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded  # with output_loading_info=True
        for target, _ in model.followers():
            target.requires_grad_(False)
        return loaded

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing: heads are initialised where they are made, and the language model's parts by its own class."""

    def get_input_embeddings(self) -> nn.Module:
        """Those of the language model."""
        return self.lm.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        """The language model's head."""
        return self.lm.get_output_embeddings()

    def start_values(self, mean: float, spread: float) -> None:
        """Decides what was left to the log: values start at its mean return, and are learned in units of its spread.

        Whoever has decided both, or has learned values already, keeps them.
        """
        c, before = self.config, self.config.bias_init or 0.0
        if None not in (c.bias_init, c.value_unit):
            return
        c.bias_init = mean if c.bias_init is None else c.bias_init
        c.value_unit = spread if c.value_unit is None else c.value_unit
        for heads in (self.q, self.v, self.target_q):
            heads.start_again(before, c.bias_init, c.value_unit)

    @property
    def trunks(self) -> list[PreTrainedModel]:
        """The transformers below the heads: one, or those of the policy, the values, and the targets."""
        trunks = [self.lm.base_model]
        if self.config.trunks == "separate":
            trunks += [self.value_trunk, self.target_trunk]
        return cast(list[PreTrainedModel], trunks)

    def values(self, batch: Batch, state_value: StateValue | None = None) -> Values:
        """All heads at the agent's actions and nowhere else: padding and environment tokens cost no head.

        Episodes are padded on the right and attention is causal, so no real position sees padding: no mask is needed.

        Args:
            batch: the episodes.
            state_value: what to back up for the value of a state instead of V. It costs the target heads over the whole
                vocabulary, which are otherwise computed at the actions taken alone.

        Raises:
            ValueError: the Q heads value whole utterances.
        """
        if self.config.q_head == "utterance":
            raise ValueError("This model has values of whole utterances, none of tokens: see agents.utterance_ilql.")
        size = batch.mask.shape  # B, A
        real = batch.mask.flatten().nonzero().squeeze(-1)  # [K] the real ones among the B * A actions
        start = torch.arange(size[0], device=real.device)[:, None] * batch.input_ids.shape[1]  # [B, 1] in [B * T]
        state = (batch.state + start).flatten()[real]  # [K] positions in [B * T]
        last = (batch.mask.sum(1, keepdim=True).long() - 1).clamp(min=0)  # [B, 1] an episode's last action
        final = (batch.next_state.gather(1, last) + start).squeeze(1)  # [B] the state after it, a position in [B * T]

        def in_rows(x: Tensor) -> Tensor:
            """[K, ...] -> [B, A, ...]."""
            if len(real) < batch.mask.numel():
                x = x.new_zeros(batch.mask.numel(), *x.shape[1:]).index_copy(0, real, x)  # [B * A, ...]
            return x.float().unflatten(0, size)

        states = [
            read(trunk, batch.input_ids, batch.attention_mask).flatten(0, 1) for trunk in self.trunks
        ]  # 1 or 3 x [B * T, d]
        policy, value, target = states * (3 // len(states))  # [B * T, d] each
        at_value = self._for_values(value[state])  # [K, d]
        v = in_rows(self.v(at_value)[0].squeeze(-1))  # [B, A]
        logits = self.get_output_embeddings()(policy[state])  # [K, V]
        action, backed_up = batch.action.flatten()[real], None  # [K]
        with torch.no_grad():
            if state_value is None:
                target_q = torch.stack(self.target_q.at(target[state], action, self._rows)).amin(0)  # [K]
                of_state, of_final = v, self.v(value[final])[0].float()  # [B, A], [B, 1]
            else:
                q_bar = self.target_q.smallest(target[state], self._rows).float()  # [K, V]
                target_q = q_bar.gather(1, action[:, None]).squeeze(1)  # [K]
                backed_up = of_state = in_rows(state_value(q_bar, logits.float()))  # [B, A]
                q_final = self.target_q.smallest(target[final], self._rows).float()  # [B, V]
                of_final = state_value(q_final, self.get_output_embeddings()(policy[final]).float())[:, None]  # [B, 1]
            # The next state is where the next action is taken, except after an episode's last one.
            v_next = torch.cat([of_state[:, 1:], of_final], 1).scatter(1, last, of_final) * batch.mask  # [B, A]
        q = [in_rows(q_h) for q_h in self.q(at_value, self._rows)]  # num_q x [B, A, V]
        return Values(q, in_rows(target_q), v, v_next, in_rows(logits), self.config.value_unit or 1.0, backed_up)

    def _for_values(self, states: Tensor) -> Tensor:
        """The states that values are learned from, [K, d]: of a shared trunk part of their gradient is held back."""
        share = self.config.trunk_gradient
        return states if share == 1 or self.config.trunks == "separate" else states.detach().lerp(states, share)

    @property
    def _rows(self) -> Tensor | None:
        """The matrix [V, d] by which the language model scores tokens, where the Q heads read it."""
        return cast(nn.Linear, self.get_output_embeddings()).weight if self.config.q_head == "tied" else None

    def scores(
        self,
        policy: Tensor,  # [..., d] last hidden states of the policy,
        value: Tensor | None,  # [..., d] of the values,
        target: Tensor,  # [..., d] and of the targets
        **spoken: Any,  # settings of ``SPOKEN`` in the place of the configuration's
    ) -> Tensor:
        """The improved policy: log-probabilities up to a constant per row, [..., V].

        Without ``value`` that constant lacks V(s), which only matters where the advantage is clipped.
        """
        c = self.config
        weight, clip, temperature, top_k, top_p = (spoken.get(name, getattr(c, name)) for name in SPOKEN)
        logp = self.get_output_embeddings()(policy).float()  # [..., V]
        logp = shape_scores(logp, temperature, top_k, top_p).log_softmax(-1)  # [..., V]
        if weight == 0:
            return logp
        if c.q_head == "utterance":
            raise ValueError("Values of whole utterances move no token: set advantage_weight to 0.")
        advantage = self.target_q.smallest(target, self._rows)  # [..., V]
        if value is not None:
            advantage = advantage - self.v(value)[0]  # [..., V]
        gain = weight * advantage  # [..., V]
        return logp + (gain if clip is None else gain.clamp(max=clip))

    def forward(
        self,
        input_ids: Tensor | None = None,  # [B, T]
        attention_mask: Tensor | None = None,  # [B, past + T]
        position_ids: Tensor | None = None,  # [B, T]; `generate` passes it only to a forward that names it
        past_key_values: Cache | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Log-probabilities of the improved policy [B, T, V]; in training the language model's own logits.

        In the padding, on either side, they mean nothing.

        Raises:
            ValueError: three trunks are given embeddings, which are those of one, or a cache that cannot hold them.
        """
        if kwargs.get("inputs_embeds") is not None and len(self.trunks) > 1:
            raise ValueError("Separate trunks have separate embeddings: pass input_ids, not inputs_embeds.")
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, "position_ids": position_ids} | kwargs
        inputs.pop("return_dict", None)
        if self.training:
            return self.lm(
                **inputs, past_key_values=past_key_values, use_cache=use_cache, logits_to_keep=logits_to_keep
            )
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config.lm)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        states = [
            trunk(**inputs, past_key_values=cache).last_hidden_state[:, kept]  # [B, kept, d]
            for trunk, cache in zip(self.trunks, self._caches(past_key_values), strict=True)
        ]
        logits = self.scores(*states * (3 // len(states)))  # [B, kept, V]
        return CausalLMOutputWithPast(logits=logits, past_key_values=past_key_values if use_cache else None)

    def _caches(self, cache: Cache | None) -> list[Cache | None]:
        """One cache for each trunk; those of three trunks are parts of ``cache``, so that beam search reorders all."""
        trunks = len(self.trunks)
        if cache is None or trunks == 1:
            return [cache] * trunks
        if not isinstance(cache, DynamicCache):
            raise ValueError(f"Separate trunks keep their past in a DynamicCache, not in a {type(cache).__name__}.")
        layers = self.config.lm.num_hidden_layers
        if cache.get_seq_length() == 0:
            cache.layers = [layer for _ in range(trunks) for layer in DynamicCache(config=self.config.lm).layers]
        if len(cache.layers) != trunks * layers:
            raise ValueError("This cache was filled by another model: it does not have the layers of three trunks.")
        return [Cache(layers=cache.layers[i * layers : (i + 1) * layers]) for i in range(trunks)]

    @torch.no_grad()
    def update_targets(self, rate: float) -> None:
        """Polyak averaging: every target parameter moves by ``rate`` of its distance to the parameter it follows."""
        for target, source in self.followers():
            for follower, followed in zip(target.parameters(), source.parameters(), strict=True):
                if followed.requires_grad:  # under adapters, most are frozen and shared
                    follower.lerp_(followed, rate)

    def followers(self) -> list[tuple[nn.Module, nn.Module]]:
        """Every target with what it follows."""
        heads: list[tuple[nn.Module, nn.Module]] = [(self.target_q, self.q)]
        return heads if self.config.trunks == "shared" else [*heads, (self.target_trunk, self.value_trunk)]


AutoConfig.register(ValueLMConfig.model_type, ValueLMConfig)
AutoModelForCausalLM.register(ValueLMConfig, ValueLM)
