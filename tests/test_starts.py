"""The starts of evaluation episodes: contexts are split, and greedy policies play each context at most once."""

import dataclasses

import pytest

from agents.benchmark import Cell, Data, Experiment
from agents.benchmark.running import starts
from agents.benchmark.running.evaluate import counts, play_from
from lang_envs.make import language_vec
from lang_envs.policies.movie_review import Reviewer
from lang_envs.seeds import REPORT, SELECTION

WORDLE = Experiment(
    name="wordle",
    title="Wordle",
    about="Thirty words.",
    data=Data("wordle-mixed", 10),
    env="Wordle-v0",
    env_options={"words": "english-30"},
    cells=(Cell("BC", "bc"),),
    episodes=100,
    selection_episodes=64,
)


def env_of(experiment):
    return language_vec(experiment.env, 2, **experiment.env_options)


def contexts(part, once=False):
    return [start.context for start in part.starts(once)]


def test_one_environment_is_split_between_choice_and_report():
    env = env_of(WORDLE)
    choice, report = starts.selection(WORDLE, env), starts.report(WORDLE, env)
    assert starts.are_split(WORDLE, env)
    assert len(choice.contexts) == len(report.contexts) == 15
    assert sorted((*choice.contexts, *report.contexts)) == list(range(30))
    assert (choice.first_seed, report.first_seed) == (SELECTION.first(), REPORT.first())
    named = dataclasses.replace(WORDLE, selection_options={"words": "english-30"})
    assert starts.report(named, env) == report == starts.report(WORDLE, env)  # the same again, however it is said


def test_where_all_starting_points_are_the_task_none_is_left_out():
    whole = dataclasses.replace(WORDLE, split_starts=False)
    env = env_of(whole)
    assert not starts.are_split(whole, env)
    for part in (starts.selection(whole, env), starts.report(whole, env)):
        assert sorted(contexts(part, once=True)) == list(range(30))


def test_the_choice_takes_no_more_contexts_than_it_plays():
    few = dataclasses.replace(WORDLE, selection_episodes=4)
    choice, report = (part(few, env_of(few)) for part in (starts.selection, starts.report))
    assert (len(choice.contexts), len(report.contexts)) == (4, 26)
    assert not {*choice.contexts} & {*report.contexts}


def test_who_repeats_himself_plays_each_context_once_and_others_all_equally_often():
    report = starts.report(WORDLE, env_of(WORDLE))
    assert sorted(contexts(report, once=True)) == sorted(report.contexts)
    often = [contexts(report).count(context) for context in report.contexts]
    assert sum(often) == 100 and {*often} == {6, 7}
    assert contexts(report)[:15] == contexts(report, once=True)
    assert [start.seed for start in report.starts()] == list(REPORT.episodes(100))
    fewer = dataclasses.replace(report, episodes=3)
    assert contexts(fewer) == contexts(fewer, once=True) == contexts(report)[:3]


def test_environments_that_differ_have_all_contexts_of_their_own():
    other = dataclasses.replace(WORDLE, selection_options={"words": "english-100"})
    there = language_vec(other.env, 2, words="english-100")
    assert not starts.are_split(other, env_of(other))
    assert sorted(starts.report(other, env_of(other)).contexts) == list(range(30))
    assert sorted(starts.selection(other, there).contexts) == list(range(100))


def test_one_context_serves_both():
    one = dataclasses.replace(WORDLE, env="MovieReview-v0", env_options={})
    choice, report = (part(one, env_of(one)) for part in (starts.selection, starts.report))
    assert choice.contexts == report.contexts == (0,)
    assert len(report.starts()) == 100 and len(report.starts(once=True)) == 1


def test_without_contexts_seeds_alone_count():
    resampled = dataclasses.replace(WORDLE, env="Wordle-Paper-v0")
    report = starts.report(resampled, env_of(resampled))
    assert report.contexts is None and contexts(report, once=True) == [None] * 100


@pytest.mark.parametrize(("words", "same"), [("english-30", True), ("english-100", False)])
def test_elsewhere_the_same_contexts_are_played_where_there_are_as_many(words, same):
    env = env_of(WORDLE)
    report, there = starts.report(WORDLE, env), language_vec("Wordle-v0", 2, words=words, feedback="simple")
    found = starts.elsewhere(report, env, there)
    assert (found == report) is same
    assert len(found.contexts) == (15 if same else 100) and found.episodes == 100


def test_contexts_come_equally_often_and_in_the_same_order_for_everyone():
    env = language_vec("Reddit-Toxicity-v0", 2, split="test")
    n = env.task.num_contexts
    first = [start.context for start in starts.anywhere(env, 7 << 40, 2 * n + 3).starts()]
    assert sorted(first[:n]) == sorted(first[n : 2 * n]) == list(range(n)) and first[:n] == first[n : 2 * n]
    assert first[:n] != list(range(n)) and first == [
        s.context for s in starts.anywhere(env, 7 << 40, 2 * n + 3).starts()
    ]
    assert first[:20] != [start.context for start in starts.anywhere(env, 8 << 40, 20).starts()]
    assert [s.context for s in starts.anywhere(language_vec("Wordle-Paper-v0", 2), 5, 3).starts()] == [None] * 3


def test_distinct_episodes_are_those_that_say_something_else():
    env = language_vec("MovieReview-v0", 8)
    played = play_from(env, Reviewer(env.task), starts.anywhere(env, 0, 200).starts())
    assert counts(played) == {"episodes": 200, "distinct": 8}  # all reviews there are
