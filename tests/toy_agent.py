"""A language model of a few thousand weights, random episodes, and an agent with dropout, for the tests."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, get_type_hints

import numpy as np
import pytest
import torch
from guess_task import Guess
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel

from agents import AGENTS, LM, Agent, Batch, DecisionTransformerConfig, GRPOConfig, QSFTConfig, RefitConfig
from lang_envs import Episode, Episodes, TokenVectorEnv

TOKENIZER = Guess().tokenizer()
END, PAD, SAY = TOKENIZER.eos_token_id, TOKENIZER.pad_token_id, TOKENIZER.convert_tokens_to_ids("<say>")


def make_env(num_envs: int = 4) -> TokenVectorEnv:
    return TokenVectorEnv(Guess(), num_envs)


def make_lm(seed: int = 0, dropout: float = 0.0) -> LM:
    config = GPT2Config(
        n_embd=16,
        n_layer=1,
        n_head=2,
        n_positions=32,
        vocab_size=len(TOKENIZER),
        resid_pdrop=dropout,
        embd_pdrop=dropout,
        attn_pdrop=dropout,
        bos_token_id=None,
        eos_token_id=END,
        pad_token_id=PAD,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LM(GPT2LMHeadModel(config), TOKENIZER, Guess().max_utterance_tokens)


def make_episodes(n: int, seed: int = 0) -> Episodes:
    """Each with another first token pair and of another length; some were truncated."""
    rng = np.random.default_rng(seed)
    return Episodes.from_list([_episode(rng) for _ in range(n)])


def _episode(rng: np.random.Generator) -> Episode:
    tokens, is_action, rewards = [SAY], [False], [0.0]
    for _ in range(rng.integers(1, 4)):
        tokens += [int(rng.integers(8)), END, int(rng.integers(8))]
        is_action += [True, True, False]
        rewards += [0.0, float(rng.normal()), 0.0]
    terminated = bool(rng.integers(2))
    return Episode(
        np.array(tokens, np.int32), np.array(is_action), np.array(rewards, np.float32), terminated, not terminated
    )


@dataclass
class ToyConfig:
    scale: float = 1.0
    fail_at: int | None = None


class Toy(Agent):
    """Behaviour cloning whose loss can be made infinite."""

    name = "toy"
    config: ToyConfig

    def loss(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        logits = batch.at(self.model(batch.input_ids).logits, batch.state)  # [B, A, V]
        nll = F.cross_entropy(logits.flatten(0, 1), batch.action.flatten(), reduction="none")  # [B * A]
        loss = batch.mean(nll.view_as(batch.mask)) * self.config.scale
        if self.step + 1 == self.config.fail_at:
            loss = loss * float("inf")
        return loss, {"loss/toy": loss.detach()}


OFFLINE = [name for name in AGENTS if name != "ppo"]  # PPO refuses a log alone, which tests/test_ppo.py holds it to


def needs_sb3(algorithm: str) -> Any:
    """A mark that skips PPO where its extra is not installed."""
    missing = algorithm == "ppo" and find_spec("sb3_contrib") is None
    return pytest.mark.skipif(missing, reason="the extra ppo is not installed")


def make_agent(algorithm: str, lm: LM | None = None) -> Agent:
    """An agent by its name, or the toy; some are told what a log would say or record.

    Values start with noise: from a constant, the first step moves the last layers alone.
    """
    kind = ({"toy": Toy} | AGENTS)[algorithm]
    configs = {
        "refit": RefitConfig(shift_rewards=True),
        "decision_transformer": DecisionTransformerConfig(edges=(-0.5, 0.5)),
        "grpo": GRPOConfig(behaviour="start", group_size=4),
        "q_sft": QSFTConfig(low=-3.0, high=3.0),
    }
    if kind.needs_values:
        configs[algorithm] = get_type_hints(kind)["config"](zero_init=False)
    return kind(lm or make_lm(), configs.get(algorithm))


def weights(agent: Agent) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in agent.model.state_dict().items()}


def same_weights(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
