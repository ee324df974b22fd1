"""Temporal differences: the values of the policy that made the log, and one step of improvement on them.

    y   = r + gamma V(s')
    L_Q = (y - Q(s, a))^2
    L_V = (Qbar(s, a) - V(s))^2            Qbar is the target head, which follows Q at target_rate
    L   = L_Q + L_V + bc_weight L_BC       L_BC = -log pi(a | s) of the language model

Metrics: ``loss/q`` and ``loss/v``, in squares of ``value_unit``; ``loss/bc``; ``value/v``, the mean of V.
"""

from dataclasses import dataclass

import torch

from agents import AGENTS, Agent, Batch
from agents.value_learning import ValueConfig


@dataclass
class MyAgentConfig(ValueConfig):
    """The settings of every agent with values; this class changes one default."""

    cql_weight: float = 0.0
    """no conservative term"""


class MyAgent(Agent):
    """The loss above."""

    name = "my_agent"
    needs_values = True
    dropout = False  # dropout would add noise to the targets
    config: MyAgentConfig

    def loss(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The mean loss over the K tokens of the agent in B episodes."""
        x = self.model.values(batch)  # Q, V and their targets, [K] each
        v_next = batch.in_rows(x.v_next)  # [B, A], the shape of the rewards; batch.discount is 0 at an episode's end
        y = batch.flat(batch.reward + self.config.gamma * batch.discount * v_next)  # [K]
        parts = {
            "loss/q": sum(batch.mean(((y - q) / x.unit) ** 2) for q in x.q),
            "loss/v": batch.mean(((x.target_q - x.v) / x.unit) ** 2),
            "loss/bc": batch.mean(x.nll),
        }
        loss = parts["loss/q"] + parts["loss/v"] + self.config.bc_weight * parts["loss/bc"]
        return loss, {name: part.detach() for name, part in {**parts, "value/v": batch.mean(x.v)}.items()}

    def after_step(self, step: int) -> None:
        """Moves the target head."""
        super().after_step(step)
        self.model.update_targets(self.config.target_rate)


AGENTS[MyAgent.name] = MyAgent
