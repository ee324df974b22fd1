"""Wordle from tweets: reading the coloured squares, and finding words that fit them."""

import csv
import gzip

import numpy as np
import pytest

from datasets_builders import build
from datasets_builders.wordle import utterances
from datasets_builders.wordle_tweets import Retrofit, retrofitted
from lang_envs import Start, rollout
from lang_envs.corpora.files import CorpusError
from lang_envs.corpora.simulated_grids import simulated_grids
from lang_envs.corpora.wordle_tweets import grid_of, read_answers, read_tweets
from lang_envs.make import language_vec
from lang_envs.policies.wordle import RandomMixture
from lang_envs.tasks.wordle import Wordle
from lang_envs.tasks.wordle_game import WordleState
from lang_envs.tasks.wordle_patterns import SOLVED, pattern_of

HEADER = ["wordle_id", "tweet_id", "tweet_date", "tweet_username", "tweet_text"]
WORDS = "english-200"
SQUARES = {"g": "🟩", "y": "🟨", "b": "⬛"}


def write(path, tweets, header=HEADER):
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(header)
        table.writerows([puzzle, 1, "2022-01-15", "someone", text] for puzzle, text in tweets)
    return path


def squares(*rows):
    return "\n".join("".join(SQUARES[mark] for mark in row) for row in rows)


def grid(*rows):
    return [pattern_of(row) for row in rows]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("Wordle 210 3/6\n\n⬛🟨⬛⬛⬛\n⬛⬛🟩🟨⬛\n🟩🟩🟩🟩🟩", grid("bybbb", "bbgyb", "ggggg")),
        ("Wordle 210 1/6*\n⬜🟨⬜⬜🟩\n🟩🟩🟩🟩🟩\ntoo easy!", grid("bybbg", "ggggg")),
        ("colour-blind\n⬛🟦⬛⬛🟧\n🟧🟧🟧🟧🟧", grid("bybbg", "ggggg")),
        ("Wordle (ES) #9 2/6\r\n\r\n⬜⬜⬜⬜🟨\r\n🟩🟩🟩🟩🟩\r\n\r\nwordle.danielfrg.com", grid("bbbby", "ggggg")),
        ("今日のWordle 🟩\n ⬛️🟨⬛️⬛️⬛️ \n🟩🟩🟩🟩🟩 ", grid("bybbb", "ggggg")),
        ("termo\n🟩🟩🟩🟩🟩\n\n⬛⬛⬛⬛⬛", grid("ggggg")),
        ("six squares\n🟩🟩🟩🟩🟩🟩", []),
        ("🟩🟩🟩🟩🟩 solved", []),
        ("🟩🟩🟩🟥🟩", []),
        ("Quordle\n🟨⬛⬛⬛⬛ ⬛⬛⬛⬛🟨", []),
        ("", []),
        ("\n".join(["⬛⬛⬛⬛⬛"] * 8), grid(*["bbbbb"] * 6)),
    ],
)
def test_the_squares_of_a_tweet(text, rows):
    assert grid_of(text) == rows


def test_only_finished_games_are_kept_and_the_others_counted(tmp_path):
    tweets = [
        (210, squares("bybbb", "ggggg")),
        (211, 'I said "no", and\n' + squares(*["bbbbb"] * 6)),
        (212, squares("bybbb", "bbbbb")),  # cut
        (213, squares("ggggg", "bbbbb")),  # goes on
        (214, "no luck today"),
    ]
    games = read_tweets(write(tmp_path / "tweets.csv", tweets))
    assert games.puzzle.tolist() == [210, 211] and games.rows.tolist() == [2, 6] and games.skipped == 3
    assert games.patterns[0].tolist() == [*grid("bybbb"), SOLVED, 0, 0, 0, 0]
    with gzip.open(tmp_path / "tweets.csv.gz", "wb") as file:
        file.write((tmp_path / "tweets.csv").read_bytes())
    assert read_tweets(tmp_path / "tweets.csv.gz").puzzle.tolist() == [210, 211]


def test_what_is_wrong_with_a_table_is_said(tmp_path):
    def refused(message, tweets, header=HEADER, read=read_tweets):
        with pytest.raises(CorpusError, match=message) as raised:
            read(write(tmp_path / "t.csv", tweets, header))
        assert "t.csv" in str(raised.value)

    solved = squares("ggggg")
    refused("header: expected the columns .'tweet_text'.", [(1, solved)], [*HEADER[:-1], "text"])
    refused("row 2, field 'wordle_id': expected a number, got str 'x'", [(1, solved), ("x", solved)])
    refused("no finished game in 1 tweets", [(1, "hello")])
    refused("no finished game in 0 tweets", [])
    answers = ["wordle_id", "a", "b", "c", "word"]
    refused("row 1, field 'word': expected five letters", [(1, "cranes")], answers, read_answers)
    refused("1 is there twice", [(1, "crane"), (1, "slate")], answers, read_answers)
    refused("field 'wordle_id'", [("", "crane")], answers, read_answers)
    (tmp_path / "t.csv").write_bytes(",".join(HEADER).encode() + b"\n1,1,1,1,\xff\n")
    with pytest.raises(CorpusError, match="expected UTF-8"):
        read_tweets(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text(",".join(HEADER) + '\n1,1,1,1,"never closed\n')
    with pytest.raises(CorpusError, match="expected CSV"):
        read_tweets(tmp_path / "t.csv")
    with pytest.raises(CorpusError, match="no file"):
        read_tweets(tmp_path / "nowhere.csv")


@pytest.fixture(scope="module")
def tweets(tmp_path_factory):
    """What players of the official game would have tweeted, and the true words of their days."""
    folder = tmp_path_factory.mktemp("tweets")
    env = language_vec("Wordle-v0", 100, words=WORDS)
    task, rows, hidden = env.task, [], {}
    for episode in rollout(env, RandomMixture(task, 0.6), [Start(s // 10, policy_seed=s) for s in range(400)]):
        day, (state, _) = episode.info["seed"] + 210, task.begin(np.random.default_rng(episode.info["seed"]))
        hidden[day] = state.hidden
        for said in utterances(episode, env.end_id):
            reply = task.reply(state, "".join(chr(97 + letter) for letter in said[:5]), np.random.default_rng(0))
            state = reply.state
        rows.append((day, f"Wordle {day} {len(state.feedback)}/6\n\n{squares(*state.feedback)}"))
    path = write(folder / "tweets.csv", rows)
    lines = [f"{day},{word}" for day, word in hidden.items()]
    (folder / "answers.csv").write_text("\n".join(["wordle_id,word", *lines]) + "\n")
    return str(path), str(folder / "answers.csv"), hidden


def record(tmp_path, files, episodes=600, **options):
    options = {"words": WORDS, "tweets": files[0], "progress": False} | options
    return list(build("wordle-tweets", episodes, tmp_path / "d", seed=1, **options))


def words_of(episode):
    return ["".join(chr(97 + letter) for letter in said[:5]) for said in utterances(episode, 30)]


@pytest.mark.parametrize("env_id", ["Wordle-Paper-v0", "Wordle-v0"])
@pytest.mark.parametrize("player", ["independent", "consistent"])
def test_the_game_with_the_hidden_word_would_have_gone_so(tmp_path, tweets, env_id, player):
    env = language_vec(env_id, 1, words=WORDS)
    games = read_tweets(tweets[0])
    shared = {(day, *grid[:n]) for day, n, grid in zip(games.puzzle, games.rows, games.patterns.tolist(), strict=True)}
    rule = env.task.feedback
    judge = Wordle(WORDS, feedback=rule)
    for episode in record(tmp_path, tweets, 200, env_id=env_id, player=player):
        state, text, rewards = WordleState(hidden=episode.info["hidden"]), "<a>", []
        for word in words_of(episode):
            reply = judge.reply(state, word, np.random.default_rng(0))
            state, text = reply.state, f"{text}{word}</a>{reply.text}"
            rewards.append(reply.reward)
        assert env.tokenizer.decode(episode.tokens) == text and reply.terminated and episode.terminated
        assert episode.rewards[episode.is_action][5::6].tolist() == rewards and episode.ret == sum(rewards)
        assert episode.info["success"] is state.solved
        assert (episode.info["wordle_id"], *map(pattern_of, state.feedback)) in shared


def test_the_consistent_player_heeds_feedback_wherever_the_colours_allow_it(tmp_path, tweets):
    task = Wordle(WORDS, feedback="simple")
    patterns = task.lexicon.patterns("simple")

    def heeded(player):
        """Of the rows for which some word agrees with all earlier feedback: in which share the guess does."""
        agrees = []
        for episode in record(tmp_path / player, tweets, 200, player=player):
            state, target = WordleState(hidden=episode.info["hidden"]), task.words.index(episode.info["hidden"])
            for word in words_of(episode):
                place, consistent = task.words.index(word), task.consistent(state)
                if consistent[patterns[:, target] == patterns[place, target]].any():
                    agrees.append(consistent[place])
                state = task.reply(state, word, np.random.default_rng(0)).state
        return np.mean(agrees)

    assert heeded("consistent") == 1 > heeded("independent") + 0.03


def test_each_word_that_fits_a_row_is_equally_likely(tmp_path, tweets):
    games = read_tweets(tweets[0])
    task = Wordle("english-100", feedback="simple")
    game, hidden, guesses = Retrofit(task, games, None, "independent").draw(6000, np.random.default_rng(0))
    patterns = task.lexicon.patterns("simple")
    rows = np.arange(6) < games.rows[game][:, None]
    assert (guesses[~rows] == -1).all()
    assert (patterns[guesses, hidden[:, None]] == games.patterns[game])[rows].all()
    target, pattern = hidden[0], games.patterns[game[0], 0]
    fits = np.flatnonzero(patterns[:, target] == pattern)
    same = (hidden == target) & (games.patterns[game, 0] == pattern)
    counts = np.bincount(guesses[same, 0], minlength=len(task.words))
    assert counts.sum() == counts[fits].sum() >= 1
    # over everything: a word's share is the mean of one over how many fit
    sizes = np.take_along_axis(
        np.stack([np.bincount(patterns[:, t], minlength=243) for t in range(len(task.words))])[hidden],
        games.patterns[game].astype(int), axis=1,
    )  # fmt: skip
    expected = np.zeros(len(task.words))
    for t, p, size in zip(hidden, games.patterns[game, 0], sizes[:, 0], strict=True):
        expected[patterns[:, t] == p] += 1 / size
    found = np.bincount(guesses[:, 0], minlength=len(task.words))
    assert np.abs(found - expected).max() < 5 * np.sqrt(expected.max())


def test_true_words_are_used_where_they_are_known(tmp_path, tweets):
    _, answers, hidden = tweets
    assert all(
        episode.info["hidden"] == hidden[episode.info["wordle_id"]]
        for episode in record(tmp_path, tweets, 100, answers=answers)
    )
    words = {episode.info["hidden"] for episode in record(tmp_path / "random", tweets, 200)}
    assert len(words) > 60  # any word of the list, not the 40 of those days


def test_simulated_grids_are_those_of_a_player_who_guesses_any_consistent_word():
    games = simulated_grids(6000)
    rows, last = games.rows, games.patterns[np.arange(6000), games.rows - 1]
    assert ((games.patterns == SOLVED).sum(axis=1) == (last == SOLVED)).all() and (rows[last != SOLVED] == 6).all()
    returns = np.where(last == SOLVED, 1.0 - rows, -6.0)
    assert returns.mean() == pytest.approx(-3.125, abs=4 * returns.std() / 6000**0.5)  # RandomConsistent's
    assert (simulated_grids(6000).patterns == games.patterns).all()


def test_without_tweets_people_are_simulated(tmp_path):
    logs = build("wordle-tweets", 50, tmp_path / "d", env_id="Wordle-v0", words="english-30", progress=False)
    assert {episode.info["policy"] for episode in logs} == {"simulated-tweets-independent"}
    assert logs.provenance["recipe"]["options"]["tweets"] is None and "simulated" in logs.provenance["description"]
    judge = Wordle("english-30")
    for episode in logs:
        state = WordleState(hidden=episode.info["hidden"])
        for word in words_of(episode):
            state = judge.reply(state, word, np.random.default_rng(0)).state
        assert state.solved is episode.info["success"]


def test_a_recording_is_repeatable_and_blocks_differ(tweets):
    env = language_vec("Wordle-Paper-v0", 1, words=WORDS)
    block = retrofitted(env, 3, tweets[0])
    first = [next(iter(block(k))).tokens.tolist() for k in (0, 1, 0)]
    assert first[0] == first[2] != first[1]


def test_the_recipe_refuses(tmp_path, tweets):
    def refused(message, **options):
        with pytest.raises(ValueError, match=message):
            record(tmp_path, tweets, 4, **options)

    refused("leave out answers=", tweets=None, answers=tweets[1])
    refused("player must be one of", player="clever")
    with pytest.raises(ValueError, match="needs a game of Wordle"):
        build("wordle-tweets", 4, tmp_path / "d", env_id="MovieReview-v0", tweets=tweets[0], progress=False)
    (tmp_path / "answers.csv").write_text("wordle_id,word\n210,zzzzz\n")
    refused("none of the 400 games has an answer", answers=str(tmp_path / "answers.csv"))
    impossible = write(tmp_path / "t.csv", [(210, squares("gggyg", "ggggg"))])  # four in place leave no other place
    refused("no game of the tweets", tweets=str(impossible), env_id="Wordle-v0")
