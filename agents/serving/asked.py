"""Reads and checks a request: the histories as tokens, the decoding, and the parts of the answer that are wanted.

Some of OpenAI's parameters are not offered here. A request may have them with values that do not change the answer;
other values are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agents.benchmark.running.evaluate import check_names
from lang_envs.conversation import from_json
from lang_envs.markup import markup_of
from lang_envs.tokenizers import encode, opening_tokens
from lang_envs.utterances import check_tokens

if TYPE_CHECKING:
    from agents.agent import Agent

MOST_CHOICES = 128
"""the most replies to one history, and the most prompts of one request"""
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "best_of": (1,),
    "echo": (False,),
    "frequency_penalty": (0,),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "parallel_tool_calls": (True, False),
    "presence_penalty": (0,),
    "response_format": ({"type": "text"},),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "suffix": ("",),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
}
"""OpenAI's parameters that are not offered, and the values that a request may give them"""
_READ = (
    "model", "messages", "prompt", "max_tokens", "max_completion_tokens", "n", "seed", "stream", "stream_options",
    "logprobs", "return_token_ids", "stop_token_ids", "user", "metadata",
)  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """A valid request."""

    chat: bool
    """whether it is a chat completion rather than a completion"""
    model: str
    """the name of the model it asks for"""
    histories: list[NDArray[np.int32]]
    """the tokens before each reply; a chat has one history, a completion one for each prompt"""
    decoding: dict[str, Any]
    """arguments of ``agent.policy``"""
    limit: int
    """the most tokens of a reply"""
    n: int
    """replies to each history"""
    seed: int | None
    """seed of the replies; None draws one"""
    stream: bool
    """whether the answer is sent piece by piece"""
    include_usage: bool
    """whether a stream ends with the numbers of tokens"""
    logprobs: bool
    """whether the answer has the log-probabilities of the drawn tokens"""
    token_ids: bool
    """whether the answer has the tokens as integers too"""


def read_request(body: Any, chat: bool, agent: Agent, usual: Mapping[str, Any]) -> Asked:
    """Reads a request from its JSON body.

    Args:
        body: the JSON that was sent.
        chat: whether it was sent to chat completions.
        agent: who answers.
        usual: the agent's decoding where the request sets none.

    Raises:
        ValueError: the request is wrong; the error says how.
    """
    if not isinstance(body, dict):
        raise ValueError(f"A request is a JSON object, got {type(body).__name__}.")
    given = {name: value for name, value in body.items() if value is not None}
    _check_neutral(given)
    if given.get("stop_token_ids", []) not in ([], [agent.lm.end_id]):
        raise ValueError(f"stop_token_ids may name the agent's own end token, [{agent.lm.end_id}], and no other.")
    histories = [_chat_history(agent, given.get("messages"))] if chat else _prompts(agent, given.get("prompt"))
    for history in histories:
        _check_room(agent, history)
    streaming = given.get("stream_options", {})
    if not isinstance(streaming, dict):
        raise ValueError(f"stream_options is an object, not {streaming!r}.")
    limit = _number(given, "max_tokens", 1, agent.lm.max_utterance_tokens)
    return Asked(
        chat=chat,
        model=str(given.get("model")),
        histories=histories,
        decoding=_decoding(given, agent, usual),
        limit=min(_number(given, "max_completion_tokens", 1, limit), agent.lm.max_utterance_tokens),
        n=_number(given, "n", 1, 1, MOST_CHOICES),
        seed=_number(given, "seed", 0, 0, 2**64 - 1) if "seed" in given else None,
        stream=_flag(given, "stream"),
        include_usage=_flag(streaming, "include_usage"),
        logprobs=_flag(given, "logprobs") if chat else _logprobs(given),
        token_ids=_flag(given, "return_token_ids"),
    )


def _decoding(given: dict[str, Any], agent: Agent, usual: Mapping[str, Any]) -> dict[str, Any]:
    """The usual decoding, with what the request changes. Temperature 0 is greedy, any other temperature samples."""
    asked = {name: value for name, value in given.items() if name not in _READ and name not in _NEUTRAL}
    if (offline := asked.keys() & {"rank", "k"}) or "rank" in usual:
        raise ValueError(
            f"{min(offline, default='rank')} ranks candidates. The server does not rank; use lang-envs eval."
        )
    check_names(type(agent), asked)
    temperature = asked.get("temperature")
    if isinstance(temperature, int | float) and temperature == 0:
        asked = {name: value for name, value in asked.items() if name != "temperature"} | {"greedy": True}
    elif temperature is not None:
        asked.setdefault("greedy", False)
    return {**usual, **asked}


def _check_neutral(given: dict[str, Any]) -> None:
    for name, harmless in _NEUTRAL.items():
        if name in given and given[name] not in harmless:
            may = " or ".join(repr(value) for value in harmless)
            raise ValueError(f"{name} is not offered here: leave it out, or let it be {may}.")


def _chat_history(agent: Agent, messages: Any) -> NDArray[np.int32]:
    """The tokens of a conversation, up to where the agent speaks.

    A tokenizer without a chat template has no turns. The conversation is then one message, with the whole text so far.
    """
    said = from_json(_texts(messages))
    if not said:
        raise ValueError("messages is empty; say something.")
    if said[-1].role == "assistant":
        raise ValueError("The last message is the assistant's, and the assistant speaks next: end with the user's.")
    markup = markup_of(agent.lm.tokenizer)
    if markup is not None:
        return np.array(markup.opening(said), np.int32)
    if len(said) != 1 or said[0].role != "user":
        raise ValueError(
            "The agent's tokenizer has no chat template, so it knows no turns: send one message of the user with the "
            "whole text so far, or use completions."
        )
    return _history(agent, said[0].content, literally=True)


def _texts(messages: Any) -> Any:
    """Messages with contents as texts: joins contents that came as lists of text parts."""
    if not isinstance(messages, list):
        raise ValueError(f"messages is a list, got {repr(messages)[:80]}.")
    found = []
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list):
            parts = [
                part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in content
            ]
            if not all(isinstance(part, str) for part in parts):
                raise ValueError("The content of a message is a text, or a list of parts of the type 'text'.")
            message = message | {"content": "".join(map(str, parts))}
        if isinstance(message, dict) and message.get("role") == "developer":
            message = message | {"role": "system"}
        found.append(message)
    return found


def _prompts(agent: Agent, prompt: Any) -> list[NDArray[np.int32]]:
    """The histories of a prompt: one text or list of tokens, or several."""
    several = prompt if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int) else [prompt]
    if len(several) > MOST_CHOICES:
        raise ValueError(f"prompt holds {len(several)} prompts, and one request may have {MOST_CHOICES}.")
    return [_prompt(agent, one) for one in several]


def _prompt(agent: Agent, prompt: Any) -> NDArray[np.int32]:
    if isinstance(prompt, str):
        return _history(agent, prompt, literally=False)
    if not isinstance(prompt, list) or not all(type(token) is int and 0 <= token < 2**31 for token in prompt):
        raise ValueError(f"prompt is a text, a list of tokens, or a list of such; got {repr(prompt)[:80]}.")
    history = np.array(prompt, np.int32)
    check_tokens(history, len(agent.model.get_input_embeddings().weight), "prompt")
    return history


def _history(agent: Agent, text: str, literally: bool) -> NDArray[np.int32]:
    tokenizer = agent.lm.tokenizer
    tokens, before = encode(tokenizer, [text], literally)[0], opening_tokens(tokenizer)
    if tokenizer.unk_token_id is not None and tokenizer.unk_token_id in tokens:
        raise ValueError(f"The agent's tokenizer has no tokens for a part of {text[-80:]!r}.")
    return np.array(tokens if tokens[: len(before)] == before else [*before, *tokens], np.int32)


def _check_room(agent: Agent, history: NDArray[np.int32]) -> None:
    most = getattr(agent.model.config.get_text_config(), "max_position_embeddings", None) or 2**31
    if not 1 <= len(history) < most:
        raise ValueError(
            f"The request has {len(history)} tokens, and the agent reads between 1 and {most - 1} before it speaks."
        )


def _number(given: Mapping[str, Any], name: str, least: int, default: int, most: int = 2**31) -> int:
    value = given.get(name, default)
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{name} is a whole number from {least} to {most}, not {value!r}.")
    return value


def _flag(given: Mapping[str, Any], name: str) -> bool:
    value = given.get(name) or False
    if not isinstance(value, bool):
        raise ValueError(f"{name} is true or false, not {value!r}.")
    return value


def _logprobs(given: Mapping[str, Any]) -> bool:
    """Whether log-probabilities are wanted. Completions give a number of alternative tokens; only 0 is offered."""
    value = given.get("logprobs")
    if value is not None and (type(value) is bool or value != 0):
        raise ValueError(f"logprobs is 0 (only the tokens that were drawn) or left out, not {value!r}.")
    return value is not None
