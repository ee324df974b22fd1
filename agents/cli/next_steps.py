"""Chooses and prints the next commands: every command of ``lang-envs`` ends with commands that can be typed as printed.

A command is a ``Step``, a list of its words.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from agents.cli.arguments import pair_of
from lang_envs import plugins

if TYPE_CHECKING:
    from agents.agent import Agent
    from agents.runs.decoding_file import Chosen
    from datasets_builders.dataset import EpisodeDataset

Step = Sequence[str | Path]
OURS = "lang-envs"
EPISODES = "2000"
"""number of episodes of a suggested recording, which takes seconds"""
LOOKED_AT = 2048
"""number of episodes in which next steps look for replies to the same context"""


def show_next(screen: Console, *steps: Step) -> None:
    """Prints the commands. Commands of this package get ``--import`` for the modules that this command imported."""
    screen.print("\nNext:")
    for words in steps:
        screen.print(f"  {shlex.join(map(str, _with_imports(words)))}", markup=False, soft_wrap=True)


def _with_imports(words: Step) -> Step:
    named = [module for module in plugins.named() if not any(str(word).startswith(f"{module}:") for word in words)]
    ours = words[0] == OURS and words[1] not in ("list", "leaderboard")
    return [*words, *(part for module in named for part in ("--import", module))] if ours else words


def page(path: Path) -> Step:
    """Open a page in the browser."""
    return opened(path.resolve().as_uri())


def opened(address: str) -> Step:
    """Open the page at an address in the browser."""
    return (Path(sys.executable).name, "-m", "webbrowser", address)


def after_env(env_id: str) -> list[Step]:
    """After showing an environment: record a data set in it, if a recipe can; and play it.

    Recipes that a benchmark learns from come first, then recipes of this very environment id.
    """
    from agents.benchmark.suites import SUITES
    from datasets_builders.recipes import RECIPES
    from lang_envs.make import task_class

    play: Step = (OURS, "play", env_id)
    task = task_class(env_id.rpartition(":")[2])
    learned = {getattr(e.data, "recipe", None) for suite in SUITES.values() for e in suite.experiments}
    fit = [recipe for recipe in RECIPES.values() if task_class(recipe.env_id) is task]
    if not fit:
        return [play]
    best = max(fit, key=lambda recipe: (recipe.name in learned, recipe.env_id == env_id))  # the first of equals
    return [after_recipe(best.name, [] if best.env_id == env_id else [f"env_id={env_id}"]), play]


def after_recipe(name: str, options: Sequence[str] = ()) -> Step:
    """After showing a recipe: record its data set."""
    from datasets_builders.recipes import recipe_of

    few = ["--episodes", EPISODES] if recipe_of(name).size is None else []
    where = f"data/{name.rpartition(':')[2]}"
    return [OURS, "record", name, *few, "--out", where, *(["--set", *options] if options else [])]


def after_data(data: EpisodeDataset, folder: Path, lm: str | Path | None = None) -> list[Step]:
    """After recording or showing a data set: train an agent on it. If returns differ, one that does more than imitate.

    Where a log compares replies, an agent that prefers goes on from one that has learned to speak.

    Args:
        data: the episodes.
        folder: folder of the data set.
        lm: the language model to start from, if the episodes are in its tokens.
    """
    name = folder.resolve().name

    def trained(agent: str, *options: str, lm: str | Path | None = lm, out: Path = Path("runs") / name) -> Step:
        return [OURS, "train", agent, *options, "--data", folder, *([] if lm is None else ["--lm", lm]), "--out", out]

    if data.provenance.get("rewards") == "none" or data.returns.min() == data.returns.max():
        return [trained("bc")]
    if "import" in data.provenance and _compares(data):
        imitates = Path("runs") / f"{name}-bc"
        return [trained("bc", out=imitates), trained("dpo", lm=imitates / "agent")]
    if data.provenance.get("rewards") or lm is not None:  # an imported log, or samples of a model
        return [trained("refit", *(["--shift-rewards"] if data.returns.min() < 0 else []))]
    # An expectile near 1 takes luck for skill if the environment's answers between utterances are random.
    return [trained("ilql", "--tau", "0.99" if _one_utterance(data) else "0.9")]


def _compares(data: EpisodeDataset) -> bool:
    """Whether most of the first episodes share their context with others of another return."""
    episodes = data.rows(range(min(len(data), LOOKED_AT)))
    worth: dict[bytes, list[float]] = {}
    for episode in episodes:
        worth.setdefault(episode.tokens[: int(episode.is_action.argmax())].tobytes(), []).append(episode.ret)
    return 2 * sum(len(returns) for returns in worth.values() if len({*returns}) > 1) > len(episodes)


def _one_utterance(data: EpisodeDataset) -> bool:
    return max(data.describe()["turns"]["max"], 1) == 1


def after_training(agent: Agent, out: Path, chosen: Chosen | None) -> list[Step]:
    """After training: evaluate the agent, estimate its return from held-out logs if there are any, and try it.

    If the chosen decoding does not use the values, the evaluation also measures their advantage quality.
    """
    from agents.runs.config import config_of, held_out_from
    from datasets_builders.provenance import read_provenance
    from lang_envs.markup import markup_of

    held_out = held_out_from(out)
    said_reward = any(option == "reward" for option in config_of(out).env_options)
    likeness = ["--env-options", "reward=likeness"] if held_out is not None and not said_reward else []
    decoding = [] if chosen is not None or not agent.values_tokens else ["--set", *_weighted(agent)]
    steps: list[Step] = [[OURS, "eval", out, *likeness, *decoding]]
    if chosen is not None and chosen.alone is not None and chosen.tried[chosen.alone] is chosen.best:
        states = ["--advantage-states", "32"] if agent.values_tokens else []
        steps = [[OURS, "eval", out, *likeness, *states]]
    if held_out is not None and read_provenance(held_out).get("rewards") != "none":
        steps.append([OURS, "ope", out])
    return [*steps, _spoken_with(agent, out, markup_of(agent.lm.tokenizer) is not None)]


def _weighted(agent: Agent) -> list[str]:
    """A decoding with a large weight of the values, for agents without a chosen decoding."""
    from agents.evaluation.decoding_choice import WEIGHTS

    return ["greedy=true", f"advantage_weight={WEIGHTS[2] / (agent.model.config.value_unit or 1.0):.3g}"]


def _spoken_with(agent: Agent, run: str | Path, talks: bool) -> Step:
    return [OURS, "chat", run] if talks else [OURS, "play", "--agent", run]


def after_eval(agent: Agent, run: str | Path, asked: Sequence[str]) -> list[Step]:
    """After evaluation: explain the agent's tokens, if it has values; and chat or play with it.

    Args:
        agent: the agent that played.
        run: its folder, as the user named it.
        asked: options of the environment and of the decoding that it played with; ``explain`` takes the same.
    """
    from lang_envs.markup import markup_of

    spoken = _spoken_with(agent, run, markup_of(agent.lm.tokenizer) is not None)
    return [[OURS, "explain", run, *asked], spoken] if agent.needs_values else [spoken]


def after_run(folder: Path) -> Step:
    """After showing a run: make a leaderboard of a benchmark's results, evaluate an agent, or continue its training."""
    if (folder / "table.md").exists():
        return (OURS, "leaderboard", folder)
    if (folder / "agent.json").exists() or (folder / "agent").is_dir():
        return (OURS, "eval", folder)
    return (OURS, "train", "--from", folder / "config.json", "--out", folder)


def after_merge(run: Path, out: Path, plain: bool) -> list[Step]:
    """After merging: serve a plain language model; evaluate and serve an agent."""
    if plain:
        return [("transformers", "serve", out)]
    import gymnasium

    from agents.runs.config import known_config
    from agents.runs.environment import named

    serve: Step = (OURS, "serve", out)
    try:
        config = known_config(run)
        if config is None:
            return [serve]
        env, options = named(config, to_measure=True)
    except (ValueError, OSError):  # the environment is unknown, or the data were moved
        return [serve]
    spec = gymnasium.registry.get(env.rpartition(":")[2])
    usual = {} if spec is None else spec.kwargs
    pairs = [pair_of(name, value) for name, value in options.items() if value != usual.get(name, ...)]
    return [[OURS, "eval", out, *given(env, pairs, ())], serve]


def after_push(kind: str, name: str, address: str) -> Step:
    """After sending to the hub: use the agent or the data set from there, or look at the results."""
    if kind == "results":
        return opened(address)
    at = f"hub:{name}"
    if kind == "agent":
        return (OURS, "eval", at)
    return (OURS, "train", "bc", "--data", at, "--out", f"runs/{name.rpartition('/')[2]}")


def after_bench(out: Path, report: Path, smoke: bool, again: Sequence[str]) -> list[Step]:
    """After a benchmark: open the report; run a smoke run's suite in full, or a full one again."""
    repeated: Step = (
        [OURS, *again] if smoke else [OURS, "bench", "--from", out / "config.json", "--out", f"{out}-again"]
    )
    return [page(report), repeated, *([] if smoke else [(OURS, "leaderboard", out)])]


def given(env: str | None, env_options: Sequence[str], options: Sequence[str]) -> list[str]:
    """The options given to one command, as words for another."""
    parts: list[Any] = [*(["--env", env] if env else []), *(["--env-options", *env_options] if env_options else [])]
    return [*parts, *(["--set", *options] if options else [])]
