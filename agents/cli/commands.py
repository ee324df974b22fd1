"""The commands ``show``, ``check``, ``play`` and ``record``: dataclasses that tyro reads, and that work when called.

Heavy libraries are imported by the commands that need them, so that help and ``list`` are fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from rich.markup import escape
from tyro.conf import Positional, arg

from agents.cli.arguments import DECODING, Options, SetOptions, decoding_of, import_before_id, pairs
from agents.cli.data_commands import SAMPLED
from agents.cli.next_steps import after_data, after_env, after_eval, given, show_next
from agents.cli.show import console
from datasets_builders.hub import local
from lang_envs.misspelt import hint, unknown
from lang_envs.plugins import offered

USUAL_EPISODES = 10_000  # default for recipes without a fixed number


@dataclass
class Show:
    """Shows an environment, a recipe, a data set, or a training run.

    Examples:
        lang-envs show Wordle-v0
        lang-envs show wordle-trap
        lang-envs show data/trap --episodes 3
        lang-envs show runs/ilql
    """

    what: Annotated[Positional[str], arg(metavar="WHAT")]
    """environment id, name of a recipe, folder of a data set, or folder of a run"""
    episodes: int = 2
    """number of transcripts printed from a data set"""

    def __call__(self) -> None:
        """Prints what it is."""
        from agents.cli import show
        from datasets_builders.recipes import RECIPES, recipe_of

        path = Path(self.what)
        if (path / "provenance.json").exists():
            show_next(console(), *after_data(show.show_data(console(), path, self.episodes), path))
        elif (path / "config.json").exists() or (path / "agent.json").exists():
            show.show_run(console(), path)
        elif self.what in RECIPES or self.what in offered("recipes"):
            show.show_recipe(console(), recipe_of(self.what))
        else:
            show.show_env(console(), self._environment(path))

    def _environment(self, path: Path) -> str:
        """The environment id, if it is known; the error for other names also suggests recipes and folders."""
        import gymnasium

        from datasets_builders.recipes import RECIPES

        if path.is_dir():
            raise ValueError(f"{path} is a folder without a provenance.json or config.json: no data set, and no run.")
        import_before_id(self.what)
        if ":" not in self.what and self.what not in gymnasium.registry:
            beside = [str(other) for other in path.parent.glob("*") if other.is_dir()] if path.parent.is_dir() else []
            folder = path.parent != Path() or path.is_absolute()
            known = beside if folder else [*env_ids(), *RECIPES, *offered("recipes"), *beside]
            what = f"folder {self.what!r}" if folder else f"environment, recipe or folder {self.what!r}"
            raise ValueError(f"There is no {what}; {hint(self.what, known)}")
        return self.what


@dataclass
class Check:
    """Checks that an environment keeps every guarantee of its interface.

    Examples:
        lang-envs check Wordle-v0
        lang-envs check my_package:MyTask-v0
    """

    env: Annotated[Positional[str], arg(metavar="ENV")]
    """environment id"""
    options: SetOptions = ()
    """options of the environment, as NAME=VALUE"""

    def __call__(self) -> None:
        """Prints one line if all checks pass."""
        import lang_envs

        lang_envs.check_env(known_env(self.env), **pairs(self.options))
        console().print(f"[green]{escape(self.env)} keeps every promise.")
        show_next(console(), *after_env(self.env))


@dataclass
class Play:
    """Plays an environment at the terminal, yourself or with an agent.

    With --agent, the agent plays, and the values of each token are shown. Return goes on. Typed text is said in the
    agent's place. q leaves.

    Examples:
        lang-envs play Wordle-v0
        lang-envs play Wordle-v0 --set words=english-100 --seed 3
        lang-envs play --agent runs/ilql
        lang-envs play Wordle-v0 --agent runs/ilql --decoding greedy=false temperature=0.7
    """

    env: Annotated[Positional[str | None], arg(metavar="[ENV]")] = None
    """environment id; with --agent, by default the environment of its run"""
    seed: int | None = None
    """seed of the episode; by default random, and 0 with --agent"""
    agent: Path | None = None
    """folder of a run or of a saved agent, or hub:owner/name; by default you play"""
    decoding: Annotated[Options, arg(metavar="NAME=VALUE ...")] = ()
    """decoding of the agent, as NAME=VALUE; by default as in eval"""
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
            raise ValueError(
                "Name an environment to play yourself, as in lang-envs play Wordle-v0, or an --agent that plays; "
                "--decoding needs an --agent."
            )
        for name in ("env_id", "seed", "read", "console", "level"):
            if name in options:
                raise ValueError(f"{name} is no option of the environment, so --set cannot set it; leave it out.")
        play(known_env(self.env), self.seed, **options)
        show_next(console(), *after_env(self.env)[:1], ("lang-envs", "show", self.env))

    def _step_through(self, folder: Path, env_options: dict[str, Any]) -> None:
        from agents.benchmark.running.evaluate import decoded
        from agents.cli.stepping import step_through
        from agents.runs.environment import environment_of
        from agents.runs.run import load
        from lang_envs.seeds import EVALUATION

        agent = load(folder)
        run = folder if self.agent is None else self.agent
        env = environment_of(folder, agent, self.env, env_options, rows=1, to_measure=True)
        policy = decoded(agent, decoding_of(agent, self.decoding, DECODING))
        step_through(console(), agent, env, policy, EVALUATION.first(self.seed or 0))
        [step, *_] = after_eval(agent, run, given(self.env, self.options, self.decoding))
        show_next(console(), step)


@dataclass
class Record:
    """Records a data set by a recipe.

    After an interruption, the same command resumes. Samples of trained agents have their own options: lang-envs record
    samples --help

    Examples:
        lang-envs record wordle-trap --episodes 50000 --out data/trap
        lang-envs record wordle-expert --episodes 10000 --out data/expert --set words=english-200 --workers 2
        lang-envs record dialogue-samples --policy runs/bc --out data/samples
    """

    recipe: Annotated[Positional[str], arg(metavar="RECIPE")]
    """name of the recipe (`lang-envs list`), or module:RECIPE"""
    out: Path
    """folder of the data set"""
    episodes: int | None = None
    """number of episodes; by default all, if the recipe has a fixed number, otherwise 10,000"""
    seed: int = 0
    """seed of the recording; recordings with different seeds share no episode"""
    workers: int = 1
    """number of processes that play; the recorded data do not depend on it"""
    executor: Literal["processes", "ray"] = "processes"
    """where the processes run: this machine, or a Ray cluster (ray start --head); needs the package ray"""
    options: SetOptions = ()
    """options of the recipe (lang-envs show RECIPE) and of its environment, as NAME=VALUE"""

    def __call__(self) -> None:
        """Prints what was recorded."""
        from agents.cli import next_steps, show
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
        dataset = show.show_data(console(), self.out, episodes=1)
        next_steps.show_next(console(), *next_steps.after_data(dataset, self.out))


def known_env(env: str) -> str:
    """The id, if it is registered or is a MODULE:ID.

    Raises:
        ValueError: it is not registered.
    """
    import gymnasium

    known = env_ids()
    import_before_id(env)
    if ":" not in env and env not in gymnasium.registry:
        raise ValueError(unknown("environment", env, known))
    return env


def env_ids() -> list[str]:
    """The ids that this package registers."""
    import gymnasium

    import lang_envs  # noqa: F401  # registers the ids

    return [id for id, spec in gymnasium.registry.items() if str(spec.entry_point).startswith("lang_envs")]
