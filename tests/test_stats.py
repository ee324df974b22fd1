import numpy as np
import pytest
from scipy import stats as scipy_stats

from agents.evaluation import stats


@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (4, 2), (5, 7), (10, 3)])
def test_iqm_is_the_trimmed_mean(shape):
    scores = np.random.default_rng(0).normal(size=shape)
    assert stats.iqm(scores) == pytest.approx(scipy_stats.trim_mean(scores.ravel(), 0.25))
    stacked = np.stack([scores, 2 * scores])
    np.testing.assert_allclose(stats.iqm(stacked), [stats.iqm(scores), 2 * stats.iqm(scores)])


def test_iqm_ignores_an_outlier_that_moves_the_mean():
    scores = np.array([[1.0], [1.0], [1.0], [100.0]])
    assert stats.iqm(scores) == 1.0
    assert stats.mean(scores) > 25


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    intervals = [stats.bootstrap_interval(rng.normal(size=20), rng, resamples=400) for _ in range(300)]
    covered = np.mean([low <= 0 <= high for low, high in intervals])
    assert 0.87 < covered < 0.98


def test_runs_are_redrawn_within_each_task():
    scores = np.tile([0.0, 100.0], (5, 1))  # no spread within either task, a large one between them
    assert stats.bootstrap_interval(scores, np.random.default_rng(0)) == (50.0, 50.0)


def test_runs_that_belong_together_are_redrawn_together():
    seeds = np.array([[0.0, 0.0], [100.0, 100.0]])  # one good seed, one bad one, in both tasks
    apart, together = (
        stats.bootstrap_interval(seeds, np.random.default_rng(0), resamples=400, together=t) for t in (False, True)
    )
    draws = [stats.bootstrap_interval(seeds, np.random.default_rng(0), level=0.6, together=t) for t in (False, True)]
    assert apart == together == (0.0, 100.0)
    assert draws == [(25.0, 75.0), (0.0, 100.0)]


def test_the_same_generator_gives_the_same_interval():
    scores = np.random.default_rng(3).normal(size=(6, 2))
    first, again = (stats.bootstrap_interval(scores, np.random.default_rng(7), stats.iqm) for _ in range(2))
    assert first == again
    assert first.low < stats.iqm(scores) < first.high


def test_probability_of_improvement():
    assert stats.probability_of_improvement([2, 3], [0, 1]) == 1
    assert stats.probability_of_improvement([0, 1], [0, 1]) == 0.5
    assert stats.probability_of_improvement([[2, 0]], [[1, 1]]) == 0.5
    ours, theirs = np.random.default_rng(0).normal(size=(2, 9))
    u = scipy_stats.mannwhitneyu(ours, theirs).statistic
    assert stats.probability_of_improvement(ours, theirs) == pytest.approx(u / 81)


def test_one_run_has_a_mean_and_no_spread():
    summary = stats.summarise([-2.0], np.random.default_rng(0))
    assert summary.mean == -2
    assert summary.runs == 1
    assert np.isnan([summary.error, *summary.interval]).all()


def test_three_runs_by_hand():
    summary = stats.summarise([1.0, 2.0, 3.0], np.random.default_rng(0))
    assert summary.mean == 2
    assert summary.error == pytest.approx(1 / np.sqrt(3))
    assert 1 <= summary.interval.low < 2 < summary.interval.high <= 3


@pytest.mark.parametrize("scores", [[], [[]], [1.0, float("nan")], np.zeros((2, 2, 2))])
def test_what_is_not_a_score_matrix_is_refused(scores):
    with pytest.raises(ValueError, match="scores must be"):
        stats.bootstrap_interval(scores, np.random.default_rng(0))


def test_different_tasks_cannot_be_compared():
    with pytest.raises(ValueError, match="same tasks"):
        stats.probability_of_improvement(np.zeros((2, 2)), np.zeros((2, 3)))
