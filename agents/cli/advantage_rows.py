"""The rows of ``lang-envs eval`` on learned advantages: whether they order tokens as reference values do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lang_envs.seeds import EVALUATION

if TYPE_CHECKING:
    from agents.agent import Agent
    from lang_envs.vector import TokenVectorEnv


def quality_rows(
    agent: Agent, env: TokenVectorEnv, logs: Sequence[Path], states: int, seed: int
) -> Iterator[tuple[str, str]]:
    """One row for each reference: the rank correlations at the first and at the last token, and the attainable ones.

    Args:
        agent: any agent; without values of tokens there are no rows.
        env: the environment it plays in.
        logs: folders of the logs it learned from; the first one that exists is used.
        states: number of states in which the returns of playing on are a further reference; 0: none.
        seed: seed of these states.

    Raises:
        ValueError: ``states`` is below 0, or it is above 0 and the agent has no values of tokens.
    """
    from agents.benchmark.running.starts import anywhere
    from agents.evaluation.advantage import REFERENCES, advantage_quality, first_token
    from agents.evaluation.known_values import known_values
    from agents.evaluation.played_values import played_values
    from datasets_builders.dataset import EpisodeDataset

    if states < 0:
        raise ValueError(f"--advantage-states is a number from 0 on, not {states}.")
    if not agent.values_tokens:
        if states:
            raise ValueError(f"--advantage-states compares values of tokens, and {agent.name} has none.")
        return
    log = next((EpisodeDataset.load(folder) for folder in logs if folder.is_dir()), None)
    try:
        references = known_values(env.task, log, agent.config.gamma)
    except ValueError as error:  # the logs are of another game than the environment
        references = {}
        yield "advantages", f"not compared with known values: {error}"
    if states:
        references["played"] = played_values(agent, env, anywhere(env, EVALUATION.first(seed), states).starts())
    for name, alternatives in references.items():
        found = advantage_quality(agent.model, alternatives)
        places = ((first_token(found), "first token"), ("end", "last token"))
        told = [_told(found, token, words) for token, words in places if token]
        yield f"advantages beside {REFERENCES[name]}", ", ".join(filter(None, told)) or "nothing to compare"


def _told(found: dict[str, float], token: str, words: str) -> str:
    if token not in found:
        return ""
    most = found.get(f"ceiling/{token}")
    return f"{words} {found[token]:.2f}" + ("" if most is None else f" of {most:.2f} attainable")
