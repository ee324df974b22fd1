"""Distils a trained agent into a folder of the transformers library; an interrupted run is continued.

x                    the plain language model, its tokenizer, and README.md, which says how much of the agent it kept
x.training           the request (``distil.json``), the log and the checkpoints; may be deleted once x is there
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agents.data.batch import collate
from agents.data.source import Live, Logged, Mixed, Source
from agents.distil import (
    DistilConfig,
    Distilled,
    Played,
    language_model_of,
    mean_divergence,
    own_decoding,
    teacher_of,
)
from agents.distributed import processes
from agents.models.lora import sum_of
from agents.models.speaking import generation_of
from agents.runs.card import distilled_card
from agents.training.fit import claimed, make_steps
from agents.training.fit_config import FitConfig
from datasets_builders.atomic import read_object, write_text
from datasets_builders.claim import Claim, is_empty
from datasets_builders.folders import WAIT, replacing_folder
from lang_envs.rollout import rollout
from lang_envs.seeds import EVALUATION

if TYPE_CHECKING:
    from agents.agent import Agent
    from agents.models.lm import LM
    from datasets_builders.dataset import EpisodeDataset
    from lang_envs.vector import TokenVectorEnv

ASKED = "distil.json"
CARD = "README.md"


@dataclass
class Kept:
    """How closely a student follows its teacher, on episodes that neither learned from."""

    divergence: float
    """KL(teacher || student), nats a token, on episodes that the teacher samples at temperature 1"""
    divergence_error: float
    """its standard error over episodes"""
    teacher: float
    """mean return of the agent, with its decoding"""
    teacher_error: float
    """its standard error"""
    student: float
    """mean return of the student, in the same episodes"""
    student_error: float
    """its standard error"""
    difference: float
    """student's return minus teacher's, the mean over pairs of episodes of one seed"""
    difference_error: float
    """its standard error"""
    episodes: int
    """number of episodes that each of the two plays"""
    decoding: dict[str, Any] = field(default_factory=dict)
    """the agent's"""
    pays: bool = True
    """whether the environment gives rewards; if not, the returns are 0 and mean nothing"""


def distil(
    agent: Agent,
    env: TokenVectorEnv,
    out: Path,
    decoding: Mapping[str, Any],
    steps: int,
    config: DistilConfig | None = None,
    logged: EpisodeDataset | None = None,
    episodes: int = 256,
    facts: Mapping[str, str] | None = None,
    **settings: Any,
) -> Kept:
    """Trains a plain language model to speak as an agent does, and writes it to ``out``.

    Args:
        agent: with values.
        env: where it plays.
        out: folder of the plain model; it may hold one that this function wrote before.
        decoding: arguments of ``agent.policy``, which say how the teacher speaks.
        steps: optimiser steps, those made before an interruption included.
        config: see ``DistilConfig``.
        logged: episodes to learn from, beside those the agent plays.
        episodes: episodes that agent and student each play, to measure what the card reports.
        facts: further lines of the card.
        **settings: fields of ``FitConfig``, except ``out``.

    Raises:
        OSError: another run is at work in ``out``, or the disk is full.
        ValueError: there is nothing to distil, or ``out`` holds something else or another agent's distillation.
    """
    config = config or DistilConfig()
    teacher = teacher_of(agent, decoding)
    student = Distilled(teacher, language_model_of(agent), config)
    student.model.to(agent.model.device)
    training = out.with_name(f"{out.name}.training")
    fit = FitConfig(**{**settings, "out": training})
    source = _source(env, teacher, config, logged, fit.seed)
    asked = {
        "agent": agent.name,
        "weights": sum_of(agent.model.state_dict().values()),
        "decoding": dict(decoding),
        "logged": None if logged is None else len(logged),
    }
    with claimed(training):
        processes.first_does(lambda: _begin(asked, out, training))
        for _ in make_steps(student, source, steps, fit):
            pass
        return processes.first_does(lambda: _finish(student, agent, env, out, decoding, episodes, facts or {}))


def _source(
    env: TokenVectorEnv, teacher: Any, config: DistilConfig, logged: EpisodeDataset | None, seed: int
) -> Source:
    played = Played(Live(env, seed=seed), teacher)
    if logged is None or config.played == 1:
        return played
    log = Logged(logged, seed)
    return log if config.played == 0 else Mixed(log, played, 1 - config.played)


def _begin(asked: dict[str, Any], out: Path, training: Path) -> None:
    """Writes the request to ``training``; refuses a folder that holds something else."""
    if out.exists() and not is_empty(out) and not (training / ASKED).exists():
        raise ValueError(f"{out} is not empty and was not distilled here. Choose another folder.")
    ours = json.loads(json.dumps(asked))
    if (training / ASKED).exists():
        theirs = read_object(training / ASKED)
        if differ := ", ".join(name for name in ours if theirs.get(name) != ours[name]):
            raise ValueError(f"{training} holds another distillation ({differ}). Choose another folder.")
    training.mkdir(parents=True, exist_ok=True)
    write_text(training / ASKED, json.dumps(ours, indent=2))


def _finish(
    student: Distilled,
    agent: Agent,
    env: TokenVectorEnv,
    out: Path,
    decoding: Mapping[str, Any],
    episodes: int,
    facts: Mapping[str, str],
) -> Kept:
    kept = measure(student, agent, env, decoding, episodes)
    card = distilled_card(agent.name, out.name, dataclasses.asdict(kept), facts)
    write_plain(student.lm, out, own_decoding(decoding), card)
    return kept


def write_plain(lm: LM, out: Path, decoding: Mapping[str, Any], card: str) -> None:
    """Writes a language model as a folder that the transformers library opens by itself.

    Args:
        lm: without values and adapters.
        out: the folder; an earlier one is replaced once the new one is complete.
        decoding: what ``generate`` decodes by.
        card: text of the model's page.
    """
    model: Any = lm.model
    model.generation_config = generation_of(model.generation_config, dict(decoding))
    model.generation_config.max_new_tokens = lm.max_utterance_tokens
    with Claim(out, wait=WAIT), replacing_folder(out, leave_out=[CARD]) as new:
        model.save_pretrained(new)
        lm.tokenizer.save_pretrained(new)
        write_text(new / CARD, card)


def measure(student: Distilled, agent: Agent, env: TokenVectorEnv, decoding: Mapping[str, Any], episodes: int) -> Kept:
    """Compares student and teacher, on fresh episodes of the same seeds for both."""
    seeds = EVALUATION.episodes(episodes)
    walked = list(rollout(env, student.teacher, seeds))  # sampled at temperature 1
    batch = collate(walked, agent.lm.pad_id, agent.lm.end_id, agent.lm.max_utterance_tokens)
    divergence, divergence_error = mean_divergence(student, batch.to(student.model.device))
    returns = [
        np.array([episode.ret for episode in rollout(env, policy, seeds)])  # [episodes]
        for policy in (agent.policy(**decoding), student.policy(**own_decoding(decoding)))
    ]
    teacher, own, difference = (_mean(x) for x in (*returns, returns[1] - returns[0]))
    return Kept(divergence, divergence_error, *teacher, *own, *difference, episodes, dict(decoding), env.task.pays)


def _mean(x: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and its standard error."""
    return float(x.mean()), float(x.std(ddof=1) / len(x) ** 0.5) if len(x) > 1 else 0.0
