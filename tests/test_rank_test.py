import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from agents.evaluation.rank_test import RankTest, discounted_returns, first_utterances, win_rate
from lang_envs.episode import Episode, Episodes

END = 9


def episode(word, later, rewards, terminated=True):
    """Opening token 0, one word, then one more utterance after a reply."""
    tokens = [0, *word, END, 7, *later, END] if later else [0, *word, END]
    acted = [False] + [True] * (len(word) + 1) + ([False] + [True] * (len(later) + 1) if later else [])
    paid = np.zeros(len(tokens), dtype=np.float32)
    paid[np.flatnonzero(np.array(tokens) == END)] = rewards
    return Episode(
        np.array(tokens, dtype=np.int32),
        np.array(acted),
        paid,
        terminated=terminated,
        truncated=not terminated,
        info={},
    )


def pairwise(values, better, worse):
    return sum(b * w * (values[i] > values[j]) for i, b in enumerate(better) for j, w in enumerate(worse))


def test_the_win_rate_is_the_weighted_count_over_all_pairs():
    rng = np.random.default_rng(0)
    for _ in range(20):
        values = rng.integers(4, size=7).astype(float)  # with ties
        better, worse = rng.dirichlet(np.ones(7)), rng.dirichlet(np.ones(7))
        assert win_rate(values, better, worse) == pytest.approx(pairwise(values, better, worse))


def test_a_tie_is_not_a_win():
    assert win_rate(np.zeros(3), np.ones(3) / 3, np.ones(3) / 3) == 0


def test_discounted_returns_skip_what_the_environment_says():
    episodes = Episodes.from_list([episode([1, 2], [3], [-1, -2]), episode([1, 2], [], [-4])])
    # actions: 1 2 END | 3 END; rewards at the third and the fifth
    np.testing.assert_allclose(discounted_returns(episodes, 0.5), [-1 * 0.25 - 2 * 0.0625, -4 * 0.25])


def test_first_utterances_and_what_cannot_be_compared():
    good = episode([1, 2], [3], [-1, 0])
    opening, words = first_utterances(Episodes.from_list([good, episode([3, 4], [], [0])]), END)
    assert opening.tolist() == [0]
    assert words.tolist() == [[1, 2, END], [3, 4, END]]
    with pytest.raises(ValueError, match="one length"):
        first_utterances(Episodes.from_list([good, episode([3], [5], [0, 0])]), END)
    with pytest.raises(ValueError, match="at least one is cut"):
        first_utterances(Episodes.from_list([good, episode([3], [], [0])]), END)


@pytest.fixture
def trap():
    """Words 1x and 2y. The expert opens with 11 or 12 (once each), half of its games are good, its imitators lose."""
    rows = [
        ("expert", [1, 1], 0.0),
        ("expert", [1, 2], 0.0),
        *[("adversarial", [1, 1], -6.0)] * 3,
        *[("adversarial", [1, 2], -6.0)] * 3,
        *[("suboptimal", [2, 1], -4.0)] * 3,
        ("suboptimal", [1, 2], -4.0),
    ]
    words = np.array([[*word, END] for _, word, _ in rows], dtype=np.int32)
    gamma = 0.9
    returns = np.array([r for _, _, r in rows]) * gamma**2  # discounted from the first letter
    return RankTest.from_columns(np.array([0], dtype=np.int32), words, returns, [p for p, _, _ in rows], gamma)


def test_laws_and_tabular_values_by_hand(trap):
    assert trap.words.tolist() == [[1, 1, END], [1, 2, END], [2, 1, END]]
    np.testing.assert_allclose(trap.better, [0.5, 0.5, 0])
    np.testing.assert_allclose(trap.worse, [0, 0.25, 0.75])
    eleven, twelve, twenty_one = -18 / 4, -22 / 5, -4.0
    np.testing.assert_allclose(trap.behaviour[0], [eleven, twelve, twenty_one])
    np.testing.assert_allclose(trap.behaviour[1], 0.9 * np.array([eleven, twelve, twenty_one]))
    one = 0.9**2 * -40 / 9  # both words that start with 1
    np.testing.assert_allclose(trap.behaviour[2], [one, one, 0.9**2 * -4])
    assert trap.yardsticks()["better"] == pytest.approx((eleven + twelve) / 2)
    assert trap.start_value == pytest.approx(0.81 * -52 / 12)


def test_an_ideal_sarsa_falls_into_the_trap_and_the_ceiling_is_one_less_the_ties(trap):
    assert trap.ideal_sarsa == [0, 0, 0]
    # 11 over 12 and 21, 12 over 21; 12 against itself is a tie: 0.5 * 1 + 0.5 * 0.75
    np.testing.assert_allclose(trap.ceiling, [0.875, 0.875, 0.75])


def test_the_ceiling_is_the_best_of_all_orders():
    from itertools import permutations

    rng = np.random.default_rng(0)
    words = np.concatenate([rng.integers(1, 4, size=(60, 2)), np.full((60, 1), END)], axis=1).astype(np.int32)
    test = RankTest.from_columns(np.zeros(1, np.int32), words, np.zeros(60), ["expert", "suboptimal"] * 30, gamma=1.0)
    first = test.words[:, 0]  # three first letters
    best = max(win_rate(np.array(order, float)[first - 1], test.better, test.worse) for order in permutations(range(3)))
    assert test.ceiling[2] == pytest.approx(best)


def test_the_table_at_one_half_is_the_ideal_sarsa():
    from datasets_builders import EpisodeDataset

    rng = np.random.default_rng(0)
    episodes = [
        episode([*rng.integers(1, 4, size=2)], [int(rng.integers(1, 3))] * int(rng.integers(2)), rewards=-1)
        for _ in range(200)
    ]
    labelled = [
        dataclasses.replace(e, info={"policy": ("expert", "suboptimal")[i % 2]}) for i, e in enumerate(episodes)
    ]
    dataset = EpisodeDataset.from_episodes(labelled)
    test = RankTest.from_dataset(dataset, END, gamma=0.9)
    table = test.tabular(dataset, tau=0.5)
    np.testing.assert_allclose(table["target"], test.ideal_sarsa)
    for name, value in test.yardsticks().items():
        assert table[name] == pytest.approx(value)
    assert test.tabular(dataset, tau=0.9)["start"] > table["start"]


def test_a_group_that_is_not_there_is_named(trap):
    with pytest.raises(ValueError, match=r"'master'.*adversarial, expert"):
        RankTest.from_columns(
            trap.opening, trap.words, np.zeros(3), ["expert", "adversarial", "expert"], better="master"
        )


def test_a_model_that_knows_the_answer_scores_the_ceiling(trap):
    torch = pytest.importorskip("torch")
    from agents.data.batch import Batch

    table = torch.tensor([[3.0, 3.0, 3.0], [3.0, 2.0, 2.0], [1.0, 1.0, 1.0]])  # [W, L]: prefixes share a value

    class Knows:
        training, device = True, torch.device("cpu")
        eval = train = lambda self, mode=False: self

        def values(self, batch: Batch):
            q = batch.flat(table)  # [W * L]
            return SimpleNamespace(q=[q], target_q=-q, v=torch.full_like(q, 0.5))

    result = trap.measure(Knows(), pad_id=8, end_id=END)
    np.testing.assert_allclose(result["online"], trap.ceiling)
    np.testing.assert_allclose(result["target"], [0, 0, 0])
    assert result["start"] == 0.5
    assert result["better"] == pytest.approx(-2.5)
