"""Behaviour cloning: maximises the likelihood of what the agent said in the data, token by token.

    L = -log pi(a_i | s_i)                                    mean over the agent's tokens

``keep_top`` below 1 keeps only the best episodes. This is %BC (filtered behaviour cloning; the TF Top of Sodhi et al.
2023, arXiv:2307.12425). ``keep_above`` filters by return instead of by fraction. ``keep_best`` filters within each
context, as in STaR-GATE (Andukuri et al. 2024, arXiv:2403.19154).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from agents.agent import Agent
from agents.data.batch import Batch
from agents.data.contexts import best_of_each
from agents.data.source import Logged, Source
from agents.reference import logprobs


@dataclass
class BCConfig:
    """Settings of behaviour cloning."""

    keep_top: float = 1.0
    """fraction of logged episodes to keep, the best returns first; of equal returns the earlier episode"""
    keep_above: float | None = None
    """keep only logged episodes with at least this return; None keeps all"""
    keep_best: int | None = None
    """number of episodes to keep per context, the best returns first; None keeps all. This filter is applied last"""

    def __post_init__(self) -> None:
        """Checks the settings.

        Raises:
            ValueError: fewer than 1 episode of each context, or a fraction that is none.
        """
        if not 0 < self.keep_top <= 1:
            raise ValueError(f"keep_top is a fraction above 0, at most 1 (0.1 is the best tenth), not {self.keep_top}.")
        if self.keep_best is not None and self.keep_best < 1:
            raise ValueError(f"keep_best must be at least 1 episode of each context, or None, not {self.keep_best}.")


class BC(Agent):
    """Behaviour cloning, or %BC if the configuration keeps only a part of the data.

    The equations are in ``help("agents.bc")``.
    """

    name = "bc"
    config: BCConfig

    @property
    def needs_returns(self) -> bool:
        """Only where it chooses episodes by them."""
        return self.config.keep_top < 1 or self.config.keep_above is not None or self.config.keep_best is not None

    def prepare(self, source: Source) -> Source:
        """Drops the episodes the configuration does not keep.

        Raises:
            TypeError: a filter is asked for on a source that has no log to filter.
        """
        c = self.config
        if not self.needs_returns:
            return source
        if not isinstance(source, Logged):
            raise TypeError(
                f"keep_top={c.keep_top}, keep_above={c.keep_above} and keep_best={c.keep_best} choose among logged "
                f"episodes, but the source is {type(source).__name__}. Pass Logged(...), or leave keep_top at 1 and "
                "the others at None."
            )
        kept = source.filter(min_return=c.keep_above, top_fraction=c.keep_top)
        return kept if c.keep_best is None else Logged(best_of_each(kept.data, c.keep_best), kept.seed)

    def loss(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The cross-entropy of the agent's tokens."""
        loss = -batch.mean(logprobs(self.model, batch))
        return loss, {"loss/bc": loss.detach()}
