"""Steps through an episode with a trained agent at a terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.text import Text

from agents.cli.explanations import look, numbers
from lang_envs.episode import Episode
from lang_envs.policies.human import UNPAID
from lang_envs.random_generators import OF_POLICY, generator
from lang_envs.tokenizers import transcripts
from lang_envs.utterances import spell

if TYPE_CHECKING:
    from agents.agent import Agent
    from lang_envs.rollout import Policy
    from lang_envs.vector import TokenVectorEnv


def step_through(
    screen: Console,
    agent: Agent,
    env: TokenVectorEnv,
    policy: Policy,
    seed: int,
    read: Callable[[str], str] = input,
) -> Episode | None:
    """Steps through one episode.

    Args:
        screen: where to write.
        agent: the agent whose values are shown.
        env: the environment; its first row is used.
        policy: the agent's policy.
        seed: seed of the episode.
        read: prints a prompt and reads a line. An empty line lets the agent speak, ``q`` leaves, and any other text is
            said in the agent's place.

    Returns:
        The episode; None if the person left before its end.
    """
    env.begin([0], [seed])
    screen.print(Text(transcripts(env.tokenizer, [env.history(0)])[0], style="dim"))
    rng: Any = generator(seed, OF_POLICY)
    while not env.finished[0]:
        [turn] = policy.act([env.history(0)], [rng])
        try:
            typed = _typed(screen, env, read)
        except (EOFError, KeyboardInterrupt):
            screen.print("Left the episode.")
            return None
        tokens = turn.tokens if typed is None else typed
        env.say([0], [tokens])
        episode = env.episode(0)
        explanation = look(agent, episode)
        screen.print(explanation.text())
        if agent.needs_values:
            screen.print(numbers(explanation, last=len(tokens)))
    screen.print(f"[bold]Return {episode.ret:g}." if env.task.pays else UNPAID)
    return episode


def _typed(screen: Console, env: TokenVectorEnv, read: Callable[[str], str]) -> NDArray[np.int32] | None:
    """What the person says in the agent's place, as tokens; None lets the agent speak.

    Raises:
        EOFError: the person leaves.
    """
    while typed := read("Return: the agent speaks, text: you speak for it, q: leave > ").strip():
        if typed == "q":
            raise EOFError
        tokens = spell(env.tokenizer, typed, env.task.max_utterance_tokens)
        if env.tokenizer.unk_token_id not in tokens:
            return tokens
        screen.print("The tokenizer has no tokens for a part of that; say it in other words.")
    return None
