"""Commands on environments and data sets: dataclasses that tyro reads, and that do their work when called.

Heavy libraries are imported by the commands that need them, so that help and ``list`` come at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from rich.markup import escape
from rich.table import Table
from tyro.conf import Positional, arg

from agents.cli.arguments import Options, SetOptions, decoding_of, import_before_id, pairs
from agents.cli.data_commands import SAMPLED
from agents.cli.show import console
from datasets_builders.hub import local
from lang_envs.misspelt import hint, unknown
from lang_envs.plugins import offered

# The names that help shows without importing torch; a test holds them equal to what is there.
AGENT_NAMES = (
    "bc",
    "sarsa",
    "monte_carlo",
    "ilql",
    "awr",
    "cql",
    "psi",
    "utterance_ilql",
    "archer",
    "oreo",
    "decision_transformer",
    "refit",
    "swift",
    "dpo",
    "ppo",
)
SUITE_NAMES = (
    "quick",
    "trap",
    "trap-paper",
    "wordle",
    "visual-dialogue",
    "reddit",
    "dialogue",
    "dialogue-small",
    "dialogue-real",
    "dialogue-smollm2",
    "clarifying-qa",
    "human-feedback",
    "reddit-smollm2",
    "clarifying-qa-smollm2",
    "human-feedback-smollm2",
)
USUAL_EPISODES = 10_000  # of a recipe without an end


@dataclass
class List:
    """Lists environments, data sets, agents and benchmarks."""

    def __call__(self) -> None:
        """Prints a table of names."""
        import lang_envs  # noqa: F401  # registers the ids
        from datasets_builders.recipes import RECIPES

        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        rows = {
            "environments": _env_ids(),
            "data sets": [*RECIPES, *offered("recipes"), *SAMPLED],
            "agents": [*AGENT_NAMES, *offered("agents")],
            "benchmarks": [*SUITE_NAMES, *offered("suites")],
        }
        for name, entries in rows.items():
            table.add_row(f"[bold]{name}", "  ".join(entries))
        console().print(table)


@dataclass
class Show:
    """Shows an environment, a recipe of data, a data set, or a training run.

    Examples:
        lang-envs show Wordle-v0
        lang-envs show wordle-trap
        lang-envs show data/trap --episodes 3
        lang-envs show runs/ilql
    """

    what: Annotated[Positional[str], arg(metavar="WHAT")]
    """environment id, name of a recipe, folder of a data set, or folder of a run"""
    episodes: int = 2
    """transcripts printed from a data set"""

    def __call__(self) -> None:
        """Prints what it is."""
        from agents.cli import show
        from datasets_builders.recipes import RECIPES, recipe_of

        path = Path(self.what)
        if (path / "provenance.json").exists():
            show.show_data(console(), path, self.episodes)
        elif (path / "config.json").exists() or (path / "agent.json").exists():
            show.show_run(console(), path)
        elif self.what in RECIPES or self.what in offered("recipes"):
            show.show_recipe(console(), recipe_of(self.what))
        else:
            show.show_env(console(), self._environment(path))

    def _environment(self, path: Path) -> str:
        """An id that is known; what is none may have been meant for the name of a recipe or a folder."""
        import gymnasium

        from datasets_builders.recipes import RECIPES

        if path.is_dir():
            raise ValueError(f"{path} is a folder without a provenance.json or config.json: no data set, and no run.")
        import_before_id(self.what)
        if ":" not in self.what and self.what not in gymnasium.registry:
            beside = [str(other) for other in path.parent.glob("*") if other.is_dir()] if path.parent.is_dir() else []
            folder = path.parent != Path() or path.is_absolute()
            known = beside if folder else [*_env_ids(), *RECIPES, *offered("recipes"), *beside]
            what = f"folder {self.what!r}" if folder else f"environment, recipe or folder {self.what!r}"
            raise ValueError(f"There is no {what}; {hint(self.what, known)}")
        return self.what


@dataclass
class Check:
    """Checks that an environment keeps every promise of its interface.

    Examples:
        lang-envs check Wordle-v0
        lang-envs check my_package:MyTask-v0
    """

    env: Annotated[Positional[str], arg(metavar="ENV")]
    """environment id"""
    options: SetOptions = ()
    """options of the environment, as NAME=VALUE"""

    def __call__(self) -> None:
        """Prints one line where all is well."""
        import lang_envs

        lang_envs.check_env(known_env(self.env), **pairs(self.options))
        console().print(f"[green]{escape(self.env)} keeps every promise.")


@dataclass
class Play:
    """Plays an environment at the terminal, or steps through an episode with a trained agent.

    With --agent, the agent plays, and what it thinks of each token is shown. Return goes on; typing an utterance says
    that one in the agent's place; q leaves.

    Examples:
        lang-envs play Wordle-v0
        lang-envs play Wordle-v0 --set words=english-100 --seed 3
        lang-envs play --agent runs/ilql
        lang-envs play Wordle-v0 --agent runs/ilql --decoding greedy=false temperature=0.7
    """

    env: Positional[str | None] = None
    """environment id; with an agent, by default the one its run was trained in"""
    seed: int | None = None
    """of the episode; drawn if not given, and 0 with an agent"""
    agent: Path | None = None
    """folder of a run or of a saved agent, or hub:owner/name, which plays"""
    decoding: Annotated[Options, arg(metavar="NAME=VALUE ...")] = ()
    """how the agent speaks, as NAME=VALUE; by default as eval has it speak"""
    options: SetOptions = ()
    """options of the environment, as NAME=VALUE"""

    def __call__(self) -> None:
        """Plays one episode."""
        from lang_envs.policies.human import play

        options = pairs(self.options)
        if self.agent is not None:
            self._step_through(local(self.agent, "agent"), options)
            return
        if self.env is None or self.decoding:
            raise ValueError("Play what, and who? Name an environment, as in lang-envs play Wordle-v0, or an --agent.")
        for name in ("env_id", "seed", "read", "console", "level"):
            if name in options:
                raise ValueError(f"{name} is no option of an environment that --set can set here; leave it out.")
        play(known_env(self.env), self.seed, **options)

    def _step_through(self, folder: Path, env_options: dict[str, Any]) -> None:
        from agents.benchmark.running.evaluate import decoded
        from agents.cli.stepping import step_through
        from agents.training import runs
        from lang_envs.seeds import EVALUATION

        agent = runs.load(folder)
        env = runs.environment_of(folder, agent, self.env, env_options, rows=1, to_measure=True)
        policy = decoded(agent, decoding_of(agent, self.decoding))
        step_through(console(), agent, env, policy, EVALUATION.first(self.seed or 0))


@dataclass
class Record:
    """Records a data set; run it again after an interruption and it goes on where it was.

    Examples:
        lang-envs record wordle-trap --episodes 50000 --out data/trap
        lang-envs record wordle-expert --episodes 10000 --out data/expert --set words=english-200 --workers 2
        lang-envs record dialogue-samples --policy runs/bc --out data/samples

    Samples of trained agents have options of their own: lang-envs record samples --help
    """

    recipe: Annotated[Positional[str], arg(metavar="RECIPE")]
    """name of the recipe (`lang-envs list`), or module:RECIPE"""
    out: Path
    """folder of the data set"""
    episodes: int | None = None
    """how many; by default all there are, where the recipe has an end, and 10,000 where it has none"""
    seed: int = 0
    """data sets of different seeds share no episode"""
    workers: int = 1
    """processes that play; what is recorded does not depend on it"""
    executor: Literal["processes", "ray"] = "processes"
    """where they run: on this machine, or on a Ray cluster (ray start --head); needs the package ray"""
    options: SetOptions = ()
    """options of the recipe (lang-envs show RECIPE) and of its environment, as NAME=VALUE"""

    def __call__(self) -> None:
        """Prints what was recorded."""
        from agents.cli import show
        from datasets_builders.recipes import RECIPES, build, recipe_of

        if self.recipe in SAMPLED:
            raise ValueError(
                f"{self.recipe} has options of its own and comes first: lang-envs record {self.recipe} ..."
            )
        if ":" not in self.recipe and self.recipe not in {*RECIPES, *offered("recipes")}:
            raise ValueError(unknown("recipe", self.recipe, [*RECIPES, *offered("recipes"), *SAMPLED]))
        endless = recipe_of(self.recipe).size is None
        episodes = USUAL_EPISODES if self.episodes is None and endless else self.episodes
        spread: dict[str, Any] = {"workers": self.workers, "executor": self.executor}
        build(self.recipe, episodes, self.out, self.seed, **spread, **pairs(self.options))
        show.show_data(console(), self.out, episodes=1)
        show.show_next(console(), ["train", "bc", "--data", self.out, "--out", f"runs/{self.out.name}"])


def known_env(env: str) -> str:
    """The id, if it is registered or names a module that will register it."""
    import gymnasium

    known = _env_ids()
    import_before_id(env)
    if ":" not in env and env not in gymnasium.registry:
        raise ValueError(unknown("environment", env, known))
    return env


def _env_ids() -> list[str]:
    """The ids this package registers."""
    import gymnasium

    import lang_envs  # noqa: F401  # registers the ids

    return [id for id, spec in gymnasium.registry.items() if str(spec.entry_point).startswith("lang_envs")]
