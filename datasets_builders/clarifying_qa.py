"""Records logs of ClarifyingQA: several conversations about each question, by assistants of different habits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from datasets_builders.block_workers import Block
from datasets_builders.recorder import first_seed
from datasets_builders.shares import in_turn
from lang_envs.episode import Episode
from lang_envs.policies.clarifying_qa import AnswerAtOnce, AskIrrelevant, AskThenAnswer, RandomAnswer
from lang_envs.rollout import Start
from lang_envs.tasks.clarifying_qa import ClarifyingQA
from lang_envs.vector import TokenVectorEnv

ASSISTANTS = {
    "asks": AskThenAnswer,
    "answers-at-once": AnswerAtOnce,
    "asks-irrelevant": AskIrrelevant,
    "answers-anything": RandomAnswer,
}
_BLOCK_EPISODES = 4096  # approximately


def mixture(
    env: TokenVectorEnv, seed: int, per_context: int = 4, assistants: Sequence[str] = tuple(ASSISTANTS)
) -> Block:
    """Passes over all questions in random orders; ``per_context`` conversations in a row are about the same question.

    Rewards can therefore be compared within a question (``info["context"]``): standardised, as Swift does, or in pairs.

    Args:
        env: an environment of ClarifyingQA.
        seed: seed of the recording.
        per_context: conversations about one question in each pass.
        assistants: names of ``ASSISTANTS``. The assistant of each conversation is drawn from them; a name that occurs
            twice is drawn twice as often. With a corpus of files "asks-irrelevant" must be left out.

    Raises:
        ValueError: the task is another one, an assistant is unknown, there is none, or ``per_context`` is below 1.
    """
    task = env.task
    if not isinstance(task, ClarifyingQA):
        raise ValueError(f"this recipe needs the environment ClarifyingQA, got the task {type(task).__name__}")
    if per_context < 1:
        raise ValueError(f"per_context must be at least 1, got {per_context}")
    if not assistants or not set(assistants) <= ASSISTANTS.keys():
        raise ValueError(f"assistants must be some of {list(ASSISTANTS)}, got {list(assistants)}")
    policies = [(name, ASSISTANTS[name](task, env.tokenizer)) for name in assistants]
    first, questions = first_seed(seed), max(1, _BLOCK_EPISODES // per_context)

    def block(k: int) -> Iterator[Episode]:
        contexts = _contexts(seed, k * questions, questions, len(task.cases))
        begin = first + k * questions * per_context
        starts = [
            Start(begin + i * per_context + j, context=context)
            for i, context in enumerate(contexts)
            for j in range(per_context)
        ]
        drawn = np.random.default_rng((begin, 2)).integers(len(policies), size=len(starts)).tolist()
        yield from in_turn(env, policies, starts, drawn)

    return block


def _contexts(seed: int, first: int, count: int, there_are: int) -> list[int]:
    """Contexts number ``first`` to ``first + count`` of an endless series of passes, each in a random order."""
    passes = range(first // there_are, (first + count - 1) // there_are + 1)
    orders = [np.random.default_rng((seed, 3, number)).permutation(there_are) for number in passes]
    begin = first - passes[0] * there_are
    return [int(context) for context in np.concatenate(orders)[begin : begin + count]]
