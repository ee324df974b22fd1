"""``ValueLM``: a causal language model with Q and V heads. Its output, except in training, is the improved policy.

    log pi(a | s) = log pi_beta(a | s) + beta (min_h Qbar_h(s, a) - V(s)) + const      beta is ``advantage_weight``

(Snell et al. 2023, arXiv:2206.11871, section 4.3.) It is a model of the transformers library: ``generate``,
``save_pretrained`` and ``AutoModelForCausalLM.from_pretrained`` work as for any other.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, GenerationMixin, PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache
from transformers.modeling_outputs import CausalLMOutputWithPast

from agents.decoding.sampling import shape_scores
from agents.models.heads import Heads
from agents.models.lora import copy_of
from agents.models.reading import read_batch
from agents.models.token_scores import all_scores, in_parts, token_logprobs
from agents.models.value_config import LARGE_VOCABULARY, SPOKEN, ValueLMConfig
from agents.models.values import StateValue, Values

if TYPE_CHECKING:
    from agents.data.batch import Batch


class ValueLM(PreTrainedModel, GenerationMixin):
    """A language model with value heads; make one with ``ValueLM.around(lm)``."""

    config_class = ValueLMConfig
    base_model_prefix = "lm"
    supports_gradient_checkpointing = True
    q: Heads
    """not there if q_head is "none", like ``target_q``"""
    target_q: Heads
    _supports_sdpa = True
    _supports_flash_attn = True

    def __init__(self, config: ValueLMConfig, lm: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        self.lm = AutoModelForCausalLM.from_config(config.lm, trust_remote_code=False) if lm is None else lm
        head = cast(nn.Linear, self.lm.get_output_embeddings())
        d = head.in_features
        if config.q_head is None:
            config.q_head = "low_rank" if head.out_features > LARGE_VOCABULARY else "full"
        width, utterance = config.head_width * d, config.q_head == "utterance"
        outputs, last = (1, "full") if utterance else (head.out_features, config.q_head)
        if config.q_head != "none":
            self.q = Heads(config.num_q, d, width, outputs, last, config.q_rank)
        self.v = Heads(1, d, width, 1)
        for heads in self._heads():
            heads.unit = config.value_unit or 1.0
            heads.start_at(config.bias_init or 0.0, exactly=config.zero_init)
        if config.q_head != "none":
            self.target_q = copy.deepcopy(self.q)
        if config.trunks == "separate":
            self.value_trunk = copy_of(self.lm.base_model)
            if config.q_head != "none":
                self.target_trunk = copy_of(self.lm.base_model)
        for target, _ in self.followers():
            target.requires_grad_(False)
        self.post_init()

    @classmethod
    def around(cls, lm: PreTrainedModel, seed: int = 0, **settings: Any) -> ValueLM:
        """Adds heads to a language model, which becomes a part of the result (it is not copied).

        Args:
            lm: any causal language model whose logits are a linear map of its last hidden states.
            seed: seed of the heads' weights; torch's global generator is not used.
            **settings: fields of ``ValueLMConfig``.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = cls(ValueLMConfig(lm=lm.config, **settings), lm)
        return nn.Module.to(model, device=lm.device)  # heads are in float32, whatever the language model is in

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """Loads a saved model as any other of transformers, and freezes the targets, which loading makes trainable."""
        loaded = super().from_pretrained(*args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded  # with output_loading_info=True
        for target, _ in model.followers():
            target.requires_grad_(False)
        return loaded

    def _init_weights(self, module: nn.Module) -> None:
        """Does nothing: the heads and the language model's class initialise their own weights."""

    def get_input_embeddings(self) -> nn.Module:
        """The language model's embeddings."""
        return self.lm.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        """The language model's output layer."""
        return self.lm.get_output_embeddings()

    def start_values(self, mean: float, spread: float) -> None:
        """Sets ``bias_init`` and ``value_unit`` where they are None, from the returns of a log.

        If both are set, as in a model whose values were trained before, nothing changes.

        Args:
            mean: mean return of the log.
            spread: standard deviation of the log's returns.
        """
        c, before = self.config, self.config.bias_init or 0.0
        if None not in (c.bias_init, c.value_unit):
            return
        c.bias_init = mean if c.bias_init is None else c.bias_init
        c.value_unit = spread if c.value_unit is None else c.value_unit
        for heads in self._heads():
            heads.start_again(before, c.bias_init, c.value_unit)

    def _heads(self) -> list[Heads]:
        """All heads of this model."""
        return [module for module in self.children() if isinstance(module, Heads)]

    @property
    def trunks(self) -> list[PreTrainedModel]:
        """The transformers without heads: one, or those of the policy, the values, and the targets of Q."""
        names = ("value_trunk", "target_trunk")
        return [self.lm.base_model, *(getattr(self, name) for name in names if hasattr(self, name))]

    def values(self, batch: Batch, state_value: StateValue | None = None) -> Values:
        """The values of the agent's K actions; heads are not computed for padding and environment tokens.

        Episodes are padded on the right and attention is causal, so no token attends to padding, and no mask is needed.

        Args:
            batch: the episodes.
            state_value: computes the value of a state that is backed up instead of V. The target heads are then
                computed for the whole vocabulary, otherwise only for the actions taken.

        Raises:
            ValueError: the Q heads have no values of tokens.
        """
        if not self.config.values_tokens:
            raise ValueError(f"This model has no values of tokens: its q_head is {self.config.q_head!r}.")
        state, action = batch.places(batch.state), batch.flat(batch.action)  # [K] each, positions in [B * T]
        final = batch.places(batch.next_state)[batch.ends]  # [E] positions of the final state of each episode
        policy, value, target = self.states(batch)  # [B * T, d] each
        at_value = self.for_values(value[state])  # [K, d]
        v = self.v(at_value)[0].squeeze(-1).float()  # [K]
        q, cql = zip(*self.q.taken(at_value, action, self._rows), strict=True)  # num_q x [K] each
        nll = -self.said(batch, policy)  # [K]
        backed_up = None
        with torch.no_grad():
            target_q = torch.stack(self.target_q.at(target[state], action, self._rows)).amin(0).float()  # [K]
            if state_value is None:
                of_state, of_final = v.detach(), self.v(value[final])[0].squeeze(-1).float()  # [K], [E]
            else:
                backed_up = of_state = self._backed_up(state_value, policy[state], target[state])  # [K]
                of_final = self._backed_up(state_value, policy[final], target[final])  # [E]
            # The next state is where the next action is taken, except after an episode's last one.
            v_next = of_state.roll(-1).index_copy(0, batch.ends, of_final)  # [K]
        return Values(list(q), list(cql), target_q, v, v_next, nll, self.config.value_unit or 1.0, backed_up)

    def state_values(self, batch: Batch) -> Tensor:
        """V of each state in which the agent chose a token, [K]."""
        _, value, _ = self.states(batch)  # [B * T, d]
        return self.v(self.for_values(value[batch.places(batch.state)]))[0].squeeze(-1).float()

    def _backed_up(self, state_value: StateValue, policy: Tensor, target: Tensor) -> Tensor:
        """``state_value`` of S states, computed for a few states at a time: 2 x [S, d] -> [S]."""
        head = self.get_output_embeddings()

        def of_some(p: Tensor, t: Tensor) -> Tensor:  # [s, d] each -> [s]
            return state_value(self.target_q.smallest(t, self._rows).float(), head(p).float())

        return in_parts(of_some, len(self._head.weight), policy, target)

    def states(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Hidden states of every prefix, from the trunks of the policy, the values and the targets: [B * T, d] each."""
        return of_each([read_batch(trunk, batch) for trunk in self.trunks])

    def said(self, batch: Batch, policy: Tensor) -> Tensor:
        """The language model's log pi(a | s) of the K actions, from its hidden states: [B * T, d] -> [K]."""
        states = policy[batch.places(batch.state)]  # [K, d]
        return token_logprobs(self.get_output_embeddings(), states, batch.flat(batch.action))

    def for_values(self, states: Tensor) -> Tensor:
        """States [K, d] for the value heads; with a shared trunk their gradient is scaled by ``trunk_gradient``."""
        share = self.config.trunk_gradient
        return states if share == 1 or self.config.trunks == "separate" else states.detach().lerp(states, share)

    @property
    def _rows(self) -> Tensor | None:
        """The language model's output matrix [V, d] if the Q heads are "tied", otherwise None."""
        return self._head.weight if self.config.q_head == "tied" else None

    @property
    def _head(self) -> nn.Linear:
        """The language model's output layer."""
        return cast(nn.Linear, self.get_output_embeddings())

    def scores(
        self,
        policy: Tensor,  # [..., d] last hidden states of the policy's trunk
        value: Tensor | None,  # [..., d] last hidden states of the values' trunk
        target: Tensor,  # [..., d] last hidden states of the targets' trunk
        **spoken: Any,  # settings of ``SPOKEN`` that replace the configuration's
    ) -> Tensor:
        """The improved policy: log-probabilities up to a constant per row, [..., V], in float32 or float64.

        If ``lm_top_k`` and ``lm_top_p`` leave few tokens, only their values are computed. Without ``value`` the
        constant lacks V(s), which changes the policy only if the advantage is clipped.

        Raises:
            ValueError: the advantage weight is not 0, and the Q heads have no values of tokens.
        """
        c = self.config
        weight, clip, temperature, top_k, top_p = (spoken.get(name, getattr(c, name)) for name in SPOKEN)
        if weight != 0 and not c.values_tokens:
            raise ValueError("This model has no values of tokens to add to its scores: set advantage_weight to 0.")

        def gain(q: Tensor) -> Tensor:  # [..., m] -> [..., m]
            v = 0.0 if value is None else _in_full(self.v(value)[0])  # [..., 1] or 0
            found = weight * (_in_full(q) - v)
            return found if clip is None else found.clamp(max=clip)

        if weight == 0 or (top_k, top_p) != (0, 1.0):
            logits = _in_full(all_scores(self._head, policy))  # [..., V]
            logp = shape_scores(logits, temperature, top_k, top_p).log_softmax(-1)  # [..., V]
            if weight == 0:
                return logp
            if (some := _possible(logp)) is not None:  # [..., m]
                values = self.target_q.smallest_of(target, some, self._rows)  # [..., m]
                return torch.full_like(logp, -torch.inf).scatter(-1, some, logp.gather(-1, some) + gain(values))
            return logp + gain(self.target_q.smallest(target, self._rows))
        logits, q = self._logits_and_q(policy, target)  # [..., V] each
        return shape_scores(_in_full(logits), temperature).log_softmax(-1) + gain(q)

    def _logits_and_q(self, policy: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The language model's scores and the smaller target head of every token: 2 x [..., d] -> 2 x [..., V].

        Tied heads and the language model multiply by the same table. Reading the table takes most of the time for one
        row, so one product computes all of them, if they have the same precision.
        """
        head = self._head
        apart = head.bias is not None or bool(head._forward_hooks) or policy.dtype != self.v.hidden.weight.dtype
        if self.config.q_head != "tied" or apart:
            return all_scores(head, policy), self.target_q.smallest(target, self._rows)
        parts = self.target_q.last_layers(target, self._rows)
        states = torch.stack([policy, *(read for read, _, _ in parts)])  # [1 + n, ..., d]
        logits, *q = all_scores(head, states)  # 1 + n x [..., V]
        q = [scores + bias for scores, (_, _, bias) in zip(q, parts, strict=True)]  # n x [..., V]
        return logits, self.target_q.unit * (q[0] if len(q) == 1 else torch.minimum(*q))

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
        """Log-probabilities [B, T, V] of the improved policy up to a constant; in training the language model's logits.

        They are arbitrary at padding, on either side.

        Raises:
            ValueError: the trunks are separate, and ``inputs_embeds`` or a cache of another kind is passed.
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
        logits = self.scores(*of_each(states))  # [B, kept, V]
        return CausalLMOutputWithPast(logits=logits, past_key_values=past_key_values if use_cache else None)

    def _caches(self, cache: Cache | None) -> list[Cache | None]:
        """One cache for each trunk; those of separate trunks are parts of ``cache``, so beam search reorders all."""
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
                if followed.requires_grad:  # with adapters, most weights are frozen and shared
                    follower.lerp_(followed, rate)

    def followers(self) -> list[tuple[nn.Module, nn.Module]]:
        """Every target network and the network that it follows."""
        pairs = (("target_q", "q"), ("target_trunk", "value_trunk"))
        return [(getattr(self, target), getattr(self, online)) for target, online in pairs if hasattr(self, target)]


def of_each(states: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """The hidden states for the policy, the values and the targets of Q, from one, two or three trunks.

    A single trunk is used for all of them. A model without Q has two, and does not use its third result.
    """
    policy, value, target = (states * 3)[:3]
    return policy, value, target


def _in_full(x: Tensor) -> Tensor:
    """Converts to float32 from lower precision, because sums over a vocabulary need it."""
    return x.float() if x.dtype.itemsize < 4 else x


def _possible(logp: Tensor) -> Tensor | None:
    """The tokens [..., m] that can be sampled from ``logp`` [..., V], the most probable first; None if they are many.

    m is the largest number in any row. They are few if all rows together have fewer than V of them.
    """
    most = int((logp > -torch.inf).sum(-1).max())  # m
    rows = logp.numel() // logp.shape[-1]
    return logp.topk(most, -1).indices if 0 < most * rows < logp.shape[-1] else None


AutoConfig.register(ValueLMConfig.model_type, ValueLMConfig)
AutoModelForCausalLM.register(ValueLMConfig, ValueLM)
