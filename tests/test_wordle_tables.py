"""Exact learners of Wordle: against plain loops over states, hand arithmetic of decoding, and full search."""

from collections import defaultdict
from functools import cache

import numpy as np
import pytest
import torch
from scipy.stats import expectile

from agents.decoding.sampling import shape_scores
from agents.evaluation.tabular import tabular_values
from agents.evaluation.wordle_optimum import WordleOptimum
from agents.evaluation.wordle_play import returns
from agents.evaluation.wordle_states import standing
from agents.evaluation.wordle_tables import WordleTable
from datasets_builders import build
from lang_envs import Episodes
from lang_envs.tasks.wordle import Wordle
from lang_envs.tasks.wordle_game import VOCABULARY
from lang_envs.tasks.wordle_patterns import SOLVED

WORDS = ("bears", "beers", "bends", "cable", "table", "tails", "tears", "weary")
GAMMA = 0.9
SETTINGS = [(0.5, "token"), (0.8, "token"), (0.8, "utterance"), (0.5, 1.0), (0.7, 0.5)]


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    folder = tmp_path_factory.mktemp("log") / "d"
    data = build("wordle-mixed", 150, folder, env_id="Wordle-v0", words=WORDS, progress=False)
    return Wordle(WORDS), data.rows(np.arange(len(data)))


def brute(task, games, tau, backup):
    """{state and token: (Q, V)} by loops over games and states, token by token from the last one back."""
    played = []
    for episode in games:
        steps = []
        for t in np.flatnonzero(episode.is_action):
            consistent, turn, said = standing(task, episode.tokens[:t])
            state = (turn, *np.flatnonzero(consistent).tolist(), -1, *said)
            steps.append((state, int(episode.tokens[t]), float(episode.rewards[t])))
        played.append(steps)
    found, v, ahead = {}, {}, [0.0] * len(played)
    for i in range(max(map(len, played)) - 1, -1, -1):
        targets = defaultdict(list)
        for game, steps in enumerate(played):
            if i < len(steps):
                state, token, reward = steps[i]
                after = steps[i + 1] if i + 1 < len(steps) else None
                trace = backup if not isinstance(backup, str) else float(backup == "utterance" and i % 6 != 5)
                value = (1 - trace) * v[after[0]] + trace * ahead[game] if after else 0.0
                ahead[game] = reward + GAMMA * value
                targets[state, token].append(ahead[game])
        q = {key: np.mean(ys) for key, ys in targets.items()}
        for state in {state for state, _ in targets}:
            v[state] = expectile([q[key] for key, ys in targets.items() for _ in ys if key[0] == state], tau)
        found |= {key: (value, v[key[0]]) for key, value in q.items()}
    return found


@pytest.mark.parametrize(("tau", "backup"), SETTINGS)
def test_the_table_is_the_fixed_point_on_states(log, tau, backup):
    task, games = log
    table, expected = WordleTable.of(task, games, tau, GAMMA, backup), brute(task, games, tau, backup)
    assert len(table.q) == len(expected) < games.is_action.sum() / 2, "games meet in states"
    for episode in list(games)[:25]:
        for t in np.flatnonzero(episode.is_action):
            consistent, turn, said = standing(task, episode.tokens[:t])
            state, q = (turn, *np.flatnonzero(consistent).tolist(), -1, *said), table.q_after(episode.tokens[:t])
            for token in range(len(VOCABULARY)):
                want = expected[state, token][0] if (state, token) in expected else np.nan
                assert q[token] == pytest.approx(want, nan_ok=True)
            if not said:
                root = table.states(consistent[None], turn)[0]
                assert table.v[root] == pytest.approx(expected[state, int(episode.tokens[t])][1])


def test_where_every_history_is_a_state_it_is_the_prefix_tree(log):
    task, games = log
    one = Episodes.from_list([list(games)[k] for k in (0, 1)])  # two games meet at most at the start
    q, _ = tabular_values(one, 0.5, GAMMA)
    table = WordleTable.of(task, one, 0.5, GAMMA)
    np.testing.assert_allclose(sorted(np.unique(q[one.is_action])), sorted(np.unique(table.q)))


def test_what_no_table_holds_is_nan(log):
    task, games = log
    table, start = WordleTable.of(task, games), VOCABULARY["<a>"]
    for said in ([VOCABULARY["z"]], [VOCABULARY["</a>"]], [0, 1, 2, 3, 4, 30]):
        assert np.isnan(table.q_after(np.array([start, *said], np.int32))).all()
    with pytest.raises(ValueError, match="begins with token 33"):
        table.q_after(np.array([3], np.int32))


def test_guesses_outside_the_list_are_refused(log):
    _, games = log
    with pytest.raises(ValueError, match="in the word list"):
        WordleTable.of(Wordle(WORDS[1:]), games)


@pytest.mark.parametrize(
    "decoding",
    [
        {},
        {"top_p": 0.61},
        {"temperature": 0.5, "top_p": 0.813},
        {"advantage_weight": 4.0},
        {"advantage_weight": 8.0, "advantage_clip": 0.0, "lm_top_p": 0.713},
        {"advantage_weight": 8.0, "lm_top_p": 0.713, "top_p": 0.913, "temperature": 2.0},
    ],
)
def test_tokens_are_decoded_as_a_models(log, decoding):
    task, games = log
    table = WordleTable.of(task, games, 0.8, GAMMA)
    weight, clip = decoding.get("advantage_weight", 0.0), decoding.get("advantage_clip", np.inf)
    speech = table.speech(**decoding)
    greedy = table.speech(greedy=True, **{k: v for k, v in decoding.items() if k not in ("top_p", "temperature")})
    for state in range(len(table.v)):
        tokens = slice(table.first[state], table.first[state + 1])
        lm = shape_scores(torch.from_numpy(table.share[tokens]).log(), top_p=decoding.get("lm_top_p", 1.0))
        scores = lm + torch.from_numpy(np.minimum(weight * (table.q[tokens] - table.v[state]), clip))
        shaped = shape_scores(scores, decoding.get("temperature", 1.0), 0, decoding.get("top_p", 1.0))
        np.testing.assert_allclose(speech[tokens], shaped.softmax(-1), atol=1e-12)
        assert greedy[tokens].sum() == 1 and scores[greedy[tokens].argmax()] == scores.max()


def exact_return(table, decoding, hidden):
    """The mean return over the hidden words, by recursion over states."""
    task, speech = table.task, table.speech(**decoding)
    patterns = task.lexicon.patterns(task.feedback)

    def words(state, letters=""):
        if len(letters) == 5:
            return {task.words.index(letters): 1.0}
        found = defaultdict(float)
        for e in range(table.first[state], table.first[state + 1]):
            for word, p in words(table.child[e], letters + chr(97 + table.token[e])).items() if speech[e] else ():
                found[word] += speech[e] * p
        return found

    @cache
    def value(consistent, turn, target):
        if turn == 6:
            return 0.0
        mask = np.isin(np.arange(len(task.words)), consistent)
        state = table.states(mask[None], turn)[0]
        guesses = words(state) if state >= 0 else dict.fromkeys(consistent, 1 / len(consistent))
        total = 0.0
        for word, p in guesses.items():
            if word != target:
                left = tuple(w for w in consistent if patterns[word, w] == patterns[word, target])
                total += p * (-1 + value(left, turn + 1, target))
        return total

    return np.mean([value(tuple(range(len(task.words))), 0, target) for target in hidden])


@pytest.mark.parametrize("decoding", [{"greedy": True}, {}, {"advantage_weight": 2.0, "lm_top_p": 0.9}])
def test_returns_are_those_of_the_policy(log, decoding):
    task, games = log
    table = WordleTable.of(task, Episodes.from_list(list(games)[:40]))
    for hidden in (None, [2, 5, 6]):
        found = returns(table, decoding, hidden, games=20_000)
        want = exact_return(table, decoding, range(len(WORDS)) if hidden is None else hidden)
        assert found.mean() == pytest.approx(want, abs=4 * max(found.std(), 0.01) / 20_000**0.5)
    assert (returns(table, decoding, games=50) == returns(table, decoding, games=50)).all()


def searched(task, gamma, hidden, turns):
    """Q at the end of each word by full search."""
    patterns = task.lexicon.patterns(task.feedback)
    q = []
    for word in range(len(task.words)):
        total = 0.0
        for pattern in set(patterns[word, hidden].tolist()) - {SOLVED}:
            left = [h for h in hidden if patterns[word, h] == pattern]
            after = gamma**6 * max(searched(task, gamma, left, turns - 1)) if turns > 1 else 0.0
            total += len(left) * (after - 1)
        q.append(total / len(hidden))
    return q


@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_the_optimum_is_that_of_a_full_search(gamma):
    task = Wordle(("bears", "beers", "tears", "weary"))
    task.max_turns = 3
    optimum = WordleOptimum(task, gamma)
    q = searched(task, gamma, [0, 1, 2, 3], 3)
    np.testing.assert_allclose(optimum.words(np.arange(4), 3), q)
    assert optimum.value() == pytest.approx(gamma**5 * max(q))
    begin = [VOCABULARY["<a>"]]
    first, inside, last = (
        optimum.q_after(np.array(begin + [VOCABULARY[x] for x in said], np.int32)) for said in ("", "be", "beers")
    )
    assert first[VOCABULARY["b"]] == pytest.approx(gamma**5 * max(q[:2])) and np.isfinite(first).sum() == 3
    assert inside[VOCABULARY["e"]] == pytest.approx(gamma**3 * q[1]) and np.isfinite(inside).sum() == 2
    assert last[VOCABULARY["</a>"]] == pytest.approx(q[1]) and np.isfinite(last).sum() == 1
    reply = [VOCABULARY[x] for x in (*"beers", "</a>", "<b>", "<g>", "<b>", "<g>", "<b>", "</s>")]  # weary is left
    after = optimum.q_after(np.array(begin + reply, np.int32))
    assert after[VOCABULARY["w"]] == 0 and after[VOCABULARY["t"]] < -0.5


def test_the_optimum_of_the_packaged_list():
    optimum = WordleOptimum(Wordle("english-30"))
    assert optimum.value() == pytest.approx(-35 / 30)
    with pytest.raises(ValueError, match="at most 400 words"):
        WordleOptimum(Wordle("english"))
    with pytest.raises(ValueError, match="require_dictionary"):
        WordleOptimum(Wordle("english-30", require_dictionary=False))
    never = [VOCABULARY[x] for x in (*"about", "</a>", *5 * ("<y>",), "</s>")]
    with pytest.raises(ValueError, match="No word of the list agrees"):
        optimum.q_after(np.array([VOCABULARY["<a>"], *never], np.int32))
    lost = np.array([VOCABULARY["<a>"], *6 * [VOCABULARY["</a>"]]], np.int32)
    with pytest.raises(ValueError, match="The game is over"):
        optimum.q_after(np.append(lost, VOCABULARY["</s>"]))


def test_values_lead_on_logs_like_tweets(tmp_path):
    task = Wordle("english-30")
    data = build("wordle-tweets", 20_000, tmp_path / "d", env_id="Wordle-v0", words="english-30", progress=False)
    assert data.returns.mean() == pytest.approx(-2.30, abs=0.05)
    best = data.filter(top_fraction=0.2)
    imitation, few = (WordleTable.of(task, x.rows(np.arange(len(x)))) for x in (data, best))
    values = WordleTable.of(task, data.rows(np.arange(len(data))), 0.8)

    def mean(table, **decoding):
        return returns(table, decoding, games=10_000).mean()

    assert mean(imitation) == pytest.approx(-2.2, abs=0.1)
    assert mean(imitation, top_p=0.5) == pytest.approx(-1.89, abs=0.1)
    assert mean(few) == pytest.approx(-1.48, abs=0.1)
    assert mean(values, advantage_weight=16) == pytest.approx(-1.24, abs=0.1)
    assert mean(values, greedy=True, advantage_weight=16) == pytest.approx(-1.2, abs=0.1)
