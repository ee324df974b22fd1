"""Commands on trained agents: dataclasses that tyro reads, and that do their work when called."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from rich.table import Table
from tyro.conf import Positional, arg

from agents.cli.arguments import Options, pairs
from agents.cli.commands import SetOptions, console

FRESH = 1 << 30  # a seed that no data set is recorded with by chance


@dataclass
class Eval:
    """Plays fresh episodes with a trained agent.

    Examples:
        lang-envs eval runs/ilql
        lang-envs eval runs/ilql --episodes 1024 --set greedy=true advantage_weight=4
    """

    run: Positional[Path]
    """folder of a run or of a saved agent"""
    env: str | None = None
    """environment id; the run's own by default"""
    episodes: int = 256
    """how many"""
    seed: int = FRESH
    """another seed, other episodes; data sets recorded with other seeds hold none of them"""
    env_options: Annotated[Options, arg(metavar="NAME=VALUE ...")] = ()
    """options of the environment, as NAME=VALUE"""
    options: SetOptions = ("greedy=true",)
    """how to decode, as NAME=VALUE: greedy, temperature, top_k, top_p, advantage_weight, advantage_clip"""

    def __call__(self) -> None:
        """Prints the mean return and its standard error."""
        from agents import runs
        from agents.benchmark import evaluate

        agent = runs.load(self.run)
        env = runs.environment_of(self.run, self.env, pairs(self.env_options), min(self.episodes, evaluate.ROWS))
        policy = evaluate.decoded(agent, pairs(self.options))
        measured = evaluate.metrics(evaluate.play(env, policy, self.seed << 32, self.episodes))
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        for name, value in measured.items():
            table.add_row(name.replace("_", " "), f"{value:.3f}")
        console().print(table)


@dataclass
class Explain:
    """Prints episodes with every token of the agent coloured by its advantage.

    Examples:
        lang-envs explain runs/ilql --episodes 3
        lang-envs explain runs/ilql --data data/trap --numbers
    """

    run: Positional[Path]
    """folder of a run or of a saved agent with values (sarsa, monte_carlo, ilql)"""
    data: Path | None = None
    """take episodes from this data set; by default the agent plays them"""
    episodes: int = 2
    """how many"""
    numbers: bool = False
    """also print Q, V and the advantage of each token"""
    seed: int = FRESH
    """of the first episode"""

    def __call__(self) -> None:
        """Prints the episodes."""
        from agents import runs
        from agents.cli import chat
        from lang_envs import rollout

        agent = runs.load(self.run)
        if self.data is not None:
            from datasets_builders import EpisodeDataset

            dataset = EpisodeDataset.load(self.data)
            dataset.require(agent.lm.tokenizer)
            episodes = list(dataset.rows(range(min(self.episodes, len(dataset)))))
        else:
            env, first = runs.environment_of(self.run, rows=1), self.seed << 32
            episodes = list(rollout(env, agent.policy(greedy=True), range(first, first + self.episodes)))
        chat.show(console(), agent, episodes, self.numbers)


@dataclass
class Chat:
    """Steps through an episode with a trained agent, showing what it says and what it thinks of each token.

    Return goes on; typing an utterance says that one in the agent's place; q leaves.

    Examples:
        lang-envs chat runs/ilql
        lang-envs chat runs/ilql --set greedy=false temperature=0.7
    """

    run: Positional[Path]
    """folder of a run or of a saved agent"""
    seed: int = FRESH
    """of the episode"""
    options: SetOptions = ("greedy=true",)
    """how to decode, as NAME=VALUE"""

    def __call__(self) -> None:
        """One episode."""
        from agents import runs
        from agents.benchmark.evaluate import decoded
        from agents.cli import chat

        agent = runs.load(self.run)
        env = runs.environment_of(self.run, rows=1)
        chat.chat(console(), agent, env, decoded(agent, pairs(self.options)), self.seed << 32)
