"""Q, V and the advantage of each token that an agent chose, as coloured text and as HTML.

    A(s, a) = min_h Q_h(s, a) - V(s)        target heads; what the policy adds to the language model's logits

Tokens with a positive advantage are blue, those with a negative one orange (colour-blind readers can distinguish the
two; a page also underlines the negative ones). The colour is stronger for a larger advantage, relative to the largest
of the episode. Environment tokens are grey. ``next_tokens`` lists the possible next tokens with their values and
probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lang_envs.episode import Episode
from lang_envs.misspelt import hint
from lang_envs.tokenizers import NO_LIMIT, decode, encode
from lang_envs.utterances import spell

if TYPE_CHECKING:
    from rich.text import Text
    from transformers import PreTrainedTokenizerFast

    from agents.models.value_lm import ValueLM
    from lang_envs.vector import TokenVectorEnv

Floats = NDArray[np.float64]
BETTER, WORSE = (35, 110, 200), (215, 105, 15)  # RGB: blue, orange


@dataclass(frozen=True, eq=False)
class Explanation:
    """An episode of T tokens with the values of its actions; NaN where there is no value."""

    tokens: list[str]
    is_action: NDArray[np.bool_]  # [T]
    rewards: NDArray[np.float32]  # [T]
    q: Floats  # [T] target Q of the token taken, the smaller head
    v: Floats  # [T] value of the state it was taken in

    @property
    def advantage(self) -> Floats:
        """Q - V at every action [T]."""
        return self.q - self.v

    @property
    def strength(self) -> Floats:
        """The advantage scaled to [-1, 1] [T]; 0 at tokens that are no actions."""
        a = np.nan_to_num(self.advantage)
        return a / max(float(np.abs(a).max()), 1e-9)

    @classmethod
    def without_values(cls, tokenizer: PreTrainedTokenizerFast, episode: Episode) -> Explanation:
        """The episode without values, for a model that has none."""
        unknown = np.full(len(episode), np.nan)  # [T]
        return cls(_texts(tokenizer, episode), episode.is_action, episode.rewards, unknown, unknown)

    def text(self, actions_only: bool = False) -> Text:
        """Coloured text for a terminal, of all tokens or of the agent's tokens."""
        from rich.text import Text

        text = Text()
        for token, acted, strength in zip(self.tokens, self.is_action, self.strength, strict=True):
            if actions_only and not acted:
                continue
            style = "dim"
            if acted:
                r, g, b = _blend(strength)
                style = f"bold rgb({r},{g},{b})"
            text.append(token, style=style)
        return text

    def rows(self) -> list[tuple[str, float, float, float, float]]:
        """(token, Q, V, advantage, reward) of every action, in order."""
        at = np.flatnonzero(self.is_action)
        a = self.advantage
        return [(self.tokens[t], float(self.q[t]), float(self.v[t]), float(a[t]), float(self.rewards[t])) for t in at]

    def html(self) -> str:
        """One ``<p class="episode">`` of spans, with the numbers of an action in its title; the page has the style."""
        spans = []
        for t, token in enumerate(self.tokens):
            if not self.is_action[t]:
                spans.append(f'<span class="env">{escape(token)}</span>')
                continue
            if np.isnan(self.q[t]):
                spans.append(f'<span class="act">{escape(token)}</span>')
                continue
            worse = self.strength[t] < 0
            r, g, b = WORSE if worse else BETTER
            numbers = f"Q {self.q[t]:.2f}, V {self.v[t]:.2f}, advantage {self.advantage[t]:+.2f}"
            alpha = 0.08 + 0.6 * abs(self.strength[t])
            style = f"background:rgba({r},{g},{b},{alpha:.2f})"
            kind = "act worse" if worse else "act"  # the page underlines these: not everyone can tell the colours apart
            spans.append(f'<span class="{kind}" style="{style}" title="{numbers}">{escape(token)}</span>')
        return f'<p class="episode">{"".join(spans)}</p>'


def explain(
    model: ValueLM, tokenizer: PreTrainedTokenizerFast, episode: Episode, limit: int | None = None
) -> Explanation:
    """Evaluates one episode with a value model.

    A model with values of whole utterances has them only at the last token of each. A model with only V has no Q.

    Args:
        model: a model with values.
        tokenizer: the tokenizer of the episode.
        episode: the episode to explain.
        limit: the largest number of tokens of an utterance; a model of whole utterances needs it to find their ends.

    Raises:
        TypeError: the model has no values.
    """
    import torch

    from agents.data.batch import collate
    from agents.utterance_ilql import judge

    _need_values(model)
    if not episode.is_action.any():
        return Explanation.without_values(tokenizer, episode)
    batch = collate([episode], tokenizer.pad_token_id, tokenizer.eos_token_id, limit).to(model.device)
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        if model.config.q_head == "utterance":
            end, of_action, of_state = judge(model, batch)  # [U] each
            at = end.cpu().numpy()  # [U]
        elif model.config.q_head == "none":
            of_state = model.state_values(batch)  # [A]
            at, of_action = np.flatnonzero(episode.is_action), torch.full_like(of_state, torch.nan)  # [A] each
        else:
            values = model.values(batch)
            at, of_action, of_state = np.flatnonzero(episode.is_action), values.target_q, values.v  # [A] each
    model.train(was_training)
    q, v = (np.full(len(episode), np.nan) for _ in range(2))  # [T]
    q[at] = of_action.double().cpu().numpy()
    v[at] = of_state.double().cpu().numpy()
    return Explanation(_texts(tokenizer, episode), episode.is_action, episode.rewards, q, v)


class NextToken(NamedTuple):
    """A possible next token."""

    token: str
    prior: float
    """its probability under the language model, without the values"""
    q: float
    v: float
    policy: float
    """its probability under the policy with values, with the model's settings"""


def next_tokens(
    model: ValueLM, tokenizer: PreTrainedTokenizerFast, history: NDArray[np.int32], count: int
) -> list[NextToken]:
    """The ``count`` most likely next tokens after ``history`` [t] under the language model, the likeliest first.

    Raises:
        TypeError: the model has no values of single tokens.
    """
    import torch

    from agents.data.batch import collate

    _need_values(model)
    if not model.config.values_tokens:
        raise TypeError(f"This model has no values of the next token: its q_head is {model.config.q_head!r}.")
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        ids = torch.as_tensor(history.astype(np.int64), device=model.device)[None]  # [1, t]
        prior = model.lm(input_ids=ids).logits[0, -1].float().softmax(-1)  # [V]
        policy = model(input_ids=ids).logits[0, -1].float().softmax(-1)  # [V]
        top = prior.topk(min(count, len(prior))).indices.cpu().numpy()  # [K]
        taken = [_extended(history, token) for token in top]
        values = model.values(collate(taken, tokenizer.pad_token_id, tokenizer.eos_token_id).to(model.device))
    model.train(was_training)
    rows = zip(taken, top, values.target_q.tolist(), values.v.tolist(), strict=True)
    return [
        NextToken(_texts(tokenizer, episode)[-1], float(prior[token]), q, v, float(policy[token]))
        for episode, token, q, v in rows
    ]


def _extended(history: NDArray[np.int32], token: int) -> Episode:
    """The history [t] and one action after it."""
    tokens = np.append(history, token).astype(np.int32)  # [t + 1]
    acted = np.arange(len(tokens)) == len(history)  # [t + 1]
    return Episode(tokens, acted, np.zeros(len(tokens), np.float32), terminated=False, truncated=True)


def spoken(env: TokenVectorEnv, texts: Sequence[str], seed: int, leave_open: bool = False) -> Episode:
    """The episode in which the agent says ``texts``, one per turn, and the environment answers as usual.

    Args:
        env: the environment; its first row is used.
        texts: the agent's utterances.
        seed: the seed of the episode.
        leave_open: stop before the end of the last text; the environment then does not answer it.

    Raises:
        ValueError: the tokenizer has no token for a word, or the episode is over before the last text.
    """
    env.begin([0], [seed])
    utterances = [spell(env.tokenizer, text, NO_LIMIT)[:-1] for text in texts]
    unknown = {env.tokenizer.pad_token_id, env.tokenizer.unk_token_id}
    for turn, (text, tokens) in enumerate(zip(texts, utterances, strict=True)):
        if env.finished[0]:
            raise ValueError(f"The episode is over after {turn} of {len(texts)} texts.")
        if unknown & {*tokens.tolist()}:
            raise ValueError(_lacking(env.tokenizer, text, unknown))
        if leave_open and turn == len(texts) - 1:
            so_far = env.episode(0)
            acted = np.append(so_far.is_action, np.ones(len(tokens), np.bool_))  # [T]
            rewards = np.append(so_far.rewards, np.zeros(len(tokens), np.float32))  # [T]
            return Episode(np.append(so_far.tokens, tokens), acted, rewards, terminated=False, truncated=True)
        limit = env.task.max_utterance_tokens
        env.say([0], [np.append(tokens[: limit - 1], env.end_id).astype(np.int32)], speaker="the text")
    return env.episode(0)


def _lacking(tokenizer: PreTrainedTokenizerFast, text: str, unknown: set[int | None]) -> str:
    """An error text with the words that the tokenizer does not have, and the words that it has."""
    words = text.split()
    missing = [
        word
        for word, tokens in zip(words, encode(tokenizer, words, literally=True), strict=True)
        if unknown & {*tokens}
    ]
    missing = missing or [text]
    known = sorted(tokenizer.get_vocab().keys() - {*tokenizer.all_special_tokens})
    return f"The agent has no tokens for {', '.join(map(repr, missing))}; {hint(missing[0], known)}"


def _need_values(model: ValueLM) -> None:
    if not hasattr(model, "values"):
        from agents.algorithms import AGENTS

        names = ", ".join(name for name, agent in AGENTS.items() if agent.needs_values)
        raise TypeError(f"Only models with values can be explained, got {type(model).__name__}; train one of {names}.")


def _texts(tokenizer: PreTrainedTokenizerFast, episode: Episode) -> list[str]:
    """The text of each token, with markers and blanks; joined they are the episode's text."""
    whole = decode(tokenizer, [episode.tokens[:t] for t in range(1, len(episode) + 1)])  # [T] prefixes
    return [text.removeprefix(before) for before, text in zip(["", *whole], whole, strict=False)]


def _blend(strength: float) -> tuple[int, int, int]:
    """A colour between mid grey and that of the sign, readable on dark and light terminals."""
    target = BETTER if strength >= 0 else WORSE
    weight = abs(strength) ** 0.5
    r, g, b = (round(128 + weight * (c * 1.15 - 128)) for c in target)
    return min(r, 255), min(g, 255), min(b, 255)
