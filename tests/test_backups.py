"""Backups over more than one token: against a plain loop, in a table, and on a long chain."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch
from value_tables import values_of

from agents import ILQL, LM, SARSA, ILQLConfig, Logged, SARSAConfig, collate
from agents.cql import CQLConfig
from agents.data.batch import backward_sum
from agents.evaluation.tabular import tabular_values
from agents.psi import PsiConfig
from agents.training.horizon import check_horizon
from agents.value_learning import bootstrapped_losses, ends, expectile_error, targets
from lang_envs import Episode, Episodes

PAD, END = 0, 1
BACKUPS = ("token", "utterance", 0.0, 0.3, 0.95, 1.0)


def episode(tokens, rewards, terminated=True):
    """Token 4 is the environment's."""
    tokens = np.array(tokens, np.int32)
    is_action = (tokens != 4) & (np.arange(len(tokens)) > 0)
    return Episode(tokens, is_action, np.array(rewards, np.float32), terminated, not terminated)


def random_log(rng, size=40):
    """Episodes of one to four utterances, with rewards anywhere; some end, some were cut in an utterance."""
    log = []
    for _ in range(size):
        tokens, cut = [4], rng.random() < 0.3
        for _ in range(rng.integers(1, 5)):
            tokens += [*rng.integers(2, 4, rng.integers(0, 4)), END, *[4] * rng.integers(0, 3)]
        while tokens[-1] == 4:
            tokens.pop()
        tokens = [*tokens, 2, 3] if cut else tokens
        rewards = rng.normal(size=len(tokens)) * (np.array(tokens) != 4)
        rewards[0] = 0
        log.append(episode(tokens, rewards, not cut))
    return log


@pytest.mark.parametrize("backup", BACKUPS)
@pytest.mark.parametrize("per", ["token", "turn"])
def test_targets_are_a_loop_over_each_episode(backup, per):
    log, rng = random_log(np.random.default_rng(0)), np.random.default_rng(1)
    batch = collate(log, PAD, END)
    v_next = torch.tensor(rng.normal(size=batch.mask.shape), dtype=torch.float32) * batch.mask
    config = ILQLConfig(gamma=0.9, discount_per=per, backup=backup)
    got = batch.in_rows(targets(config, batch, batch.reward, batch.flat(v_next)))
    for row, told in enumerate(log):
        at = np.flatnonzero(told.is_action)
        y = None
        for i in reversed(range(len(at))):
            last = i == len(at) - 1
            same = not last and at[i + 1] == at[i] + 1 and told.tokens[at[i]] != END
            trace = {"token": 0.0, "utterance": float(same)}.get(backup, 0.0 if last else backup)
            gamma = 0.9 if per == "token" or not same else 1.0
            goes_on = 0.0 if last and told.terminated else 1.0
            following = (1 - trace) * v_next[row, i].item() + (trace * y if trace else 0.0)
            y = told.rewards[at[i]] + gamma * goes_on * following
            assert got[row, i].item() == pytest.approx(y, rel=1e-4, abs=1e-5)


def random_values(batch, seed):
    """Values of a vocabulary of five tokens, as a model would give them."""
    torch.manual_seed(seed)
    rows = (*batch.mask.shape, 5)
    target_q, v, v_next = (torch.randn(rows[:2]) for _ in range(3))
    return values_of(batch, [torch.randn(rows), torch.randn(rows)], target_q, v, v_next, torch.randn(rows), unit=2.0)


@pytest.mark.parametrize("per", ["token", "turn"])
def test_what_an_utterance_is_worth_at_its_end_is_a_loop_over_each_episode(per):
    log = random_log(np.random.default_rng(4))
    batch = collate(log, PAD, END)
    x = random_values(batch, 4)
    target_q = batch.in_rows(x.target_q)  # [B, A]
    got = batch.in_rows(ends(ILQLConfig(gamma=0.9, discount_per=per), batch, x))
    for row, told in enumerate(log):
        at, worth = np.flatnonzero(told.is_action), 0.0
        for i in reversed(range(len(at))):
            same = i < len(at) - 1 and at[i + 1] == at[i] + 1 and told.tokens[at[i]] != END
            gamma = 0.9 if per == "token" else 1.0
            worth = told.rewards[at[i]] + gamma * worth if same else target_q[row, i].item()
            assert got[row, i].item() == pytest.approx(worth, rel=1e-4, abs=1e-5)


def test_the_implicit_loss_is_between_the_mean_of_what_followed_and_the_best_end():
    log = random_log(np.random.default_rng(5))
    batch = collate(log, PAD, END)
    config, x = ILQLConfig(tau=0.8), random_values(batch, 5)
    _, parts = bootstrapped_losses(config, batch, x, tau=0.8)
    y = targets(ILQLConfig(backup="utterance"), batch, batch.reward, x.v_next)
    worth, inside, expected = ends(config, batch, x), batch.flat(batch.inside()), 0.0
    for k in range(len(y)):
        for head in x.q:
            q = head[k].item()
            error, short = (y[k].item() - q) / 2, (worth[k].item() - q) / 2  # in units of 2
            if inside[k]:
                expected += 2 * 0.2 * error**2 + (2 * 0.8 - 1) * 2 * (0.8 if short >= 0 else 0.2) * short**2
            else:
                expected += error**2
    assert parts["loss/q"].item() == pytest.approx(expected / batch.mask.sum().item(), rel=1e-5)


def test_at_one_half_the_implicit_loss_is_that_of_the_utterances():
    batch = collate(random_log(np.random.default_rng(6)), PAD, END)
    x = random_values(batch, 6)
    implicit, plain = (bootstrapped_losses(SARSAConfig(backup=b), batch, x, 0.5)[0] for b in ("implicit", "utterance"))
    torch.testing.assert_close(implicit, plain)


def test_the_expectile_error_is_least_at_the_expectile():
    sample = torch.tensor([0.0, 1.0, 5.0])
    q = torch.linspace(0, 5, 50_001)
    best = q[torch.stack([expectile_error(q, y.expand(len(q)), torch.tensor(0.9)) for y in sample]).sum(0).argmin()]
    best = best.item()
    assert 0.9 * (5 - best) == pytest.approx(0.1 * (best + best - 1), abs=1e-3)
    assert torch.equal(expectile_error(q, sample[1]), (1 - q) ** 2)


def test_an_implicit_backup_looks_for_the_best_and_not_for_the_worst():
    with pytest.raises(ValueError, match=r"takes a tau from 0\.5, not 0\.4"):
        ILQLConfig(tau=0.4)
    assert ILQLConfig(tau=0.4, backup="utterance").tau == 0.4


def test_agents_without_an_expectile_have_no_implicit_backup():
    for config in (CQLConfig, PsiConfig):
        with pytest.raises(ValueError, match='backup is "token", "utterance" or a lambda from 0 to 1, not'):
            config(backup="implicit")


def test_lambda_one_backs_up_the_return_of_what_ended_and_zero_is_one_step():
    batch = collate([told for told in random_log(np.random.default_rng(2)) if told.terminated], PAD, END)
    v_next = torch.randn(len(batch.real), generator=torch.Generator().manual_seed(0))  # [K]
    whole = targets(SARSAConfig(backup=1.0), batch, batch.reward, v_next)
    torch.testing.assert_close(batch.in_rows(whole), batch.returns_to_go(0.99))
    one, zero = (targets(CQLConfig(backup=b), batch, batch.reward, v_next) for b in ("token", 0.0))
    torch.testing.assert_close(one, zero)


def test_backward_sum_is_its_recurrence():
    x, factor = torch.randn(3, 9), torch.rand(3, 9)
    y = torch.zeros(3)
    for i in reversed(range(9)):
        y = x[:, i] + factor[:, i] * y
        torch.testing.assert_close(backward_sum(x, factor)[:, i], y)


@pytest.mark.parametrize("backup", ["tokens", -0.1, 1.1, float("nan"), None, [0.5]])
def test_what_is_no_backup_is_refused(backup):
    with pytest.raises(ValueError, match='backup is "token", "utterance", "implicit" or a lambda from 0 to 1'):
        ILQLConfig(backup=backup)


# Two utterances of two tokens; in the first, "2" is followed by a good end once and by a bad one once.
TABLE = Episodes.from_list(
    [
        episode([0, 2, END, 4, 2, END], [0, 0, 1, 0, 0, 4]),
        episode([0, 2, 3, END, 4, 2, END], [0, 0, 0, -3, 0, 0, 0]),
        episode([0, 3, END], [0, 0, 0]),
    ]
)


def test_the_table_of_a_backup_to_the_end_of_the_utterance():
    q, v = tabular_values(TABLE, tau=1 - 1e-9, gamma=1.0, backup="utterance", end_id=END)
    assert q[1] == pytest.approx((5 - 3) / 2, abs=1e-6), "the mean of what the log said after it"
    assert v[1] == pytest.approx(1, abs=1e-6) and v[4] == pytest.approx(4, abs=1e-6)
    one, _ = tabular_values(TABLE, tau=1 - 1e-9, gamma=1.0)
    assert one[1] == pytest.approx(5, abs=1e-6), "one step stitches inside of the utterance too"


def test_the_table_of_an_implicit_backup():
    q, v = tabular_values(TABLE, tau=1 - 1e-9, gamma=1.0, backup="implicit", end_id=END)
    assert q[1] == pytest.approx(5, abs=1e-6), "the best of what the log said after it"
    assert v[1] == pytest.approx(5, abs=1e-6) and v[4] == pytest.approx(4, abs=1e-6)
    q, _ = tabular_values(TABLE, tau=0.75, gamma=1.0, backup="implicit", end_id=END)
    good, bad = 1 + 4, -3.0  # what the two ends are worth, and what followed: here nothing was chance
    mean, best = good + bad - 2 * q[1], 2 * (0.75 * (good - q[1]) + 0.25 * (bad - q[1]))
    assert 2 * 0.25 * mean + (2 * 0.75 - 1) * best == pytest.approx(0)


def test_the_table_of_td_lambda():
    q, _ = tabular_values(TABLE, tau=1 - 1e-9, gamma=1.0, backup=0.25)
    second = [4.0, 0.0]  # y of the second utterances' first tokens: 0.75 * V + 0.25 * y, both equal here
    ends = [1 + 0.75 * 4 + 0.25 * second[0], -3 + 0.0]  # y of the first utterances' end tokens
    middle = 0.75 * ends[1] + 0.25 * ends[1]  # y of "3" after "2"
    best = max(ends[0], middle)  # V after "2"
    assert q[1] == pytest.approx(np.mean([0.75 * best + 0.25 * ends[0], 0.75 * best + 0.25 * middle]), abs=1e-6)


@pytest.mark.parametrize("backup", [*BACKUPS, "implicit"])
def test_half_gives_the_behaviours_values_with_every_backup(backup):
    log = Episodes.from_list(random_log(np.random.default_rng(3)))
    expected, got = (tabular_values(log, 0.5, 0.9, b, END) for b in ("token", backup))
    np.testing.assert_allclose(got, expected, atol=1e-9)


CHAIN = 40


def told_in_forty(env, first, reward):
    """An utterance of 40 tokens, paid at its end."""
    tokens = np.array([4, 4, first, *range(20, 20 + CHAIN - 2), env.end_id], np.int32)
    rewards = np.zeros(len(tokens), np.float32)
    rewards[-1] = reward
    return Episode(tokens, np.arange(len(tokens)) > 1, rewards, terminated=True)


def chain_error(cls, config, steps):
    """Trains on one utterance that is paid -10: V of its start over -10."""
    env = gym.make_vec("Dialogue-BLEU-v0", 1)
    log = [told_in_forty(env, 100, -10)] * 8
    agent = cls(LM.from_scratch("d64-l2", env), config)
    agent.learn(Logged(log), steps, batch_size=8, lr=1e-3, progress=False)
    with torch.inference_mode():
        v = agent.model.values(collate(log, env.pad_id, env.end_id)).v
    return v[0].item() / -10


def test_a_reward_at_the_end_reaches_the_first_token_in_a_few_steps():
    far, near = (chain_error(ILQL, ILQLConfig(gamma=1.0, bias_init=0.0, backup=b), 100) for b in ("utterance", "token"))
    assert far == pytest.approx(1, abs=0.15)
    assert near < 0.5


def test_sarsa_as_it_is_tells_good_first_words_from_bad_ones_forty_tokens_before_the_reward():
    env = gym.make_vec("Dialogue-BLEU-v0", 1)
    log = [told for first, reward in ((100, -10), (101, 0)) for told in [told_in_forty(env, first, reward)] * 16]
    agent = SARSA(LM.from_scratch("d64-l2", env), SARSAConfig(gamma=1.0))
    agent.learn(Logged(log), 250, batch_size=8, lr=1e-3, progress=False)
    with torch.inference_mode():
        batch = collate([log[0], log[-1]], env.pad_id, env.end_id)
        q = batch.in_rows(agent.model.values(batch).target_q)[:, 0]
    assert q.tolist() == pytest.approx([-10, 0], abs=2.5)


@pytest.mark.parametrize(
    ("backup", "rate", "warned"),
    [
        ("token", 0.1, "up to 4 of them. This takes about 40 steps"),
        ("token", 1.0, None),
        ("implicit", 0.1, None),
    ],
)
def test_a_training_too_short_for_values_to_cross_an_episode_is_warned_about(backup, rate, warned):
    source = Logged([episode([0, 2, 3, 2, END], [0, 0, 0, 0, 1]), episode([0, 2, END], [0, 0, 1])])
    config = ILQLConfig(backup=backup, target_rate=rate)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        check_horizon(config, source, 30, END)
    assert [warned in str(w.message) for w in told] == ([True] if warned else [])


@pytest.mark.parametrize(("backup", "most"), [("utterance", 2.0), ("token", 5.0), (0.5, 2.5)])
def test_how_many_backups_an_episode_has(backup, most):
    source = Logged([episode([0, 2, 3, END, 4, 2, END], [0] * 7), episode([0, 2, END], [0, 0, 1])])
    with pytest.warns(UserWarning, match=f"up to {most:.0f} of them"):
        check_horizon(ILQLConfig(backup=backup), source, 1, END)
