"""Ranking of candidates by each kind of score, its independence of the batch, and the oracle."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from tiny_models import END, KINDS, TOKENIZER, make_lm, make_model
from toy_agent import make_agent

from agents import ILQL, LM, LMPolicy, UtteranceILQL
from agents.decoding.beams import BeamSearch
from agents.decoding.candidate_scores import Likelihood, QValue, StateValue, TextReward
from agents.decoding.rank import Ranked, oracle_best_of_k
from lang_envs import Start, rollout
from lang_envs.policies.movie_review import Reviewer
from lang_envs.tasks.movie_review import REVIEWS

ENV = gym.make_vec("MovieReview-v0", 7)
HISTORIES = [np.arange(3, dtype=np.int32), np.arange(5, 12, dtype=np.int32), np.array([9], np.int32)]
SAID = [np.array(tokens, np.int32) for tokens in ([4, END], [1, 2, 3, END], [7])]


def rngs(n, seed=0):
    return [np.random.default_rng((seed, i)) for i in range(n)]


def agent_of(kind="shared", cls=ILQL):
    """An agent whose values are as good as any."""
    agent = cls(LM(make_lm(), TOKENIZER, 7))
    agent.model = make_model(kind) if cls is ILQL else agent.model.eval()
    return agent


def speaking(**decoding):
    return LMPolicy(make_model("plain"), TOKENIZER, END, 7, **decoding)


def alone(history, said):
    """One history with its candidate, as a batch of one without padding."""
    return torch.tensor(np.concatenate([history, said]))[None].long()


def test_the_best_of_the_candidates_is_said_and_each_counts_once():
    asked = []

    def score(histories, candidates):
        asked.append((histories, candidates))
        return [len(c) * 10 - h[0] for h, c in zip(histories, candidates, strict=True)]

    ranked = Ranked(speaking(top_k=2), score, k=6)
    options = ranked.candidates(HISTORIES, rngs(3))
    turns = ranked.act(HISTORIES, rngs(3))
    assert len(asked) == 1  # one call for all
    assert [c.tolist() for c in asked[0][1]] == [c.tolist() for own in options for c in own]
    for own, turn in zip(options, turns, strict=True):
        assert len({c.tobytes() for c in own}) == len(own) <= 6
        longest = next(c for c in own if len(c) == max(map(len, own)))
        assert turn.tokens.tolist() == longest.tolist()
        assert turn.logprobs is None
    assert max(map(len, options)) > 1
    greedy = Ranked(speaking(greedy=True), score)
    assert [len(own) for own in greedy.candidates(HISTORIES, rngs(3))] == [1, 1, 1]
    assert ranked.act([], []) == []


def test_what_is_said_depends_on_the_episode_alone():
    ranked = Ranked(speaking(), Likelihood(speaking(), per_token=True), k=3)
    together = ranked.act(HISTORIES, rngs(3))
    backwards = ranked.act(HISTORIES[::-1], rngs(3)[::-1])[::-1]
    alone = [ranked.act([h], [rng])[0] for h, rng in zip(HISTORIES, rngs(3), strict=True)]
    for a, b, c in zip(together, backwards, alone, strict=True):
        assert a.tokens.tolist() == b.tokens.tolist() == c.tokens.tolist()


def test_beams_are_candidates_too():
    agent = agent_of()
    source = BeamSearch(agent, beams=3)
    ranked = Ranked(source, lambda histories, candidates: [-len(c) for c in candidates], k=3)
    assert [[c.tolist() for c in own] for own in ranked.candidates(HISTORIES, [])] == [
        [turn.tokens.tolist() for turn in turns] for turns in source.candidates(HISTORIES)
    ]
    with pytest.raises(ValueError, match="as many beams"):
        Ranked(source, StateValue(agent), k=4)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_values_are_those_of_the_model_whatever_else_is_in_the_batch(kind):
    agent = agent_of(kind)
    model = agent.model
    trunks = model.trunks
    value, target = trunks[0 if kind == "shared" else 1], trunks[-1]
    end, total, v = (score(HISTORIES, SAID) for score in (QValue(agent), QValue(agent, "sum"), StateValue(agent)))
    for i, (history, said) in enumerate(zip(HISTORIES, SAID, strict=True)):
        ids = alone(history, said)
        with torch.no_grad():
            q = torch.minimum(*model.target_q(target(ids).last_hidden_state[0]))  # [T, V]
            state = model.v(value(ids).last_hidden_state[0, -1])[0].item()
        of_tokens = [q[len(history) + t - 1, token].item() for t, token in enumerate(said)]
        assert end[i] == pytest.approx(of_tokens[-1], abs=1e-5)
        assert total[i] == pytest.approx(sum(of_tokens), abs=1e-5)
        assert v[i] == pytest.approx(state, abs=1e-5)
    assert len(set(end)) == len(set(v)) == 3


def test_heads_that_read_the_language_models_rows_and_values_of_utterances():
    tied = agent_of()
    tied.model = make_model("shared", q_head="tied")
    (value,) = QValue(tied)(HISTORIES[:1], SAID[:1])
    with torch.no_grad():
        state = tied.model.lm.base_model(alone(HISTORIES[0], SAID[0])).last_hidden_state[0, -2]
        q = tied.model.target_q.smallest(state, tied.model.lm.get_output_embeddings().weight)
    assert value == pytest.approx(q[END].item(), abs=1e-5)
    agent = agent_of(cls=UtteranceILQL)
    rows = [np.concatenate(pair) for pair in zip(HISTORIES, SAID, strict=True)]
    np.testing.assert_allclose(QValue(agent)(HISTORIES, SAID), agent.policy().values(rows), atol=1e-6)
    with pytest.raises(ValueError, match="over='end'"):
        QValue(agent, "sum")
    with pytest.raises(ValueError, match="BestUtterance says are not known"):
        Likelihood(agent.policy())


@pytest.mark.parametrize("kind", KINDS)
def test_likelihoods_are_normalised_and_count_what_was_said_alone(kind):
    model = make_model(kind)
    policy = LMPolicy(model, TOKENIZER, END, 7)
    total, mean = Likelihood(policy)(HISTORIES, SAID), Likelihood(policy, per_token=True)(HISTORIES, SAID)
    for i, (history, said) in enumerate(zip(HISTORIES, SAID, strict=True)):
        with torch.no_grad():
            logp = model(alone(history, said)).logits[0].log_softmax(-1)  # not the raw logits
        of_tokens = [logp[len(history) + t - 1, token].item() for t, token in enumerate(said)]
        assert total[i] == pytest.approx(sum(of_tokens), abs=1e-4)
        assert mean[i] == pytest.approx(np.mean(of_tokens), abs=1e-4)


def test_texts_are_rated_without_the_markers():
    seen = []

    def rate(texts):
        seen.extend(texts)
        return [len(text) for text in texts]

    assert list(TextReward(TOKENIZER, rate)(HISTORIES, SAID)) == [1, 3, 1]
    assert seen == ["e", "bcd", "h"]
    TextReward(TOKENIZER, rate, with_history=True)(HISTORIES[:1], SAID[:1])
    assert seen[3:] == [TOKENIZER.decode([0, 1, 2, 4, END])]


def test_the_oracle_bounds_every_ranking_of_the_same_policy():
    reviewer = Reviewer(ENV.task)
    rewards = {review.text: review.reward for review in REVIEWS}
    ranked = Ranked(reviewer, TextReward(ENV.tokenizer, lambda texts: [rewards[text] for text in texts]), k=3)
    plain, best, oracle = (
        np.array([e.ret for e in played])
        for played in (
            rollout(ENV, reviewer, range(300)),
            rollout(ENV, ranked, range(300)),
            oracle_best_of_k(ENV, reviewer, range(300), k=3),
        )
    )
    assert (oracle >= plain).all()  # the first candidate is the plain episode
    assert best.mean() > plain.mean() + 0.2
    assert abs(best.mean() - oracle.mean()) < 0.06  # one turn: who is told the rewards reaches the bound
    again = [e.ret for e in oracle_best_of_k(gym.make_vec("MovieReview-v0", 2), reviewer, range(10), k=3)]
    assert again == list(oracle[:10])
    (episode,) = oracle_best_of_k(ENV, reviewer, [Start(3, policy_seed=9)], k=1)
    (same,) = rollout(ENV, reviewer, [Start(3, policy_seed=9)])
    assert episode.tokens.tolist() == same.tokens.tolist()
    assert episode.info == same.info | {"candidates": 1}


def test_a_model_that_trains_goes_on_training():
    agent = agent_of()
    agent.model.train()
    for score in (QValue(agent), StateValue(agent), Likelihood(LMPolicy(agent.model, TOKENIZER, END, 7))):
        score(HISTORIES, SAID)
        assert agent.model.training
        assert agent.model.lm.training


def test_what_cannot_be_ranked_by_is_refused_in_words():
    with pytest.raises(ValueError, match="'bc' has no values"):
        QValue(make_agent("bc"))
    with pytest.raises(ValueError, match="'bc' has no values"):
        StateValue(make_agent("bc"))
    with pytest.raises(ValueError, match="'end' or 'sum'"):
        QValue(agent_of(), "mean")
    with pytest.raises(ValueError, match="at least 1 candidate"):
        Ranked(speaking(), StateValue(agent_of()), k=0)
    with pytest.raises(ValueError, match="at least 1 candidate"):
        list(oracle_best_of_k(ENV, Reviewer(ENV.task), [0], k=0))
    with pytest.raises(ValueError, match=r"one number for each of \d+ candidates.*NaN"):
        Ranked(speaking(), lambda h, c: [float("nan")] * len(c)).act(HISTORIES, rngs(3))
    with pytest.raises(ValueError, match="got an array of shape \\(1,\\)"):
        Ranked(speaking(), lambda h, c: [1.0]).act(HISTORIES, rngs(3))
