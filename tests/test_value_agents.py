"""AWR, CQL, psi-learning and ILQL per utterance: their decoding, and the structure of their heads."""

import dataclasses
import re
from typing import get_type_hints

import numpy as np
import pytest
import torch
from toy_agent import END, SAY, make_env, make_episodes, make_lm, same_weights, weights

from agents import (
    AGENTS,
    Agent,
    AWRConfig,
    BCConfig,
    CQLConfig,
    ILQLConfig,
    Live,
    LMPolicy,
    Logged,
    Mixed,
    PsiConfig,
    UtteranceILQLConfig,
    collate,
)
from agents.data.log_facts import returns_of
from agents.evaluation.explain import explain
from agents.utterance_ilql import BestUtterance
from lang_envs import rollout

CONFIGS = {"awr": AWRConfig, "cql": CQLConfig, "psi": PsiConfig, "utterance_ilql": UtteranceILQLConfig}


def made(name, **settings):
    return AGENTS[name](make_lm(), CONFIGS[name](**settings))


def batch_of(agent, n=6):
    return collate(make_episodes(n), agent.lm.pad_id, agent.lm.end_id)


def test_awr_speaks_as_its_language_model():
    agent = made("awr")
    ids = torch.tensor([[SAY, 3, END]])
    assert torch.equal(agent.model(ids).logits, agent.model.lm(ids).logits.log_softmax(-1))


def test_awr_without_an_advantage_is_behaviour_cloning():
    agent, plain = made("awr", awr_temperature=1e9), AGENTS["ilql"](make_lm(), ILQLConfig())
    (loss, parts), (expected, _) = agent.loss(batch_of(agent)), plain.loss(batch_of(plain))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5) and parts["policy/weight"].item() == pytest.approx(1)


@pytest.mark.parametrize("trunks", ["shared", "separate"])
def test_the_best_utterance_is_the_sample_of_highest_q(trunks):
    agent = made("utterance_ilql", candidates=5, trunks=trunks, zero_init=False)
    policy = agent.policy()
    histories = [np.array(tokens, np.int32) for tokens in ([SAY], [SAY, 3, END, 4], [SAY, 3, END])]
    turns = policy.act(histories, [np.random.default_rng(seed) for seed in range(3)])
    speaker = LMPolicy(agent.model, agent.lm.tokenizer, agent.lm.end_id, agent.lm.max_utterance_tokens)
    for seed, (history, turn) in enumerate(zip(histories, turns, strict=True)):
        rng = np.random.default_rng(seed)
        said = [speaker.act([history], [rng])[0].tokens for _ in range(5)]
        q = []
        for tokens in said:
            ids = torch.tensor([[*history, *tokens]])
            hidden = agent.model.trunks[-1](ids).last_hidden_state[:, -1]
            q.append(min(head.item() for head in agent.model.target_q(hidden)))
        assert len({tokens.tobytes() for tokens in said}) > 1 and np.ptp(q) > 0
        assert turn.tokens.tolist() == said[int(np.argmax(q))].tolist() and turn.logprobs is None


def test_one_candidate_is_a_sample_and_a_greedy_speaker_has_one():
    agent = made("utterance_ilql")
    (one,), (sample,) = (
        policy.act([np.array([SAY], np.int32)], [np.random.default_rng(0)])
        for policy in (
            agent.policy(candidates=1),
            LMPolicy(agent.model, agent.lm.tokenizer, agent.lm.end_id, agent.lm.max_utterance_tokens),
        )
    )
    assert one.tokens.tolist() == sample.tokens.tolist()
    assert agent.policy(greedy=True).candidates == 1 and agent.policy().candidates == agent.config.candidates == 8
    assert agent.policy().act([], []) == []


def test_an_episode_does_not_depend_on_its_neighbours():
    agent = made("utterance_ilql")
    together = [e.tokens.tolist() for e in rollout(make_env(4), agent.policy(), range(6))]
    assert together == [e.tokens.tolist() for e in rollout(make_env(1), agent.policy(), range(6))]


def test_who_cannot_choose_among_utterances_is_told():
    agent = made("utterance_ilql")
    with pytest.raises(ValueError, match="candidates must be at least 1"):
        agent.policy(candidates=0)
    other = made("awr")
    with pytest.raises(ValueError, match="train utterance_ilql"):
        BestUtterance(other.policy(), 4)


def test_training_leaves_the_mode_of_the_model_to_the_loop():
    agent = made("utterance_ilql")
    agent.model.train()
    agent.policy().act([np.array([SAY], np.int32)], [np.random.default_rng(0)])
    assert agent.model.training


def test_an_explanation_has_the_values_of_utterances_at_their_ends():
    agent = made("utterance_ilql")
    episode = make_episodes(1)[0]
    explanation = explain(agent.model, agent.lm.tokenizer, episode)
    ends = np.flatnonzero(episode.is_action & (episode.tokens == END))
    assert (
        np.flatnonzero(~np.isnan(explanation.q)).tolist()
        == ends.tolist()
        == np.flatnonzero(~np.isnan(explanation.v)).tolist()
    )
    states = agent.model.trunks[0](torch.tensor(episode.tokens[None].astype(np.int64))).last_hidden_state[0]
    assert explanation.v[ends[0]] == pytest.approx(agent.model.v(states[ends[0] - 2])[0].item(), abs=1e-5)
    assert explanation.q[ends[0]] == pytest.approx(agent.model.target_q.smallest(states[ends[0]]).item(), abs=1e-5)


@pytest.mark.parametrize("q_head", ["low_rank", "tied"])
@pytest.mark.parametrize("name", ["awr", "cql", "psi"])
def test_small_heads_serve_every_agent_of_tokens(name, q_head, tmp_path):
    agent = made(name, q_head=q_head, q_rank=4).learn(Logged(make_episodes(8)), 2, batch_size=4)
    assert agent.model.config.q_head == q_head
    loaded = type(agent).load(agent.save(tmp_path / "agent"))
    assert same_weights(weights(agent), weights(loaded))
    assert dataclasses.asdict(loaded.config) == dataclasses.asdict(agent.config)


def test_values_that_are_there_already_are_gone_on_with_or_refused(tmp_path):
    ilql = AGENTS["ilql"](make_lm(), ILQLConfig(num_q=1))
    loaded = AGENTS["ilql"].load(ilql.save(tmp_path / "ilql"))
    awr = AGENTS["awr"](loaded.lm, AWRConfig(num_q=1))
    assert awr.model is loaded.model and awr.model.config.advantage_weight == 0
    with pytest.raises(ValueError, match="num_q=1 instead of 2, trunks='shared' instead of 'separate'"):
        AGENTS["awr"](loaded.lm, AWRConfig(num_q=2, trunks="separate"))
    with pytest.raises(ValueError, match="q_head='full' instead of 'utterance'"):
        AGENTS["utterance_ilql"](loaded.lm, UtteranceILQLConfig(num_q=1))
    awr.model.config.advantage_weight = 2.0
    assert AGENTS["awr"].load(awr.save(tmp_path / "awr")).model.config.advantage_weight == 2.0


@pytest.mark.parametrize(
    ("config", "settings", "told"),
    [
        (ILQLConfig, {"tau": 1.0}, "tau is an expectile between 0 and 1; 0.5 is the mean, not 1.0"),
        (ILQLConfig, {"gamma": 7}, "gamma is a discount from 0 to 1, not 7"),
        (CQLConfig, {"target_rate": -1}, "target_rate is a rate above 0"),
        (CQLConfig, {"cql_weight": -0.1}, "cql_weight must be at least 0"),
        (AWRConfig, {"awr_temperature": 0}, "awr_temperature must be above 0"),
        (PsiConfig, {"kl_weight": 0.0}, "kl_weight must be above 0"),
        (UtteranceILQLConfig, {"tau": 0}, "tau is an expectile"),
        (BCConfig, {"keep_top": 20}, "keep_top is a fraction above 0, at most 1"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(config, settings, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        config(**settings)


@pytest.mark.parametrize("name", ["ilql", "sarsa", "monte_carlo", "awr", "cql", "utterance_ilql"])
def test_rewards_in_another_unit_are_learned_alike(name, tmp_path):
    """A log paid a hundred times as much gives the same weights, and values a hundred times as large."""
    log, states = make_episodes(24), torch.randn(3, make_lm().model.config.n_embd)
    config, found = get_type_hints(AGENTS[name])["config"], []
    for factor in (1.0, 100.0):
        paid = [dataclasses.replace(episode, rewards=episode.rewards * np.float32(factor)) for episode in log]
        temperature = {"awr_temperature": 0.25 * factor} if name == "awr" else {}
        agent = AGENTS[name](make_lm(), config(zero_init=False, **temperature))
        agent.learn(Logged(paid), 5, batch_size=8, progress=False)
        assert agent.model.config.value_unit == pytest.approx(factor * np.std([e.ret for e in log]), rel=1e-5)
        agent = Agent.load(agent.save(tmp_path / f"{factor}"))
        with torch.no_grad():
            values = (agent.model.target_q.smallest(states), agent.model.v(states)[0])
        found.append(torch.cat([value.flatten() for value in values]) / factor)
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-4)


def test_the_unit_of_equal_returns_is_their_size_and_without_a_log_it_is_one():
    episodes = [dataclasses.replace(e, rewards=np.zeros_like(e.rewards)) for e in make_episodes(4)]
    assert returns_of(Logged(episodes)) == (0, 1)
    for episode in episodes:
        episode.rewards[np.flatnonzero(episode.is_action)[-1]] = -10
    assert returns_of(Logged(episodes)) == (-10, 10)
    episodes[0].rewards[np.flatnonzero(episodes[0].is_action)[-1]] = 30
    assert returns_of(Mixed(Logged(episodes), Live(make_env(2)))) == (0, pytest.approx(np.std([30, -10, -10, -10])))
    assert returns_of(Live(make_env(2))) == (0, 1)


@pytest.mark.parametrize("unit", [0, -1, float("inf"), float("nan")])
def test_what_is_no_unit_is_refused(unit):
    with pytest.raises(ValueError, match="value_unit must be above 0"):
        ILQLConfig(value_unit=unit)
