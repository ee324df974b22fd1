"""Measures of reported episodes besides their returns: similarity, diversity, divergence from a reference, and others.

A policy that is trained on one reward is measured by others too. Returns alone do not show replies that please a
classifier and say nothing, or that are always the same.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from agents.data.batch import Batch, collate
from agents.models.value_lm import ValueLM
from agents.reference import logprobs
from lang_envs.episode import Episodes
from lang_envs.seeds import EVALUATION
from lang_envs.tasks.dialogue import Dialogue
from lang_envs.tokenizers import decode

if TYPE_CHECKING:
    from agents.agent import Agent
    from datasets_builders.dataset import EpisodeDataset
    from lang_envs.rollout import Policy
    from lang_envs.vector import TokenVectorEnv

_AT_ONCE = 64  # episodes that a model reads at once
_FITTED_EPOCHS, _FITTED_ROWS = 10, 32  # epochs and batch size of fitted Q
_MULTIWOZ_DIALOGUES = 100
_NO_FACTS = ("seed", "context", "success")  # entries of an episode's info that are measured elsewhere or are no number
_COMPARED = 200  # utterances whose diversity is measured: it depends on their number, and its cost grows as the square


@dataclass(frozen=True)
class Played:
    """Episodes of one policy, and what the measures of them need."""

    env: TokenVectorEnv
    episodes: Episodes
    reference: Agent | None = None
    """the agent under whose language model perplexity and divergence are measured"""
    policy: Policy | None = None
    """the policy that played them"""
    held_out: EpisodeDataset | None = None
    """logs that no agent learned from"""

    def batch(self, rows: range | None = None) -> Batch:
        """Some of the episodes as tensors, or all."""
        env, some = self.env, self.episodes if rows is None else [self.episodes[i] for i in rows]
        return collate(some, env.tokenizer.pad_token_id, env.end_id, env.task.max_utterance_tokens)

    def utterances(self, rows: Sequence[int] | None = None) -> list[str]:
        """The text of everything the agent said in some of the episodes, or in all; one for each turn."""
        end, limit = self.env.end_id, self.env.task.max_utterance_tokens
        some = self.episodes if rows is None else [self.episodes[i] for i in rows]
        said = [episode.tokens[span] for episode in some for span in episode.utterances(end, limit)]
        return decode(self.env.tokenizer, [tokens[tokens != end] for tokens in said])


Measure = Callable[[Played], dict[str, float]]


def similarity(played: Played) -> dict[str, float]:
    """``bertscore`` ``bertclick`` ``bleu`` ``chrf`` ``meteor``: means of the similarity to the human's reply.

    ``bertclick`` is the share of replies with a BERTScore above 0.6.

    Episodes that were cut before they ended are left out, and their share is ``left_out``.

    Raises:
        ValueError: the task has no human replies, or every episode was cut.
    """
    from lang_envs.rewards.bertscore import BERTScore
    from lang_envs.rewards.overlap import BLEU, METEOR, ChrF

    task = played.env.task
    if not isinstance(task, Dialogue):
        raise ValueError(f"Similarity needs the human replies of Dialogue, and {type(task).__name__} has none.")
    whole = [i for i, info in enumerate(played.episodes.info) if "context" in info]
    if not whole:
        raise ValueError(
            f"Similarity needs whole replies, and each of {len(played.episodes)} episodes was cut at "
            f"{played.env.max_tokens} tokens: raise max_tokens."
        )
    references = [task.examples[played.episodes.info[i]["context"]].response for i in whole]
    said = played.utterances(whole)
    # The task's own BERTScore, if it has one, is loaded already and has the references in its cache.
    bertscore = task.similarity if isinstance(task.similarity, BERTScore) else BERTScore()
    near = np.asarray(bertscore(said, references))
    scores: dict[str, Any] = {"bleu": BLEU(), "chrf": ChrF(), "meteor": METEOR()}
    return {
        "bertscore": float(near.mean()),
        "bertclick": float((near > 0.6).mean()),
        **{name: float(np.mean(score(said, references))) for name, score in scores.items()},
        **_left_out(len(played.episodes) - len(whole), played),
    }


def _left_out(number: int, played: Played) -> dict[str, float]:
    """``left_out``, the share of episodes that were not measured; empty if all were."""
    return {"left_out": number / len(played.episodes)} if number else {}


def approval(played: Played) -> dict[str, float]:
    """``approval``: mean probability that a person approves (``approval.judge``); ``approval_auc``: the judge's AUC.

    Raises:
        ValueError: the task's corpus is not the one with Taskmaster's verdicts.
    """
    from agents.benchmark.approval import judge
    from lang_envs.corpora.dialogues.by_name import FEEDBACK

    task = played.env.task
    if not isinstance(task, Dialogue) or task.corpus != FEEDBACK:
        raise ValueError(f"Approval is judged in Dialogue with the corpus {FEEDBACK!r} alone.")
    judging = judge(None if task.path is None else str(task.path))
    return {"approval": float(judging(played.utterances()).mean()), "approval_auc": judging.auc}


def multiwoz(played: Played) -> dict[str, float]:
    """``inform`` ``success`` ``bleu`` ``combined`` of MultiWOZ, in percent (``combined`` to 200).

    The policy says every agent turn of 100 dialogues. The result is empty if the policy is not given.

    Raises:
        ValueError: the task is no Dialogue with a corpus of MultiWOZ 2.1.
    """
    from agents.evaluation import multiwoz as measured

    if played.policy is None:
        return {}
    found = measured.evaluate(played.env, played.policy, EVALUATION.first(), _MULTIWOZ_DIALOGUES)
    return {name: scored.value for name, scored in found.scores.items()}


def off_policy(played: Played) -> dict[str, float]:
    """``weighted`` ``doubly_robust`` ``fitted_q``: the policy's return, estimated from held-out logs (``agents.ope``).

    They are estimates for the policy as it samples, because a log hardly ever holds only likeliest tokens.
    ``effective`` is the effective number of episodes of the first two. An estimate with a warning, such as one of too
    few effective episodes, is left out. The reference replaces the policy that played the logs. The result is empty if
    there is no reference, or the policy is no ``LMPolicy``.

    Raises:
        ValueError: the experiment has no held-out logs.
    """
    from agents.decoding.policy import LMPolicy
    from agents.ope.evaluate import evaluate

    if played.reference is None or type(played.policy) is not LMPolicy:
        return {}
    if played.held_out is None:
        raise ValueError("Off-policy estimates need logs that no agent learned from: set the experiment's held_out.")
    rng = np.random.default_rng(0)
    steps = _FITTED_EPOCHS * -(-len(played.held_out) // (2 * _FITTED_ROWS))  # Q is fitted to one half at a time
    behaviour = played.reference.policy()
    sampled = copy.copy(played.policy)
    sampled.greedy = False
    found = evaluate(sampled, played.held_out, rng, behaviour, steps, batch_size=_FITTED_ROWS)
    estimates = {e.name: e for e in found.estimates if e.name in ("weighted", "doubly_robust", "fitted_q")}
    trusted = {name: e.value for name, e in estimates.items() if not e.warnings}
    return trusted | {"effective": estimates["weighted"].effective}


def diversity(played: Played) -> dict[str, float]:
    """Diversity of the utterances, in four measures from 0 to 1.

    ``distinct_1`` ``distinct_2``: distinct words over all words, and the same of word pairs (Li et al. 2016,
    arXiv:1510.03055). ``self_bleu``: the mean BLEU of an utterance against all others (Zhu et al. 2018,
    arXiv:1802.01886); near 1 if all are alike. ``different``: distinct utterances over all utterances.

    These measures depend on the number of utterances, so they are always of 200, or of all if there are fewer. The 200
    are drawn from one episode of each context; if there is only one context, from all episodes.
    """
    first = {info.get("context", i): i for i, info in reversed([*enumerate(played.episodes.info)])}
    said = played.utterances(sorted(first.values()) if len(first) > 1 else None)
    some = np.random.default_rng(0).permutation(len(said))[:_COMPARED]
    said = [said[i] for i in sorted(some.tolist())]
    words = [text.split() for text in said]
    return {
        "distinct_1": _distinct(words, 1),
        "distinct_2": _distinct(words, 2),
        "self_bleu": self_bleu(said),
        "different": len(set(said)) / len(said),
    }


def _distinct(texts: Sequence[Sequence[str]], n: int) -> float:
    grams = Counter(tuple(words[i : i + n]) for words in texts for i in range(len(words) - n + 1))
    return len(grams) / max(1, grams.total())


def self_bleu(texts: Sequence[str]) -> float:
    """Mean BLEU of each text with all others as its references, from 0 to 1; NaN for a single text."""
    from sacrebleu.metrics import BLEU

    if len(texts) < 2:
        return float("nan")
    metric = BLEU(effective_order=True)
    others = [[*texts[:i], *texts[i + 1 :]] for i in range(len(texts))]
    return float(np.mean([metric.sentence_score(t, o).score for t, o in zip(texts, others, strict=True)])) / 100


def length(played: Played) -> dict[str, float]:
    """``length``: mean tokens of a turn, its end token included. ``turns``: mean turns of an episode."""
    batch = played.batch()
    turns = int(((batch.turn.amax(1) + 1) * (batch.mask.sum(1) > 0)).sum())
    return {"length": float(batch.mask.sum()) / max(1, turns), "turns": turns / len(batch)}


@torch.no_grad()
def divergence(played: Played) -> dict[str, float]:
    """``perplexity`` of the agent's tokens under the reference, and ``kl``, the mean of log pi - log pi_reference.

    ``kl`` is in nats a token. It estimates KL(pi || reference) over the states that the policy visits, and is missing
    if the episodes lack the policy's log-probabilities. A greedy policy's are 0; ``kl`` is then the mean negative
    log-probability of its tokens under the reference. The result is empty if there is no reference.
    """
    if played.reference is None:
        return {}
    model, total, said, own = played.reference.model, 0.0, 0.0, 0.0
    model = model.lm if isinstance(model, ValueLM) else model
    count = len(played.episodes)
    for first in range(0, count, _AT_ONCE):
        batch = played.batch(range(first, min(first + _AT_ONCE, count))).to(model.device)
        total += float(logprobs(model, batch).sum())
        own += float((batch.logprob * batch.mask).sum())
        said += float(batch.mask.sum())
    result = {"perplexity": float(np.exp(-total / said))}
    known = played.episodes.logprobs
    if known is not None and not np.isnan(known[played.episodes.is_action]).any():
        result["kl"] = (own - total) / said
    return result


def facts(played: Played) -> dict[str, float]:
    """Means over episodes of the numbers in the last ``info`` of each; of booleans, the share that is true.

    A mean is over the episodes whose ``info`` has the number. An episode that was cut before the first reply has none
    of them; the share of such episodes is ``left_out``.
    """
    found: dict[str, list[float]] = {}
    silent = 0
    for info in played.episodes.info:
        said = {name: x for name, x in info.items() if isinstance(x, bool | int | float) and name not in _NO_FACTS}
        silent += not said
        for name, value in said.items():
            found.setdefault(name, []).append(value)
    means = {name: float(np.mean(values)) for name, values in found.items()}
    return means | _left_out(silent, played) if means else {}


MEASURES: dict[str, Measure] = {
    "similarity": similarity,
    "approval": approval,
    "multiwoz": multiwoz,
    "off_policy": off_policy,
    "diversity": diversity,
    "length": length,
    "divergence": divergence,
    "facts": facts,
}
"""The measures that an experiment can ask for, by name."""


def measure(names: Sequence[str], played: Played) -> dict[str, float]:
    """The results of all measures in ``names``: metric -> value.

    Raises:
        ValueError: there is no such measure.
    """
    if unknown := [name for name in names if name not in MEASURES]:
        raise ValueError(f"There is no measure {unknown[0]!r}; choose among {', '.join(MEASURES)}.")
    return {metric: value for name in names for metric, value in MEASURES[name](played).items()}
