"""Generates the replies to all requests in one thread; waiting requests with the same decoding share a batch."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agents.data.return_tokens import Prefixed, Prompted
from agents.decoding.policy import LMPolicy
from lang_envs.rollout import Policy

if TYPE_CHECKING:
    from agents.agent import Agent

ROWS = 64
"""the most replies in a batch"""
POLICIES = 8
"""number of decodings whose policies are kept, each with its cache"""


@dataclass(eq=False)
class Wanted:
    """A reply that a request waits for."""

    policy: Policy
    """the policy that generates it"""
    history: NDArray[np.int32]
    """[n] all tokens before the reply"""
    rng: np.random.Generator
    """generator of the reply's tokens"""
    limit: int
    """the most tokens of the reply"""
    heard: Callable[[int, float | None], None]
    """called with each token in order, and with its log-probability or None"""
    ended: Callable[[Exception | None], None]
    """called once at the end: with None, or with the error that ended the reply"""
    said: int = field(default=0, init=False)
    """number of tokens passed on so far"""

    def hear(self, token: int, logprob: float | None) -> None:
        """Passes a token on, up to the limit."""
        if self.said < self.limit:
            self.said += 1
            self.heard(token, logprob)


class Speaker:
    """Generates replies for requests from any thread, batch after batch, in a thread of its own.

    A reply that is asked for during a batch is in a later one. A policy is made once for each decoding and kept. The
    next turn of a conversation therefore reads only the new tokens.

    Args:
        agent: who speaks.
    """

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self._policies: OrderedDict[str, Policy] = OrderedDict()
        self._waiting: deque[Wanted] = deque()
        self._come = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="speaker", daemon=True)
        self._thread.start()

    def policy(self, decoding: Mapping[str, Any]) -> Policy:
        """The agent's policy with a decoding.

        Raises:
            ValueError, TypeError: the agent does not take this decoding.
        """
        name = json.dumps(dict(decoding), sort_keys=True)
        with self._come:
            if name not in self._policies:
                self._policies[name] = self.agent.policy(**decoding)
            self._policies.move_to_end(name)
            if len(self._policies) > POLICIES:
                self._policies.popitem(last=False)
            return self._policies[name]

    def ask(self, wanted: Wanted) -> None:
        """Adds a reply to those that wait; once the speaker is closed, the reply ends with an error at once."""
        with self._come:
            self._waiting.append(wanted)
            self._come.notify()
        if self._closed:
            self._end_waiting()

    def close(self) -> None:
        """Ends the thread after the current batch; replies that still wait end with an error."""
        with self._come:
            self._closed = True
            self._come.notify()
        self._thread.join()
        self._end_waiting()

    def _end_waiting(self) -> None:
        with self._come:
            waiting, self._waiting = self._waiting, deque()
        for wanted in waiting:
            wanted.ended(RuntimeError("the server closes"))

    def _run(self) -> None:
        while tick := self._next():
            try:
                self._speak(tick)
            except Exception as error:  # any error ends the replies of this batch only; the thread goes on
                for wanted in tick:
                    wanted.ended(error)
            else:
                for wanted in tick:
                    wanted.ended(None)

    def _next(self) -> list[Wanted]:
        """Waits for the next batch: the reply that has waited longest and others with its policy; empty if closed."""
        with self._come:
            self._come.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return []
            policy = self._waiting[0].policy
            tick = [wanted for wanted in self._waiting if wanted.policy is policy][:ROWS]
            self._waiting = deque(wanted for wanted in self._waiting if wanted not in tick)
            return tick

    def _speak(self, tick: list[Wanted]) -> None:
        policy, most = tick[0].policy, self.agent.lm.max_utterance_tokens
        histories, rngs = [wanted.history for wanted in tick], [wanted.rng for wanted in tick]
        if (teller := teller_of(policy)) is None:
            for wanted, turn in zip(tick, policy.act(histories, rngs), strict=True):
                for token in turn.tokens.tolist():
                    wanted.hear(token, None)
            return

        def heard(who: NDArray[np.int64], token: NDArray[np.int64], logprob: NDArray[np.float32]) -> None:
            for i, said, known in zip(who.tolist(), token.tolist(), logprob.tolist(), strict=True):
                tick[i].hear(said, known)

        teller.max_utterance_tokens, teller.heard = min(most, max(wanted.limit for wanted in tick)), heard
        try:
            policy.act(histories, rngs)
        finally:
            teller.max_utterance_tokens, teller.heard = most, None


def teller_of(policy: Policy) -> LMPolicy | None:
    """The part of a policy that reports each token and its log-probability as soon as the token is drawn.

    None for a policy that chooses whole utterances.
    """
    speaker = policy.speaker if isinstance(policy, Prompted | Prefixed) else policy
    return speaker if type(speaker) is LMPolicy else None
