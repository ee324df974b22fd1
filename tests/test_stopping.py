"""Stop strings: an utterance ends with the end token as soon as its text holds one, and is the same up to there."""

from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import CONTEXT, END, TOKENIZER, make_model
from toy_agent import make_agent, make_env

from agents.benchmark.running.evaluate import decoded
from agents.cli.arguments import pairs
from agents.decoding import policy as policy_module
from agents.decoding.policy import LMPolicy
from agents.decoding.stopping import holds_one
from lang_envs import rollout
from lang_envs.tokenizers import text_tokenizer

LIMIT = 7
STOP = ("ab", "c", "dt", "k", "pq", "e")


def policy_of(model: Any, **decoding: Any) -> LMPolicy:
    return LMPolicy(model, TOKENIZER, END, LIMIT, **decoding)


def histories(n: int = 48) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    lengths = [*rng.integers(1, 9, n - 2), CONTEXT - 4, CONTEXT - 3]  # the last have little room
    return [rng.integers(0, 20, length).astype(np.int32) for length in lengths]


def generators(n: int = 48) -> list[np.random.Generator]:
    return [np.random.default_rng((5, i)) for i in range(n)]


def stopped(tokens: list[int], room: int) -> tuple[list[int], bool]:
    """What is left of an utterance, and whether its end token is of a stop string."""
    for k in range(1, len(tokens)):
        if any(string in TOKENIZER.decode(tokens[:k]) for string in STOP):
            return [*tokens[:k], END], True
    full = len(tokens) == room or tokens[-1] == END
    assert full
    return tokens, False


@pytest.mark.parametrize("kind", ["plain", "shared"])
@pytest.mark.parametrize("decoding", [{}, {"greedy": True}, {"temperature": 1.5, "top_k": 12}])
def test_an_utterance_is_the_same_up_to_its_end(decoding: dict[str, Any], kind: str) -> None:
    model, heard = make_model(kind), histories()
    plain, stopping, many = policy_of(model, **decoding), policy_of(model, stop=STOP, **decoding), 0
    said, rngs = stopping.act(heard, generators()), generators()
    for history, turn, whole in zip(heard, said, plain.act(heard, rngs), strict=True):
        expected, ours = stopped(whole.tokens.tolist(), min(LIMIT, CONTEXT - len(history)))
        assert turn.tokens.tolist() == expected
        assert turn.logprobs is not None and whole.logprobs is not None
        n = len(expected) - ours
        np.testing.assert_allclose(turn.logprobs[:n], whole.logprobs[:n], atol=1e-5)
        if ours:
            ids = torch.from_numpy(np.concatenate([history, turn.tokens[:-1]]))[None].long()
            with torch.no_grad():
                logp = model(ids).logits[0, -1].log_softmax(-1)[END].item()
            assert turn.logprobs[-1] == pytest.approx(logp, abs=1e-4)
            many += 1
    assert many > 10
    longer = [np.concatenate([h, t.tokens[:20]])[:20] for h, t in zip(heard, said, strict=True)]
    again = [p.act(longer, generators()) for p in (stopping, policy_of(model, stop=STOP, **decoding))]
    assert [t.tokens.tolist() for t in again[0]] == [t.tokens.tolist() for t in again[1]]  # what is kept is right


def test_a_row_does_not_depend_on_the_others() -> None:
    policy, heard = policy_of(make_model("plain"), stop=STOP), histories()
    together = policy.act(heard, generators())
    for history, rng, turn in zip(heard, generators(), together, strict=True):
        policy.reset()
        assert policy.act([history], [rng])[0].tokens.tolist() == turn.tokens.tolist()


def test_where_the_utterance_is_full_nothing_follows() -> None:
    model = make_model("plain")
    whole = policy_of(model, greedy=True).act(histories(), generators())
    full = next(t.tokens for t in whole if len(t.tokens) == LIMIT and t.tokens[-1] != END)
    last = TOKENIZER.decode(full)
    again = policy_of(model, greedy=True, stop=last).act(histories(), generators())
    assert [t.tokens.tolist() for t in again] == [t.tokens.tolist() for t in whole]


def test_a_stop_string_may_begin_and_end_inside_tokens() -> None:
    tokenizer = text_tokenizer()
    said = [np.array(tokenizer(text).input_ids) for text in ("yes.\nUser: no", "yes, User: no", "")]
    for stop, expected in ((("\nUs",), [True, False, False]), (("ser:", "yes"), [True, True, False])):
        assert holds_one(stop, tokenizer, said).tolist() == expected


def test_without_stop_strings_no_text_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_module, "holds_one", None)
    policy_of(make_model("plain")).act(histories(), generators())


@pytest.mark.parametrize("stop", ["", ("a", ""), 3, [3], None])
def test_what_is_no_stop_string_is_refused(stop: Any) -> None:
    with pytest.raises(ValueError, match="stop is a text or several"):
        policy_of(make_model("plain"), stop=stop)


@pytest.mark.parametrize("given", ['stop=["1"]', "stop=one"])
def test_a_command_line_and_a_suite_can_ask_for_it(given: str) -> None:
    policy: Any = decoded(make_agent("bc"), pairs([given]))
    assert policy.stop == ("one",) if "one" in given else policy.stop == ("1",)
    assert [*rollout(make_env(), policy, range(4))]
