"""What may come next: every command ends with commands that can be typed as they are printed.

Each is given by its words. Which ones depends on what was found; how they are printed does not.
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
"""of a first recording: made in seconds"""
LOOKED_AT = 2048
"""episodes by which it is known whether a log compares replies"""


def show_next(screen: Console, *steps: Step) -> None:
    """Prints them. Modules that this command was told to import are named in each command of this package too."""
    screen.print("\nNext:")
    for words in steps:
        screen.print(f"  {shlex.join(map(str, _with_imports(words)))}", markup=False, soft_wrap=True)


def _with_imports(words: Step) -> Step:
    named = [module for module in plugins.named() if not any(str(word).startswith(f"{module}:") for word in words)]
    ours = words[0] == OURS and words[1] not in ("list", "leaderboard")
    return [*words, *(part for module in named for part in ("--import", module))] if ours else words


def page(path: Path) -> Step:
    """Opens a page in the browser."""
    return opened(path.resolve().as_uri())


def opened(address: str) -> Step:
    """The same, of the page at an address."""
    return (Path(sys.executable).name, "-m", "webbrowser", address)


def after_env(env_id: str) -> list[Step]:
    """A data set is recorded in it where a recipe can play there, first one that a benchmark learns from; or played."""
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
    """It is recorded."""
    from datasets_builders.recipes import recipe_of

    few = ["--episodes", EPISODES] if recipe_of(name).size is None else []
    where = f"data/{name.rpartition(':')[2]}"
    return [OURS, "record", name, *few, "--out", where, *(["--set", *options] if options else [])]


def after_data(data: EpisodeDataset, folder: Path, lm: str | Path | None = None) -> list[Step]:
    """An agent is trained on it, one that can do better than imitate where returns differ.

    Where a log compares replies, an agent that prefers goes on from one that has learned to speak.

    Args:
        data: the episodes.
        folder: where they are.
        lm: the language model to start from, where they are spelled in its tokens.
    """
    name = folder.resolve().name

    def trained(agent: str, *options: str, lm: str | Path | None = lm, out: Path = Path("runs") / name) -> Step:
        return [OURS, "train", agent, *options, "--data", folder, *([] if lm is None else ["--lm", lm]), "--out", out]

    if data.provenance.get("rewards") == "none" or data.returns.min() == data.returns.max():
        return [trained("bc")]
    if "import" in data.provenance and _compares(data):
        imitates = Path("runs") / f"{name}-bc"
        return [trained("bc", out=imitates), trained("dpo", lm=imitates / "agent")]
    if data.provenance.get("rewards") or lm is not None:  # of a log, or of samples of a model that can speak
        return [trained("refit", *(["--shift-rewards"] if data.returns.min() < 0 else []))]
    # The expectile near 1 takes luck for skill where others answer by chance between the agent's utterances.
    return [trained("ilql", "--tau", "0.99" if _one_utterance(data) else "0.9")]


def _compares(data: EpisodeDataset) -> bool:
    """Whether most of the first episodes are some of several with one opening and different returns."""
    episodes = data.rows(range(min(len(data), LOOKED_AT)))
    worth: dict[bytes, list[float]] = {}
    for episode in episodes:
        worth.setdefault(episode.tokens[: int(episode.is_action.argmax())].tobytes(), []).append(episode.ret)
    return 2 * sum(len(returns) for returns in worth.values() if len({*returns}) > 1) > len(episodes)


def _one_utterance(data: EpisodeDataset) -> bool:
    return max(data.describe()["turns"]["max"], 1) == 1


def after_training(agent: Agent, out: Path, chosen: Chosen | None) -> list[Step]:
    """It is measured, in the decoding that was chosen for it; and why its values do not help, where they do not."""
    from agents.runs.config import config_of, held_out_from
    from agents.runs.imported import HELD_OUT
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
    if held_out is not None and read_provenance(held_out.parent / HELD_OUT).get("rewards") != "none":
        steps.append([OURS, "ope", out])
    return [*steps, _spoken_with(agent, out, markup_of(agent.lm.tokenizer) is not None)]


def _weighted(agent: Agent) -> list[str]:
    """A decoding in which values count, where none was chosen: at their usual weight they seldom change a word."""
    from agents.evaluation.decoding_choice import WEIGHTS

    return ["greedy=true", f"advantage_weight={WEIGHTS[2] / (agent.model.config.value_unit or 1.0):.3g}"]


def _spoken_with(agent: Agent, run: str | Path, talks: bool) -> Step:
    return [OURS, "chat", run] if talks else [OURS, "play", "--agent", run]


def after_eval(agent: Agent, run: str | Path, asked: Sequence[str]) -> list[Step]:
    """What it thinks of its words, where it has values, and speaking with it.

    Args:
        agent: that played.
        run: its folder, as it was named.
        asked: options of the environment and of the decoding that it played with, which ``explain`` takes as well.
    """
    from lang_envs.markup import markup_of

    spoken = _spoken_with(agent, run, markup_of(agent.lm.tokenizer) is not None)
    return [[OURS, "explain", run, *asked], spoken] if agent.needs_values else [spoken]


def after_run(folder: Path) -> Step:
    """Of a benchmark's results a leaderboard is made; a run is measured, or goes on where it was interrupted."""
    if (folder / "table.md").exists():
        return (OURS, "leaderboard", folder)
    if (folder / "agent.json").exists() or (folder / "agent").is_dir():
        return (OURS, "eval", folder)
    return (OURS, "train", "--from", folder / "config.json", "--out", folder)


def after_merge(run: Path, out: Path, plain: bool) -> list[Step]:
    """A language model is served by anyone, an agent measured where it was trained."""
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
    except (ValueError, OSError):  # nothing says where it was trained, or its data are elsewhere now
        return [serve]
    spec = gymnasium.registry.get(env.rpartition(":")[2])
    usual = {} if spec is None else spec.kwargs
    pairs = [pair_of(name, value) for name, value in options.items() if value != usual.get(name, ...)]
    return [[OURS, "eval", out, *given(env, pairs, ())], serve]


def after_push(kind: str, name: str, address: str) -> Step:
    """What was sent is used from where it is now; results are looked at."""
    if kind == "results":
        return opened(address)
    at = f"hub:{name}"
    if kind == "agent":
        return (OURS, "eval", at)
    return (OURS, "train", "bc", "--data", at, "--out", f"runs/{name.rpartition('/')[2]}")


def after_bench(out: Path, report: Path, smoke: bool, again: Sequence[str]) -> list[Step]:
    """The report is opened; what was only tried is run, and what was run can be run again."""
    repeated: Step = (
        [OURS, *again] if smoke else [OURS, "bench", "--from", out / "config.json", "--out", f"{out}-again"]
    )
    return [page(report), repeated, *([] if smoke else [(OURS, "leaderboard", out)])]


def given(env: str | None, env_options: Sequence[str], options: Sequence[str]) -> list[str]:
    """Options that were given to one command, as another takes them."""
    parts: list[Any] = [*(["--env", env] if env else []), *(["--env-options", *env_options] if env_options else [])]
    return [*parts, *(["--set", *options] if options else [])]
