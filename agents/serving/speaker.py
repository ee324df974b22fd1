"""One thread that speaks for all requests: those that wait and decode alike are answered together."""

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
"""replies spoken at once"""
POLICIES = 8
"""decodings whose policies are kept, each with what it has read"""


@dataclass(eq=False)
class Wanted:
    """A reply that is asked for."""

    policy: Policy
    """who speaks"""
    history: NDArray[np.int32]
    """[n] all tokens before the reply"""
    rng: np.random.Generator
    """what it draws from"""
    limit: int
    """the most tokens of the reply"""
    heard: Callable[[int, float | None], None]
    """is told each token in its turn, and its log-probability where that is known"""
    ended: Callable[[Exception | None], None]
    """is told once, after the last token or in its place: what went wrong, or None"""
    said: int = field(default=0, init=False)
    """tokens it was told"""

    def hear(self, token: int, logprob: float | None) -> None:
        """Passes a token on, up to the limit."""
        if self.said < self.limit:
            self.said += 1
            self.heard(token, logprob)


class Speaker:
    """Answers requests of any threads in one of its own, in ticks: who comes while it speaks is in the next one.

    A policy is made once for each decoding and kept, so that the next turn of a conversation reads only what is new.

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
        """The agent's policy that decodes so.

        Raises:
            ValueError, TypeError: it cannot.
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
        """Has a reply spoken as soon as it is its turn."""
        with self._come:
            self._waiting.append(wanted)
            self._come.notify()

    def close(self) -> None:
        """Ends the thread once it has spoken what it is at."""
        with self._come:
            self._closed = True
            self._come.notify()
        self._thread.join()

    def _run(self) -> None:
        while tick := self._next():
            try:
                self._speak(tick)
            except Exception as error:  # whatever it is, those who wait are told, and the next are answered
                for wanted in tick:
                    wanted.ended(error)
            else:
                for wanted in tick:
                    wanted.ended(None)

    def _next(self) -> list[Wanted]:
        """Those who have waited longest, as many as decode alike; none where it is closed."""
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
    """What tells each token of a policy as soon as it is said, with its log-probability.

    None where that is not known before the whole utterance is chosen.
    """
    speaker = policy.speaker if isinstance(policy, Prompted | Prefixed) else policy
    return speaker if type(speaker) is LMPolicy else None
