"""Off-policy estimates beside what is exact: hand-written numbers, every review of MovieReview, a small Wordle."""

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
from agents.ope import FittedQ, FittedQConfig, Log, estimates, evaluate
from agents.ope.estimators import effective_sizes, estimators
from agents.ope.evaluate import logprobs, recorded_logprobs
from datasets_builders import EpisodeDataset
from lang_envs import Episodes, rollout
from lang_envs.policies.wordle import RandomValid

REWARD = np.array([[1.0, 2.0, 9.0], [3.0, 0.0, 0.0]])
MASK = np.array([[True, True, False], [True, False, False]])
RATIO = np.array([[2.0, 0.5, 7.0], [0.25, 7.0, 7.0]])
Q = np.array([[0.5, 1.0, 9.0], [2.0, 9.0, 9.0]])
V = np.array([[0.4, 0.8, 9.0], [0.4, 9.0, 9.0]])
BEHAVIOUR = np.full((2, 3), np.log(0.1))
LOG = Log(REWARD, MASK, np.log(RATIO) + BEHAVIOUR, BEHAVIOUR, Q, V)
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
    v = np.tile([value, value / 2], (1500, 1))
    right = Log(**columns, q=paid[action] + v - v[:, :1] / 2, v=v)
    spread = estimators(right, 1.0)["doubly_robust"](np.eye(1500)[:50])  # of single episodes
    np.testing.assert_allclose(spread, value, atol=1e-12)
    wrong = Log(**columns, q=np.full_like(v, 3.0), v=np.full_like(v, 3.0))
    for e in estimates(wrong, rng)[:5]:
        assert e.value == pytest.approx(value, abs=0.2), e
        assert e.interval.low < value < e.interval.high, e
        assert not e.warnings


def test_what_is_hopeless_is_called_so():
    few = estimates(LOG, np.random.default_rng(0), GAMMA)
    assert all("hopeless: the weights leave" in e.warnings[0] for e in few if e.name != "fitted_q")
    never = dataclasses.replace(LOG, target=np.where(MASK, -np.inf, 0.0))
    found = by_name(estimates(never, np.random.default_rng(0)))
    assert found["weighted"].warnings == ("hopeless: the policy would have said nothing of what the log holds",)
    assert np.isnan(found["weighted"].value)
    assert np.isnan(found["weighted"].interval.low)
    assert found["ordinary"].value == 0
    assert found["ordinary"].effective == 0
    rare = dataclasses.replace(LOG, target=LOG.behaviour - 3)
    for e in estimates(rare, np.random.default_rng(0), least=0):
        assert any("not all in the log: the weights average 0.026" in why for why in e.warnings), e
    assert list(effective_sizes(np.array([[1.0, 0.0, 1e-300], [1.0, 2.0, 1e-300]]))) == pytest.approx([2, 1, 2])


def test_unknown_log_probabilities_are_not_certainties():
    unknown = np.where([[False], [True]], np.nan, BEHAVIOUR)
    part = by_name(estimates(dataclasses.replace(LOG, behaviour=unknown), np.random.default_rng(0), GAMMA))
    assert part["weighted"].value == pytest.approx(1 + GAMMA * 2)  # of the first episode alone
    assert any("1 of 2 episodes were left out" in why for why in part["weighted"].warnings)
    none = by_name(estimates(dataclasses.replace(LOG, behaviour=BEHAVIOUR * np.nan), np.random.default_rng(0)))
    assert all(np.isnan(e.value) and "no log-probabilities" in e.warnings[0] for e in none.values() if e.effective == 0)
    assert none["fitted_q"].value == pytest.approx(0.4)
    logp = np.where(EACH_ONCE[0].is_action, np.float32(-1), np.float32("nan"))
    logp[-1] = np.nan
    episodes = Episodes.from_list([dataclasses.replace(EACH_ONCE[0], logprobs=logp), EACH_ONCE[5]])
    recorded = recorded_logprobs(episodes, collate(episodes, *MARKERS))
    assert np.isnan(recorded).tolist() == [[False] * 4 + [True], [True] * 5]


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
    return EpisodeDataset.from_episodes(episodes, tokenizer=TASK.tokenizer())


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


def test_fitted_q_finds_the_values_of_another_policy(reviews, writer):
    policy = writer.policy(temperature=0.7)
    batch, q, v, p = exact_values(policy)
    fitted = FittedQ.of(policy, FittedQConfig(target_rate=0.2))
    assert fitted.model.lm is not writer.model
    before = {name: x.clone() for name, x in writer.model.state_dict().items()}
    fitted.learn(Logged(reviews), 100, lr=1e-2, batch_size=50, progress=False)
    assert all(torch.equal(x, before[name]) for name, x in writer.model.state_dict().items())
    q_found, v_found = (x.numpy() for x in fitted.values(batch))
    mask = batch.mask.numpy() > 0
    weight = np.where(mask, p[:, None], 0)  # as often as the policy is there
    assert np.average(abs(q_found - q), weights=weight) < 0.08
    assert abs(v_found[0, 0] - v[0, 0]) < 0.1
    assert not q_found[~mask].any()


def test_fitted_q_backs_up_the_policys_own_expectation(reviews, writer):
    policy = writer.policy()
    fitted = FittedQ.of(policy, FittedQConfig(gamma=0.9, trace=0.7, zero_init=False))
    batch = collate(EACH_ONCE, *MARKERS)
    q_all = fitted.model.values(batch).q[0].detach()  # [B, A, V]; the target head is still the same
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


def test_the_command_prints_a_table_and_writes_it(tmp_path, capsys):
    data, out = tmp_path / "reviews", tmp_path / "ope"
    runs = [tmp_path / "bc", tmp_path / "ilql"]
    assert cli.main(["record", "movie-review", "--episodes", "40", "--out", str(data)]) == 0
    for run in runs:
        train = ["train", run.name, "--data", str(data), "--out", str(run), "--steps", "2", "--batch-size", "8"]
        assert cli.main(train) == 0
    capsys.readouterr()
    common = [*map(str, runs), "--data", str(data), "--fitted-steps", "2"]
    for suffix in (".json", ".parquet"):
        assert cli.main(["ope", *common, "--out", str(out.with_suffix(suffix))]) == 0
    seen = capsys.readouterr().out
    assert "40 episodes, whose own mean return is" in seen
    assert seen.count("weighted per") == 4
    assert re.search(r"^  1: \w+", seen, re.MULTILINE)  # what is to be said of an estimate stands below the table
    table = json.loads(out.with_suffix(".json").read_text())
    assert [row["estimator"] for row in table[:6]] == [row["estimator"] for row in table[6:]]
    assert {row["run"] for row in table} == set(map(str, runs))
    assert pq.read_table(out.with_suffix(".parquet")).to_pylist() == table
    assert cli.main(["ope", *common, "--out", str(tmp_path / "ope.txt")]) == 2
    assert "ends in .json or .parquet" in capsys.readouterr().err


def test_what_cannot_be_evaluated_is_refused_in_words(reviews, writer):
    with pytest.raises(ValueError, match="BestUtterance says are not known"):
        evaluate(UtteranceILQL(tiny(gym.make_vec("MovieReview-v0", 1))).policy(), reviews, np.random.default_rng(0))
    with pytest.raises(ValueError, match="at least two episodes"):
        evaluate(writer.policy(), reviews.select([0]), np.random.default_rng(0))
    with pytest.raises(ValueError, match="tokens"):
        evaluate(LMPolicy(make_model("plain"), TOKENIZER, END, 7), reviews, np.random.default_rng(0))
    with pytest.raises(ValueError, match="Q and V belong together"):
        dataclasses.replace(LOG, v=None)
    with pytest.raises(ValueError, match="arrays of one shape"):
        dataclasses.replace(LOG, reward=REWARD[:1])
