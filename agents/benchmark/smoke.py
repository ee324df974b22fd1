"""Shrinks a suite to seconds: a smoke run shows that everything runs, and nothing else."""

from __future__ import annotations

import dataclasses
from typing import Any

from agents.benchmark.experiment import Baseline, Cell, Data, Elsewhere, Experiment, Samples, Suite

FEW: dict[str, Any] = {"words": "english-100"}
"""replacements of settings, if a suite sets them"""
LONG = {"Maze-v0": {"max_tokens": 20}, "Maze-PO-v0": {"max_tokens": 20}}
"""options that shorten the episodes of environments with a hundred turns, in logs too"""
CUT = {"VisualDialogue": 48, "ServiceDesk": 48, "ClarifyingQA": 72, "MultiWOZ": 72}
"""number of the agent's tokens after which a conversation is truncated, in its second turn: an untrained agent's turns
are as long as the environment allows"""
FEW_LOGS, FEW_HELD_OUT = 32, 12


def shrunk(suite: Suite) -> Suite:
    """The same suite with few steps and episodes, under another name, so that a folder of real results refuses it.

    The first experiment keeps all cells. The others keep their first cell, the next one that learns from samples of
    another cell, and the baselines that scores are normalised by.
    """
    first, *others = suite.experiments
    fewer = [dataclasses.replace(e, cells=_few(e.cells), baselines=_yardsticks(e)) for e in others]
    small = tuple(_shrink(e) for e in (first, *fewer))
    return dataclasses.replace(suite, name=f"{suite.name}-smoke", seeds=1, experiments=small)


def _few(cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
    return (*cells[:1], *[cell for cell in cells[1:] if isinstance(cell.data, Samples)][:1])


def _quick(measures: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in measures if name != "multiwoz")  # which plays a hundred whole dialogues


def _yardsticks(experiment: Experiment) -> tuple[Baseline, ...]:
    return tuple(b for b in experiment.baselines if b.label in (experiment.normalise or ()))


def _less(settings: dict[str, Any]) -> dict[str, Any]:
    return {**settings, **{name: few for name, few in FEW.items() if name in settings}}


def _cut(env: str, options: dict[str, Any]) -> dict[str, Any]:
    """The environment's options, changed so that episodes are short."""
    most = CUT.get(env.partition("-")[0])
    return {**_less(options), **LONG.get(env, {}), **({"max_episode_steps": most} if most else {})}


def _elsewhere(other: Elsewhere) -> Elsewhere:
    return dataclasses.replace(other, measures=_quick(other.measures), options=_cut(other.env, other.options))


def _shrink(experiment: Experiment) -> Experiment:
    env = experiment.env

    def short(options: dict[str, Any]) -> dict[str, Any]:
        return {**_less(options), **LONG.get(env, {})}

    def few(data: Data, most: int = FEW_LOGS) -> Data:
        if data.path:
            return data
        return dataclasses.replace(data, episodes=min(most, data.episodes or most), options=short(data.options))

    def few_logs(logs: Data | Samples | None) -> Data | Samples | None:
        if isinstance(logs, Samples):
            return dataclasses.replace(logs, episodes=min(FEW_LOGS, logs.episodes or FEW_LOGS))
        return logs and few(logs)

    cells = tuple(
        dataclasses.replace(
            c,
            config={**_less(c.config), **({"rollout_tokens": 8} if c.agent == "ppo" else {})},
            fit={**c.fit, "steps": 4, "batch_size": 8},
            decodings=(*c.decodings[:1], *c.decodings[1:][-1:]),
            data=few_logs(c.data),
            trained=c.trained or c.start is None,  # the smoke run's model is from scratch and must be trained
            first=c.first and min(c.first, FEW_LOGS // 2),
        )
        for c in experiment.cells
    )
    return dataclasses.replace(
        experiment,
        data=few(experiment.data),
        held_out=experiment.held_out and few(experiment.held_out, FEW_HELD_OUT),
        lm="d64-l2",  # it uses the tokenizer of the suite's own model, which the environments' options name
        lora=None,
        dtype="fp32",
        cells=cells,
        exact=experiment.exact[:2],
        env_options=_cut(env, experiment.env_options),
        selection_options=experiment.selection_options and _cut(env, experiment.selection_options),
        best_of=min(2, experiment.best_of),
        measures=_quick(experiment.measures),
        elsewhere=tuple(map(_elsewhere, experiment.elsewhere)),
        episodes=4,
        selection_episodes=2,
        measure_every=2,
        yardstick_games=8,
    )
