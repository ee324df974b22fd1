"""``LMPolicy``: samples utterances from a language model in many episodes at once, with a cache.

It does what ``generate`` of the transformers library does, and three things more: it keeps the keys and values of an
episode between turns, every episode has its own random generator, and it returns the exact log-probability of every
token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agents.decoding.attention import decoding_attention
from agents.decoding.cache import RowCache
from agents.decoding.repetition import check_penalty, penalised
from agents.decoding.sampling import check_decoding, draw, shape_scores
from agents.decoding.stopping import holds_one, stop_strings
from agents.models.silent_tokens import NEVER
from agents.models.token_scores import all_scores
from agents.models.value_config import SPOKEN, check_spoken
from agents.models.value_lm import ValueLM
from lang_envs.rollout import Turn
from lang_envs.tokenizers import vocabulary_size

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

_NOT_FINITE = "The model's scores of tokens are not finite: its weights are damaged, or its training diverged."
IDLE = 4  # finished rows are no longer computed once they are a quarter of all


class LMPolicy:
    """A policy (see ``lang_envs.Policy``) that samples utterances from a language model or a ``ValueLM``.

    An utterance depends on its history and its generator alone, and not on the batch, except for the rounding of sums
    (about 1e-6). One call draws ``max_utterance_tokens`` numbers from each generator, or ``max_new_tokens`` if that is
    more, and none if ``greedy``.

    Args:
        model: a causal language model or a ``ValueLM``.
        tokenizer: the environment's.
        end_id: the token that ends an utterance.
        max_utterance_tokens: the most tokens of an utterance, the end token included.
        temperature: sampling temperature, applied to ``model(...).logits`` as in ``generate``; the settings of a
            ``ValueLM`` below are applied before.
        top_k: number of most likely tokens that can be said; 0: all.
        top_p: total probability of the most likely tokens that can be said; 1: all.
        greedy: always say the most likely token. Its log-probability under this policy is 0.
        repetition_penalty: above 1, tokens of the history or the utterance become less likely, as in ``generate``
            (``agents.decoding.repetition``); 1: none.
        max_new_tokens: limit of tokens per utterance, the last of which is always the end token. It may be more than
            ``max_utterance_tokens``, but no environment accepts that. None: ``max_utterance_tokens``, and the end
            token comes only if the model says it.
        stop: one or several stop strings. When the text of an utterance contains one, the end token follows if there
            is room for it. The text stays. The log-probability of this end token is the model's own.
        advantage_weight: beta of a ``ValueLM``; at 0 the language model speaks alone. This setting and the four below
            replace the model's own.
        advantage_clip: upper limit of beta * advantage for each token.
        lm_temperature: temperature of the language model alone, before the advantage is added.
        lm_top_k: number of the language model's most likely tokens that can be said, whatever their advantage; 0: all.
        lm_top_p: total probability of these tokens under the language model; 1: all.

    Attributes:
        heard: a function that is called after every step, or None. Its arguments are the indices [k] of the k histories
            that got a token in this step, the tokens [k], and their log-probabilities [k].

    Raises:
        ValueError: a setting is out of its range, settings of a ``ValueLM`` are given for another model, or the model
            cannot be used with ``RowCache``.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        end_id: int,
        max_utterance_tokens: int,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        greedy: bool = False,
        repetition_penalty: float = 1.0,
        max_new_tokens: int | None = None,
        stop: str | Sequence[str] = (),
        advantage_weight: float | None = None,
        advantage_clip: float | None = None,
        lm_temperature: float | None = None,
        lm_top_k: int | None = None,
        lm_top_p: float | None = None,
    ) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.heard: Callable[[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]], None] | None = None
        check_decoding(temperature, top_k, top_p)
        check_penalty(repetition_penalty)
        if max_new_tokens is not None and (type(max_new_tokens) is not int or max_new_tokens < 1):
            raise ValueError(f"max_new_tokens is a number of tokens from 1 on, or None, not {max_new_tokens!r}.")
        if not isinstance(greedy, bool):
            raise ValueError(f"greedy is True or False, not {greedy!r}.")
        self.stop = stop_strings(stop)
        asked = (advantage_weight, advantage_clip, lm_temperature, lm_top_k, lm_top_p)
        self.spoken = {name: value for name, value in zip(SPOKEN, asked, strict=True) if value is not None}
        if self.spoken and not isinstance(model, ValueLM):
            raise ValueError(f"{' and '.join(self.spoken)} needs a ValueLM, not a {type(model).__name__}.")
        if isinstance(model, ValueLM):
            check_spoken(**{name: self._setting(name) for name in SPOKEN})
        # Ids behind the vocabulary can be read but not sampled: see ``agents.data.return_tokens``.
        self.vocabulary = vocabulary_size(tokenizer)
        self.end_id, self.max_utterance_tokens = end_id, max_utterance_tokens
        self.repetition_penalty, self.max_new_tokens = repetition_penalty, max_new_tokens
        self.temperature, self.top_k, self.top_p, self.greedy = temperature, top_k, top_p, greedy
        self._context = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 2**31
        self.reset()

    def _setting(self, name: str) -> Any:
        """A setting of a ``ValueLM``: this policy's if given, otherwise the model's present one."""
        return self.spoken.get(name, getattr(self.model.config, name))

    def reset(self) -> None:
        """Empties the cache. ``act`` does so itself when the model's weights have changed."""
        self._cache, self._read_by = RowCache(self._trunks()), self._version()

    def _trunks(self) -> list[PreTrainedModel]:
        """The transformers to run: of a ``ValueLM``, only those whose output changes the distribution."""
        if not isinstance(self.model, ValueLM):
            return [cast("PreTrainedModel", self.model.base_model)]
        policy, *others = self.model.trunks
        if self._setting("advantage_weight") == 0 or not others:
            return [policy]
        return [policy, *others] if self._needs_v() else [policy, others[-1]]

    def _needs_v(self) -> bool:
        """Whether V(s), the same for all tokens, changes the distribution: only with a clip or a repetition penalty."""
        return self._setting("advantage_clip") is not None or self.repetition_penalty != 1

    def _version(self) -> tuple[object, ...]:
        """A value that changes whenever the weights, or the transformers to run, change."""
        weights = ((p.data_ptr(), p._version) for p in self.model.parameters())
        return tuple(map(id, self._trunks())), *weights

    def act(self, histories: Sequence[NDArray[np.int32]], rngs: Sequence[np.random.Generator]) -> list[Turn]:
        """One utterance for each history (see ``lang_envs.Policy``).

        Raises:
            ValueError: a history is empty, or leaves no room for a token in the model's context.
        """
        if not len(histories):
            return []
        if self._read_by != self._version():
            self.reset()
        training = self.model.training
        self.model.eval()
        try:
            with torch.inference_mode(), decoding_attention(self._cache.trunks):
                return self._speak([np.asarray(history, np.int32) for history in histories], rngs)
        finally:
            self.model.train(training)

    def _speak(self, histories: list[NDArray[np.int32]], rngs: Sequence[np.random.Generator]) -> list[Turn]:
        n, length = len(histories), np.array([len(history) for history in histories])  # [n]
        most = self.max_new_tokens or self.max_utterance_tokens
        limit = np.minimum(most, self._context - length)  # [n] tokens that can be said
        if not length.all() or limit.min() <= 0:
            raise ValueError(
                f"A history must have between 1 and {self._context - 1} tokens, one fewer than the model reads; got "
                f"{length.min()} to {length.max()}. Make the environment with max_tokens={self._context}."
            )
        draws = max(most, self.max_utterance_tokens)
        u = None if self.greedy else np.stack([rng.random(draws) for rng in rngs])  # [n, draws]
        said, logp = np.zeros((n, limit.max()), np.int32), np.zeros((n, limit.max()), np.float32)  # [n, max] each
        count, done = np.zeros(n, np.int64), np.zeros(n, np.bool_)  # [n] each
        # [n] whether the end token must come next: after a stop string, or in the last place
        stopped = np.full(n, self.max_new_tokens == 1)
        seen = self._seen(histories)  # [n, V] or None

        row_of, scores = self._read(histories)  # [n], [n, V]
        active = n  # rows 0 .. active - 1 of the cache are still computed
        for step in range(limit.max()):
            who = row_of[:active]  # [active] indices of histories
            shown = scores if seen is None else penalised(scores, seen[who], self.repetition_penalty)  # [active, V]
            token, token_logp = self._choose(shown, None if u is None else u[who, step])  # [active] each
            if stopped.any():
                self._end(scores, stopped[who], token, token_logp)
            speaks = ~done[who]  # [active]
            who, token = who[speaks], token[speaks]
            said[who, step], logp[who, step], count[who] = token, token_logp[speaks], step + 1
            if self.heard is not None:
                self.heard(who, token, logp[who, step])
            done[who] = (token == self.end_id) | (count[who] == limit[who])
            if done.all():
                break
            if self.stop:
                stopped[who] = holds_one(self.stop, self.tokenizer, [said[i, : count[i]] for i in who])
            if self.max_new_tokens is not None:
                stopped[who] |= count[who] == self.max_new_tokens - 1
            if seen is not None:
                seen[who, token] = True
            active = self._set_aside(row_of, done, active)
            who = row_of[:active]
            last = count[who] - 1  # [active] a finished row reads its last token again
            scores = self._scores(said[who, last][:, None], (length[who] + last)[:, None])  # [active, V]
        self._cache.held = [np.append(histories[i], said[i, : count[i] - 1]) for i in row_of]
        return [Turn(said[i, : count[i]].copy(), logp[i, : count[i]].copy()) for i in range(n)]

    def _seen(self, histories: list[NDArray[np.int32]]) -> Tensor | None:
        """Which tokens each history holds, bool [n, V]; None without a repetition penalty."""
        if self.repetition_penalty == 1:
            return None
        seen = torch.zeros(len(histories), self.vocabulary, dtype=torch.bool, device=self.model.device)
        for i, history in enumerate(histories):
            seen[i, history[history < self.vocabulary].astype(np.int64)] = True
        return seen

    def _read(self, histories: list[NDArray[np.int32]]) -> tuple[NDArray[np.int64], Tensor]:
        """Reads the tokens of each history that are not cached.

        Rows with fewer new tokens than others read their last token again at its own position, which changes nothing.

        Returns:
            The index of the history in each row of the cache [n], and the scores of the next token [n, V].
        """
        row_of, held = self._cache.admit(histories)
        length = np.array([len(histories[i]) for i in row_of])[:, None]  # [n, 1]
        new = np.arange((length[:, 0] - held[row_of]).max())  # [Q]
        at = np.minimum(held[row_of][:, None] + new, length - 1)  # [n, Q]
        tokens = np.stack([histories[i][columns] for i, columns in zip(row_of, at, strict=True)])  # [n, Q]
        return row_of, self._scores(tokens, at)

    def _scores(self, tokens: NDArray[np.int32], at: NDArray[np.int64]) -> Tensor:
        """Reads tokens [n, Q] at positions [n, Q] -> scores of the next token, [n, V]."""
        states = [state[:, -1] for state in self._cache.forward(tokens, at)]  # 1, 2 or 3 x [n, d]
        if not isinstance(self.model, ValueLM):
            return all_scores(cast(nn.Module, self.model.get_output_embeddings()), states[0])[:, : self.vocabulary]
        value = states[len(states) // 2] if self._needs_v() else None  # [n, d]
        return self.model.scores(states[0], value, states[-1], **self.spoken)

    def _choose(self, scores: Tensor, u: NDArray[np.float64] | None) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """One token per row of scores [n, V] and its log-probability: [n] each."""
        if u is None:
            best, token = scores.max(-1)  # [n] each
            if not bool(best.isfinite().all()):
                raise ValueError(_NOT_FINITE)
            return token.cpu().numpy(), np.zeros(len(scores), np.float32)
        logp = shape_scores(scores.float(), self.temperature, self.top_k, self.top_p).log_softmax(-1)  # [n, V]
        token = draw(logp, torch.from_numpy(u).to(logp.device))  # [n]
        if int(token.max()) == logp.shape[-1]:  # ``draw`` returns V if probabilities are NaN
            raise ValueError(_NOT_FINITE)
        return token.cpu().numpy(), logp.gather(-1, token[:, None]).squeeze(-1).cpu().numpy()

    def _end(
        self, scores: Tensor, stopped: NDArray[np.bool_], token: NDArray[np.int64], logp: NDArray[np.float32]
    ) -> None:
        """Replaces the tokens of stopped rows by the end token with its log-probability by scores [n, V], in place."""
        own = scores[torch.from_numpy(stopped).to(scores.device)].float().log_softmax(-1)  # [stopped, V]
        token[stopped], logp[stopped] = self.end_id, own[:, self.end_id].clamp(min=NEVER).cpu().numpy()

    def _set_aside(self, row_of: NDArray[np.int64], done: NDArray[np.bool_], active: int) -> int:
        """Moves finished rows behind the others once they are many -> the number of rows that are still computed."""
        idle = done[row_of[:active]]  # [active]
        left = active - int(idle.sum())
        if (active - left) * IDLE < active:
            return active
        a, b = idle[:left].nonzero()[0], left + (~idle[left:]).nonzero()[0]
        self._cache.swap(a, b)
        row_of[a], row_of[b] = row_of[b], row_of[a].copy()
        return left
