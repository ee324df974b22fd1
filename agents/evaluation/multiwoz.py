"""MultiWOZ's context-to-response evaluation: the agent replies at each of its turns in dialogues between people.

Sources: Budzianowski et al. 2018 (arXiv:1810.00278), Nekvinda and Dusek 2021 (arXiv:2106.05555).
:mod:`lang_envs.rewards.multiwoz_success` describes how texts are judged. Agents say words, not placeholders, and track
no state. The state of each turn is the annotated one, so this is the standard setting with the true state. The state
has little effect here, because entities are read from the text.

The part of a turn after ``max_response_tokens`` is cut off. People's own turns have Success 68 if they are cut after 32
tokens, the default, and 96 after 128.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.evaluation.stats import Interval
from lang_envs.corpora.by_name import downloaded
from lang_envs.corpora.multiwoz import annotated
from lang_envs.corpora.multiwoz.annotated import Annotated
from lang_envs.progress import counted
from lang_envs.rewards.multiwoz_success import Evaluator, bleu_counts, bleu_of, combined
from lang_envs.rollout import Policy, Start, rollout
from lang_envs.tasks.dialogue import Dialogue
from lang_envs.tokenizers import decode
from lang_envs.vector import TokenVectorEnv

_RESAMPLES = 1_000


class Scored(NamedTuple):
    """A measure from 0 to 100 (Combined to 200), and its 95 % interval by bootstrap over dialogues."""

    value: float
    interval: Interval


class Evaluation(NamedTuple):
    """The results of one policy in one split."""

    scores: Mapping[str, Scored]
    """inform, success, bleu, combined"""
    dialogues: int
    replies: int


def evaluate(
    env: TokenVectorEnv, policy: Policy, first_seed: int, dialogues: int | None = None, resamples: int = _RESAMPLES
) -> Evaluation:
    """Measures the policy's replies at each agent's turn of each dialogue.

    Args:
        env: an environment Dialogue with a corpus of MultiWOZ 2.1; its split is measured.
        policy: the policy to measure.
        first_seed: seed of the first reply; the following replies have the following seeds.
        dialogues: number of dialogues, the first of the split; None for all.
        resamples: number of bootstrap samples.

    Raises:
        ValueError: for another task or corpus, or fewer than 1 dialogue.
    """
    task = env.task
    if not (isinstance(task, Dialogue) and task.corpus.startswith("multiwoz")):
        corpus = f" with the corpus {task.corpus!r}" if isinstance(task, Dialogue) else ""
        raise ValueError(
            f"MultiWOZ's measures need Dialogue with corpus=multiwoz (--env-options corpus=multiwoz split=...), got "
            f"{type(task).__name__}{corpus}"
        )
    if dialogues is not None and dialogues < 1:
        raise ValueError(f"dialogues must be at least 1, got {dialogues}")
    corpus_of = annotated.load(downloaded("dialogue", task.corpus)[0] if task.path is None else task.path)
    known = {one.dialogue.turns: one for one in corpus_of.dialogues}
    contexts = _by_dialogue(task)[:dialogues]
    said = _said(env, policy, [context for own in contexts for context in own], first_seed)
    evaluator, rows = Evaluator(corpus_of.database), []
    for own in contexts:
        found: Annotated = known[task.examples[own[0]].turns]
        texts = [said[context] for context in own]
        judged = evaluator.judge(found, texts)
        counts = bleu_counts(texts, [task.examples[context].response for context in own])
        rows.append([judged.inform, judged.success, *counts.tolist()])
    return Evaluation(_scores(np.array(rows, np.int64), resamples), len(contexts), len(said))


def in_words(found: Evaluation) -> list[tuple[str, str]]:
    """The rows of a table of the measures."""
    rows = [("measured", f"MultiWOZ, {found.dialogues} dialogues, {found.replies} replies to what people said")]
    for name, (value, (low, high)) in found.scores.items():
        rows.append((name, f"{value:.1f} (95 % of resampled dialogues: {low:.1f} to {high:.1f})"))
    return rows


def _by_dialogue(task: Dialogue) -> list[list[int]]:
    """The contexts of each dialogue, in order."""
    found: dict[int, list[int]] = {}
    for context, example in enumerate(task.examples):
        found.setdefault(id(example.turns), []).append(context)
    return list(found.values())


def _said(env: TokenVectorEnv, policy: Policy, contexts: list[int], first_seed: int) -> dict[int, str]:
    starts = [Start(first_seed + i, context=context) for i, context in enumerate(contexts)]
    played = counted("playing", len(starts), rollout(env, policy, starts))
    tokens = [episode.tokens[episode.is_action] for episode in played]
    texts = decode(env.tokenizer, [own[own != env.end_id] for own in tokens])
    return dict(zip(contexts, texts, strict=True))


def _scores(rows: NDArray[np.int64], resamples: int) -> dict[str, Scored]:
    """The measures of rows [D, 12]: informed, successful, and the counts of BLEU of each dialogue."""
    drawn = np.random.default_rng(0).integers(len(rows), size=(resamples, len(rows)))  # [S, D]
    whole, again = rows.sum(axis=0), np.stack([rows[some].sum(axis=0) for some in drawn])  # [12], [S, 12]
    measures: dict[str, Callable[[NDArray[np.int64]], float]] = {
        "inform": lambda total: 100 * float(total[0]) / len(rows),
        "success": lambda total: 100 * float(total[1]) / len(rows),
        "bleu": lambda total: bleu_of(total[2:]),
    }
    measures["combined"] = lambda total: combined(*(measures[name](total) for name in ("bleu", "inform", "success")))
    found = {}
    for name, measure in measures.items():
        low, high = np.quantile([measure(total) for total in again], [0.025, 0.975])
        found[name] = Scored(measure(whole), Interval(float(low), float(high)))
    return found
