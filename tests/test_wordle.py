"""Wordle's rules and tokens; its version in arrays and its version in text play the same games."""

import hashlib
import itertools
import pickle

import gymnasium as gym
import numpy as np
import pytest

import lang_envs
from lang_envs.tasks.wordle import Wordle
from lang_envs.tasks.wordle_dynamics import WordleDynamics
from lang_envs.tasks.wordle_game import VOCABULARY, WordleState
from lang_envs.tasks.wordle_patterns import letters_of
from lang_envs.text_dynamics import TextDynamics

WORDS = ("arose", "abbey", "kebab", "eerie", "geese", "crane", "raise", "stare", "zesty", "lemon", "melon", "speed")
OPTIONS = [
    {"feedback": rule, "hidden": hidden, "require_dictionary": dictionary}
    for rule, hidden, dictionary in itertools.product(("official", "simple"), ("fixed", "resample"), (True, False))
]


def naive_marks(guess, target, rule):
    """One letter after another, as a person would."""
    if rule == "simple":
        return "".join("g" if g == t else "y" if g in target else "b" for g, t in zip(guess, target, strict=True))
    out = ["g" if g == t else "b" for g, t in zip(guess, target, strict=True)]
    left = [t for g, t in zip(guess, target, strict=True) if g != t]
    for i, g in enumerate(guess):
        if out[i] == "b" and g in left:
            out[i] = "y"
            left.remove(g)
    return "".join(out)


def play(task, *utterances, seed=0):
    rng = np.random.default_rng(seed)
    state, _ = task.begin(rng)
    replies = []
    for utterance in utterances:
        if state.solved:
            break
        replies.append(task.reply(state, utterance, rng))
        state = replies[-1].state
    return replies


# Rules


def test_the_worked_example_as_tokens():
    """One turn is 13 tokens and 6 actions; an invalid guess is not answered, so the next utterance follows at once."""
    env = gym.make("Wordle-Paper-v0", words=["crane"])
    env.reset(seed=0)
    said = [VOCABULARY[t] for t in (*"arose", "</a>", *"xyz", "</a>", "q")]
    steps = [env.step(token) for token in said]
    assert [float(reward) for _, reward, *_ in steps] == [0, 0, 0, 0, 0, -1, 0, 0, 0, -1, 0]
    assert [int(seen["attention_mask"].sum()) for seen, *_ in steps] == [2, 3, 4, 5, 6, 13, 14, 15, 16, 17, 18]
    assert not any(terminated or truncated for _, _, terminated, truncated, _ in steps)
    text = "<a>arose</a><y><g><b><b><g></s>xyz</a>q"
    assert steps[-1][0]["input_ids"][:18].tolist() == Wordle(WORDS).tokenizer()(text)["input_ids"]


def test_an_invalid_guess_costs_its_turn_and_is_not_answered():
    first, second, third = play(Wordle(WORDS, require_dictionary=False), "xyz", "vwxyz", "ab<g>")
    assert (first.text, first.reward, first.terminated, first.info) == (
        "",
        -1.0,
        False,
        {"success": False, "valid": False, "context": 7},
    )
    assert second.info["valid"] and third.info["valid"] is False
    assert second.text.endswith("</s>") and len(second.text) == 5 * 3 + 4
    assert third.state == WordleState(3, ("vwxyz",), second.state.feedback, first.state.hidden)


@pytest.mark.parametrize(
    "utterance", ["", "cran", "cranes", "CRANE", "cr ne", "crané", "cran1", "<|pad|>", "</s>", "five words in a row"]
)
def test_what_is_no_guess(utterance):
    (reply,) = play(Wordle(WORDS, require_dictionary=False), utterance)
    assert (reply.info["success"], reply.info["valid"]) == (False, False)
    assert (reply.text, reply.reward) == ("", -1.0)


def test_a_word_outside_the_list_is_valid_only_without_a_dictionary():
    assert not play(Wordle(WORDS), "zzzzz")[0].info["valid"]
    assert play(Wordle(WORDS, require_dictionary=False), "zzzzz")[0].info["valid"]


def test_a_game_is_won_with_the_hidden_word():
    task = Wordle(WORDS)
    state, opening = task.begin(np.random.default_rng(4))
    assert opening == "<a>"
    (reply,) = play(task, state.hidden, seed=4)
    assert reply == type(reply)(
        WordleState(1, (state.hidden,), ("ggggg",), state.hidden),
        "<g>" * 5 + "</s></eod>",
        0.0,
        True,
        {"success": True, "valid": True, "context": 11},
    )


def test_a_game_is_lost_after_six_guesses_and_then_over():
    task = Wordle(WORDS, require_dictionary=False)
    replies = play(task, *["zzzzz"] * 5, "xyz")
    assert [reply.terminated for reply in replies] == [False] * 5 + [True]
    assert sum(reply.reward for reply in replies) == -6
    assert replies[-1].text == "</eod>"
    with pytest.raises(ValueError, match="over"):
        task.reply(replies[-1].state, "arose", np.random.default_rng(0))


@pytest.mark.parametrize("rule", ["official", "simple"])
def test_a_resampled_word_agrees_with_all_feedback_so_far(rule):
    task = Wordle(WORDS, feedback=rule, hidden="resample")
    for seed in range(50):
        replies = play(task, "crane", "lemon", seed=seed) if seed % 2 else play(task, "speed", "abbey", seed=seed)
        state = replies[-1].state
        agreeing = [
            word
            for word in task.words
            if all(naive_marks(g, word, rule) == m for g, m in zip(state.guesses, state.feedback, strict=True))
        ]
        assert state.hidden is None
        assert agreeing
        assert [word for word, ok in zip(task.words, task.consistent(state), strict=True) if ok] == agreeing


def test_a_resampled_word_is_uniform_over_the_consistent_ones():
    """After the first guess each word's feedback comes up as often as words give it."""
    task = Wordle(WORDS, hidden="resample", feedback="simple")
    counts = {}
    for seed in range(3000):
        (reply,) = play(task, "crane", seed=seed)
        counts[reply.state.feedback[0]] = counts.get(reply.state.feedback[0], 0) + 1
    expected = {}
    for word in WORDS:
        expected[naive_marks("crane", word, "simple")] = expected.get(naive_marks("crane", word, "simple"), 0) + 250
    assert counts.keys() == expected.keys()
    assert all(abs(counts[m] - n) < 5 * np.sqrt(n) for m, n in expected.items())


# Arrays and text


def utterances(rng, n):
    """Words of the list, other letters, and all kinds of invalid guesses: tokens [n, 6], lengths [n]."""
    tokens, lengths = np.full((n, 6), VOCABULARY["<|pad|>"], np.int32), np.zeros(n, np.int64)
    for row in range(n):
        kind = rng.integers(6)
        if kind < 3:
            said = [*letters_of([WORDS[rng.integers(len(WORDS))]])[:, 0], VOCABULARY["</a>"]]
        elif kind == 3:
            said = [*rng.integers(26, size=5), VOCABULARY["</a>"]]
        elif kind == 4:
            said = [*rng.integers(26, size=rng.integers(5)), VOCABULARY["</a>"]]
        else:
            said = [token if token != VOCABULARY["</a>"] else 0 for token in rng.integers(len(VOCABULARY), size=6)]
        tokens[row, : len(said)], lengths[row] = said, len(said)
    return tokens, lengths


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(map(str, o.values())))
def test_arrays_play_the_same_games_as_text(options):
    n, chance = 30, np.random.default_rng(1)
    task = Wordle(WORDS, **options)
    arrays, text = task.dynamics(task.tokenizer(), n), TextDynamics(task, task.tokenizer(), n)
    assert isinstance(arrays, WordleDynamics)
    streams = [[np.random.default_rng(seed) for seed in range(n)] for _ in range(2)]
    everyone = np.arange(n)
    for dynamics, rngs in zip((arrays, text), streams, strict=True):
        dynamics.begin(everyone, rngs)
    playing = everyone
    for turn in range(12):
        if not len(playing):
            break
        tokens, lengths = utterances(chance, len(playing))
        a, b = (
            dynamics.reply(playing, tokens, lengths, [rngs[row] for row in playing])
            for dynamics, rngs in zip((arrays, text), streams, strict=True)
        )
        np.testing.assert_array_equal(a.lengths, b.lengths)
        for i, length in enumerate(a.lengths):
            np.testing.assert_array_equal(a.tokens[i, :length], b.tokens[i, :length])
        np.testing.assert_array_equal(a.rewards, b.rewards)
        np.testing.assert_array_equal(a.terminated, b.terminated)
        assert a.info.keys() == b.info.keys()
        for key in a.info:
            np.testing.assert_array_equal(a.info[key], b.info[key])
        assert [arrays.state(row) for row in everyone] == [text.state(row) for row in everyone]
        over = playing[a.terminated]
        playing = playing[~a.terminated]
        if turn == 3 and len(over):  # some rows begin anew while others go on
            for dynamics, rngs in zip((arrays, text), streams, strict=True):
                dynamics.begin(over, [rngs[row] for row in over])
            playing = np.sort(np.concatenate([playing, over]))
    assert turn > 5


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(map(str, o.values())))
def test_token_and_vector_environments_play_the_same_games(options):
    n = 4
    vector = gym.make_vec("Wordle-v0", n, words=WORDS, autoreset_mode=gym.vector.AutoresetMode.SAME_STEP, **options)
    single = gym.make_vec(
        "Wordle-v0",
        n,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": gym.vector.AutoresetMode.SAME_STEP},
        words=WORDS,
        **options,
    )
    chance = np.random.default_rng(7)
    first, second = vector.reset(seed=3)[0], single.reset(seed=3)[0]
    for _ in range(12):
        tokens, _ = utterances(chance, n)
        tokens[tokens == VOCABULARY["<|pad|>"]] = VOCABULARY["</a>"]
        for column in tokens.T:
            (first, *rest), (second, *expected) = vector.step(column), single.step(column)
            for key in first:
                np.testing.assert_array_equal(first[key], second[key])
            for got, want in zip(rest[:3], expected[:3], strict=True):
                np.testing.assert_array_equal(got, want)


def test_arrays_refuse_a_guess_after_the_end():
    task = Wordle(WORDS)
    dynamics = task.dynamics(task.tokenizer(), 2)
    rows, rngs = np.array([1]), [np.random.default_rng(0)]
    with pytest.raises(ValueError, match="row 1 is over"):
        dynamics.reply(rows, np.full((1, 6), VOCABULARY["</a>"], np.int32), np.ones(1, np.int64), rngs)


def test_another_tokenizer_plays_through_text():
    from lang_envs.tokenizers import character_tokenizer

    task = Wordle(WORDS)
    tokens = [*VOCABULARY][::-1]
    other = character_tokenizer(tokens, end_token="</a>", pad_token="<|pad|>")
    assert task.dynamics(other, 2) is None
    assert task.legal_tokens(None, [], other) is None


# Starting points


def test_a_game_can_hide_any_word_in_arrays_and_in_text():
    task = Wordle(WORDS)
    assert task.num_contexts == len(task.words) == 12 and Wordle(WORDS, hidden="resample").num_contexts is None
    everyone, contexts = np.arange(5), [3, None, 0, 11, None]
    streams = [[np.random.default_rng(seed) for seed in range(5)] for _ in range(2)]
    both = task.dynamics(task.tokenizer(), 5), TextDynamics(task, task.tokenizer(), 5)
    said = np.tile([*letters_of(["crane"])[:, 0], VOCABULARY["</a>"]], (5, 1)).astype(np.int32)  # [5, 6]
    for _ in range(2):  # the second time the generators go on from where the first left them
        for dynamics, rngs in zip(both, streams, strict=True):
            dynamics.begin(everyone, rngs, contexts)
        arrays, text = (d.reply(everyone, said, np.full(5, 6), r) for d, r in zip(both, streams, strict=True))
        hidden = [task.words.index(both[0].state(row).hidden) for row in range(5)]
        assert [hidden[row] for row in (0, 2, 3)] == [3, 0, 11]
        assert arrays.info["context"].tolist() == text.info["context"].tolist() == hidden
        assert [both[0].state(row) for row in range(5)] == [both[1].state(row) for row in range(5)]


def test_the_word_a_seed_hides_is_named_in_the_info():
    info = play(Wordle(WORDS), "zesty", seed=5)[0].info
    state, _ = Wordle(WORDS).begin(np.random.default_rng(5))
    assert sorted(WORDS)[info["context"]] == state.hidden
    assert "context" not in play(Wordle(WORDS, hidden="resample"), "zesty")[0].info


# Golden episodes: what a seed gives must not change within a version


def digest(env_id):
    env = gym.make_vec(env_id, 8)
    turns = [lang_envs.Turn(np.append(letters_of([w])[:, 0], VOCABULARY["</a>"])) for w in ("raise", "cloth", "bumpy")]

    class Fixed:
        def act(self, histories, rngs):
            return [turns[len(history) // 12 % 3] for history in histories]

    h = hashlib.sha256()
    for episode in lang_envs.rollout(env, Fixed(), range(20)):
        h.update(episode.tokens.astype("<i4").tobytes() + episode.rewards.astype("<f4").tobytes())
    return h.hexdigest()[:16]


@pytest.mark.parametrize(
    ("env_id", "golden"), [("Wordle-v0", "c4601a79608e3310"), ("Wordle-Paper-v0", "fd335e1f40c7bf40")]
)
def test_golden_episodes(env_id, golden):
    assert digest(env_id) == golden


# Tokens


def test_the_vocabulary_is_the_papers():
    tokenizer = Wordle(WORDS).tokenizer()
    assert tokenizer.get_vocab() == VOCABULARY
    assert len(tokenizer) == 35
    listed = ("a", "z", "<g>", "<b>", "<y>", "<|pad|>", "</a>", "</s>", "<s>", "<a>", "</eod>")
    assert [VOCABULARY[token] for token in listed] == [0, *range(25, 35)]
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("</a>", "<|pad|>")
    text = "<a>arose</a><b><y><b><b><g></s></eod>"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert len(tokenizer(text)["input_ids"]) == 14


def test_legal_tokens_spell_the_words_of_the_list():
    task = Wordle(WORDS)
    tokenizer = task.tokenizer()

    def legal(said):
        ids = [VOCABULARY[c] for c in said]
        return "".join(t for t, i in VOCABULARY.items() if task.legal_tokens(None, ids, tokenizer)[i])

    assert legal("") == "acegklmrsz"
    assert legal("s") == "pt"
    assert legal("aro") == "s"
    assert legal("arose") == "</a>"
    assert legal("x") == "abcdefghijklmnopqrstuvwxyz"
    task = Wordle(WORDS, require_dictionary=False)
    assert legal("x") == "abcdefghijklmnopqrstuvwxyz"
    assert task.legal_tokens(None, [VOCABULARY["<g>"]], tokenizer).nonzero()[0].tolist() == [VOCABULARY["</a>"]]


def test_action_masks_of_an_environment():
    env = gym.make("Wordle-v0", words=["arose", "arise"])
    env.reset(seed=0)
    for token, allowed in ((VOCABULARY["a"], "r"), (VOCABULARY["r"], "io")):
        env.step(token)
        assert env.unwrapped.action_masks().nonzero()[0].tolist() == [VOCABULARY[c] for c in allowed]


# The task


@pytest.mark.parametrize("option", ["feedback", "hidden"])
def test_bad_options(option):
    with pytest.raises(ValueError, match=f"{option} must be one of"):
        Wordle(WORDS, **{option: "other"})


def test_a_task_survives_pickling():
    task = pickle.loads(pickle.dumps(Wordle(WORDS)))
    assert play(task, "crane")[0] == play(Wordle(WORDS), "crane")[0]
