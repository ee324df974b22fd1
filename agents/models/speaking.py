"""Writes an agent's decoding into the files that transformers' ``generate`` reads.

A model in memory keeps the settings with which it was trained; live training and ``agent.policy()`` use them. The
model's files have the agent's decoding, and hold the settings of training as ``as_trained`` in ``config.json``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import GenerationConfig

from agents.models.value_config import SPOKEN, ValueLMConfig, check_spoken

KEPT = ("bos_token_id", "eos_token_id", "pad_token_id", "suppress_tokens")
"""settings of ``generate`` that are no part of a decoding and are kept"""


@contextmanager
def speaking(model: Any, decoding: dict[str, Any] | None) -> Iterator[None]:
    """A model that is saved inside the block uses ``decoding`` in ``generate``.

    Options that ``generate`` does not have, such as the number of candidates, are left out.

    Args:
        model: a language model or a ``ValueLM``.
        decoding: keywords of ``LMPolicy``; None changes nothing.
    """
    if decoding is None:
        yield
        return
    config, generation = model.config, model.generation_config
    spoken = {name: getattr(config, name) for name in SPOKEN if isinstance(config, ValueLMConfig)}
    try:
        config.as_trained = {"spoken": spoken, "generation": generation.to_diff_dict()}
        for name in spoken:
            setattr(config, name, decoding.get(name, spoken[name]))
        model.generation_config = generation_of(generation, decoding)
        yield
    finally:
        for name, value in spoken.items():
            setattr(config, name, value)
        model.generation_config = generation
        config.__dict__.pop("as_trained", None)


def generation_of(before: GenerationConfig, decoding: dict[str, Any]) -> GenerationConfig:
    """The generation config of a decoding; penalties of ``before`` are not kept."""
    sampled = {
        "do_sample": True,
        "temperature": float(decoding.get("temperature", 1.0)),
        "top_k": int(decoding.get("top_k", 0)),  # transformers' default is 50
        "top_p": float(decoding.get("top_p", 1.0)),
    }
    kept = {name: getattr(before, name) for name in KEPT}
    plain = {name: decoding[name] for name in ("repetition_penalty", "max_new_tokens") if name in decoding}
    return GenerationConfig(**kept, **plain, **({"do_sample": False} if decoding.get("greedy") else sampled))


def put_back(model: Any) -> None:
    """Gives a model that was loaded from files the settings with which it was trained (``as_trained``).

    Raises:
        ValueError: ``as_trained`` of its configuration does not hold such settings.
    """
    was = model.config.__dict__.pop("as_trained", None)
    if was is None:
        return
    spoken, generation = (was.get(name) if isinstance(was, dict) else None for name in ("spoken", "generation"))
    if not isinstance(spoken, dict) or not isinstance(generation, dict) or not {*spoken} <= {*SPOKEN}:
        raise ValueError(f"as_trained of the model's config.json should hold its settings, and holds {was!r:.200}.")
    for name, value in spoken.items():
        setattr(model.config, name, value)
    if spoken:
        check_spoken(**{name: getattr(model.config, name) for name in SPOKEN})
    model.generation_config = GenerationConfig(**generation)
