"""Starting states of episodes as rows of TRL's data sets; all rollouts of one row form one group of GRPO."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lang_envs.arguments import contexts_of, seed_of, shown, whole_number
from lang_envs.contexts import check_context
from lang_envs.rollout import Start
from lang_envs.seeds import LIVE

if TYPE_CHECKING:
    from datasets import Dataset

    from lang_envs.token_env import TokenEnv
    from lang_envs.utterance_env import UtteranceEnv
    from lang_envs.vector import TokenVectorEnv


def prompts(
    env: TokenVectorEnv | TokenEnv | UtteranceEnv,
    n: int,
    seeds: Sequence[int] | None = None,
    contexts: Sequence[int] | None = None,
) -> Dataset:
    """A data set of ``n`` starting states, for ``GRPOTrainer(train_dataset=...)``.

    A row has a ``prompt``, a ``seed`` and a ``context``. TRL passes only the prompts to a rollout function. So the last
    message of each prompt holds the seed and the context too, besides its role and content; chat templates ignore them.

    Args:
        env: the environment in which the episodes will be played.
        n: the number of rows.
        seeds: the environment's seeds, one for each row; None: the seeds that are reserved for learning.
        contexts: the task's starting points, one for each row; None: they are drawn from the seeds.

    Raises:
        ValueError: there is no such seed or starting point, or another number of them.
        TypeError: a seed or a starting point is of another type.
    """
    from datasets import Dataset

    n = whole_number(n, "a number of prompts", least=1)
    own = [seed_of(seed) for seed in (LIVE.episodes(n) if seeds is None else seeds)]
    if len(own) != n or None in own:
        raise ValueError(f"expected {n} seeds, got {shown(seeds)}")
    drawn: list[Any] = contexts_of(contexts, n) or [None] * n
    told = env.task.instruction + "\n\n" * bool(env.task.instruction)
    rows = []
    for seed, context in zip(own, drawn, strict=True):
        start = {"seed": seed, "context": check_context(env.task, context)}
        rows.append({"prompt": [{"role": "user", "content": told, **start}], **start})
    return Dataset.from_list(rows)


def start_of(prompt: Any) -> Start:
    """The starting state of a prompt from a row of :func:`prompts`.

    Raises:
        ValueError: the prompt is not from :func:`prompts`.
    """
    message = prompt[-1] if isinstance(prompt, list) and prompt else None
    if not isinstance(message, dict) or "seed" not in message:
        raise ValueError(f"expected a prompt of lang_envs.trl.prompts, which holds a seed; got {shown(prompt)}")
    return Start(message["seed"], context=message.get("context"))
