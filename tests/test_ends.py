"""Models with several end tokens: the environment's end token gets the probability of all; others are never said."""

from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import ARCHITECTURES, END, PAD, TOKENS, make_lm

from agents import BC, ILQL, LM, Agent, collate
from agents.decoding.distribution import next_token_logprobs
from agents.models.end_tokens import OneEnd
from lang_envs import Episode
from lang_envs.tokenizers import character_tokenizer

STOP, LETTER = len(TOKENS), 3
TOKENIZER = character_tokenizer([*TOKENS, "<stop>"], end_token="<end>", pad_token="<pad>")
LIMIT = 7


def model_of(architecture: str, ends: Any) -> Any:
    model = make_lm(architecture, len(TOKENS) + 1)
    model.generation_config.eos_token_id = ends
    return model


def lm_of(architecture: str, ends: Any = (STOP, END, LETTER)) -> LM:
    return LM(model_of(architecture, list(ends)), TOKENIZER, LIMIT)


def histories() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 20, rng.integers(1, 9)).astype(np.int32) for _ in range(64)]


def generators() -> list[np.random.Generator]:
    return [np.random.default_rng((5, i)) for i in range(64)]


def by_hand(model: Any, tokens: np.ndarray) -> torch.Tensor:
    """log pi of what comes after each token, [T, V], by a model that knows of no ends."""
    with torch.no_grad():
        logp = model(torch.from_numpy(tokens)[None].long()).logits[0].log_softmax(-1)
    logp[:, END] = logp[:, [END, STOP]].logsumexp(-1)
    logp[:, STOP] = -torch.inf
    return logp


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_is_recorded_is_what_the_loss_finds(architecture: str) -> None:
    agent, plain, heard = BC(lm_of(architecture)), model_of(architecture, END), histories()
    policy: Any = agent.policy()
    turns, ended = policy.act(heard, generators()), 0
    for history, turn in zip(heard, turns, strict=True):
        tokens, n = np.concatenate([history, turn.tokens]), len(turn.tokens)
        expected = by_hand(plain, tokens)[len(history) - 1 : -1][range(n), torch.from_numpy(turn.tokens).long()]
        np.testing.assert_allclose(turn.logprobs, expected.numpy(), atol=1e-4)
        said = np.arange(len(tokens)) >= len(history)
        batch = collate([Episode(tokens, said, np.zeros(len(tokens), np.float32), True)], PAD, END, LIMIT)
        assert agent.loss(batch)[0].item() == pytest.approx(-turn.logprobs.mean(), abs=1e-4)
        assert STOP not in turn.tokens
        ended += turn.tokens[-1] == END
    assert ended > 10
    at = torch.arange(len(heard[0]))
    read = next_token_logprobs(policy, torch.from_numpy(heard[0])[None].long(), at)
    torch.testing.assert_close(read.exp(), by_hand(plain, heard[0]).exp())


@pytest.mark.parametrize("kind", [BC, ILQL])
def test_a_saved_agent_has_one_end_too(kind: Any, tmp_path: Any) -> None:
    agent = kind(lm_of("llama"))
    loaded = Agent.load(agent.save(tmp_path / "agent"))
    said = [a.policy().act(histories(), generators()) for a in (agent, loaded)]
    for one, other in zip(*said, strict=True):
        assert one.tokens.tolist() == other.tokens.tolist()
        np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-5)
    assert loaded.model.generation_config.eos_token_id[:2] == [END, STOP]  # so that generate ends by either


@pytest.mark.parametrize("ends", [None, END, [END], [END, LETTER], LETTER, [END, 999]])
def test_where_no_other_special_token_ends_a_turn_nothing_changes(ends: Any) -> None:
    lm = LM(model_of("llama", ends), TOKENIZER, LIMIT)
    assert not lm.model.get_output_embeddings()._forward_hooks and lm.model.generation_config.eos_token_id == ends


def test_one_end_in_half_precision_is_summed_in_full() -> None:
    scores = torch.tensor([[20.0, 1.0, 20.0]], dtype=torch.bfloat16)
    found = OneEnd(2, [0])(None, None, scores)
    assert found[0, 2].item() == pytest.approx(20 + np.log(2), abs=1e-5) and found[0, 1] == 1
