"""The commands ``eval`` and ``explain``: dataclasses that tyro reads, and that do their work when called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from rich.markup import escape
from rich.table import Table
from tyro.conf import Positional, arg

from agents.cli.advantage_rows import quality_rows
from agents.cli.arguments import (
    ENV_OPTIONS,
    Options,
    SetOptions,
    at_least_one,
    decoding_from,
    decoding_in_words,
    decoding_of,
    pairs,
)
from agents.cli.next_steps import OURS, after_eval, given, page, show_next
from agents.cli.show import NOT_PAID, console
from datasets_builders.hub import local
from lang_envs.seeds import EVALUATION

if TYPE_CHECKING:
    from agents.agent import Agent
    from lang_envs.episode import Episode


@dataclass
class Eval:
    """Plays new episodes with an agent and prints its mean return.

    An agent that learned from an imported log plays in the held-out conversations.

    Examples:
        lang-envs eval runs/ilql
        lang-envs eval runs/ilql --episodes 1024 --set greedy=true advantage_weight=4 lm_top_p=0.8
        lang-envs eval runs/ilql --advantage-states 32
        lang-envs eval runs/of-my-logs --env-options reward=bertscore
        lang-envs eval runs/bc --measure multiwoz --env-options corpus=multiwoz split=validation
    """

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """folder of a run or of a saved agent, or hub:owner/name"""
    env: str | None = None
    """environment id; by default that of the run"""
    episodes: int | None = None
    """number of episodes, by default 256; with --measure multiwoz that of dialogues, by default all of the split"""
    measure: Literal["multiwoz"] | None = None
    """report Inform, Success, BLEU and Combined of MultiWOZ instead of returns: in a Dialogue environment the agent
    says every agent turn of whole dialogues"""
    seed: int = 0
    """seed of the episodes; no data set contains them and no agent has learned from them"""
    advantage_states: int = 0
    """number of states in which the order of the learned advantages is compared with the returns of playing on
    (thousands of episodes). A task that knows its exact values is compared with them without this option"""
    env_options: Annotated[Options, arg(metavar="NAME=VALUE ...")] = ()
    """options of the environment, as NAME=VALUE"""
    options: SetOptions = ()
    """decoding, as NAME=VALUE: greedy, temperature, top_k, top_p, repetition_penalty, max_new_tokens, stop,
    advantage_weight, advantage_clip, lm_top_p; by default the decoding chosen after training. An agent without one is
    greedy, or takes the best of its samples (utterance_ilql)"""

    def __call__(self) -> None:
        """Prints the mean return and its standard error."""
        from agents.benchmark.running import evaluate
        from agents.runs.config import learned_from
        from agents.runs.environment import environment_of
        from agents.runs.run import load

        episodes = 256 if self.episodes is None else self.episodes
        at_least_one(episodes)
        run, self.run = self.run, local(self.run, "agent")
        agent = load(self.run)
        rows = min(episodes, evaluate.ROWS)
        env = environment_of(self.run, agent, self.env, pairs(self.env_options, ENV_OPTIONS), rows, to_measure=True)
        decoding = decoding_of(agent, self.options)
        policy = evaluate.decoded(agent, decoding)
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        table.add_row("decoding", escape(f"{decoding_in_words(decoding)} ({decoding_from(agent, self.options)})"))
        if self.measure == "multiwoz":
            from agents.evaluation import multiwoz

            found = multiwoz.evaluate(env, policy, EVALUATION.first(self.seed), self.episodes)
            for name, told in multiwoz.in_words(found):
                table.add_row(name, told)
            console().print(table)
            show_next(console(), *after_eval(agent, run, []))
            return
        measured = evaluate.metrics(evaluate.play(env, policy, EVALUATION.first(self.seed), episodes))
        if not env.task.pays:
            table.add_row("return", NOT_PAID)
            measured = {name: value for name, value in measured.items() if not name.startswith("return")}
        for name, value in measured.items():
            table.add_row(name.replace("_", " "), f"{value:.3f}")
        for whose, told in quality_rows(agent, env, learned_from(self.run), self.advantage_states, self.seed):
            table.add_row(whose, told)
        console().print(table)
        show_next(console(), *after_eval(agent, run, given(self.env, self.env_options, self.options)))


@dataclass
class Explain:
    """Shows what an agent thinks every token is worth, in colours.

    Examples:
        lang-envs explain runs/ilql --text "the movie wasn't good it was superb" --numbers
        lang-envs explain runs/ilql --text "the movie wasn't" --next 4
        lang-envs explain runs/ilql --episodes 3 --html ilql.html
        lang-envs explain runs/ilql --data data/trap
    """

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """folder of a run or of a saved agent; an agent without values shows transcripts without colours"""
    text: tuple[str, ...] = ()
    """utterances said in the agent's place, one per turn; needs an agent with values"""
    next: int = 0
    """number of most likely next tokens to list after the last text, which stays unfinished; 0 lists none"""
    data: Path | None = None
    """folder of a data set whose episodes are explained; by default the agent plays, or after training on an imported
    log the held-out episodes are explained"""
    episodes: int = 2
    """number of episodes, without --text"""
    numbers: bool = False
    """also print Q, V and the advantage of each token"""
    html: Path | None = None
    """also write the same as an HTML page to this file"""
    env: str | None = None
    """environment id; by default that of the run"""
    env_options: Annotated[Options, arg(metavar="NAME=VALUE ...")] = ()
    """options of the environment, as NAME=VALUE"""
    seed: int = 0
    """seed of the first episode"""
    options: SetOptions = ()
    """decoding when the agent plays, as NAME=VALUE; by default as in eval"""

    def __call__(self) -> None:
        """Prints the episodes."""
        from agents.cli import explanations
        from agents.runs.run import load

        if self.next and not self.text:
            raise ValueError('--next says what could follow a text: pass --text "..." too.')
        if self.next < 0:
            raise ValueError(f"--next is a number of tokens, not {self.next}.")
        if self.text and self.data is not None:
            raise ValueError("--text is what the agent says, --data what was said: pass one of them.")
        at_least_one(self.episodes)
        run, self.run = self.run, local(self.run, "agent")
        agent = load(self.run)
        shown = explanations.of_episodes(agent, self._episodes(agent), self.next, needs_values=bool(self.text))
        explanations.show(console(), shown, self.numbers)
        if self.html is not None:
            explanations.write_page(self.html, f"{agent.name} at {self.run}", shown)
            console().print(f"The page is at {escape(str(self.html.resolve()))}", soft_wrap=True)
            show_next(console(), page(self.html))
            return
        asked = given(self.env, self.env_options, self.options)
        source = ["--data", self.data] if self.data is not None else ["--text", *self.text] if self.text else []
        show_next(console(), [OURS, "explain", run, *source, *asked, "--html", "explained.html"])

    def _episodes(self, agent: Agent) -> Sequence[Episode]:
        """The episodes to explain: the one of ``text``, those of the data set, or new ones that the agent plays."""
        from agents.benchmark.running.evaluate import decoded
        from agents.evaluation.explain import spoken
        from agents.runs.config import held_out_from
        from agents.runs.environment import environment_of
        from lang_envs import rollout
        from lang_envs.progress import counted

        asked = self.text or self.env is not None or self.env_options or self.options
        data = self.data if self.data is not None or asked else held_out_from(self.run)
        if data is not None and not self.text:
            from datasets_builders import EpisodeDataset

            dataset = EpisodeDataset.load(data)
            dataset.require(agent.lm.tokenizer)
            return list(dataset.rows(range(min(self.episodes, len(dataset)))))
        env = environment_of(self.run, agent, self.env, pairs(self.env_options, ENV_OPTIONS), rows=1, to_measure=True)
        if self.text:
            return [spoken(env, self.text, EVALUATION.first(self.seed), leave_open=self.next > 0)]
        starts = EVALUATION.episodes(self.episodes, self.seed)
        policy = decoded(agent, decoding_of(agent, self.options))
        return list(counted("playing", len(starts), rollout(env, policy, starts)))
