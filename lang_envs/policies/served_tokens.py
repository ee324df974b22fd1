"""ServedTokens: a served model that uses the environment's tokens; ids are sent, ids and log-probabilities returned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lang_envs.policies.endpoint import Endpoint
from lang_envs.policies.servers import Servers
from lang_envs.rollout import Turn
from lang_envs.task import Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class ServedTokens:
    """Asks a server to continue the tokens of a history, and keeps exactly the tokens that the server sampled.

    The history is the prompt of a completion, as ids. The answer holds the ids of the completion (the option
    ``return_token_ids`` of vLLM since 0.10.2 and of ``lang-envs serve``). Nothing is tokenized again, so the record
    holds exactly what the model read and said. Make the environment with the tokenizer of the model:
    ``gym.make_vec(id, n, tokenizer=...)``.

    Log-probabilities are kept only if they are those of the distribution that was sampled from. vLLM returns the
    model's own, before the temperature, unless it was started with ``--logprobs-mode processed_logprobs``.
    ``lang-envs serve`` returns those after the temperature; pass ``processed=True`` for such a server. Without it they
    are kept only at temperature 1. If the server does not return the end token, it is added with a NaN.

    Example:
        >>> env = gym.make_vec("ClarifyingQA-v0", 64, tokenizer="Qwen/Qwen3-0.6B")
        >>> policy = ServedTokens("http://localhost:8000/v1", "Qwen/Qwen3-0.6B", env.task, env.tokenizer)
        >>> record(env, policy, 1000, "data/qwen")

    Args:
        url: the address of the server, or of several servers of one model; see
            :class:`~lang_envs.policies.served.Served`.
        model: the server's name of the model.
        task: the task; its limit of tokens ends an utterance.
        tokenizer: the environment's, which must be the model's.
        temperature: temperature of the server's sampling; 0 is greedy.
        processed: whether the server's log-probabilities are those after the temperature.
        concurrency: number of requests at a time, to each server.
        timeout: seconds to wait for one whole answer.
        retries: how often a request is repeated; see ``Served``.
        backoff: seconds before the first repetition.
        api_key: the key; None: that of the environment variable ``OPENAI_API_KEY``. It is not stored anywhere else.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        model: str,
        task: Task[Any],
        tokenizer: PreTrainedTokenizerFast,
        *,
        temperature: float = 1.0,
        processed: bool = False,
        concurrency: int = 8,
        timeout: float = 60.0,
        retries: int = 5,
        backoff: float = 0.5,
        api_key: str | None = None,
    ) -> None:
        if temperature < 0:
            raise ValueError(f"temperature must be at least 0, got {temperature}")
        self.model, self.temperature, self.processed, self.concurrency = model, temperature, processed, concurrency
        self.max_tokens = task.max_utterance_tokens
        self._tokenizer, self._end = tokenizer, int(tokenizer.eos_token_id)
        self._known = {*tokenizer.get_vocab().values()}
        self._servers = Servers(url, api_key, concurrency, timeout, retries, backoff)
        self.url = self._servers.url

    @property
    def knows_logprobs(self) -> bool:
        """Whether the server's log-probabilities are those of the distribution that is sampled from."""
        return self.processed or self.temperature == 1

    def act(self, histories: Sequence[NDArray[np.int32]], rngs: Sequence[np.random.Generator]) -> list[Turn]:
        """One utterance for each history (see ``lang_envs.Policy``).

        Raises:
            ConnectionError: no server can be reached, or one fails as often as ``retries`` allows.
            ValueError: the server refuses the request, returns no ids, or returns ids of another tokenizer.
        """
        fixed = {
            "model": self.model,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "logprobs": 0,
            "extra_body": {"return_token_ids": True, "stop_token_ids": [self._end]},
        }
        requests = [
            fixed | {"seed": int(rng.integers(2**31)), "prompt": history.tolist()}
            for history, rng in zip(histories, rngs, strict=True)
        ]
        answered = self._servers.ask(requests)
        choices = [(by.choice(body), by) for body, by in answered]
        turns = [self._turn(choice, by) for choice, by in choices]
        for turn, (choice, by) in zip(turns, choices, strict=True):
            self._check_text(turn, choice.get("text"), by)
        return turns

    def _turn(self, choice: dict[str, Any], by: Endpoint) -> Turn:
        """The ids of an answer with their log-probabilities, with the end token last if the model ended."""
        ids = choice.get("token_ids")
        if not isinstance(ids, list) or not all(type(i) is int and i in self._known for i in ids):
            raise ValueError(
                f"{by.url} gave no token ids of the environment's tokenizer ({len(self._known)} tokens), but "
                f"{by.excerpt(repr(ids))}: it must know return_token_ids (vLLM 0.10.2, lang-envs serve) and speak the "
                "environment's tokens. Served takes the text of any other."
            )
        if self._end in ids[:-1] or len(ids) > self.max_tokens:
            raise ValueError(f"{by.url} went on after the end token or beyond max_tokens={self.max_tokens}: {ids}")
        logprobs = self._logprobs(choice.get("logprobs"), len(ids))
        if (not ids or ids[-1] != self._end) and len(ids) < self.max_tokens:
            ids, logprobs = [*ids, self._end], [*logprobs, math.nan]
        return Turn(np.array(ids, np.int32), np.array(logprobs, np.float32))

    def _logprobs(self, listed: Any, count: int) -> list[float]:
        """A log-probability for each id; NaN if the server gives none, or that of another distribution."""
        given = listed.get("token_logprobs") if isinstance(listed, dict) else None
        if not self.knows_logprobs or not isinstance(given, list) or len(given) != count:
            return [math.nan] * count
        return [float(p) if isinstance(p, int | float) and p <= 0 else math.nan for p in given]

    def _check_text(self, turn: Turn, text: Any, by: Endpoint) -> None:
        """Checks that the ids decode to the answer's text, which may lack special tokens and incomplete characters."""
        ids = turn.tokens[turn.tokens != self._end].tolist()
        read = [self._tokenizer.backend_tokenizer.decode(ids, skip_special_tokens=skip) for skip in (False, True)]
        if not isinstance(text, str) or by.quotes_secrets(text) or self._plain(text) not in map(self._plain, read):
            raise ValueError(
                f"{by.url}: the ids of an answer read {by.excerpt(repr(read[0]))}, and its text is "
                f"{by.excerpt(repr(text))}. The text must be that of the ids, and hold no secret of the address. A "
                "model with another tokenizer needs an environment that is made with it (tokenizer=)."
            )

    def _plain(self, text: str) -> list[str]:
        """The words of a text, without the end token that some servers include in the text."""
        return text.removesuffix(str(self._tokenizer.eos_token)).replace("\ufffd", "").split()
