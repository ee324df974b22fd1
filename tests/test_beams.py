"""Beam search: the same tokens as ``generate``, the best sequences, and no effect of the batch."""

import itertools
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import toy_agent
from tiny_models import CONTEXT, END, KINDS, PAD, TOKENIZER, make_model

from agents import AGENTS, DecisionTransformerConfig, LMPolicy, UtteranceILQLConfig
from agents.decoding.beams import BeamSearch

LIMIT = 7


def make_search(model, limit=LIMIT, **settings):
    lm = SimpleNamespace(end_id=END, pad_id=PAD, max_utterance_tokens=limit, tokenizer=TOKENIZER)
    policy = partial(LMPolicy, model, TOKENIZER, END, limit)
    return BeamSearch(SimpleNamespace(model=model, lm=lm, policy=policy), **settings)


def histories(lengths=(9, 1, 4, 6, 6, 2), seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 20, length).astype(np.int32) for length in lengths]


def generated(model, history, beams, limit=LIMIT):
    """What ``generate`` returns for one history, up to the end token."""
    ids = torch.from_numpy(history.astype(np.int64))[None]
    ends = {"eos_token_id": END, "pad_token_id": PAD, "max_new_tokens": limit, "do_sample": False}
    found = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), num_beams=beams, num_return_sequences=beams, **ends
    )[:, len(history) :].tolist()
    return [said[: said.index(END) + 1] if END in said else said for said in found]


def tokens(turns):
    return [turn.tokens.tolist() for turn in turns]


@pytest.mark.parametrize("kind", KINDS)
def test_candidates_are_what_generate_produced(kind):
    model = make_model(kind)
    found = make_search(model).candidates(histories())
    for history, turns in zip(histories(), found, strict=True):
        assert tokens(turns) == generated(model, history, 4)
        assert all(turn.tokens.dtype == np.int32 and turn.logprobs is None for turn in turns)
        for turn in turns:
            said = turn.tokens.tolist()
            assert said.index(END) == len(said) - 1 if END in said else len(said) == LIMIT
        assert len(set(map(tuple, tokens(turns)))) == 4
    lengths = {len(turn.tokens) for turns in found for turn in turns}
    assert len(lengths) > 1 and LIMIT in lengths  # some end by themselves, some at the limit


def test_enough_beams_find_the_best_there_is():
    model, history = make_model("plain"), histories()[0]

    def mean_score(said):
        ids = torch.tensor([*history, *said])[None]
        with torch.no_grad():
            logp = model(ids).logits[0, len(history) - 1 : -1].log_softmax(-1)
        return logp.gather(-1, torch.tensor(said)[:, None]).mean().item()

    whole = [[END], *([a, END] for a in range(22) if a != END)]
    whole += [[a, b] for a, b in itertools.product(range(22), repeat=2) if END not in (a, b)]
    best = sorted(whole, key=mean_score, reverse=True)[:3]
    assert tokens(make_search(model, limit=2, beams=21).candidates([history])[0])[:3] == best


def test_the_best_beam_is_said_and_nothing_is_drawn():
    search, generators = make_search(make_model("shared"), beams=3), [np.random.default_rng(0)]
    said = search.act(histories(), generators * 6)
    assert tokens(said) == [tokens(turns)[0] for turns in search.candidates(histories())]
    assert generators[0].random() == np.random.default_rng(0).random()


def test_no_room_is_left_unused_and_none_is_exceeded(monkeypatch):
    model = make_model("plain")
    lengths = (CONTEXT - 1, 5, CONTEXT - 3, CONTEXT - LIMIT)
    found = make_search(model, beams=2).candidates(histories(lengths))
    for history, length, turns in zip(histories(lengths), lengths, found, strict=True):
        assert tokens(turns) == generated(model, history, 2, min(LIMIT, CONTEXT - length))
    monkeypatch.setattr("agents.decoding.beams._ROWS", 2)
    assert [tokens(turns) for turns in make_search(model, beams=2).candidates(histories(lengths))] == [
        tokens(turns) for turns in found
    ]
    assert make_search(model).candidates([]) == []


def test_the_model_is_left_as_it_was():
    model = make_model("shared").train()
    make_search(model).candidates(histories())
    assert model.training


@pytest.mark.parametrize("usual", [{"repetition_penalty": 1.5}, {"min_new_tokens": 4}, {"length_penalty": 0.0}])
def test_what_a_checkpoint_generates_by_is_not_asked(usual):
    model = make_model("plain")
    expected = tokens(make_search(model).candidates(histories())[0])
    model.generation_config.update(**usual)
    assert tokens(make_search(model).candidates(histories())[0]) == expected
    assert model.generation_config.to_dict().items() >= usual.items()


def test_bad_asks_are_told():
    model = make_model("plain")
    with pytest.raises(ValueError, match="beams must be at least 1"):
        make_search(model, beams=0)
    for length in (0, CONTEXT):
        with pytest.raises(ValueError, match="between 1 and 47 tokens"):
            make_search(model).candidates([np.zeros(length, np.int32)])


@pytest.mark.parametrize(
    ("name", "config"),
    [("decision_transformer", DecisionTransformerConfig(edges=(0.5,))), ("utterance_ilql", UtteranceILQLConfig())],
)
def test_agents_that_do_not_speak_by_their_model_alone_are_refused(name, config):
    with pytest.raises(ValueError, match=f"'{name}' has another one"):
        BeamSearch(AGENTS[name](toy_agent.make_lm(), config))
