"""A conversation with a trained agent, as messages and as the tokens that the agent reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agents.benchmark.running.evaluate import as_trained
from agents.benchmark.running.protocols import Speaker
from agents.decoding.cache import window_of
from lang_envs.conversation import Conversation, assistant, system, user
from lang_envs.episode import Episode
from lang_envs.markup import markup_of
from lang_envs.random_generators import OF_POLICY, generator
from lang_envs.tokenizers import decode

if TYPE_CHECKING:
    from agents.agent import Agent
    from lang_envs.rollout import Policy


class Talk:
    """A conversation in which the caller is the user and the agent answers.

    The agent's replies stay in the tokens that it drew; only new messages are encoded. If the conversation is longer
    than the model's context, the oldest turns are left out; system messages stay.

    Args:
        agent: the agent that answers.
        decoding: its decoding, as ``lang-envs eval`` takes it.
        before: earlier messages, those of the agent included.
        seed: seed of the agent's sampling.

    Attributes:
        agent: the agent that answers.
        messages: all messages so far.
        decoding: the agent's decoding.
        is_cut: whether the oldest turns were left out for the last reply.
        said: the conversation up to the agent's last reply; only the tokens of that reply are actions. None before the
            first reply.

    Raises:
        ValueError: the agent's tokenizer has no chat template, or the agent does not take the decoding.
    """

    def __init__(self, agent: Agent, decoding: dict[str, Any], before: Conversation = (), seed: int = 0) -> None:
        markup = markup_of(agent.lm.tokenizer)
        if markup is None:
            raise ValueError(
                "This agent holds no conversations: its tokenizer has no chat template. lang-envs play ENV --agent RUN "
                "steps through an episode with it."
            )
        self.agent, self.messages, self.is_cut, self._markup = agent, before, False, markup
        self.said: Episode | None = None
        self._speaker = Speaker(agent, agent, as_trained(agent))
        self._rng: Any = generator(seed, OF_POLICY)
        self._policy: Policy
        self.decoding: dict[str, Any] = {}
        self.speak_by(decoding)

    def speak_by(self, decoding: dict[str, Any]) -> None:
        """Changes the agent's decoding.

        Raises:
            ValueError: the agent does not take it, or it leaves no room for messages in the model's context.
        """
        _limit(self.agent, decoding, 0)
        try:
            self._policy = self._speaker.policy(decoding)
        except ValueError:  # undo the settings of values that may be on the model already
            self._policy = self._speaker.policy(self.decoding)
            raise
        self.decoding = decoding

    def begin(self) -> None:
        """Starts a new conversation with the same system message."""
        self.messages, self.said = self._system, None

    def instruct(self, text: str) -> None:
        """Replaces the system message; an empty text removes it. All other messages stay."""
        turns = self.messages[len(self._system) :]
        self.messages, self.said = ((system(text), *turns) if text else turns), None

    def say(self, text: str) -> str:
        """The agent's reply to the user's ``text``.

        Raises:
            ValueError: the tokenizer cannot encode the text, or there is no room for it.
        """
        return self._reply((*self.messages, user(text)))

    @property
    def is_due(self) -> bool:
        """Whether the user spoke last."""
        return bool(self.messages) and self.messages[-1].role == "user"

    def answer(self) -> str:
        """The agent's reply to the messages so far."""
        return self._reply(self.messages)

    @property
    def _system(self) -> Conversation:
        return self.messages[: bool(self.messages and self.messages[0].role == "system")]

    def _reply(self, messages: Conversation) -> str:
        history = self._history(messages)
        [turn] = self._policy.act([history], [self._rng])
        ended = turn.tokens[-1] == self.agent.lm.end_id
        [text] = decode(self.agent.lm.tokenizer, [turn.tokens[: len(turn.tokens) - ended]])
        tokens = np.concatenate([history, turn.tokens])
        acted, unpaid = np.arange(len(tokens)) >= len(history), np.zeros(len(tokens), np.float32)  # [T] each
        self.said = Episode(tokens, acted, unpaid, terminated=bool(ended), truncated=not ended)
        self.messages = (*messages, assistant(self._markup.said(text)))
        return self.messages[-1].content

    def _history(self, messages: Conversation) -> NDArray[np.int32]:
        """What the agent reads before it replies, [t]."""
        limit = _limit(self.agent, self.decoding, sum(message.role == "assistant" for message in messages))
        if self.said is not None and not self.is_cut:
            new = self._markup.answer(messages[len(self.messages) :], self.said.terminated, False)
            if limit is None or len(self.said) + len(new) <= limit:
                return np.concatenate([self.said.tokens, np.array(new, np.int32)])
        ids = self._markup.opening(messages, limit)
        self.is_cut = len(ids) < len(self._markup.opening(messages))
        return np.array(ids, np.int32)


def _limit(agent: Agent, decoding: dict[str, Any], turns: int) -> int | None:
    """The largest number of tokens before a reply; None if the model has no limit.

    The limit leaves room for the reply, and for one more token in each turn, because some agents read return tokens.

    Raises:
        ValueError: the reply leaves no room.
    """
    text = agent.model.config.get_text_config()
    reads = [n for n in (getattr(text, "max_position_embeddings", None), window_of(text)) if n]
    most = decoding.get("max_new_tokens")
    most = most if isinstance(most, int) else agent.lm.max_utterance_tokens
    if not reads:
        return None
    if (limit := min(reads) - most - turns - 1) < 1:
        raise ValueError(
            f"The model reads {min(reads)} tokens, which leaves no room beside a reply of {most} tokens; set "
            "max_new_tokens lower, or start anew."
        )
    return limit
