"""A person plays: scripted input, and what the screen shows."""

import io
from itertools import count

import numpy as np
from rich.console import Console

from lang_envs.policies.human import play
from lang_envs.tasks.wordle import Wordle
from lang_envs.tokenizers import text_tokenizer

WORDS = ("crane", "lemon", "melon", "speed", "zesty")


def scripted(*lines):
    answers = iter(lines)

    def read(prompt):
        try:
            return next(answers)
        except StopIteration:
            raise EOFError from None

    return read


def screen():
    return Console(file=io.StringIO(), force_terminal=True, width=100, color_system="standard", highlight=False)


def test_a_person_wins():
    console = screen()
    assert play("Wordle-v0", seed=0, read=scripted("xyz", "crane"), console=console, words=["crane"]) == -1
    shown = console.file.getvalue()
    assert "'xyz' is no valid guess" in shown
    assert " C " in shown
    assert "\x1b[1;37;42m" in shown  # white on green
    assert "Found it." in shown
    assert "after 2 utterances" in shown


def test_a_person_loses():
    seed = next(seed for seed in count() if Wordle(WORDS).begin(np.random.default_rng(seed))[0].hidden == "zesty")
    console = screen()
    assert play("Wordle-v0", seed=seed, read=scripted(*["crane"] * 6), console=console, words=WORDS) == -6
    assert "2 fit all feedback: speed, zesty" in console.file.getvalue()


def test_a_person_leaves():
    console = screen()
    assert play("Wordle-v0", seed=0, read=scripted("crane"), console=console, words=["crane", "zesty"]) in (None, 0)
    assert play("Wordle-v0", seed=0, read=scripted(), console=console) is None
    assert "Left the game." in console.file.getvalue()


def test_a_person_plays_any_task():
    console = screen()
    ret = play("MovieReview-v0", seed=0, read=scripted(*["the movie was good"] * 5), console=console)
    assert ret is not None
    assert f"Return {ret:g}" in Console(file=None).render_str(console.file.getvalue()).plain


def test_a_person_plays_wordle_in_words_where_the_tokenizer_has_a_chat_template():
    console = screen()
    options = {"console": console, "words": ["crane", "slate"], "tokenizer": text_tokenizer()}
    ret = play("Wordle-v0", seed=0, read=scripted("crane", "slate"), **options)
    assert ret in (0, -1) and "ggggg" in console.file.getvalue()


def test_a_slip_is_asked_for_again():
    console = screen()
    answers = scripted("a" * 60, "\udcff", "slate", "crane")
    assert play("Wordle-v0", seed=0, read=answers, console=console, words=["crane", "slate"]) in (-1, 0)
    shown = Console(file=None).render_str(console.file.getvalue()).plain
    assert "at most 48 characters, got 60; try again" in shown
    assert "half a character, which no tokenizer can spell; try again" in shown
