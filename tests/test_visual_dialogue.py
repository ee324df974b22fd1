"""Visual dialogue: the rewards of each answer, the end of a dialogue, and the scripted policies."""

import numpy as np
import pytest

from lang_envs import rollout
from lang_envs.conversation import system, user
from lang_envs.make import language_vec
from lang_envs.markup import markup_of
from lang_envs.policies.any_task import RandomTokens, Say
from lang_envs.policies.visual_dialogue import Informative, RandomQuestions, Repetitive, YesNo
from lang_envs.scores import expert
from lang_envs.tasks.visual_dialogue import GOAL, VisualDialogue
from lang_envs.tasks.visual_dialogue_rewards import penalised

IDS = {
    "standard": "VisualDialogue-v0",
    "yes_no": "VisualDialogue-YesNo-v0",
    "conservative": "VisualDialogue-ConservativeYesNo-v0",
}
RNG = np.random.default_rng(0)  # the task draws nothing from it but where it begins


class Told:
    """A world of one image whose answers and percentiles are told in advance."""

    captions = ("a cat",)

    def __init__(self, answers, percentiles, opening=0.5):
        self.answers, self.told, self.opening = answers, percentiles, opening

    def begin(self, contexts):
        return [0] * len(contexts), np.full(len(contexts), self.opening)

    def ask(self, contexts, views, questions):
        return [self.answers[v] for v in views], [v + 1 for v in views], np.array([self.told[v] for v in views])


def told(answers, percentiles, reward="standard", rule="paper", opening=0.5):
    task = VisualDialogue(reward, rule, pool=2)
    task.world, task.num_contexts = Told(answers, percentiles, opening), 1
    return task


def play(task, turns):
    state, text = task.begin_at(0, RNG)
    replies = []
    for _ in range(turns):
        replies.append(task.reply(state, "is it?", RNG))
        state = replies[-1].state
    return text, replies


@pytest.mark.parametrize(
    ("answer", "yes_no", "conservative", "by_words"),
    [
        ("yes", True, True, (True, True)),
        ("No", True, True, (True, True)),
        ("yes.", False, True, (True, True)),
        ("no it's not", False, True, (False, True)),
        ("snow", False, True, (False, False)),
        ("nothing", False, True, (False, False)),
        ("i don't know", False, True, (False, True)),
        ("they know", False, True, (False, False)),
        ("i don’t see any", False, True, (False, True)),
        ("I can’t see", False, True, (False, True)),
        ("northern piano", False, True, (False, False)),
        ("her eyes are blue", False, True, (False, False)),
        ("i think so", False, True, (False, True)),
        ("mostly just grass", False, True, (False, True)),
        ("it looks wet", False, True, (False, True)),
        ("it looked wet", False, False, (False, False)),
        ("brown", False, False, (False, False)),
        ("", False, False, (False, False)),
    ],
)
def test_penalties(answer, yes_no, conservative, by_words):
    assert penalised(answer, "yes_no", "paper") == yes_no
    assert penalised(answer, "conservative", "paper") == conservative
    assert (penalised(answer, "yes_no", "words"), penalised(answer, "conservative", "words")) == by_words
    assert not penalised(answer, "standard", "paper") and not penalised(answer, "standard", "words")


def test_a_turn_costs_one_and_the_last_nothing():
    task = told(["red", "yes", "no"], [0.6, 0.7, 0.75])
    text, replies = play(task, 3)
    assert text == (system("a cat"),)
    assert [reply.reward for reply in replies] == [-1, -1, 0]
    assert [reply.terminated for reply in replies] == [False, False, True]
    assert [reply.text for reply in replies] == [(user("red"),), (user("yes"),), (user("no"),)]
    assert replies[-1].info == {"context": 0, "success": True, "percentile": 0.75, "penalised": False}
    with pytest.raises(ValueError, match="The dialogue is over"):
        task.reply(replies[-1].state, "more?", RNG)


def test_ten_rounds_without_success_end_at_no_cost_but_penalties_stay():
    _, replies = play(told(["yes"] * 10, [0.74] * 10, "yes_no"), 10)
    assert [reply.reward for reply in replies] == [-3] * 9 + [-2]  # -29, the least there is
    assert replies[-1].terminated and not replies[-1].info["success"] and not replies[8].terminated
    _, replies = play(told(["red"] * 10, [0.74] * 10), 10)
    assert sum(reply.reward for reply in replies) == -9


def test_half_of_what_is_left_ends_it():
    assert GOAL == 0.5
    for opening, reached, over in ((0.5, 0.75, True), (0.5, 0.7499, False), (0.9, 0.95, True), (0.9, 0.94, False)):
        _, (reply,) = play(told(["red"], [reached], opening=opening), 1)
        assert reply.terminated == over
    _, (reply,) = play(told(["red"], [0.4], opening=0.5), 1)
    assert not reply.terminated  # it may get worse


def test_options_are_checked():
    with pytest.raises(ValueError, match=r"reward must be one of .*'conservative'.*got 'hard'"):
        VisualDialogue("hard")
    with pytest.raises(ValueError, match=r"rule must be one of .*'words'.*got 'regex'"):
        VisualDialogue(rule="regex")
    with pytest.raises(ValueError, match="features and threshold are of real dialogues"):
        VisualDialogue(threshold=0.5)
    with pytest.raises(ValueError, match="pool, difficulty and split are of the built-in scenes"):
        VisualDialogue(world="there/is/none.json", pool=20)
    with pytest.raises(ValueError, match=r"'train', 'val', 'test'.*got 'dev'"):
        VisualDialogue(split="dev")


def test_every_reward_plays_the_same_dialogues():
    episodes = {}
    for reward, env_id in IDS.items():
        env = language_vec(env_id, 16, pool=80)
        episodes[reward] = list(rollout(env, YesNo(env.task), range(32)))
    for other in ("yes_no", "conservative"):
        for plain, costly in zip(episodes["standard"], episodes[other], strict=True):
            assert (plain.tokens == costly.tokens).all() and plain.terminated and not plain.truncated
            bad = [text for speaker, text in heard(env, plain) if speaker == "user" and penalised(text, other, "paper")]
            assert costly.ret == plain.ret - 2 * len(bad)


def heard(env, episode):
    return markup_of(env.tokenizer).read(episode.tokens)


def test_a_dialogue_can_begin_at_any_image():
    task = VisualDialogue(pool=30)
    assert task.num_contexts == 30
    state, text = task.begin_at(7, RNG)
    assert state.context == 7 and text == (system(task.world.captions[7]),)
    reply = task.reply(state, "is it sunny", RNG)
    assert reply == task.reply(state, "is it sunny", RNG)  # the state was not touched
    assert task.reply_batch([state, state], ["is it sunny", "what is this"], [RNG] * 2)[0] == reply


def test_questioners_have_their_habits():
    env = language_vec(IDS["standard"], 32)
    task, episodes = env.task, {}
    for questioner in (RandomQuestions(task), YesNo(task), Repetitive(task), Informative(task)):
        name = type(questioner).__name__
        episodes[name] = list(rollout(env, questioner, range(150)))
        again = list(rollout(language_vec(IDS["standard"], 5), questioner, range(6)))
        assert all(a.same_as(b) for a, b in zip(again, episodes[name], strict=False))
    asked = {
        name: [[text for who, text in heard(env, e) if who == "assistant"] for e in some]
        for name, some in episodes.items()
    }
    flat = {name: [text for own in some for text in own] for name, some in asked.items()}
    closed = {name: np.mean([not is_open(task, text) for text in texts]) for name, texts in flat.items()}
    repeats = {name: np.mean([len(own) - len(set(own)) for own in some]) for name, some in asked.items()}
    returns = {name: np.mean([e.ret for e in some]) for name, some in episodes.items()}
    assert closed["YesNo"] == pytest.approx(0.85, abs=0.04)
    assert repeats["Repetitive"] > 2 and repeats["YesNo"] == repeats["Informative"] == 0
    assert returns["Informative"] > returns["RandomQuestions"] + 2 > returns["Repetitive"] + 3
    assert len(set(flat["RandomQuestions"])) > 250


def is_open(task, text):
    return task.world.questions[task.world.understand(text)].is_open


def test_penalties_can_be_avoided_at_a_small_cost():
    """The paper's cross-table: who minds them loses little without them, who does not pays dearly with them."""
    thrifty = Informative(VisualDialogue("yes_no"))
    careless = Informative(VisualDialogue("yes_no"), thrifty=False)
    mean = {
        (who, reward): np.mean([e.ret for e in rollout(language_vec(IDS[reward], 64), policy, range(160))])
        for who, policy in (("thrifty", thrifty), ("careless", careless))
        for reward in ("standard", "yes_no")
    }
    assert mean["careless", "standard"] > mean["thrifty", "standard"] > mean["careless", "standard"] - 1
    assert mean["thrifty", "yes_no"] > mean["careless", "yes_no"] + 1.5


def test_random_tokens_ask_nothing_and_gibberish_is_not_understood():
    env = language_vec(IDS["standard"], 8, pool=40)
    episodes = list(rollout(env, RandomTokens(env.task), range(16)))
    assert {episode.ret for episode in episodes} == {-9.0}
    same = list(rollout(env, Say("is it sunny", env.task), range(8)))
    assert all(len({t for who, t in heard(env, e) if who == "user"}) == 1 for e in same)


@pytest.mark.parametrize("reward", IDS)
def test_the_expert_of_the_scores(reward):
    policy = expert(IDS[reward])
    assert isinstance(policy, Informative)
