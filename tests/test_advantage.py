"""Advantage quality: rank correlations against known and against played values."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents import ILQL, LM, ILQLConfig, Logged
from agents.benchmark import Cell, Data, Experiment
from agents.benchmark.report.advantage_table import advantage_table
from agents.benchmark.report.outcome import Outcome
from agents.evaluation.advantage import LEAST, Alternatives, advantage_quality, quality_beside, spearman
from agents.evaluation.known_values import known_values, of_movie_review, of_wordle
from agents.evaluation.played_values import played_values
from agents.utterance_ilql import UtteranceILQL
from datasets_builders import build
from lang_envs.make import language_vec
from lang_envs.rollout import Start
from lang_envs.tasks.movie_review import REVIEWS, MovieReview
from lang_envs.tasks.wordle import Wordle
from lang_envs.tasks.wordle_game import END, VOCABULARY


@pytest.fixture(scope="module")
def env():
    return language_vec("MovieReview-v0", 64)


@pytest.fixture(scope="module")
def learned(env, tmp_path_factory):
    data = build("movie-review", 400, tmp_path_factory.mktemp("reviews") / "data", progress=False)
    agent = ILQL(LM.from_scratch("d64-l2", env), ILQLConfig(tau=0.99))
    return agent.learn(Logged(data), 300, progress=False)


def test_spearman_is_that_of_ranks_where_both_are_known():
    x, y = np.array([0.0, 5.0, 1.0, 9.0, np.nan]), np.array([0.0, 100.0, 2.0, np.nan, 1.0])
    assert spearman(x, y) == pytest.approx(1.0)
    assert spearman(-x, y) == pytest.approx(-1.0)
    assert spearman(np.ones(5), y) == 0.0, "values that are all equal order nothing"
    assert spearman(x, np.ones(5)) is None
    assert spearman(x[: LEAST - 1], y[: LEAST - 1]) is None


class Fixed:
    """A model whose Q of a token is its number."""

    def __init__(self, monkeypatch):
        def values(model, histories, candidates):
            return [np.asarray(c, np.float64) for c in candidates]

        monkeypatch.setattr("agents.evaluation.advantage.token_values", values)
        self.config = type("Config", (), {"q_head": "full", "values_tokens": True})


def test_alternatives_that_agree_so_far_count_once_and_the_last_token_is_an_utterances_own(monkeypatch):
    said = [np.array(u, np.int32) for u in ([5, 1], [5, 2], [6, 9, 3], [7, 4])]
    reference = [np.array(q) for q in ([1.0, 1.0], [1.0, 2.0], [2.0, 9.0, 3.0], [3.0, -4.0])]
    state = Alternatives(np.array([0], np.int32), said, reference)
    found = advantage_quality(Fixed(monkeypatch), [state])
    assert found["0"] == pytest.approx(1.0)  # 5, 6 and 7 against 1, 2 and 3
    assert found["end"] == pytest.approx(spearman(np.array([1.0, 2, 3, 4]), np.array([1.0, 2, 3, -4])))
    assert set(found) == {"0", "1", "end"}, "only one utterance has a third token"


def test_the_ceiling_is_what_halves_of_the_games_agree_on(monkeypatch):
    said = [np.array([k], np.int32) for k in (1, 2, 3, 4)]
    whole = [np.array([float(k)]) for k in (1, 2, 3, 4)]
    halves = ([np.array([float(k)]) for k in (1, 2, 3, 4)], [np.array([float(k)]) for k in (2, 1, 3, 4)])
    found = advantage_quality(Fixed(monkeypatch), [Alternatives(np.array([0], np.int32), said, whole, halves)])
    assert found["end"] == pytest.approx(1.0)
    assert found["ceiling/end"] == pytest.approx(np.sqrt(2 * 0.8 / 1.8))


def test_ilql_with_a_high_expectile_orders_reviews_as_the_optimum_does(env, learned):
    found = quality_beside(learned.model, known_values(env.task, None, learned.config.gamma))
    assert found["optimal/3"] > 0.7 and found["optimal/end"] > 0.9
    assert found["behaviour/4"] < 0.6, "the best continuation is not the one that is best on average"


def test_known_values_of_reviews_are_the_tasks_own():
    task = MovieReview()
    (state,) = of_movie_review(task, 0.9)["optimal"]
    superb = next(i for i, review in enumerate(REVIEWS) if review.text.endswith("superb"))
    assert state.reference[superb][-1] == pytest.approx(1.0)
    assert state.reference[superb][0] == pytest.approx(0.9 ** (len(state.utterances[superb]) - 1))


def test_played_values_are_what_the_language_model_earns_from_there_on(env, learned):
    (state,) = played_values(learned, env, [Start(0)], utterances=16, games=64)
    texts = [env.tokenizer.decode(u[:-1]) for u in state.utterances]
    rewards = {review.text: review.reward for review in REVIEWS}
    for text, values in zip(texts, state.reference, strict=True):
        assert values[-1] == pytest.approx(rewards.get(text, -2.0))
        if text in rewards:  # the first token is "the" in all of them: the mean of reviews, discounted
            assert -0.5 < values[0] < 0.5
    found = advantage_quality(learned.model, [state])
    assert found["ceiling/end"] == pytest.approx(1.0), "the reward of a whole review is certain"
    again = played_values(learned, env, [Start(0)], utterances=16, games=64)
    np.testing.assert_array_equal(np.concatenate(state.reference), np.concatenate(again[0].reference))


def test_played_values_need_two_halves(env, learned):
    with pytest.raises(ValueError, match="games must be even"):
        played_values(learned, env, [Start(0)], games=3)


def test_known_values_of_wordle_are_of_states_and_words_in_the_log(tmp_path):
    task = Wordle(["crane", "slate", "pious", "mound"])
    data = build("wordle-mixed", 400, tmp_path / "d", env_id="Wordle-v0", words=list(task.words), progress=False)
    known = of_wordle(task, data, gamma=1.0, states=8)
    assert set(known) == {"behaviour", "optimal"} and 0 < len(known["optimal"]) <= 8
    for state, best in zip(known["behaviour"], known["optimal"], strict=True):
        for word, values, optimal in zip(state.utterances, state.reference, best.reference, strict=True):
            assert word[-1] == VOCABULARY[END] and not np.isnan(values).any()
            assert optimal[-1] >= values[-1] - 0.35, "who played cannot do better than the optimum, but for noise"
        assert all(len(half) == len(state.utterances) for half in state.halves)


def test_values_of_utterances_have_no_advantage_of_tokens(env):
    agent = UtteranceILQL(LM.from_scratch("d64-l2", gym.make_vec("MovieReview-v0", 1)))
    with torch.inference_mode(), pytest.raises(ValueError, match="no advantages of tokens to compare"):
        advantage_quality(agent.model, [])


def test_the_table_shows_each_reference_that_was_measured_and_what_its_noise_allows():
    experiment = Experiment(
        "e", "E", "", Data("movie-review", 1), "MovieReview-v0", (Cell("BC", "bc"), Cell("ILQL", "ilql"))
    )
    played = {"advantage/played/0": 0.25, "advantage/played/ceiling/0": 0.8}
    runs = [{"metrics": {"return": 0.0, "advantage/optimal/end": x, **played}} for x in (0.5, 0.7)]
    table = advantage_table(Outcome(experiment, {"BC": [{"metrics": {"return": 0.0}}], "ILQL": runs}, {}, None))
    assert table.header == ("", "optimal play, last token", "playing on by imitation, first token", "runs")
    assert table.rows[0] == ("ILQL", "0.60 [0.50, 0.70]", "0.25 [0.25, 0.25]", "2")
    assert table.rows[1][1:] == ("–", "0.80", "–")
    nothing = [{"metrics": {"return": 0.0}}]
    assert advantage_table(Outcome(experiment, {"BC": nothing, "ILQL": nothing}, {}, None)) is None
