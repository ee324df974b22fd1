"""Off-policy estimates against exact values: hand-written numbers, every review of MovieReview, a small Wordle."""

import dataclasses
import json
import re

import gymnasium as gym
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from test_fixed_points import EACH_ONCE, REVIEWS, TASK
from tiny_models import CONTEXT, END, KINDS, TOKENIZER, make_model
from transformers import GPT2Config, GPT2LMHeadModel

from agents import BC, LM, LMPolicy, Logged, UtteranceILQL, cli, collate
from agents.decoding.distribution import continued, next_token_logprobs
from agents.evaluation.stats import Interval
from agents.ope import ActionValues, FittedQ, FittedQConfig, Log, estimates, evaluate
from agents.ope.estimators import estimators, widened
from agents.ope.evaluate import logprobs
from agents.ope.held_out import shared
from agents.ope.log_space import effective_sizes, self_normalised
from datasets_builders import EpisodeDataset
from lang_envs import rollout
from lang_envs.policies.wordle import RandomValid

REWARD = np.array([[1.0, 2.0, 9.0], [3.0, 0.0, 0.0]])
MASK = np.array([[True, True, False], [True, False, False]])
RATIO = np.array([[2.0, 0.5, 7.0], [0.25, 7.0, 7.0]])
Q = np.array([[0.5, 1.0, 9.0], [2.0, 9.0, 9.0]])
V = np.array([[0.4, 0.8, 9.0], [0.4, 9.0, 9.0]])
BEHAVIOUR = np.full((2, 3), np.log(0.1))
TARGET = np.log(RATIO) + BEHAVIOUR


def values_of(q, v):
    """Q of what was said and V, by the value of a second action that stands for all others."""
    pi = np.exp(TARGET)[..., None] * [1, -1] + [0, 1]  # [B, A, 2]
    other = (v - pi[..., 0] * q) / pi[..., 1]
    return ActionValues(pi, np.stack([q, other], -1), np.zeros(q.shape, np.int64))


LOG = Log(REWARD, MASK, TARGET, BEHAVIOUR, values_of(Q, V))
GAMMA = 0.9
MARKERS = (TASK.tokenizer().pad_token_id, TASK.tokenizer().eos_token_id)


def by_name(found):
    return {estimate.name: estimate for estimate in found}


def tiny(env, seed=0, width=32):
    """A language model of one layer."""
    tokenizer = env.tokenizer
    ids = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = GPT2Config(
        n_embd=width, n_layer=1, n_head=2, n_positions=env.max_tokens, vocab_size=len(tokenizer),
        initializer_range=0.1, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, **ids,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LM(GPT2LMHeadModel(config), tokenizer, env.task.max_utterance_tokens)


def test_every_estimator_beside_a_loop_over_episodes_and_tokens():
    ordinary, weights, per_decision, robust, at = [], [], [], [], [[], [], []]
    for i in range(2):
        w, before, total, sums, dr = 1.0, 1.0, 0.0, 0.0, 0.0
        for t in range(3):
            reward = REWARD[i, t] if MASK[i, t] else 0.0
            if MASK[i, t]:
                before, w = w, w * RATIO[i, t]
                dr += GAMMA**t * (w * (reward - Q[i, t]) + before * V[i, t])
            total += GAMMA**t * reward
            sums += GAMMA**t * w * reward
            at[t].append((w, reward))
        ordinary.append(w * total)
        weights.append(w)
        per_decision.append(sums)
        robust.append(dr)
    expected = {
        "ordinary": np.mean(ordinary),
        "weighted": sum(ordinary) / sum(weights),
        "per_decision": np.mean(per_decision),
        "weighted_per_decision": sum(
            GAMMA**t * sum(w * r for w, r in pairs) / sum(w for w, _ in pairs) for t, pairs in enumerate(at)
        ),
        "doubly_robust": np.mean(robust),
        "fitted_q": 0.4,
    }
    found = by_name(estimates(LOG, np.random.default_rng(0), GAMMA))
    assert {name: e.value for name, e in found.items()} == pytest.approx(expected)
    assert found["ordinary"].effective == pytest.approx(1.25**2 / (1 + 0.25**2))
    assert found["per_decision"].effective == pytest.approx(2.25**2 / (2**2 + 0.25**2))  # at t = 0
    assert all(e.interval.low <= e.value <= e.interval.high for e in found.values())


def test_the_doubly_robust_estimate_needs_no_weights_where_q_is_right_and_no_q_where_weights_are():
    rng = np.random.default_rng(0)
    pi, mu = np.array([0.8, 0.2]), np.array([0.3, 0.7])
    paid = np.array([1.0, -1.0])
    action = rng.choice(2, (1500, 2), p=mu)  # two independent draws of a bandit
    value = 2 * (pi @ paid)
    columns = {
        "reward": paid[action], "mask": np.ones((1500, 2), bool), "target": np.log(pi)[action],
        "behaviour": np.log(mu)[action],
    }  # fmt: skip
    right = Log(**columns, values=ActionValues(pi, paid + np.array([[value / 2], [0]]), action))
    spread = estimators(right, 1.0)["doubly_robust"](np.eye(1500)[:50])  # of single episodes
    np.testing.assert_allclose(spread, value, atol=1e-12)
    wrong = Log(**columns, values=ActionValues(pi, np.array([3.0, -2.0]), action))
    for e in estimates(wrong, rng)[:5]:
        assert e.value == pytest.approx(value, abs=0.2), e
        assert e.interval.low < value < e.interval.high, e
        assert not e.warnings


def test_v_is_always_that_of_q():
    """With any other V the doubly robust estimate of a bandit that is worth 0.9 is 5.6."""
    rng = np.random.default_rng(0)
    pi, mu, q = np.array([0.9, 0.1]), np.array([0.5, 0.5]), np.array([0.3, 0.7])
    action = (rng.random((20_000, 1)) < 0.5).astype(int)
    values = ActionValues(pi, q, action)
    assert values.v == pytest.approx(np.full((20_000, 1), 0.34))
    log = Log(1.0 - action, np.ones(action.shape, bool), np.log(pi)[action], np.log(mu)[action], values)
    assert estimators(log, 1.0)["doubly_robust"](np.ones((1, 20_000)))[0] == pytest.approx(0.9, abs=0.02)
    with pytest.raises(ValueError, match="add up to 1"):
        ActionValues(2 * q, q, action)
    with pytest.raises(ValueError, match="one entry an action"):
        ActionValues(np.array([0.2, 0.3, 0.5]), q, action)
    with pytest.raises(ValueError, match="of another policy than the target"):
        dataclasses.replace(log, values=ActionValues(mu, q, action))


def test_what_is_hopeless_is_called_so():
    few = estimates(LOG, np.random.default_rng(0), GAMMA)
    assert all("hopeless: the effective sample size is" in e.warnings[0] for e in few if e.name != "fitted_q")
    never = dataclasses.replace(LOG, target=np.where(MASK, -np.inf, 0.0), values=None)
    found = by_name(estimates(never, np.random.default_rng(0)))
    assert found["weighted"].warnings == ("hopeless: the policy gives probability 0 to every logged episode",)
    assert np.isnan(found["weighted"].value)
    assert np.isnan(found["weighted"].interval.low)
    assert found["ordinary"].value == 0
    assert found["ordinary"].effective == 0
    rare = dataclasses.replace(LOG, target=LOG.behaviour - 3, values=None)
    for e in estimates(rare, np.random.default_rng(0), least=0):
        assert any("lacks part of what the policy says: the mean weight is 0.026" in why for why in e.warnings), e
    log_w = np.array([[0.0, -np.inf, -5e3, -np.inf], [0.0, 7.0, -5e3, -np.inf]])
    assert list(effective_sizes(log_w)) == pytest.approx([2, 1, 2, 0])


def test_weights_of_long_episodes_are_compared_and_not_cut_off():
    rng = np.random.default_rng(0)
    target = np.full((200, 120), -1.0)
    behaviour = -4 + np.minimum(rng.normal(size=(200, 120)), 3.9)  # finds every token unlikely: log w is about 360
    reward = np.eye(1, 120, 119) * rng.random((200, 1))
    log = Log(reward, np.ones((200, 120), bool), target, behaviour)
    x = (target - behaviour).sum(1)
    w = np.exp(x - x.max())
    found = by_name(estimates(log, rng))
    assert found["weighted"].value == pytest.approx(w @ reward.sum(1) / w.sum())
    assert found["weighted"].effective == pytest.approx(w.sum() ** 2 / (w**2).sum()) and w.sum() < 5
    assert found["ordinary"].value == pytest.approx(np.exp(x.max()) * (w @ reward.sum(1)) / 200)
    assert found["ordinary"].warnings[0].startswith("far from every possible return")
    for e in found.values():
        assert any("hopeless: the effective sample size is" in why for why in e.warnings), e
        assert any("weight is e^3" in why and "not those of the policy that played" in why for why in e.warnings), e
    longer = dataclasses.replace(log, target=target / 1e3, behaviour=behaviour * 3)
    found = by_name(estimates(longer, rng))
    assert np.isinf(found["ordinary"].value) and np.isnan(found["ordinary"].interval.low)
    assert found["ordinary"].warnings[0].startswith("too large for a number")
    assert 0 <= found["weighted"].value <= 1 and np.isfinite(found["weighted"].interval).all()


def test_a_sample_without_the_largest_weights_compares_those_it_has():
    log_w, x = np.array([[2000.0], [0.0], [np.log(3.0)], [-np.inf]]), np.array([[1.0], [2.0], [3.0], [4.0]])
    counts = np.array([[1.0, 1, 1, 1], [0, 2, 1, 1], [0, 0, 0, 4]])
    mean = self_normalised(counts, log_w, x)[:, 0]
    assert mean[:2] == pytest.approx([1, (2 * 2 + 3 * 3) / 5]) and np.isnan(mean[2])


@pytest.mark.parametrize("far", [1.02, 1.5, 40.0])
def test_weights_that_average_far_above_one_are_not_those_of_who_played(far):
    behaviour = np.log(np.full((400, 1), 0.01) / far)
    log = Log(np.ones((400, 1)), np.ones((400, 1), bool), np.full((400, 1), np.log(0.01)), behaviour)
    for e in estimates(log, np.random.default_rng(0)):
        assert any(f"weight is {far:.3g} instead of 1" in why for why in e.warnings), e
    right = dataclasses.replace(log, behaviour=log.target)
    assert not any(e.warnings for e in estimates(right, np.random.default_rng(0)))


def test_probabilities_are_no_log_probabilities():
    for name in ("target", "behaviour"):
        with pytest.raises(ValueError, match=f"{name} needs log-probabilities, which are at most 0, and one is 0.2"):
            dataclasses.replace(LOG, **{name: np.where(MASK, 0.2, 0)}, values=None)
    dataclasses.replace(LOG, target=np.full((2, 3), 1e-6), values=None)  # the rounding of a certainty
    with pytest.raises(ValueError, match="one is NaN"):
        dataclasses.replace(LOG, target=np.full((2, 3), np.nan), values=None)


def test_who_says_something_has_no_probability_of_zero():
    log = dataclasses.replace(LOG, behaviour=np.where([[False], [True]], -np.inf, BEHAVIOUR), values=None)
    found = by_name(estimates(log, np.random.default_rng(0), GAMMA))
    assert found["weighted"].value == pytest.approx(1 + GAMMA * 2)  # of the first episode alone
    assert all(
        any("1 of 2 episodes were left out: the behaviour policy gives them" in w for w in e.warnings)
        for e in found.values()
    )
    log = dataclasses.replace(LOG, behaviour=np.array([[-np.inf], [np.nan]]) * np.ones((2, 3)), values=None)
    for e in estimates(log, np.random.default_rng(0)):
        assert np.isnan(e.value) and e.effective == 0
        assert [why.split(":")[0] for why in e.warnings] == [
            "hopeless", "1 of 2 episodes were left out", "1 of 2 episodes were left out",
        ]  # fmt: skip


def test_intervals_hold_what_the_log_never_shows():
    """A tenth of the policy's mass is on a third action, which the log never takes."""
    rng = np.random.default_rng(0)
    pi, paid, third = np.array([0.6, 0.3, 0.1]), np.array([1.0, 2.0]), {"least": -7.0, "greatest": 9.0}
    action = rng.integers(2, size=(4000, 1))
    q = np.array([1.0, 2.0, 1.5])  # of the third it knows nothing
    log = Log(
        paid[action], np.ones(action.shape, bool), np.log(pi)[action], np.log(np.full((4000, 1), 0.5)),
        ActionValues(pi, q, action),
    )  # fmt: skip
    narrow = by_name(estimates(log, rng, returns=(1.5, 1.5)))
    wide = by_name(estimates(log, rng, returns=(third["least"], third["greatest"])))
    for name, e in wide.items():
        assert e.value == narrow[name].value
        for reward in third.values():
            assert e.interval.low <= pi @ [*paid, reward] <= e.interval.high, (name, reward)
        assert any("the mean weight is 0.9" in why and "allow -7 to 9" in why for why in e.warnings)
    ends = Interval(-7.0, 9.0)
    assert widened("weighted", Interval(1.0, 2.0), 0.1, ends) == pytest.approx((0.9 - 0.7, 1.8 + 0.9))
    assert widened("ordinary", Interval(1.0, 2.0), 0.1, ends) == pytest.approx((1 - 0.7, 2 + 0.9))
    assert widened("fitted_q", Interval(1.0, 2.0), 0.1, ends) == pytest.approx((1 - 1.6, 2 + 1.6))
    assert widened("ordinary", Interval(1.0, 2.0), 0.1, Interval(3.0, 3.0)) == pytest.approx((1, 2.3))  # no narrower
    with pytest.raises(ValueError, match="the least and the greatest"):
        estimates(log, rng, returns=(1.0, 0.0))


def test_unknown_log_probabilities_are_not_certainties():
    unknown = np.where([[False], [True]], np.nan, BEHAVIOUR)
    part = by_name(estimates(dataclasses.replace(LOG, behaviour=unknown), np.random.default_rng(0), GAMMA))
    assert part["fitted_q"].value == pytest.approx(0.4)
    assert part["weighted"].value == pytest.approx(1 + GAMMA * 2)  # of the first episode alone
    assert any("1 of 2 episodes were left out" in why for why in part["weighted"].warnings)
    none = by_name(estimates(dataclasses.replace(LOG, behaviour=BEHAVIOUR * np.nan), np.random.default_rng(0)))
    assert all(np.isnan(e.value) and "no log-probabilities" in e.warnings[0] for e in none.values() if e.effective == 0)
    assert none["fitted_q"].value == pytest.approx(0.4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("decoding", [{}, {"temperature": 0.6, "top_k": 5}, {"top_p": 0.8}, {"greedy": True}])
def test_the_distribution_is_the_one_the_policy_draws_from(kind, decoding):
    decoding = decoding | ({"advantage_clip": 0.1} if kind != "plain" and "top_p" in decoding else {})
    policy = LMPolicy(make_model(kind), TOKENIZER, END, 7, **decoding)
    histories = [np.arange(3, dtype=np.int32), np.arange(5, 12, dtype=np.int32)] * 4
    turns = policy.act(histories, np.random.default_rng(0).spawn(8))
    ids, said, _ = continued(histories, [turn.tokens for turn in turns], torch.device("cpu"))
    assert ids.shape[1] <= CONTEXT
    logp = next_token_logprobs(policy, ids, said - 1)
    torch.testing.assert_close(logp.exp().sum(-1), torch.ones(len(logp)))
    taken = logp.gather(-1, ids.flatten()[said][:, None]).squeeze(-1).numpy()
    np.testing.assert_allclose(taken, np.concatenate([turn.logprobs for turn in turns]), atol=2e-5)


def known(episode):
    """A review with the exact log-probabilities of the policy that wrote it."""
    logp = np.full(len(episode), np.nan, np.float32)
    for at in np.flatnonzero(episode.is_action):
        logp[at] = np.log(TASK.behaviour_policy(episode.tokens[:at])[episode.tokens[at]])
    return dataclasses.replace(episode, logprobs=logp)


@pytest.fixture(scope="module")
def reviews():
    """50 reviews in which everyone occurs exactly as often as its share says."""
    copies = [round(50 * review.share) for review in REVIEWS]
    episodes = [known(e) for e, n in zip(EACH_ONCE, copies, strict=True) for _ in range(n)]
    provenance = {"reference_scores": {"random": -2.0, "expert": 1.0, "optimum": 1.0, "how": "exact"}}
    return EpisodeDataset.from_episodes(episodes, provenance, TASK.tokenizer())


@pytest.fixture(scope="module")
def writer(reviews):
    env = gym.make_vec("MovieReview-v0", 1)
    return BC(tiny(env)).learn(Logged(reviews), 70, lr=1e-2, batch_size=50, progress=False)


def exact_values(policy):
    """The policy's own Q(s, a) and V(s) at every token of every review [B, A]; anything else it may write pays -2."""
    batch = collate(EACH_ONCE, *MARKERS)
    logp = logprobs(policy, batch)  # [B, A]
    q, v = np.zeros_like(logp), np.zeros_like(logp)
    said = [tuple(e.tokens[e.is_action].tolist()) for e in EACH_ONCE]
    for row, tokens in enumerate(said):
        for t in range(len(tokens)):
            for values, prefix in ((q, tokens[: t + 1]), (v, tokens[:t])):
                rest = {
                    i: np.exp(logp[i, len(prefix) : len(u)].sum())
                    for i, u in enumerate(said)
                    if u[: len(prefix)] == prefix
                }
                values[row, t] = sum(p * REVIEWS[i].reward for i, p in rest.items()) - 2 * (1 - sum(rest.values()))
    return batch, q, v, np.exp(logp.sum(1))


def test_on_movie_review_the_estimates_are_the_true_return(reviews, writer):
    policy = writer.policy(temperature=0.7)
    _, _, v, p = exact_values(policy)
    true = v[0, 0]
    assert p.sum() == pytest.approx(1, abs=0.02)  # what it writes is what the log holds
    found = evaluate(policy, reviews, np.random.default_rng(0), fitted_steps=40, lr=1e-2, batch_size=25)
    values = {e.name: e.value for e in found.estimates}
    assert found.covered == pytest.approx(p.sum(), abs=1e-4)
    assert found.logged == pytest.approx(sum(review.share * review.reward for review in REVIEWS))
    assert values["ordinary"] == pytest.approx(p @ [review.reward for review in REVIEWS], abs=1e-4)
    for name in ("ordinary", "weighted", "per_decision", "weighted_per_decision"):
        assert values[name] == pytest.approx(true, abs=0.05), name
    assert values["doubly_robust"] == pytest.approx(true, abs=0.08)
    assert values["fitted_q"] == pytest.approx(true, abs=0.25)
    assert abs(true - found.logged) > 0.02  # or all this would say nothing
    assert found.returns == pytest.approx((-2, 1), abs=1e-4)  # what is no review is never logged, and pays -2
    for e in found.estimates[:5]:
        assert e.interval.low <= true <= e.interval.high, e


def test_what_no_review_is_paid_is_inside_the_interval(reviews, writer):
    """Fitted Q values one start alike in all episodes: its bootstrap knows of no error at all."""
    policy = writer.policy(temperature=1.4)
    _, _, v, p = exact_values(policy)
    missing = 1 - p.sum()
    assert missing > 0.02
    found = evaluate(policy, reviews, np.random.default_rng(0), fitted_steps=40, lr=1e-2, batch_size=25)
    assert 1 - found.covered == pytest.approx(missing, abs=1e-4)
    by = {e.name: e for e in found.estimates}
    assert by["ordinary"].value - 2 * missing == pytest.approx(v[0, 0], abs=1e-4)  # the equation of the module
    assert by["weighted"].value * (1 - missing) - 2 * missing == pytest.approx(v[0, 0], abs=1e-4)
    for e in found.estimates:
        assert e.interval.low <= v[0, 0] <= e.interval.high, e
    narrow = evaluate(policy, reviews, np.random.default_rng(0), fitted_steps=0, returns=(1, 1)).estimates
    assert narrow[0].interval.high == pytest.approx(by["ordinary"].interval.high, abs=0.01)
    assert narrow[0].interval.low > by["ordinary"].interval.low + missing


def test_fitted_q_finds_the_values_of_another_policy(reviews, writer):
    policy = writer.policy(temperature=0.7)
    batch, q, v, p = exact_values(policy)
    fitted = FittedQ.of(policy, FittedQConfig(target_rate=0.2))
    assert fitted.model.lm is not writer.model
    before = {name: x.clone() for name, x in writer.model.state_dict().items()}
    fitted.learn(Logged(reviews), 100, lr=1e-2, batch_size=50, progress=False)
    assert all(torch.equal(x, before[name]) for name, x in writer.model.state_dict().items())
    found = fitted.values(batch)
    q_found, v_found = found.q, found.v
    mask = batch.mask.numpy() > 0
    weight = np.where(mask, p[:, None], 0)  # as often as the policy is there
    assert np.average(abs(q_found - q), weights=weight) < 0.08
    assert abs(v_found[0, 0] - v[0, 0]) < 0.1
    assert not q_found[~mask].any()


def test_fitted_q_backs_up_the_policys_own_expectation(reviews, writer):
    policy = writer.policy()
    fitted = FittedQ.of(policy, FittedQConfig(gamma=0.9, trace=0.7, zero_init=False))
    batch = collate(EACH_ONCE, *MARKERS)
    hidden = fitted.model.lm.base_model(batch.input_ids).last_hidden_state  # [B, T, d]
    q_all = batch.at(fitted.model.q(hidden)[0].detach(), batch.state)  # [B, A, V]; the target head is still the same
    expected, count = 0.0, 0
    for b, episode in enumerate(EACH_ONCE):
        at = np.flatnonzero(episode.is_action)
        follows = 0.0
        for i in reversed(range(len(at))):
            said = episode.tokens[at[i]]
            y = float(episode.rewards[at[i]]) + 0.9 * follows
            scores = writer.model(torch.tensor(episode.tokens[None, : at[i]]).long()).logits[0, -1].detach()
            pi, q = scores.softmax(-1), q_all[b, i]
            follows = float((pi * q).sum() + 0.7 * pi[said] * (y - q[said]))
            expected, count = expected + (y - float(q[said])) ** 2, count + 1
    writer.model.zero_grad()
    loss, parts = fitted.loss(batch)
    assert float(loss.detach()) == pytest.approx(expected / count, rel=1e-4)
    assert float(parts["loss/q"]) == pytest.approx(float(loss.detach()))
    loss.backward()
    assert all(p.grad is None for p in writer.model.parameters())


def test_on_a_small_wordle_a_log_of_one_policy_tells_the_return_of_another():
    env = gym.make_vec("Wordle-v0", 64, words=["crane", "slate", "mound", "pious"])
    players = list(rollout(env, RandomValid(env.task), range(128)))
    agent = BC(tiny(env)).learn(Logged(players), 40, lr=1e-2, batch_size=32, progress=False)
    played = list(rollout(env, agent.policy(), range(1000, 1256)))
    target = agent.policy(temperature=0.8)
    true = np.mean([e.ret for e in rollout(env, target, range(5000, 5384))])
    log = EpisodeDataset.from_episodes(played, tokenizer=env.tokenizer)
    found = evaluate(target, log, np.random.default_rng(0), fitted_steps=0)
    assert len(found.estimates) == 4
    assert found.covered == pytest.approx(1, abs=0.2)
    for e in found.estimates:
        assert e.interval.low < true < e.interval.high, e
        assert 30 < e.effective < 256
        assert not e.warnings
    same = evaluate(agent.policy(), log, np.random.default_rng(0), fitted_steps=0).estimates[1]
    assert same.value == pytest.approx(found.logged, abs=1e-3)
    assert same.effective == pytest.approx(256, abs=0.1)
    unknown = EpisodeDataset.from_episodes(
        [dataclasses.replace(e, logprobs=None) for e in played], tokenizer=env.tokenizer
    )
    lost = evaluate(target, unknown, np.random.default_rng(0), fitted_steps=0)
    assert all(np.isnan(e.value) and e.warnings for e in lost.estimates)
    known = evaluate(target, unknown, np.random.default_rng(0), behaviour=agent.policy(), fitted_steps=0)
    assert [e.value for e in known.estimates] == pytest.approx([e.value for e in found.estimates], abs=1e-3)
    greedy = evaluate(target, unknown, np.random.default_rng(0), behaviour=agent.policy(greedy=True), fitted_steps=0)
    for e in greedy.estimates:
        assert np.isnan(e.value) and e.effective == 0
        assert any("256 of 256 episodes were left out: the behaviour policy gives them" in why for why in e.warnings), e
    likeliest = evaluate(agent.policy(greedy=True), log, np.random.default_rng(0), fitted_steps=0)
    assert all(
        any("estimate the policy as it" in why for why in e.warnings) == (e.effective < 30) for e in likeliest.estimates
    )


def test_the_command_prints_a_table_and_writes_it(tmp_path, capsys):
    data, out = tmp_path / "reviews", tmp_path / "ope"
    runs = [tmp_path / "bc", tmp_path / "ilql"]
    assert cli.main(["record", "movie-review", "--episodes", "40", "--out", str(data)]) == 0
    for run in runs:
        train = ["train", run.name, "--data", str(data), "--out", str(run), "--steps", "2", "--batch-size", "8"]
        train += ["--decoding-episodes", "0"]
        assert cli.main(train) == 0
    capsys.readouterr()
    common = [*map(str, runs), "--data", str(data), "--fitted-steps", "2"]
    for suffix in (".json", ".parquet"):
        assert cli.main(["ope", *common, "--out", str(out.with_suffix(suffix))]) == 0
    seen = capsys.readouterr().out
    assert "40 logged episodes, with a mean return of" in seen
    assert seen.count("weighted per") == 4
    assert re.search(r"^  1: \w+", seen, re.MULTILINE)  # what is to be said of an estimate stands below the table
    table = json.loads(out.with_suffix(".json").read_text())
    assert [row["estimator"] for row in table[:6]] == [row["estimator"] for row in table[6:]]
    assert {row["run"] for row in table} == set(map(str, runs))
    columns = pq.read_table(out.with_suffix(".parquet")).to_pylist()
    assert [{k: None if v != v else v for k, v in row.items()} for row in columns] == table  # JSON knows no NaN
    assert cli.main(["ope", *common, "--out", str(tmp_path / "ope.txt")]) == 2
    assert "ends in .json or .parquet" in capsys.readouterr().err
    seen = " ".join(seen.split())
    assert "returns from -2 to 1" in seen and "Decoding, as in eval: greedy=true" in seen
    assert all(row["decoding"] == "greedy=true" for row in table)
    assert cli.main(["eval", str(runs[0]), "--episodes", "4"]) == 0
    assert re.search(r"^decoding +greedy=true", capsys.readouterr().out)
    asked = ["--set", "greedy=false", "temperature=0.7", "--returns", "-3", "1.5", "--fitted-steps", "0"]
    assert cli.main(["ope", str(runs[0]), "--data", str(data), *asked]) == 0
    seen = " ".join(capsys.readouterr().out.split())
    assert "returns from -3 to 1.5" in seen and "as in eval: greedy=false temperature=0.7" in seen


def test_a_large_model_is_estimated_without_fitted_q_unless_that_is_asked_for(tmp_path, capsys, monkeypatch):
    data, run, out = tmp_path / "reviews", tmp_path / "bc", tmp_path / "ope.json"
    assert cli.main(["record", "movie-review", "--episodes", "30", "--out", str(data)]) == 0
    train = ["train", "bc", "--steps", "1", "--batch-size", "8", "--decoding-episodes", "0"]
    assert cli.main([*train, "--data", str(data), "--out", str(run)]) == 0
    monkeypatch.setattr("agents.cli.ope_command._STEPS", 1)
    asked = ["ope", str(run), "--data", str(data), "--out", str(out)]
    for largest, more, fitted in ((10**9, [], True), (1000, [], False), (1000, ["--fitted-steps", "1"], True)):
        monkeypatch.setattr("agents.cli.ope_command._LARGEST", largest)
        capsys.readouterr()
        assert cli.main([*asked, *more]) == 0
        assert ("fitted Q and the doubly robust estimate are left out" in capsys.readouterr().err) is not fitted
        assert ("fitted_q" in {row["estimator"] for row in json.loads(out.read_text())}) is fitted


def test_fitted_q_takes_no_episode_twice_in_a_step(reviews, writer, monkeypatch):
    """A batch of more episodes than there are would only hold some of them several times."""
    seen, loss = [], FittedQ.loss
    monkeypatch.setattr(FittedQ, "loss", lambda self, batch: seen.append(len(batch.mask)) or loss(self, batch))
    few = reviews.select(np.arange(9))
    evaluate(writer.policy(temperature=0.7), few, np.random.default_rng(0), fitted_steps=1)
    assert seen == [4, 5]


def test_the_command_says_what_was_learned_from(tmp_path, capsys):
    data, run, next_run = tmp_path / "reviews", tmp_path / "bc", tmp_path / "next"
    assert cli.main(["record", "movie-review", "--episodes", "40", "--out", str(data)]) == 0
    assert (
        cli.main(["record", "movie-review", "--episodes", "30", "--seed", "1", "--out", str(tmp_path / "other")]) == 0
    )
    train = ["train", "bc", "--steps", "1", "--batch-size", "8", "--decoding-episodes", "0"]
    assert cli.main([*train, "--data", str(data), "--out", str(run)]) == 0
    again = ["--data", str(tmp_path / "other"), "--lm", str(run / "agent"), "--out", str(next_run)]
    assert cli.main([*train, *again]) == 0

    def said(agent, folder):
        capsys.readouterr()
        assert cli.main(["ope", str(agent), "--data", str(folder), "--fitted-steps", "0"]) == 0
        return " ".join(capsys.readouterr().out.split())

    EpisodeDataset.load(data).select(np.arange(25, 40)).save(tmp_path / "part")
    assert "not held out: 40 of these 40 episodes" in said(run, data)
    assert "not held out: 15 of these 15 episodes" in said(run / "agent", tmp_path / "part")  # wherever it lies
    assert "not held out" not in said(run, tmp_path / "other")
    seen = said(next_run, tmp_path / "part")
    assert seen.count("not held out: 15") == 1 and "not held out: 40" not in seen  # by the agent it began as


def test_what_two_data_sets_share():
    first, second = (EpisodeDataset.from_episodes(list(EACH_ONCE)[:n]) for n in (8, 8))
    assert shared(first, second) == 8  # without seeds, as wholes
    assert shared(first.select(np.arange(7)), second) == 0

    def seeded(seeds, policy="a"):
        episodes = [dataclasses.replace(EACH_ONCE[0], info={"seed": seed}) for seed in seeds]
        return EpisodeDataset.from_episodes(episodes, {"policy": {"name": policy}})

    assert shared(seeded([1, 2, 3]), seeded([2, 3, 4, 5])) == 2
    assert shared(seeded([1, 2, 3]), seeded([2, 3, 4], "b")) == 0


def test_what_cannot_be_evaluated_is_refused_in_words(reviews, writer):
    with pytest.raises(ValueError, match="BestUtterance says are not known"):
        evaluate(UtteranceILQL(tiny(gym.make_vec("MovieReview-v0", 1))).policy(), reviews, np.random.default_rng(0))
    with pytest.raises(ValueError, match="at least two episodes"):
        evaluate(writer.policy(), reviews.select([0]), np.random.default_rng(0))
    with pytest.raises(ValueError, match="tokens"):
        evaluate(LMPolicy(make_model("plain"), TOKENIZER, END, 7), reviews, np.random.default_rng(0))
    with pytest.raises(ValueError, match="arrays of one shape"):
        dataclasses.replace(LOG, reward=REWARD[:1])
