"""Records logs of Dialogue: human replies, mixtures with scripted replies, and replies with human verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from datasets_builders.block_workers import Block
from datasets_builders.recorder import first_seed
from datasets_builders.samples import Sampling, samples
from lang_envs.corpora.dialogues import by_name
from lang_envs.corpora.dialogues.dialogue import conversation
from lang_envs.corpora.dialogues.taskmaster import Verdict
from lang_envs.episode import Episode
from lang_envs.policies.dialogue import NearestReply, Paraphrase, RandomReply
from lang_envs.rollout import Policy
from lang_envs.speech import Speech
from lang_envs.tasks.dialogue import Dialogue
from lang_envs.tokenizers import encode
from lang_envs.utterances import spell
from lang_envs.vector import TokenVectorEnv

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_BLOCK_EPISODES = 4096


def human(env: TokenVectorEnv, seed: int) -> Block:
    """The human reply to each context, once, with the environment's reward."""
    _dialogue(env)
    return samples(env, seed, Sampling())


def human_size(env: TokenVectorEnv) -> int:
    """One episode for each context."""
    return len(_dialogue(env).examples)


def mixture(env: TokenVectorEnv, seed: int) -> Block:
    """Three replies to each context: the human one, that of the nearest other context, and a random one of the corpus.

    With the built-in corpus there is a fourth: the human reply in other words. ``info["policy"]`` names the kind:
    ``human``, ``nearest``, ``random`` or ``paraphrase``.
    """
    task = _dialogue(env)
    policies: dict[str, Policy] = {name: make(task, env.tokenizer) for name, make in _scripted(task).items()}
    return samples(env, seed, Sampling(policies, per_context=1))


def mixture_size(env: TokenVectorEnv) -> int:
    """Three or four episodes for each context."""
    task = _dialogue(env)
    return len(task.examples) * (1 + len(_scripted(task)))


def feedback(env: TokenVectorEnv, seed: int, api_calls: bool = False) -> Block:
    """Taskmaster's replies, each with a person's verdict as its reward: 1 if approved, 0 if not.

    The rewards come from the log, not from the environment, because nobody knows a person's verdict on another reply.
    The environment that the data set names holds the approved replies of the same split. There an agent can be measured
    by its similarity to them. Replies that are longer than ``max_response_tokens`` are left out, because people judged
    the whole reply.

    Args:
        env: an environment of Dialogue with the corpus "taskmaster-feedback".
        seed: not used; the log is written in order.
        api_calls: whether replies that are requests to a program, as JSON, are recorded too.
    """
    task, tokenizer = _dialogue(env), env.tokenizer
    first, judged, speech = first_seed(seed), _judged(env, api_calls), Speech(task, tokenizer)

    def block(k: int) -> Iterator[Episode]:
        span = range(k * _BLOCK_EPISODES, min((k + 1) * _BLOCK_EPISODES, len(judged)))
        openings = speech.openings([conversation(judged[i].context) for i in span])
        for i, heard in zip(span, openings, strict=True):
            said = spell(tokenizer, judged[i].reply, task.max_utterance_tokens)
            yield _episode(np.array(heard, np.int32), said, judged[i], first + i)

    return block


def feedback_size(env: TokenVectorEnv, api_calls: bool = False) -> int:
    """One episode for each verdict on a reply that is not too long."""
    return len(_judged(env, api_calls))


def _scripted(task: Dialogue) -> dict[str, Callable[[Dialogue, PreTrainedTokenizerFast], Policy]]:
    """The policies besides the human one, by name."""
    known_meaning = {"paraphrase": Paraphrase} if task.corpus == "service" else {}
    return {"nearest": NearestReply, "random": RandomReply, **known_meaning}


def _judged(env: TokenVectorEnv, api_calls: bool) -> list[Verdict]:
    task = _dialogue(env)
    if task.corpus != by_name.FEEDBACK:
        raise ValueError(
            f"this recipe needs the corpus {by_name.FEEDBACK!r}, got {task.corpus!r}; pass corpus={by_name.FEEDBACK!r}"
        )
    found = [v for v in by_name.verdicts(task.split, task.path) if api_calls or not v.is_api_call]
    lengths = [
        len(tokens) + 1 for tokens in encode(env.tokenizer, [verdict.reply for verdict in found], literally=True)
    ]
    return [v for v, length in zip(found, lengths, strict=True) if length <= task.max_utterance_tokens]


def _episode(heard: np.ndarray, said: np.ndarray, verdict: Verdict, seed: int) -> Episode:
    tokens = np.concatenate([heard, said])
    rewards = np.zeros(len(tokens), np.float32)
    rewards[-1] = verdict.reward
    info = {"seed": seed, "policy": "taskmaster", "dialogue": verdict.dialogue, "api_call": verdict.is_api_call}
    return Episode(tokens, np.arange(len(tokens)) >= len(heard), rewards, terminated=True, info=info)


def _dialogue(env: TokenVectorEnv) -> Dialogue:
    if not isinstance(env.task, Dialogue):
        raise ValueError(f"this recipe needs the environment Dialogue, got the task {type(env.task).__name__}")
    return env.task
