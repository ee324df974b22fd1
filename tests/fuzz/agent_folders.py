"""Saved agents with damaged files: loads them and plays with them. Code in the folder must never run."""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
from damage import Bytes, of_bytes
from folders import Damaged, damaged
from hypothesis import strategies as st
from outcome import Outcome, same, using
from worker import Kind

from agents import DPO, ILQL, LM, Agent
from agents.reference import keep_start
from agents.runs.run import load
from lang_envs import rollout
from lang_envs.vector import TokenVectorEnv


@dataclass(frozen=True)
class Planted:
    """A file that no agent is saved with."""

    base: str
    what: str
    """``code`` that config.json names, or ``pickle``: weights in another format"""
    damage: Bytes


@dataclass(frozen=True)
class World:
    """Sound folders, what their agents say, and where they say it."""

    bases: dict[str, Path]
    wanted: dict[str, Any]
    env: TokenVectorEnv


def prepare(folder: Path) -> World:
    """An agent with values, and one with a reference."""
    env: Any = gym.make_vec("MovieReview-v0", num_envs=3)
    learner = DPO(LM.from_scratch("d64-l2", env))
    keep_start(learner)
    for name, agent in (("ilql", ILQL(LM.from_scratch("d64-l2", env))), ("dpo", learner)):
        agent.save(folder / name)
    bases = {name: folder / name for name in ("ilql", "dpo")}
    return World(bases, {name: used(path, env) for name, path in bases.items()}, env)


def used(path: Path, env: TokenVectorEnv) -> Any:
    """What is known of an agent, and what it says, greedily and at random."""
    agent: Agent = load(path)
    with using():
        episodes = [
            episode.tokens.tolist()
            for how in ({"greedy": True}, {"temperature": 1.0})
            for episode in rollout(env, agent.policy(**how), starts=range(3))
        ]
    weights = [float(parameter.detach().abs().sum()) for parameter in agent.network.parameters()]
    reference = None if agent.reference is None else float(sum(p.abs().sum() for p in agent.reference.parameters()))
    return repr(
        (agent.config, agent.step, agent.fit_config, agent.lm.max_utterance_tokens, weights, reference, episodes)
    )


def damages(world: World) -> st.SearchStrategy[Any]:
    """Mostly damage to what is there."""
    planted = st.builds(Planted, st.sampled_from(sorted(world.bases)), st.sampled_from(("code", "pickle")), of_bytes())
    return st.integers(0, 9).flatmap(lambda tenth: damaged(world.bases) if tenth else planted)


def always(world: World) -> list[Planted]:
    """Code under the name of a known model and of an unknown one, and a pickle."""
    bases, flip = sorted(world.bases), [Bytes("flip", 0.5, size) for size in (1, 2)]
    return [Planted(base, what, damage) for base in bases for what in ("code", "pickle") for damage in flip]


def attempt(world: World, damage: Damaged | Planted, case: Path) -> Outcome:
    """No edit passes where there are checksums."""
    if isinstance(damage, Planted):
        _plant(world.bases[damage.base], damage, case / "agent")
    else:
        damage.apply(world.bases[damage.base], case / "agent")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = used(case / "agent", world.env)
    finally:
        if (case / "ran").exists():
            return Outcome("different", "code in the folder was run")  # noqa: B012  # whatever it raised
    otherwise = "different" if isinstance(damage, Planted) or damage.checksums else "accepted"
    return same(found, world.wanted[damage.base], otherwise, getattr(damage, "file", "planted"))


def _plant(sound: Path, damage: Planted, folder: Path) -> None:
    shutil.copytree(sound, folder)
    (folder / "checksums.json").unlink(missing_ok=True)  # whoever plants a file can leave them out
    if damage.what == "pickle":
        weights = folder / "model.safetensors"
        (folder / "pytorch_model.bin").write_bytes(damage.damage.apply(weights.read_bytes()))
        weights.unlink()
        return
    config = json.loads((folder / "config.json").read_text())
    config |= {"auto_map": {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}}
    if damage.damage.size % 2:  # a type of its own is what makes transformers look for code
        config["model_type"] = "of its own"
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(f"import pathlib\npathlib.Path({str(folder.parent / 'ran')!r}).touch()\n")


KIND = Kind("agents", prepare, damages, attempt, always)
