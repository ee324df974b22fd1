"""The prefix-tree fixed point, against hand arithmetic."""

import numpy as np
import pytest
from scipy.stats import expectile

from agents.evaluation.tabular import group_expectile, tabular_values
from lang_envs import Episode, Episodes


# 0 opens, 1 ends an utterance, 2 and 3 are the choices, 4 is the environment.
def episode(tokens, rewards, terminated=True):
    tokens = np.array(tokens, np.int32)
    is_action = ~np.isin(tokens, [0, 4])
    return Episode(tokens, is_action, np.array(rewards, np.float32), terminated, not terminated)


LOG = Episodes.from_list(
    [
        episode([0, 2, 1, 4, 2, 1], [0, 0, -1, 0, 0, 5]),
        episode([0, 2, 1, 4, 3, 1], [0, 0, -1, 0, 0, -5]),
        episode([0, 3, 1], [0, 0, 1]),
    ]
)


def test_half_gives_the_means_of_the_log():
    q, v = tabular_values(LOG, tau=0.5, gamma=0.9)
    second = (0.9 * 5 + 0.9 * -5) / 2  # the second turn: both utterances, discounted once by their end token
    first = -1 + 0.9 * second
    np.testing.assert_allclose(q[[1, 2, 4, 5]], [0.9 * first, first, 4.5, 5])
    assert v[1] == pytest.approx((2 * 0.9 * first + 0.9) / 3)
    assert np.isnan(q[[0, 3]]).all()


def test_one_gives_the_best_of_the_log_and_stitches():
    q, v = tabular_values(LOG, tau=1 - 1e-9, gamma=1.0)
    assert v[4] == pytest.approx(5, abs=1e-6)
    assert v[1] == pytest.approx(4, abs=1e-6)
    assert q[7] == pytest.approx(4, abs=1e-6), "the losing episode's own opening is worth the best that followed it"


def test_a_reply_decides_which_state_follows():
    log = Episodes.from_list(
        [episode([0, 2, 1, 4, 2, 1], [0, 0, 0, 0, 0, 1]), episode([0, 2, 1, 0, 2, 1], [0, 0, 0, 0, 0, 3])]
    )
    q, _ = tabular_values(log, tau=0.99, gamma=1.0)
    assert q[1] == pytest.approx(2), "the agent does not choose the reply: its mean counts, not its best"


def test_expectiles_are_scipys():
    rng = np.random.default_rng(0)
    x, group = rng.normal(size=200), rng.integers(0, 7, 200)
    for tau in (0.2, 0.5, 0.9, 0.999):
        got = group_expectile(x, group, tau)
        want = np.array([expectile(x[group == g], tau) for g in range(7)])[group]
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)


def test_tau_must_be_an_expectile():
    with pytest.raises(ValueError, match="between 0 and 1"):
        tabular_values(LOG, tau=1.0, gamma=0.9)
