"""How a conversation is written as one text: the format of every text task here.

Each turn opens with a marker that says who speaks, and an agent's turn closes with the end token::

    <|user|>is it free?<|agent|>yes, today<|end|><|user|>thanks<|agent|>

What the agent reads always ends with its own marker, since it speaks next. The markers are special tokens of
:func:`lang_envs.tokenizers.text_tokenizer`; any other tokenizer spells them as ordinary text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

USER, AGENT, END, PAD = "<|user|>", "<|agent|>", "<|end|>", "<|pad|>"
MARKERS = (PAD, END, USER, AGENT)

_WRITTEN = {"context": "{}", "user": USER + "{}", "agent": AGENT + "{}" + END}


def prompt(turns: Sequence[tuple[str, str]]) -> str:
    """The text an agent acts from.

    Args:
        turns: (speaker, text) in order; the speaker is "user", "agent", or "context" for what nobody said: a caption,
            say, which stands without a marker.

    Raises:
        ValueError: for another speaker.
    """
    for speaker, _ in turns:
        if speaker not in _WRITTEN:
            raise ValueError(f"a speaker is one of {list(_WRITTEN)}, got {speaker!r}")
    return "".join(_WRITTEN[speaker].format(text) for speaker, text in turns) + AGENT


def heard(text: str) -> str:
    """What the environment says back where the conversation goes on."""
    return f"{USER}{text}{AGENT}"


def turns_of(text: str) -> list[tuple[str, str]]:
    """The turns of a transcript, the reverse of :func:`prompt`; what the agent has not said yet is left out."""
    turns: list[tuple[str, str]] = []
    context, *rest = _split(text)
    if context[1]:
        turns.append(("context", context[1]))
    for speaker, said in rest:
        if speaker == "agent":
            said, ended, _ = said.partition(END)
            if not (said or ended):
                continue
        turns.append((speaker, said))
    return turns


def _split(text: str) -> list[tuple[str, str]]:
    """Who speaks and what, each piece up to the next marker."""
    first, *rest = re.split(f"({re.escape(USER)}|{re.escape(AGENT)})", text)
    speakers = ["user" if marker == USER else "agent" for marker in rest[::2]]
    return [("context", first), *zip(speakers, rest[1::2], strict=True)]
