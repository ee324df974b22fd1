"""Records logs of VisualDialogue: scripted questioners on scenes, or people's questions about real images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets_builders.block_workers import Block
from datasets_builders.recorder import first_seed, played
from datasets_builders.shares import shared
from lang_envs.corpora.visdial.world import VisdialWorld
from lang_envs.episode import Episode
from lang_envs.policies.visual_dialogue import Informative, RandomQuestions, Repetitive, YesNo
from lang_envs.rollout import Policy, Start
from lang_envs.tasks.visual_dialogue import VisualDialogue, VisualDialogueState
from lang_envs.tokenizers import decode
from lang_envs.utterances import spell
from lang_envs.vector import TokenVectorEnv

QUESTIONERS = {"yes-no": YesNo, "random": RandomQuestions, "repetitive": Repetitive, "informative": Informative}
_BLOCK_DIALOGUES = 1024


def mixture(
    env: TokenVectorEnv, seed: int, shares: Sequence[float] = (0.55, 0.2, 0.15, 0.1), thrifty: bool = False
) -> Block:
    """Dialogues of questioners of different habits; the questioner of each is drawn, and its name is in the info.

    Args:
        env: visual dialogue on the built-in scenes, with any of the rewards.
        seed: of the recording.
        shares: how often each of ``QUESTIONERS`` asks, in that order, as weights that need not sum to 1.
        thrifty: whether the informative questioner avoids the penalties; people do not.

    Raises:
        ValueError: shares are not four numbers >= 0 with a positive one.
    """
    task = _task(env)
    policies: dict[str, Policy] = {
        name: Informative(task, env.tokenizer, thrifty=thrifty) if kind is Informative else kind(task, env.tokenizer)
        for name, kind in QUESTIONERS.items()
    }
    return shared(env, seed, policies, shares, _BLOCK_DIALOGUES)


def human(env: TokenVectorEnv, seed: int) -> Block:
    """People's questions about each image, until the guesser has found it or ten questions are asked.

    Dialogues with too few questions for one of these ends are left out.

    Args:
        env: an environment of VisualDialogue with real dialogues.
        seed: of the recording.

    Raises:
        ValueError: the environment has no real dialogues.
    """
    first, blocks = first_seed(seed), _blocks(env)

    def block(k: int) -> Iterator[Episode]:
        said = _asked(env, blocks[k])
        return played(env, _Nobody(), (Start(first + i, None, own, i) for i, own in said.items()), "human")

    return block


def human_size(env: TokenVectorEnv) -> int:
    """The number of dialogues of :func:`human`."""
    return sum(len(_asked(env, contexts)) for contexts in _blocks(env))


class _Nobody:
    """Asks nothing, because all questions are replayed."""

    def act(self, histories: Sequence[NDArray[np.int32]], rngs: Sequence[np.random.Generator]) -> list[Any]:
        raise AssertionError("a replayed dialogue went on")


def _blocks(env: TokenVectorEnv) -> list[range]:
    """The images of each block: few enough that their ranks among all images fit in memory."""
    world = _task(env).world
    if not isinstance(world, VisdialWorld):
        raise ValueError(
            "the built-in scenes have no human questions; pass world='visdial', 'vispro' or the path of a file"
        )
    n = len(world.captions)
    return [range(start, min(start + _BLOCK_DIALOGUES, n)) for start in range(0, n, _BLOCK_DIALOGUES)]


def _asked(env: TokenVectorEnv, contexts: range) -> dict[int, list[NDArray[np.int32]]]:
    """The questions [tokens] about each image until its dialogue ends; dialogues without an end are left out."""
    task = _task(env)
    assert isinstance(task.world, VisdialWorld)  # as _blocks has seen
    rng = np.random.default_rng(0)  # only the task's starting point is random, and it is given here
    states: dict[int, VisualDialogueState] = {}
    said: dict[int, list[NDArray[np.int32]]] = {}
    for context in contexts:
        states[context], said[context] = task.begin_at(context, rng)[0], []
    for turn in range(task.max_turns):
        going = [c for c, s in states.items() if not s.over and turn < len(task.world.dialogues[c].rounds)]
        for context in going:
            question = task.world.dialogues[context].rounds[turn][0]
            said[context].append(spell(env.tokenizer, question, task.max_utterance_tokens))
        words = [tokens[:-1] if tokens[-1] == env.end_id else tokens for tokens in (said[c][-1] for c in going)]
        heard = decode(env.tokenizer, words)
        replies = task.reply_batch([states[c] for c in going], heard, [rng] * len(going)) if going else []
        states |= zip(going, (reply.state for reply in replies), strict=True)
    return {context: said[context] for context, state in states.items() if state.over}


def _task(env: TokenVectorEnv) -> VisualDialogue:
    if not isinstance(env.task, VisualDialogue):
        raise ValueError(f"this recipe needs an environment of visual dialogue, got the task {type(env.task).__name__}")
    return env.task
