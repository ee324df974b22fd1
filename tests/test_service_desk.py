"""The service desk: its world, the reading of an agent's words, the user's rules, scripted desks, values, the log."""

import itertools
from collections import Counter

import numpy as np
import pytest
from chat_tokenizers import FAMILIES, chat_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.evaluation.service_desk_table import steps
from datasets_builders import build
from lang_envs import check_env, rollout
from lang_envs.conversation import assistant
from lang_envs.corpora.dialogues.desk import ANY, matches, services, values_of
from lang_envs.make import language_vec
from lang_envs.policies.service_desk import (
    AnyAct,
    Expert,
    Guesser,
    Hasty,
    any_act,
    expert,
    guesser,
    hasty,
    seen,
    slipping,
)
from lang_envs.speech import Speech
from lang_envs.tasks.service_desk import ServiceDesk
from lang_envs.tasks.service_desk_acts import Act, View, act_of, desk_of, screens, ways
from lang_envs.tasks.service_desk_goals import SPLITS, Goal, goals
from lang_envs.tasks.service_desk_rules import begun, respond
from lang_envs.tasks.service_desk_speech import Heard, read, ways_to_say
from lang_envs.tasks.service_desk_values import exact_value, optimal_value
from lang_envs.tokenizers import decode

TASK = ServiceDesk()
RNG = np.random.default_rng(0)
FOOD, AREA, PRICE, PEOPLE, DAY, PHONE, STREET = range(7)
RESTAURANT, HOTEL = range(2)
JADE, BASIL, OLIVE, ROSE = range(4)  # Jade is Thai, in the north, cheap; Basil Thai, in the centre, moderate
TWO_ON_SUNDAY = (0, 2)
PLAIN = Goal(RESTAURANT, (0, 0, 0), (0, 0, 0), (FOOD,), (PHONE,), 0, TWO_ON_SUNDAY)
CHANGING = PLAIN._replace(final=(0, 1, 1), requests=())
IMPOSSIBLE = PLAIN._replace(first=(0, 0, 1), final=(0, ANY, 1), opening=(FOOD, AREA), requests=())


def talk(goal, *utterances, patience=3):
    """The replies to some utterances."""
    state, _ = begun(0, goal, patience)
    replies = []
    for utterance in utterances:
        replies.append(TASK.reply(state, utterance, RNG))
        state = replies[-1].state
    return replies


def said(reply):
    return reply.text[-1].content


# The world


def test_one_value_leaves_three_entities_and_two_leave_one():
    for slot, value in itertools.product(range(3), range(3)):
        assert len(matches(tuple(value if at == slot else ANY for at in range(3)))) == 3
        for other, second in itertools.product(range(3), range(3)):
            if other != slot:
                assert len(matches(tuple({slot: value, other: second}.get(at, ANY) for at in range(3)))) == 1
    assert len(services()) == 2 and all(matches(values_of(entity)) == (entity,) for entity in range(9))


def test_no_goal_is_in_two_splits_and_every_goal_can_be_met():
    found = {split: set(goals(split)) for split in ServiceDesk.splits}
    assert {split: len(among) for split, among in found.items()} == SPLITS
    assert len(set.union(*found.values())) == sum(SPLITS.values())
    for goal in itertools.chain.from_iterable(found.values()):
        assert len(matches(goal.final)) == 1
        assert sum(a != b for a, b in zip(goal.first, goal.final, strict=True)) == {0: 1, 1: 2}.get(
            len(matches(goal.first)), 0
        ) * (goal.first != goal.final)
    with pytest.raises(ValueError, match="split must be one of"):
        ServiceDesk("dev")
    with pytest.raises(ValueError, match="turn_cost"):
        ServiceDesk(turn_cost=2)


# What an utterance says


def test_every_wording_is_read_as_what_it_says():
    for desk in screens().values():
        waiting = [PHONE, STREET] if desk.accepted != ANY else []
        for pending, act in itertools.product([ANY, *waiting], Act):
            standing = desk._replace(pending=pending)
            for heard in ways(standing, act):
                for text in ways_to_say(desk.service, heard, desk.accepted):
                    assert read(desk.service, text) == heard, text
                    assert act_of(standing, heard) == act, text


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("I've booked a table at ROSE for 2 people on sunday!", Heard(True, ROSE, says=((PEOPLE, 0), (DAY, 2)))),
        ("All done, Rose is reserved: six people, Friday.", Heard(True, ROSE, says=((PEOPLE, 2), (DAY, 0)))),
        ("Shall I book Rose for two people?", Heard(entity=ROSE, asks=PEOPLE, says=((PEOPLE, 0),))),
        ("I can book it for you.", Heard()),
        ("It is not booked yet.", Heard()),
        ("Where would you like to eat?", Heard(asks=AREA)),
        ("Tell me your budget, and which area.", Heard(asks=PRICE)),
        ("I'm sorry, I cannot find any Thai place.", Heard(denies=True, says=((FOOD, 0),))),
        ("No problem. What price range?", Heard(denies=True, asks=PRICE)),
        ("The number is 940, it is in Church Street", Heard(says=((PHONE, 3), (STREET, 3)))),
        ("Call 999.", Heard(says=((PHONE, ANY),))),
        ("Roses are nice, pricey ones", Heard()),
        ("", Heard()),
    ],
)
def test_other_wordings(text, heard):
    assert read(RESTAURANT, text) == heard


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, len(TASK.goals) - 1),
    st.lists(
        st.one_of(
            st.text(max_size=40),
            st.lists(
                st.sampled_from(
                    ["Rose", "Lion", "book", "booked", "?", "no", "417", "which", "area", "Thai", "two", "Friday", "."]
                )
            ).map(" ".join),
        ),
        max_size=9,
    ),
)
def test_any_text_is_answered(context, utterances):
    state, _ = TASK.begin_at(context, RNG)
    keys = set()
    for utterance in utterances:
        reply = TASK.reply(state, utterance, RNG)
        state = reply.state
        keys.add(tuple(reply.info))
        assert reply.text and all(message.content for message in reply.text)
        assert 0 <= reply.info["joint_goal"] <= 1 and state.annoyed <= state.patience
        if reply.terminated:
            break
    assert len(keys) <= 1 and (state.over or state.turn == len(utterances) < 8)


# The user


def test_a_conversation_that_goes_well():
    replies = talk(
        PLAIN,
        "Which price range would you like?",
        "How about Jade? It is cheap.",
        "The phone number is 417.",
        "And for which day?",
        "I have booked Jade for two people on Sunday.",
    )
    assert said(replies[0]) in {"Cheap.", "Cheap, please."}
    assert [len(reply.text) for reply in replies] == [2, 2, 2, 2, 1]
    assert replies[0].text[0].content == "Thai, area ?, cheap: Jade"
    assert replies[1].text[0].content == "Jade, 417, Mill Street: for two people, day ?"
    assert said(replies[1]).endswith(services()[RESTAURANT].slots[PHONE].ask)
    assert replies[3].text[0].content == "Jade, 417, Mill Street: for two people, on Sunday"
    assert [reply.reward for reply in replies] == pytest.approx([-0.02] * 4 + [0.98])
    assert replies[-1].terminated
    expected = {"context": 0, "joint_goal": 1, "inform": True, "success": True, "answered": 1, "annoyed": 0}
    assert replies[-1].info == expected
    with pytest.raises(ValueError, match="over"):
        TASK.reply(replies[-1].state, "Hello", RNG)


@pytest.mark.parametrize(
    ("utterances", "info"),
    [
        (["Jade?", "It is booked: Jade, two people, Sunday."], {"answered": 0, "inform": True}),
        (["Jade?", "The number is 205.", "Jade is booked for two people on Sunday."], {"answered": 1}),
        (["Jade, 205, is nice.", "417.", "Jade is booked for two people on Sunday."], {"answered": 1}),
        (["Jade serves Indian food.", "417.", "Jade is booked for two people on Sunday."], {"answered": 1}),
        (["Jade?", "It is 417.", "Jade is booked for two people on Friday."], {"joint_goal": 1.0}),
        (["Jade?", "It is 417.", "Jade is booked for six people on Sunday."], {"joint_goal": 0.5}),
        (["Jade?", "It is 417.", "Jade is booked for two people."], {"inform": True}),
        (["Jade?", "It is 417.", "Basil is booked for two people on Sunday."], {"inform": False, "joint_goal": 1.0}),
    ],
)
def test_what_spoils_it(utterances, info):
    last = talk(PLAIN, *utterances)[-1]
    assert last.terminated and last.reward == -0.02 and not last.info["success"]
    assert {key: last.info[key] for key in info} == info


def test_what_annoys():
    annoying = ["What food would you like?", "How about Basil?", "How about Rose?", "There is none.", "Yes?", "xyz"]
    for utterance in annoying:
        assert talk(PLAIN, utterance)[0].info["annoyed"] == 1, utterance
        left = talk(PLAIN, utterance, patience=1)[0]
        assert left.terminated and left.reward == -0.02
    assert "I want one in the north." in {said(talk(PLAIN, "Basil?")[0]).split(". ", 1)[1] for _ in range(50)}
    for utterance in ("Which area?", "How about Jade?", "For how many people?"):
        assert talk(PLAIN, utterance)[0].info["annoyed"] == 0, utterance
    calm = talk(PLAIN._replace(opening=(FOOD, AREA), first=(0, 0, 1), final=(0, ANY, 1)), "How about Jade?")[0]
    assert calm.info["annoyed"] == 0, "it was all that was left"
    for utterance in ("Which area?", "How about Rose?", "Nothing like that", "For how many people?"):
        assert talk(PLAIN, "Jade?", utterance)[-1].info["annoyed"] == 1, utterance


def test_a_change_of_mind():
    first, second, third = talk(CHANGING, "Jade?", "Jade?", "Basil?")
    assert first.text[0].content == "Thai, centre, moderate: Basil"
    assert not first.info["inform"] and second.info["annoyed"] == 1
    assert third.state.accepted and third.info == {**third.info, "inform": True, "joint_goal": 2 / 3}


def test_what_does_not_exist_is_given_up():
    offered, denied, asked, taken = talk(IMPOSSIBLE, "Jade?", "Sorry, there is none.", "Which area?", "Basil?")
    assert offered.text[0].content == "Thai, north, moderate: none"
    assert said(denied) in {"Then any area.", "Then it can be any area.", "All right, any area."}
    assert denied.text[0].content == "Thai, any area, moderate: Basil"
    assert asked.info["annoyed"] == 1 and "any area" in said(asked)
    assert taken.state.accepted


def test_it_ends_after_eight_turns():
    replies = talk(PLAIN, *["For how many people?"] * 8)
    assert [reply.terminated for reply in replies] == [False] * 7 + [True]


# Tokens


def test_check():
    check_env("ServiceDesk-v0", expert=Expert(TASK))


def test_golden_episode():
    env = language_vec("ServiceDesk-v0", 1)
    [episode] = rollout(env, Expert(env.task), [0])
    text = decode(env.tokenizer, [episode.tokens])[0]
    assert (text, round(episode.ret, 3)) == (GOLDEN, 0.92)


GOLDEN = (
    "single, area ?, expensive: River<|user|>I need a hotel with a single room at expensive prices."
    "<|agent|>How about River?<|end|>family, north, expensive: Oak"
    "<|user|>Sorry, make it with a family room and in the north."
    "<|agent|>There is Oak.<|end|>Oak, 952, Station Street: nights ?, from Sunday"
    "<|user|>Fine, that one. Please book it from Sunday."
    "<|agent|>How many nights?<|end|>Oak, 952, Station Street: for five nights, from Sunday"
    "<|user|>Five nights."
    "<|agent|>Oak is booked for five nights from Sunday.<|end|><|user|>Thanks, bye."
)


@pytest.mark.parametrize("family", FAMILIES)
def test_desks_read_conversations_in_other_markups(family):
    template, end = FAMILIES[family]
    env = language_vec("ServiceDesk-v0", 8, tokenizer=chat_tokenizer(template, end))
    assert all(episode.info["success"] for episode in rollout(env, Expert(env.task, env.tokenizer), range(8)))


def test_a_history_is_seen_as_the_state_is():
    for context in range(40):
        state, messages = TASK.begin_at(context, RNG)
        state = state._replace(patience=9)
        for act in (Act.CHAT, Act.ASK, Act.OFFER, Act.DENY, Act.OFFER, Act.REPEAT, Act.TELL, Act.ARRANGE):
            desk = desk_of(state)
            assert seen(messages) == desk
            utterance = ways_to_say(desk.service, (ways(desk, act) or [Heard()])[0], desk.accepted)[0]
            reply = TASK.reply(state, utterance, RNG)
            state, messages = reply.state, (*messages, assistant(utterance), *reply.text)
    with pytest.raises(ValueError, match="none of a service desk"):
        seen(())


# Desks and their values


CONVERSATIONS = 800


@pytest.fixture(scope="module")
def played():
    env, found = language_vec("ServiceDesk-v0", 256), {}
    for kind in (Expert, Guesser, Hasty, AnyAct):
        found[kind] = list(rollout(env, kind(env.task), range(CONVERSATIONS)))
    return found


@pytest.mark.parametrize(("kind", "acts"), [(Expert, expert), (Guesser, guesser), (Hasty, hasty)])
def test_exact_values_are_what_is_earned(played, kind, acts):
    returns = np.array([episode.ret for episode in played[kind]])
    value = exact_value(TASK, acts)
    assert abs(returns.mean() - value) < 3.5 * returns.std() / len(returns) ** 0.5


def test_the_expert_is_the_best():
    assert optimal_value(TASK) == pytest.approx(exact_value(TASK, expert)) == pytest.approx(0.895)
    assert optimal_value(ServiceDesk(turn_cost=0)) == pytest.approx(1)
    assert optimal_value(ServiceDesk(turn_cost=1)) == pytest.approx(-1, abs=0.2), "where turns cost all, end it"


@pytest.mark.parametrize(
    ("acts", "earned", "success", "turns"),
    [(expert, 0.895, 1, 5.25), (hasty, 0.472, 0.54, 3.48), (guesser, 0.248, 0.33, 4.25)],
)
def test_the_page_says_what_desks_earn_exactly(acts, earned, success, turns):
    costly, free = (exact_value(ServiceDesk(turn_cost=cost), acts) for cost in (0.02, 0))
    assert (round(costly, 3), round(free, 2), round((free - costly) / 0.02, 2)) == (earned, success, turns)


def test_habits(played):
    def acts(kind):
        found = Counter()
        for episode in played[kind]:
            state, _ = begun(0, TASK.goals[episode.info["context"]], 3)
            for span in episode.utterances(TOKENIZER.eos_token_id, 24):
                heard = read(state.goal.service, decode(TOKENIZER, [episode.tokens[span][:-1]])[0])
                found[desk_of(state).view[:3], act_of(desk_of(state), heard)] += 1
                state, _ = respond(state, heard)
        return found

    several, one, taken = (3, False, False), (1, False, False), (1, True, False)
    patient, rash = acts(Guesser), acts(Hasty)
    assert patient[several, Act.ASK] and not patient[several, Act.OFFER] and not patient[one, Act.REPEAT]
    assert rash[several, Act.OFFER] and not rash[several, Act.ASK] and rash[one, Act.REPEAT] > 0.45 * CONVERSATIONS
    assert patient[taken, Act.BOOK] == CONVERSATIONS and not patient[taken, Act.ARRANGE]
    assert rash[taken, Act.ARRANGE] > 0.8 * rash[taken, Act.BOOK]
    assert len(acts(AnyAct)) > 20


TOKENIZER = TASK.tokenizer()


# What is logged


def test_nobody_in_the_log_is_good_throughout(tmp_path):
    logs = build("service-desk", 300, tmp_path / "a", progress=False)
    again = build("service-desk", 50, tmp_path / "b", progress=False)
    assert all(logs[i].same_as(again[i]) for i in range(50))
    shares = Counter(logs.describe()["policies"].keys())
    assert set(shares) == {"guesser", "hasty", "any-act"}
    with pytest.raises(ValueError, match="needs the environment ServiceDesk"):
        build("service-desk", 3, tmp_path / "c", env_id="MovieReview-v0", progress=False)
    with pytest.raises(ValueError, match="shares are 4 numbers"):
        build("service-desk", 3, tmp_path / "c", shares=(1,), progress=False)


def test_a_desk_that_slips_does_any_act_now_and_then(tmp_path):
    view = View(1, True, False, 1, 0)
    assert slipping(guesser, 0.0) is guesser
    chances = slipping(guesser, 0.22)(view, 3)
    assert chances[Act.BOOK] == pytest.approx(0.8) and chances[Act.ARRANGE] == pytest.approx(0.02)
    assert slipping(expert, 1.0)(view, 0) == pytest.approx(any_act(view, 0))
    alone = {"shares": (1, 0, 0, 0), "progress": False}
    kept, slipped = (build("service-desk", 100, tmp_path / str(x), slips=x, **alone) for x in (0.0, 0.9))
    speech = Speech(TASK, TOKENIZER)
    done = [{step.act for episode in logs for step in steps(speech, episode)} for logs in (kept, slipped)]
    assert Act.MISOFFER not in done[0] and len(done[1]) == len(Act)
    with pytest.raises(ValueError, match=r"slips is the probability.*got 2"):
        build("service-desk", 3, tmp_path / "c", slips=2, progress=False)
