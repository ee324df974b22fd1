"""The commands ``record samples`` and ``export``: dataclasses that tyro reads, and that do their work when called."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from rich.markup import escape
from tyro.conf import Positional, arg

from agents.cli.arguments import SetOptions, pairs
from agents.cli.next_steps import OURS, Step, after_data, show_next
from agents.cli.show import console
from datasets_builders.hub import local

if TYPE_CHECKING:
    from agents.agent import Agent
    from datasets_builders.samples import Candidates
    from lang_envs.rollout import Policy
    from lang_envs.vector import TokenVectorEnv

SAMPLED = {"samples": None, "dialogue-samples": "Dialogue-BERTScore-v0", "reddit-samples": "Reddit-Toxicity-v0"}
"""name of a data set of samples -> environment id, used if neither ``--env`` nor a run names one"""
ROWS = 256  # episodes played at once


@dataclass
class RecordSamples:
    r"""Records several replies of an agent or a served model to each context.

    After an interruption, the same command resumes.

    Examples:
        lang-envs record dialogue-samples --corpus multiwoz --policy runs/bc --per-context 5 --out data/samples
        lang-envs record samples --policy runs/ilql --temperatures 0.7 1.0 --beams 4 --out data/samples
        lang-envs record dialogue-samples --server http://localhost:8000/v1 --model Qwen/Qwen3-0.6B --out data/qwen
        lang-envs record samples --env ClarifyingQA-v0 --server http://a:8000/v1 http://b:8000/v1 \
            --model path/to/model --tokens --set tokenizer=path/to/model --no-human --out data/exact
    """

    recipe: Annotated[Positional[str], arg(metavar="RECIPE")]
    """samples, dialogue-samples or reddit-samples"""
    out: Path
    """folder of the data set"""
    policy: Path | None = None
    """folder of a run or of a saved agent, or hub:owner/name, that replies; without it, pass --server"""
    server: tuple[str, ...] = ()
    """instead of --policy: address of an OpenAI-compatible server, or addresses of several servers of one model, which
    share the work. OPENAI_API_KEY holds their key. User info and query of an address are sent only to the server and
    never stored"""
    model: str | None = None
    """name of the model on the server, with --server"""
    tokens: bool = False
    """record the token ids and log-probabilities that the server drew, instead of its text. The server must return
    token ids (vLLM, lang-envs serve), and the environment must use the model's tokenizer (--set tokenizer=...)"""
    processed: bool = False
    """with --tokens: the server returns log-probabilities after the temperature (lang-envs serve; vLLM with
    --logprobs-mode processed_logprobs); by default they are recorded only at temperature 1"""
    instruction: str | None = None
    """instruction for the model on the server; by default that of the task"""
    max_tokens: int | None = None
    """limit of the server's tokens per reply; by default the environment's limit. A model that thinks first needs
    more"""
    timeout: float = 60.0
    """seconds to wait for one whole answer of the server"""
    concurrency: int = 8
    """number of simultaneous requests to the server"""
    per_context: int = 5
    """samples per context and temperature"""
    temperatures: tuple[float, ...] = (1.0,)
    """sampling temperatures; 0 is greedy"""
    human: bool = True
    """also record the human reply, if the task has one"""
    beams: int = 0
    """number of beams of a beam search that are also recorded; 0 records none"""
    env: str | None = None
    """environment id; by default that of the run or of the recipe"""
    corpus: str | None = None
    """short form of --set corpus=..."""
    episodes: int | None = None
    """number of episodes; by default all"""
    seed: int = 0
    """seed of the recording; recordings with different seeds share no episode"""
    workers: int = 1
    """number of processes that play, each with a copy of the model; the recorded data do not depend on it"""
    executor: Literal["processes", "ray"] = "processes"
    """where the processes run: this machine, or a Ray cluster (ray start --head); needs the package ray"""
    options: SetOptions = ()
    """options of the environment, as NAME=VALUE"""

    def __call__(self) -> None:
        """Prints what was recorded."""
        from agents.cli import show
        from agents.runs.run import load
        from datasets_builders.samples import LoggedReplies, Sampling, record_samples

        if (self.policy is None) == (not self.server) or (not self.server) != (self.model is None):
            raise ValueError("Who answers? Pass --policy FOLDER, or --server ADDRESS and --model NAME.")
        source: dict[str, Any] = {"run": self.policy}
        self.policy = None if self.policy is None else local(self.policy, "agent")
        agent = None if self.policy is None else load(self.policy)
        env = self._environment(agent)
        policies, search = self._served(env) if agent is None else self._agent(agent)
        human = self.human and isinstance(env.task, LoggedReplies)
        kept = "token ids and log-probabilities" if self.tokens else "text"
        served: dict[str, Any] = {
            "server": [*self.server] if len(self.server) > 1 else "".join(self.server),
            "model": self.model,
        }
        if agent is None:
            source = served | {"kept": kept}
        sampling = Sampling(policies, self.per_context, human, search)
        spread: dict[str, Any] = {"workers": self.workers, "executor": self.executor}
        record_samples(env, sampling, self.out, self.episodes, self.seed, name=self.recipe, source=source, **spread)
        dataset = show.show_data(console(), self.out, episodes=1)
        show_next(console(), *after_data(dataset, self.out, self._spoken_by()))

    def _spoken_by(self) -> str | Path | None:
        """The model whose tokenizer the samples are in; None if it is that of no model."""
        if self.policy is not None:
            from agents.runs.config import agent_folder

            return agent_folder(self.policy)
        tokenizer = pairs(self.options).get("tokenizer")
        return None if tokenizer is None else str(tokenizer)

    def _environment(self, agent: Agent | None) -> TokenVectorEnv:
        from agents.runs.environment import environment_of
        from lang_envs.make import language_vec

        options = pairs(self.options) | ({} if self.corpus is None else {"corpus": self.corpus})
        if self.policy is not None and agent is not None:
            return environment_of(self.policy, agent, self.env, options, ROWS)
        env = self.env or SAMPLED[self.recipe]
        if env is None:
            raise ValueError("Samples of a served model need an environment: pass --env ID.")
        return language_vec(env, ROWS, **options)

    def _agent(self, agent: Agent) -> tuple[dict[str, Policy], Candidates | None]:
        from agents.decoding.beams import BeamSearch

        decoding: dict[float, dict[str, Any]] = {
            t: {"temperature": t} if t else {"greedy": True} for t in self.temperatures
        }
        policies: dict[str, Policy] = {f"{agent.name}-{t:g}": agent.policy(**how) for t, how in decoding.items()}
        return policies, BeamSearch(agent, self.beams) if self.beams else None

    def _served(self, env: TokenVectorEnv) -> tuple[dict[str, Policy], None]:
        from lang_envs.policies.served import Served
        from lang_envs.policies.served_tokens import ServedTokens

        assert self.model is not None
        if self.beams:
            raise ValueError("A server offers no beams; --beams needs --policy.")
        asked: dict[str, Any] = {"timeout": self.timeout, "concurrency": self.concurrency}
        if self.tokens:
            if self.instruction is not None or self.max_tokens is not None:
                raise ValueError(
                    "With --tokens the prompt and the limit are those of the environment; leave out --instruction and "
                    "--max-tokens."
                )
            make: type[Served | ServedTokens] = ServedTokens
            asked |= {"processed": self.processed}
        else:
            make = Served
            asked |= {"instruction": self.instruction, "max_tokens": self.max_tokens}
        policies: dict[str, Policy] = {
            f"{self.model}-{t:g}": make(self.server, self.model, env.task, env.tokenizer, temperature=t, **asked)
            for t in self.temperatures
        }
        return policies, None


@dataclass
class Export:
    """Writes a data set in another format.

    Examples:
        lang-envs export data/samples --to trl-preference --out preferences.jsonl --chat
        lang-envs export data/trap --to minari --out wordle/trap-v0
    """

    data: Annotated[Positional[Path], arg(metavar="DATA")]
    """folder of the data set"""
    to: Literal["jsonl", "parquet", "minari", "trl-sft", "trl-preference"]
    """format: jsonl and parquet keep all fields; minari has one step per token; the trl formats contain text"""
    out: str
    """file to write; for minari the name of the data set, such as wordle/trap-v0"""
    chat: bool = False
    """write messages instead of plain text (trl formats only)"""

    def __call__(self) -> None:
        """Prints what was written."""
        from datasets_builders import EpisodeDataset, trl
        from datasets_builders.minari import to_minari

        dataset = EpisodeDataset.load(self.data)
        if self.chat and not self.to.startswith("trl-"):
            raise ValueError(f"--chat is for the trl formats, not for {self.to}.")
        what = f"{len(dataset)} episodes"
        if self.to == "minari":
            to_minari(dataset, self.out)
        elif self.to == "jsonl":
            dataset.to_jsonl(self.out)
        elif self.to == "parquet":
            dataset.to_parquet(self.out)
        else:
            write = trl.to_sft if self.to == "trl-sft" else trl.to_preference
            what = _counted(write(dataset, self.out, self.chat))
        console().print(f"{escape(self.out)}: {what}", soft_wrap=True)
        shown: Step = ("minari", "show", self.out) if self.to == "minari" else ("head", "-c", "600", self.out)
        again: Step = (OURS, "export", self.data, "--to", "jsonl", "--out", f"{self.out}.jsonl")
        show_next(console(), again if self.to == "parquet" else shown)


def _counted(written: Any) -> str:
    """The numbers of lines written and of contexts left out, in words."""
    parts = [
        f"{written.rows} lines",
        f"{written.ties} contexts left out where all answers are worth the same" if written.ties else "",
        f"{written.alone} contexts left out that have one answer only" if written.alone else "",
        f"{written.respelled} texts said in other tokens than the tokenizer spells them with"
        if written.respelled
        else "",
    ]
    return "; ".join(filter(None, parts))
