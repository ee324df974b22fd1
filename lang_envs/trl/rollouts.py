"""Plays whole episodes for GRPO, and returns their tokens, the mask of actions, and the log-probabilities."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lang_envs.episode import Episode
from lang_envs.rollout import Turn, rollout
from lang_envs.trl.starts import start_of

if TYPE_CHECKING:
    from lang_envs.vector import TokenVectorEnv

RETURN = "episode_return"
"""the key of an episode's return among the arguments of reward functions"""


def rollout_func(env: TokenVectorEnv) -> Callable[[list[Any], Any], dict[str, Any]]:
    """The ``rollout_func`` of a ``GRPOTrainer`` that plays an environment, an episode for each prompt.

    :func:`lang_envs.rollout` plays the episodes, as many at once as ``env`` has rows. Nothing is tokenised again. The
    trainer's model speaks by its ``generate``, in eval mode. The trainer's ``temperature``, ``top_p``, ``top_k``,
    ``min_p``, ``repetition_penalty`` and ``generation_kwargs`` change the distribution that is sampled from, and the
    log-probabilities include this. Beams and greedy decoding are refused. Randomness comes from torch's generator,
    which the trainer seeds. The columns of an episode are:

    * ``prompt_ids`` is the opening observation;
    * ``completion_ids`` is the rest up to the last token that the agent chose;
    * ``env_mask`` is 1 where the agent chose the token and 0 where the environment did;
    * ``logprobs`` are those of the distribution that the tokens were sampled from, and 0 for the environment's tokens;
    * ``episode_return`` is the return, which :func:`episode_return` reads.

    The limits of an episode are the environment's; ``max_completion_length`` is ignored.

    Args:
        env: made with the model's tokenizer.
    """

    def play(prompts: list[Any], trainer: Any) -> dict[str, Any]:
        starts = [start_of(prompt) for prompt in prompts]
        return columns(list(rollout(env, Generation(env, trainer), starts)))

    return play


def episode_return(completions: Sequence[Any], **columns: Any) -> list[float]:
    """The reward function for :func:`rollout_func`: the return of each episode.

    Raises:
        ValueError: the episodes come from another rollout function.
    """
    if RETURN not in columns:
        raise ValueError("there are no episode returns: expected rollout_func=lang_envs.trl.rollout_func(env)")
    return [float(value) for value in columns[RETURN]]


def columns(episodes: Sequence[Episode]) -> dict[str, Any]:
    """Episodes in the columns that TRL reads."""
    found: dict[str, list[Any]] = {
        key: [] for key in ("prompt_ids", "completion_ids", "env_mask", "logprobs", "episode_return")
    }
    for episode in episodes:
        taken = np.flatnonzero(episode.is_action)
        span = slice(taken[0], taken[-1] + 1)
        chances = np.zeros(len(episode)) if episode.logprobs is None else np.nan_to_num(episode.logprobs, nan=0.0)
        found["prompt_ids"].append(episode.tokens[: taken[0]].tolist())
        found["completion_ids"].append(episode.tokens[span].tolist())
        found["env_mask"].append(episode.is_action[span].astype(int).tolist())
        found["logprobs"].append(chances[span].tolist())
        found[RETURN].append(episode.ret)
    return found


class Generation:
    """The model of a ``GRPOTrainer`` as a policy, by transformers' ``generate``.

    Args:
        env: the environment that it plays.
        trainer: a ``GRPOTrainer`` that does not use vLLM.

    Raises:
        ValueError: the trainer uses vLLM or does not sample, or its model has fewer tokens than the environment.
    """

    def __init__(self, env: TokenVectorEnv, trainer: Any) -> None:
        if getattr(trainer, "generation_config", None) is None:
            raise ValueError("the model speaks through transformers' generate: expected use_vllm=False")
        size = trainer.accelerator.unwrap_model(trainer.model).get_output_embeddings().weight.shape[0]
        if size < env.vocabulary_size:
            raise ValueError(
                f"the model has {size} tokens and the environment {env.vocabulary_size}: make the environment with "
                "tokenizer=..., the model's own"
            )
        _check_sampling(trainer.generation_config)
        self._env, self._trainer = env, trainer
        self._config = copy.deepcopy(trainer.generation_config)
        self._config.update(
            **_SAMPLING,  # overrides the model's own configuration
            eos_token_id=env.end_id,
            pad_token_id=env.pad_id,
            return_dict_in_generate=True,
            output_scores=True,
            suppress_tokens=[*env.unused.tolist(), *range(env.vocabulary_size, size)] or None,
        )

    def act(self, histories: Sequence[NDArray[np.int32]], rngs: Sequence[np.random.Generator]) -> list[Turn]:
        """An utterance for each history; histories are grouped by their room for the utterance."""
        from trl.models import unwrap_model_for_generation

        groups: dict[int, list[int]] = defaultdict(list)  # room -> indices of the histories
        for i, history in enumerate(histories):
            groups[min(self._env.task.max_utterance_tokens, self._env.max_tokens - len(history))].append(i)
        trainer = self._trainer
        turns: dict[int, Turn] = {}
        with unwrap_model_for_generation(
            trainer.model_wrapped,
            trainer.accelerator,
            gather_deepspeed3_params=trainer.args.ds3_gather_for_generation,
            generation_kwargs=trainer.generation_kwargs,
            gradient_checkpointing_kwargs=trainer.args.gradient_checkpointing_kwargs,
        ) as model:
            learning = model.training
            model.eval()
            try:
                for room, rows in groups.items():
                    turns |= zip(rows, self._say(model, [histories[i] for i in rows], room), strict=True)
            finally:
                model.train(learning)
        return [turns[i] for i in range(len(histories))]

    def _say(self, model: Any, histories: Sequence[NDArray[np.int32]], room: int) -> list[Turn]:
        inputs = self._env.tokenizer.pad(
            {"input_ids": [history.tolist() for history in histories]}, padding_side="left", return_tensors="pt"
        ).to(model.device)
        self._config.max_new_tokens = room
        output = model.generate(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], generation_config=self._config
        )
        said = output.sequences[:, inputs["input_ids"].shape[1] :]  # [n, L]
        chances = np.stack(
            [
                scores.float().log_softmax(-1).gather(1, said[:, t : t + 1])[:, 0].cpu().numpy()
                for t, scores in enumerate(output.scores)
            ],
            axis=1,
        )  # [n, L]
        tokens = said.cpu().numpy().astype(np.int32)
        ended = tokens == self._env.end_id
        lengths = np.where(ended.any(1), ended.argmax(1) + 1, tokens.shape[1])  # [n]
        return [Turn(row[:n], chance[:n]) for row, chance, n in zip(tokens, chances, lengths, strict=True)]


_SAMPLING = {"do_sample": True, "num_beams": 1, "num_return_sequences": 1}


def _check_sampling(config: Any) -> None:
    """Refuses settings with which tokens are not sampled one by one, because GRPO needs their log-probabilities."""
    for name, expected in _SAMPLING.items():
        if (value := getattr(config, name, None)) not in (None, expected):
            raise ValueError(
                f"GRPO learns from tokens that were sampled one by one: generation_kwargs has {name}={value!r}; "
                f"expected {name}={expected!r}"
            )
