"""What a value model thinks of each token an agent chose: Q, V and their difference, as coloured text and as HTML.

    A(s, a) = min_h Q_h(s, a) - V(s)        target heads; what the policy adds to the language model's logits

A token better than the model expected is blue, a worse one orange (a pair that colour-blind readers can tell apart);
the colour is the stronger, the larger the advantage beside the largest of the episode. Environment tokens are grey.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lang_envs.episode import Episode
from lang_envs.tokenizers import decode

if TYPE_CHECKING:
    from rich.text import Text
    from transformers import PreTrainedTokenizerFast

    from agents.model import ValueLM

Floats = NDArray[np.float64]
BETTER, WORSE = (35, 110, 200), (215, 105, 15)  # RGB: blue, orange


@dataclass(frozen=True, eq=False)
class Explanation:
    """An episode of T tokens beside what a value model says of its actions; NaN where there is none."""

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
        """The advantage scaled to [-1, 1], 0 off actions [T]."""
        a = np.nan_to_num(self.advantage)
        return a / max(float(np.abs(a).max()), 1e-9)

    @classmethod
    def without_values(cls, tokenizer: PreTrainedTokenizerFast, episode: Episode) -> Explanation:
        """The episode alone, where a model has no values."""
        unknown = np.full(len(episode), np.nan)  # [T]
        return cls(_texts(tokenizer, episode), episode.is_action, episode.rewards, unknown, unknown)

    def text(self) -> Text:
        """Coloured text for a terminal; one line per environment reply."""
        from rich.text import Text

        text = Text()
        for token, acted, strength in zip(self.tokens, self.is_action, self.strength, strict=True):
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
        """One ``<p class="episode">`` of spans; each action's numbers are in its title. The page brings the style."""
        spans = []
        for t, token in enumerate(self.tokens):
            if not self.is_action[t]:
                spans.append(f'<span class="env">{escape(token)}</span>')
                continue
            if np.isnan(self.q[t]):
                spans.append(f'<span class="act">{escape(token)}</span>')
                continue
            r, g, b = BETTER if self.strength[t] >= 0 else WORSE
            numbers = f"Q {self.q[t]:.2f}, V {self.v[t]:.2f}, advantage {self.advantage[t]:+.2f}"
            alpha = 0.08 + 0.6 * abs(self.strength[t])
            style = f"background:rgba({r},{g},{b},{alpha:.2f})"
            spans.append(f'<span class="act" style="{style}" title="{numbers}">{escape(token)}</span>')
        return f'<p class="episode">{"".join(spans)}</p>'


def explain(model: ValueLM, tokenizer: PreTrainedTokenizerFast, episode: Episode) -> Explanation:
    """Evaluates one episode with a value model; one of whole utterances has values at their last tokens alone.

    Raises:
        TypeError: the model has no values.
    """
    import torch

    from agents.batch import collate
    from agents.utterance_ilql import judge

    if not hasattr(model, "values"):
        raise TypeError(
            f"Only models with values can be explained, got {type(model).__name__}; train sarsa, monte_carlo or ilql."
        )
    batch = collate([episode], tokenizer.pad_token_id, tokenizer.eos_token_id).to(model.device)
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        if model.config.q_head == "utterance":
            end, of_action, of_state = judge(model, batch)  # [U] each
            at = end.cpu().numpy()  # [U]
        else:
            values = model.values(batch)
            at, of_action, of_state = np.flatnonzero(episode.is_action), values.target_q[0], values.v[0]  # [A] each
    model.train(was_training)
    q, v = (np.full(len(episode), np.nan) for _ in range(2))  # [T]
    q[at] = of_action.double().cpu().numpy()
    v[at] = of_state.double().cpu().numpy()
    return Explanation(_texts(tokenizer, episode), episode.is_action, episode.rewards, q, v)


def _texts(tokenizer: PreTrainedTokenizerFast, episode: Episode) -> list[str]:
    """Each token by itself, markers and blanks included: joined they are the episode's text."""
    whole = decode(tokenizer, [episode.tokens[:t] for t in range(1, len(episode) + 1)])  # [T] prefixes
    return [text.removeprefix(before) for before, text in zip(["", *whole], whole, strict=False)]


def _blend(strength: float) -> tuple[int, int, int]:
    """From mid grey towards the colour of the sign, so that it reads on dark and light terminals."""
    target = BETTER if strength >= 0 else WORSE
    weight = abs(strength) ** 0.5
    r, g, b = (round(128 + weight * (c * 1.15 - 128)) for c in target)
    return min(r, 255), min(g, 255), min(b, 255)
