"""MultiWOZ-Goal: the simulated customer, what the agent is shown, and whole conversations."""

import multiwoz_folder
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_builders import build
from lang_envs import check_env, rollout, scores
from lang_envs.corpora.files import CorpusError
from lang_envs.make import language_vec, needed_options
from lang_envs.policies.any_task import Say
from lang_envs.policies.multiwoz_goal import AGENTS, Expert, reading_of
from lang_envs.tasks.multiwoz_goal import MultiWOZGoal
from lang_envs.tasks.multiwoz_hearing import Hearing, tells
from lang_envs.tasks.multiwoz_lookup import read, written
from lang_envs.tasks.multiwoz_words import Act
from lang_envs.tokenizers import decode


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(multiwoz_folder.write(tmp_path_factory.mktemp("multiwoz") / "multiwoz"))


@pytest.fixture(scope="module")
def task(folder):
    return MultiWOZGoal(folder)


@pytest.fixture(scope="module")
def indian(task):
    """The number of a goal about the Indian restaurant."""
    return next(i for i, goal in enumerate(task.goals) if goal.domains == ("restaurant",))


def talk(task, context, *said):
    """A state and all replies to what an agent says."""
    rng = np.random.default_rng(0)
    state, opening = task.begin_at(context, rng)
    replies = []
    for text in said:
        replies.append(task.reply(state, text, rng))
        state = replies[-1].state
    return opening, replies


def test_a_conversation_by_hand(task, indian):
    opening, replies = talk(
        task,
        indian,
        "Which area, and what type of food?",  # the customer first wants Thai food, which is nowhere
        "Sorry, there are no matching restaurants.",
        "How about green plate?",
        "How about the Red Pot?",
        "The phone number is 01223000001.",
        "The postcode is cb1 1aa.",
        "At what time, which day and for how many people?",
        "Sorry, the booking was unsuccessful.",
    )
    assert read(opening[0].content).told.items() <= {"food": "thai", "area": "centre"}.items()
    shown = [read(reply.text[0].content) for reply in replies]
    assert (shown[0].told, shown[0].number) == ({"food": "thai", "area": "centre"}, 0)
    assert (shown[1].told, shown[1].name) == ({"food": "indian", "area": "centre"}, "the red pot")
    assert "centre" in replies[2].text[1].content.lower()  # where the green plate is not
    assert replies[3].state.offer == "0"
    assert replies[5].state.known == {"phone", "postcode"}
    assert shown[6].details == {"people": "2", "day": "monday", "time": "17:00"}
    assert shown[6].booking == "not available"
    assert shown[7].details["time"] == "18:00" and len(shown[7].booking) == 8
    assert not any(reply.terminated or reply.reward != -task.turn_cost for reply in replies)
    rng = np.random.default_rng(0)
    last = task.reply(replies[-1].state, f"Booked. The reference is {shown[7].booking}.", rng)
    assert last.terminated and last.reward == pytest.approx(1 - task.turn_cost)
    assert last.info == {"context": indian, "success": True, "inform": True, "joint_goal": True, "met": 1.0}
    with pytest.raises(ValueError, match="is over"):
        task.reply(last.state, "hello", rng)


def test_a_wrong_reference_books_nothing(task, indian):
    _, replies = talk(
        task,
        indian,
        "none found",
        "red pot",
        "01223000001 cb11aa",
        "What time, day and how many people?",
        "not available",
        "It is AAAAAAA1.",
    )
    assert not replies[-1].state.booked and not replies[-1].terminated


def test_nobody_waits_for_ever(task, indian, folder):
    _, replies = talk(task, indian, "hm", "hm", "hm")
    assert [reply.terminated for reply in replies] == [False, False, True]
    assert replies[-1].state.unhelpful == 3 and not replies[-1].info["success"]
    short = MultiWOZGoal(folder, patience=9, max_turns=2)
    _, replies = talk(short, 0, "hm", "hm")
    assert [reply.terminated for reply in replies] == [False, True]


def test_who_offers_another_place_last_has_not_informed(task, indian):
    _, replies = talk(
        task,
        indian,
        "none found",
        "red pot",
        "green plate has 01223000001, cb11aa",
        "What time, day and how many people?",
        "not available",
    )
    shown = read(replies[-1].text[0].content)
    last = task.reply(replies[-1].state, f"It is {shown.booking}", np.random.default_rng(0))
    assert last.terminated and (last.info["met"], last.info["inform"], last.info["success"]) == (1.0, False, False)


@pytest.mark.parametrize(
    ("text", "asks", "refuses"),
    [
        ("What part of town would you like?", ("area",), False),
        ("Which price range and what type of food?", ("food", "pricerange"), False),
        ("Where are you departing from, and where to?", ("departure", "destination"), False),
        ("For how many people and at what time?", ("people", "time"), False),
        ("How many nights will you stay?", ("stay",), False),
        ("The price is 4 pounds.", (), False),
        ("I'm sorry, there are no trains at that time.", (), True),
        ("I could not find anything.", (), True),
        ("Unfortunately that is not available.", (), True),
        ("There are 4 hotels.", (), False),
        ("Yes, no problem!", (), False),
    ],
)
def test_hearing(task, text, asks, refuses):
    heard = Hearing(task.database).hear(text)
    assert (heard.asks, heard.refuses) == (asks, refuses)


@pytest.mark.parametrize(
    ("slot", "value", "text", "told"),
    [
        ("phone", "01223000001", "call 01223 000001", True),
        ("phone", "01223000001", "call 01223000002", False),
        ("stars", "4", "it has four stars", True),
        ("stars", "4", "it has 3 stars", False),
        ("parking", "yes", "there is free parking", True),
        ("parking", "no", "there is no parking", True),
        ("parking", "no", "there is parking", False),
        ("internet", "yes", "it has wifi. there is no parking", True),
        ("leaveAt", "08:00", "it leaves at 8:00", True),
        ("leaveAt", "08:00", "it leaves at 8:30", False),
        ("price", "4.40 pounds", "it costs 4.40", True),
        ("price", "4.40 pounds", "it costs 14.40", False),
        ("area", "centre", "in the center", True),
        ("address", "1 mill road", "it is at 1 Mill Road", True),
        ("entrance fee", None, "the entrance fee is unknown", True),
        ("entrance fee", None, "the entrance fee is free", False),
        ("type", "guesthouse", "a guest house", True),
    ],
)
def test_what_a_text_tells(task, slot, value, text, told):
    assert tells(slot, {} if value is None else {slot: value}, Hearing(task.database).hear(text)) is told


def test_what_is_shown_can_be_read_back(task):
    for context in range(task.num_contexts):
        state, opening = task.begin_at(context, np.random.default_rng(context))
        assert written(task.customers, state) == opening[0].content
        shown = read(opening[0].content)
        assert shown.domain == task.goals[context].domains[0] and dict(state.told) == shown.told
        assert reading_of(opening).shown == shown
    assert read("hello") is None


def test_words_of_the_corpus_and_phrases(task):
    words, rng = task._words, np.random.default_rng(0)
    assert words.templates["restaurant", True, frozenset({"inform area"})] == ("I want food in the {area}",)
    assert words.say("restaurant", True, [Act("inform", "area", "north")], rng) == "I want food in the north"
    assert words.say("restaurant", False, [Act("inform", "food", "thai")], rng) == "thai food please"
    said = words.say("hotel", True, [Act("inform", "stars", "4"), Act("inform", "area", "dontcare")], rng)
    assert "4 stars" in said and "area" in said and "{" not in said


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.text(max_size=60) | st.sampled_from(["what area?", "TR0002", "red pot", "none", "oak guest house"]),
        max_size=8,
    )
)
def test_the_customer_answers_anything(task, said):
    rng = np.random.default_rng(0)
    state, _ = task.begin(rng)
    for text in said:
        reply = task.reply(state, text, rng)
        again = task.reply(state, text, np.random.default_rng(1))
        assert again.state == reply.state and again.info == reply.info  # chance is in the words alone
        assert all(message.content and "{" not in message.content for message in reply.text)
        state = reply.state
        if reply.terminated:
            break


def test_it_is_sound(folder):
    check_env("MultiWOZ-Goal-v0", path=folder, expert=Expert(MultiWOZGoal(folder)))


def test_agents_earn_what_their_names_say(folder):
    env = language_vec("MultiWOZ-Goal-v0", 16, path=folder)
    earned = {}
    for name, kind in AGENTS.items():
        played = list(rollout(env, kind(env.task, env.tokenizer), range(24)))
        earned[name] = np.mean([episode.ret for episode in played])
    assert earned["opens-well"] < 0 < earned["ends-well"] < earned["expert"]
    assert scores.expert(env).__class__ is Expert
    silent = list(rollout(env, Say("", env.task), range(4)))
    assert [round(episode.ret, 3) for episode in silent] == [-0.06] * 4


def test_the_recipe(folder, tmp_path):
    logs = build("multiwoz-goal", 40, tmp_path / "logs", progress=False, path=folder)
    assert {episode.info["policy"] for episode in logs} == set(AGENTS)
    with pytest.raises(ValueError, match="agents must be some of"):
        build("multiwoz-goal", 4, tmp_path / "other", progress=False, path=folder, agents=("nobody",))


def test_chat_models_read_it(folder):
    env = language_vec("MultiWOZ-Goal-v0", 4, path=folder, markup="plain")
    [episode] = rollout(env, Expert(env.task, env.tokenizer), [3])
    assert episode.info["success"]
    assert "System: You are the agent of a tourist office" in decode(env.tokenizer, [episode.tokens])[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"domains": "train,cinema"}, "got 'cinema'"),
        ({"domains": ["taxi"]}, r"no goal in the split 'train' that has needs in \['taxi'\] alone"),
        ({"turn_cost": 2.0}, r"turn_cost must lie in \[0, 1\], got 2"),
        ({"patience": 0}, "patience and max_turns must be at least 1"),
        ({"split": "dev"}, "split must be one of"),
    ],
)
def test_bad_options_are_refused_in_words(folder, options, words):
    with pytest.raises(ValueError, match=words):
        MultiWOZGoal(folder, **options)


def test_without_files_it_says_what_it_needs(monkeypatch, folder):
    assert MultiWOZGoal(folder, domains="restaurant").num_contexts < MultiWOZGoal(folder).num_contexts
    monkeypatch.delenv("LANG_ENVS_DATA", raising=False)
    assert needed_options("MultiWOZ-Goal-v0") == ("path",)
    with pytest.raises(CorpusError, match="set LANG_ENVS_DATA"):
        MultiWOZGoal()
    monkeypatch.setenv("LANG_ENVS_DATA", folder.removesuffix("/multiwoz"))
    assert needed_options("MultiWOZ-Goal-v0") == ("path",)
