"""Wordle's feedback against a plain loop, and reading word lists."""

import gzip
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lang_envs import words as word_lists
from lang_envs.tasks.wordle import Wordle
from lang_envs.tasks.wordle_patterns import WordList, choose, colours, feedback, letters_of, marks_of, pattern_of

WORDS = ("arose", "abbey", "kebab", "eerie", "geese", "crane", "raise", "stare", "zesty", "lemon", "melon", "speed")
FIVE_LETTERS = st.text("abc", min_size=5, max_size=5)  # few letters, so that many are repeated


def marks(guess, target, rule):
    return colours(int(feedback(letters_of([guess]), letters_of([target]), rule)[0]))


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


# Feedback


@pytest.mark.parametrize(
    ("guess", "target", "official", "simple"),
    [
        ("arose", "arose", "ggggg", "ggggg"),
        ("crane", "stomp", "bbbbb", "bbbbb"),
        ("abbey", "kebab", "yygyb", "yygyb"),
        ("eerie", "geese", "ygbbg", "ygbbg"),
        ("speed", "abide", "bbyby", "bbyyy"),
        ("geese", "arose", "bbbgg", "byygg"),
        ("eerie", "zesty", "bgbbb", "ygbby"),
        ("lllll", "lemon", "gbbbb", "gyyyy"),
        ("aabbb", "bcaad", "yyybb", "yyyyy"),
    ],
)
def test_feedback_of_repeated_letters(guess, target, official, simple):
    assert marks(guess, target, "official") == marks_of(guess, target, "official") == official
    assert marks(guess, target, "simple") == marks_of(guess, target, "simple") == simple


@settings(deadline=None)
@given(guess=FIVE_LETTERS, target=FIVE_LETTERS, rule=st.sampled_from(["official", "simple"]))
def test_feedback_equals_a_loop_over_letters(guess, target, rule):
    assert marks(guess, target, rule) == marks_of(guess, target, rule) == naive_marks(guess, target, rule)


@pytest.mark.parametrize("rule", ["official", "simple"])
def test_the_feedback_matrix_holds_every_pair(rule):
    lexicon = WordList(WORDS)
    matrix = lexicon.patterns(rule)
    for (i, guess), (j, target) in itertools.product(enumerate(WORDS), repeat=2):
        assert colours(int(matrix[i, j])) == naive_marks(guess, target, rule)


def test_patterns_and_colours_are_inverse():
    assert [pattern_of(colours(p)) for p in range(243)] == list(range(243))


def test_words_are_found_by_their_letters():
    lexicon = WordList(tuple(sorted(WORDS)))
    assert lexicon.find(lexicon.letters).tolist() == list(range(len(WORDS)))
    assert lexicon.find(letters_of(["zzzzz", "arosa", "aaaaa", "lemoz"])).tolist() == [-1] * 4


def test_agreeing_words_of_listed_and_unlisted_guesses():
    lexicon = WordList(tuple(sorted(WORDS)))
    agree = lexicon.agreeing(letters_of(["crane", "zzzzz"]), np.array([pattern_of("bbbbb")] * 2, np.uint8), "official")
    assert [word for word, ok in zip(lexicon.words, agree[0], strict=True) if ok] == []
    assert [word for word, ok in zip(lexicon.words, agree[1], strict=True) if not ok] == ["zesty"]


def test_choose_draws_every_true_column_equally_often():
    mask = np.zeros((6000, 21), np.bool_)
    mask[:, [0, 7, 8, 20]] = True
    mask[0] = False
    mask[0, 13] = True
    chosen = choose(mask, [np.random.default_rng(seed) for seed in range(6000)])
    assert chosen[0] == 13
    columns, counts = np.unique(chosen[1:], return_counts=True)
    assert columns.tolist() == [0, 7, 8, 20]
    assert (np.abs(counts - 1500) < 5 * np.sqrt(1500 * 0.75)).all()


# Word lists


@pytest.mark.parametrize(
    ("name", "count"), [("english", 2268), ("english-400", 400), ("english-200", 200), ("english-100", 100)]
)
def test_packaged_lists(name, count):
    words, skipped = word_lists.load(name)
    assert (len(words), skipped) == (count, 0)
    assert list(words) == sorted(set(words))
    assert set(words) <= set(word_lists.load("english")[0])
    assert all(len(word) == 5 and word.isascii() and word.islower() for word in words)


def test_a_file_keeps_its_five_letter_words_and_counts_the_others(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("crane\narose\n\ncrane\nof\nlonger\nParis\ncafés\n", encoding="utf-8")
    for words in (path, str(path)):
        task = Wordle(words)
        assert task.words == ("arose", "crane")
        assert task.skipped == 4


def test_the_order_of_words_does_not_matter():
    assert Wordle(WORDS).words == Wordle(WORDS[::-1]).words == Wordle([*WORDS, *WORDS]).words == tuple(sorted(WORDS))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "empty"),
        (["crane", "cranes"], "'cranes'"),
        (["Crane"], "'Crane'"),
        ([5], "5"),
        ("no-such-list", "english-400"),
        ("/no/such/file.txt", "Cannot read"),
    ],
)
def test_bad_words(words, message):
    with pytest.raises(ValueError, match=message):
        Wordle(words)


@pytest.mark.parametrize("content", [b"", b"of\nthe\n", b"\xff\xfe\x00crane"])
def test_bad_files(tmp_path, content):
    path = tmp_path / "words.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="one word per line"):
        Wordle(path)


def test_a_byte_order_mark_is_no_part_of_the_first_word(tmp_path):
    path = tmp_path / "words.txt"
    path.write_bytes("\ufeffcrane\r\nstare\r\n".encode())
    assert word_lists.load(path) == (("crane", "stare"), 0)


def test_a_word_list_may_be_compressed_but_is_no_bomb(tmp_path, monkeypatch):
    path = tmp_path / "words.txt.gz"
    path.write_bytes(gzip.compress(b"crane\nstare\n"))
    assert word_lists.load(path) == (("crane", "stare"), 0)
    monkeypatch.setenv("LANG_ENVS_MAX_RECORD_MIB", "1e-6")
    with pytest.raises(ValueError, match=r"words\.txt\.gz.*LANG_ENVS_MAX_RECORD_MIB.*one word per line"):
        word_lists.load(path)
