"""Clarifying QA: the built-in world, the rules of a conversation, the scripted assistants and what they record."""

import json
from collections import Counter, defaultdict

import numpy as np
import pytest

from datasets_builders import build
from lang_envs import Start, TokenVectorEnv, check_env, rollout
from lang_envs.corpora.questions import LETTERS
from lang_envs.corpora.questions.ambiguous import TEST, TRAIN, cases, need_asked
from lang_envs.corpora.questions.domains import DOMAINS
from lang_envs.markup import markup_of
from lang_envs.policies.any_task import Say
from lang_envs.policies.clarifying_qa import AnswerAtOnce, AskIrrelevant, AskThenAnswer, RandomAnswer
from lang_envs.tasks.clarifying_qa import LAST_CALL, ClarifyingQA
from lang_envs.tasks.clarifying_speech import read
from lang_envs.tokenizers import decode, encode

TASK = ClarifyingQA()
POOLS = {"train": TASK, "test": ClarifyingQA("ambiguous-test")}
RNG = np.random.default_rng(0)


def talk(task, context, *utterances):
    """The replies to some utterances about one question."""
    state, _ = task.begin_at(context, RNG)
    replies = []
    for utterance in utterances:
        replies.append(task.reply(state, utterance, RNG))
        state = replies[-1].state
    return replies


def said_back(reply):
    return "".join(content for _, content in reply.text)


def first(kind):
    """The number of the first question of a kind: how many needs vary, and whether one is stated."""
    return next(i for i, case in enumerate(TASK.cases) if (len(case.varied), case.stated is not None) == kind)


ONE, STATED, TWO = first((1, False)), first((2, True)), first((2, False))

# The built-in world


@pytest.mark.parametrize("shuffled", [True, False])
def test_the_pools_share_no_question(shuffled):
    pools = [
        [(case.question.text, case.question.choices) for case in cases(pool, shuffled)] for pool in ("train", "test")
    ]
    assert [len(pool) for pool in pools] == [TRAIN, TEST]
    assert len(set(pools[0]) | set(pools[1])) == TRAIN + TEST
    assert {case.domain.name for case in cases("test", shuffled)} == {domain.name for domain in DOMAINS}
    kinds = Counter((len(case.varied), case.stated is not None) for case in cases("test", shuffled))
    assert len(kinds) == 3 and min(kinds.values()) > 50


def test_sorted_choices_stand_in_the_order_of_what_they_serve():
    assert all(list(case.values) == sorted(case.values) for case in cases(shuffled=False))
    assert not all(list(case.values) == sorted(case.values) for case in cases())
    task = ClarifyingQA("sorted-test")
    assert task.cases == cases("test", shuffled=False)


@pytest.mark.parametrize("shuffled", [True, False])
@pytest.mark.parametrize("pool", ["train", "test"])
def test_every_question_is_open_before_and_settled_after_asking(pool, shuffled):
    for case in cases(pool, shuffled):
        answer, replies = case.question.answer, []
        before = case.remaining(replies)
        assert len(before) >= 2 and answer in before
        while asked := case.worth_asking(replies):
            replies.append(case.reply(asked[len(replies) % 2], len(replies)))
            assert len(case.remaining(replies)) < len(before)
        assert case.remaining(replies) == (answer,)
        assert len(replies) == len(case.varied) - (case.stated is not None)
        for asked in case.idle_questions:
            assert case.remaining([case.reply(asked, 0)]) == before


def test_the_right_place_and_the_question_say_nothing():
    """Neither the place of a choice nor its values tell that it is right."""
    places = Counter(case.question.answer for case in cases() if len(case.question.choices) == 4)
    assert max(places.values()) < 1.15 * min(places.values())
    by_surface = defaultdict(Counter)
    for case in cases():
        if len(case.varied) == 1:
            phrases = tuple(sorted(case.question.choices))
            by_surface[phrases][case.question.choices[case.question.answer]] += 1
    most = [max(counts.values()) / sum(counts.values()) for counts in by_surface.values() if sum(counts.values()) >= 12]
    assert len(most) > 20 and np.mean(most) < 0.6


def test_a_word_belongs_to_one_need_and_every_question_is_understood():
    for domain in DOMAINS:
        words = [word for need in domain.needs for word in need.words]
        assert len(words) == len(set(words)), domain.name
        for need in domain.needs:
            assert all(need_asked(domain.name, asked) == need.name for asked in need.questions)
        said = [way for need in domain.needs for value in need.values for way in value.said]
        assert len(said) == len(set(said))
        assert not any(a != b and a in b for a in said for b in said)


def test_another_pool():
    with pytest.raises(ValueError, match="'train' or 'test'"):
        cases("validation")


# What an utterance says


@pytest.mark.parametrize(
    ("utterance", "letter", "formed"),
    [
        ("The answer is B.", "B", True),
        ("the answer is (C)", "C", True),
        ("Answer is A", "A", True),
        ("Answer: D", "D", False),
        ("I would say the right choice is option B, since ...", "B", False),
        ("B", "B", False),
        ("(E).", "E", False),
        ("The answer is A. No, the answer is B.", "B", False),
        ("<think>the answer is A</think>The answer is B.", "B", True),
        ("<think>the answer is A", None, False),
        ("The answer is B. <think>sure", "B", False),
        ("</think>The answer is B.", "B", False),
        ("The answer is a matter of taste", None, False),
        ("the answer is Because of rain", None, False),
        ("The answer is F.", None, False),
        ("Is it B?", None, False),
        ("", None, False),
        ("A jacket", None, False),
    ],
)
def test_reading_an_answer(utterance, letter, formed):
    said = read(utterance)
    assert (said.letter, said.formed) == (letter, formed)


def test_reading_questions_and_thoughts():
    assert read("How warm?").asks and not read("How warm").asks and not read("<think>how?</think>well").asks
    assert not read("The answer is B?").asks
    assert read("<think> x </think>").thought and not read("<think> </think>Hm").thought
    assert read("<think>one</think>a<think>two</think>b").spoken == "a b"


# Rules


def test_asking_what_matters_is_answered_and_what_does_not_is_not():
    case = TASK.cases[ONE]
    [need], question = case.varied, case.question
    told = said_back(talk(TASK, ONE, need.questions[0])[0])
    assert told in need.values[case.values[question.answer][0]].said
    assert said_back(talk(TASK, ONE, case.idle_questions[0])[0]) not in [way for v in need.values for way in v.said]
    assert case.remaining([said_back(talk(TASK, ONE, f"Is it {question.letter}?")[0])]) == case.remaining(())
    thinking = said_back(talk(TASK, ONE, f"<think>{need.questions[0]}</think>Hello there?")[0])
    assert case.remaining([thinking]) == case.remaining(())


def test_only_the_first_need_that_is_mentioned_is_told():
    case = TASK.cases[TWO]
    both = " ".join(need.questions[0] for need in case.varied)
    assert len(case.remaining([said_back(talk(TASK, TWO, both)[0])])) == 2


def test_the_last_turn_counts():
    right = TASK.cases[ONE].question.letter
    wrong = "A" if right != "A" else "B"
    replies = talk(TASK, ONE, f"The answer is {wrong}.", "Why?", f"The answer is {right}.")
    assert [r.reward for r in replies] == [0, 0, 1] and [r.terminated for r in replies] == [False, False, True]
    assert [r.info["asked"] for r in replies] == [0, 1, 1]
    assert [r.info["answered"] for r in replies] == [True, False, True]
    assert [r.info["correct"] for r in replies] == [False, False, True]
    assert said_back(replies[1]).endswith(LAST_CALL) and LAST_CALL not in said_back(replies[0])
    assert replies[2].text == () and {r.info["context"] for r in replies} == {ONE}
    replies = talk(TASK, ONE, f"The answer is {right}.", "Hm.", "I do not know.")
    assert replies[2].reward == 0 and not replies[2].info["answered"]
    with pytest.raises(ValueError, match="over"):
        TASK.reply(replies[2].state, "The answer is A.", RNG)


def test_an_answer_ends_it_without_a_fixed_horizon():
    task = ClarifyingQA(fixed_horizon=False)
    [reply] = talk(task, ONE, f"The answer is {task.cases[ONE].question.letter}.")
    assert reply.terminated and reply.reward == 1 and reply.text == ()
    assert not talk(task, ONE, "Well?")[0].terminated
    with pytest.raises(ValueError, match="over"):
        task.reply(reply.state, "Or is it another?", RNG)


def test_form_is_paid_as_much_as_it_weighs():
    task = ClarifyingQA(horizon=1, format_weight=0.25)
    right = task.cases[0].question.letter
    wrong = "A" if right != "A" else "B"
    said = (f"The answer is {right}.", f"Answer: {right}", f"The answer is {wrong}.", "Answer: " + wrong, "no")
    assert [talk(task, 0, text)[0].reward for text in said] == [1, 0.75, 0.25, 0, 0]


def test_form_with_thinking_asks_for_a_thought_in_every_turn():
    task = ClarifyingQA(horizon=2, thinking=True)
    final = "<think>so</think>The answer is A."
    assert talk(task, 0, "<think>hm</think>Why?", final)[1].info["format_ok"]
    assert not talk(task, 0, "Why?", final)[1].info["format_ok"]
    assert not talk(task, 0, "<think>hm</think>Why?", "The answer is A.")[1].info["format_ok"]
    assert "<think>" in task.begin_at(0, RNG)[1][0].content


def test_every_opening_fits_and_is_written_as_a_conversation():
    for task in POOLS.values():
        markup = markup_of(task.tokenizer())
        assert max(len(markup.opening(opening)) for opening in task.openings[::8]) <= task.max_context_tokens
    [(speaker, rules), (asker, question)] = TASK.openings[0]
    assert (speaker, asker) == ("system", "user") and "The answer is X" in rules
    assert question.splitlines()[1].startswith("A: ")


class Parrot:
    """A user for the tests: repeats what it was asked and keeps what it was told."""

    def __init__(self):
        self.calls = []

    def answer(self, conversations):
        self.calls.append(list(conversations))
        return [f"You said: {conversation[-1].content}" for conversation in conversations]


def test_a_user_of_ones_own_is_asked_once_for_all_and_sees_its_own_side():
    user = Parrot()
    task = ClarifyingQA(user=user)
    env = TokenVectorEnv(task, 4)
    episodes = list(rollout(env, Say("<think>secret</think>How come?", task), [Start(s, context=s) for s in range(4)]))
    assert [len(call) for call in user.calls] == [4, 4]
    turns = user.calls[1][2]
    assert [role for role, _ in turns] == ["system", "user", "assistant", "user"]
    assert turns[1][1] == "How come?" and turns[2][1] == "You said: How come?"
    question = task.cases[2].question
    assert question.hint in turns[0][1] and f"right for you is {question.letter}" in turns[0][1]
    assert "secret" not in str(turns)
    assert "You said: How come?" in env.tokenizer.decode(episodes[2].tokens)
    user.answer = lambda conversations: []
    with pytest.raises(ValueError, match="a text for each of 1 conversations, got 0"):
        talk(task, 0, "Why?")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"horizon": 0}, "at least 1 turn"),
        ({"format_weight": 1.5}, "format_weight"),
        ({"subject": "law"}, "no subjects"),
        ({"corpus": "nowhere.jsonl"}, "there is no file or folder 'nowhere.jsonl'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        ClarifyingQA(**options)


def test_check_env(physics):
    options = {"corpus": str(physics), "fixed_horizon": False, "format_weight": 0.5, "thinking": True}
    check_env("ClarifyingQA-v0", expert=AskThenAnswer(ClarifyingQA(**options)), **options)


# Assistants


def scores(policy, task, episodes=300):
    env = TokenVectorEnv(task, 100)
    return np.array([e.ret for e in rollout(env, policy, [Start(i, context=i) for i in range(episodes)])])


def test_asking_pays():
    assert scores(AskThenAnswer(TASK), TASK).mean() == 1
    at_once = [1 / len(case.remaining(())) for case in TASK.cases[:300]]
    for policy in (AnswerAtOnce(TASK), AskIrrelevant(TASK)):
        assert scores(policy, TASK).mean() == pytest.approx(np.mean(at_once), abs=0.1)
    assert scores(RandomAnswer(TASK), TASK).mean() == pytest.approx(0.265, abs=0.1)


def first_answers(policy, task, episodes):
    """The first turn of each episode that states an answer."""
    env = TokenVectorEnv(task, episodes)
    found = []
    for episode in rollout(env, policy, [Start(i, context=i) for i in range(episodes)]):
        said = decode(env.tokenizer, [episode.tokens[span] for span in episode.utterances(env.end_id)])
        found.append(next(text for text in said if read(text).letter))
    return found


@pytest.mark.parametrize("assistant", [AskThenAnswer, RandomAnswer])
def test_who_answers_says_what_before_the_letter(assistant):
    for case, said in zip(TASK.cases, first_answers(assistant(TASK), TASK, 40), strict=False):
        choice = dict(zip(LETTERS, case.question.choices, strict=False))[read(said).letter]
        assert said.index(choice) < said.index("answer is")


def test_two_needs_take_two_questions():
    task = ClarifyingQA(horizon=2)
    two = [len(case.varied) == 2 and case.stated is None for case in task.cases[:300]]
    returns = scores(AskThenAnswer(task), task)
    assert returns[~np.array(two)].mean() == 1
    assert returns[two].mean() == pytest.approx(0.5, abs=0.2)


def test_the_reference_scores_of_the_page():
    page = ClarifyingQA.__doc__

    def row(values):
        return " | ".join(f"{value:.3f}" for value in values)

    at_once = row(np.mean([1 / len(c.remaining(())) for c in task.cases]) for task in POOLS.values())
    anything = row(np.mean([1 / len(c.question.choices) for c in task.cases]) for task in POOLS.values())
    two = [np.mean([len(c.varied) == 2 and c.stated is None for c in task.cases]) for task in POOLS.values()]
    assert f"`AskIrrelevant(task)`, `AnswerAtOnce(task)` | {at_once} |" in page
    assert f"`RandomAnswer(task)` | {anything} |" in page
    assert f"with `horizon=2` | {row(1 - share / 2 for share in two)} |" in page
    assert f"at most {TASK.max_tokens} " in page and f"has at most {TASK.max_utterance_tokens} tokens" in page


def test_assistants_think_where_that_is_asked_for():
    task = ClarifyingQA(thinking=True)
    env = TokenVectorEnv(task, 10)
    assert all(episode.info["format_ok"] for episode in rollout(env, AskThenAnswer(task), range(10)))


def test_a_strange_opening_is_refused():
    with pytest.raises(ValueError, match="no question of the task"):
        AskThenAnswer(TASK).act([np.array(encode(TASK.tokenizer(), ["hello"])[0], np.int32)], [RNG])


@pytest.fixture
def physics(tmp_path):
    path = tmp_path / "questions.jsonl"
    rows = [
        {
            "question": f"What melts {'slowly ' * 300 * (i == 0)}at {i} degrees?",
            "correct_answer": "ice",
            **{f"distractor{j}": f"metal {j}" for j in (1, 2, 3)},
            "support": "Water freezes and ice melts.",
        }
        for i in range(5)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_questions_of_a_file(physics):
    task = ClarifyingQA(physics)
    assert task.num_contexts == 5
    assert scores(AskThenAnswer(task), task, 5).mean() == 1  # the long one too, whose opening is cut
    assert all(said.startswith(("The", "I think", "Then")) for said in first_answers(AskThenAnswer(task), task, 5))
    assert said_back(talk(task, 1, "What do you know?")[0]) == "Water freezes and ice melts."
    with pytest.raises(ValueError, match="built-in"):
        AskIrrelevant(task)


# Recording


def test_the_recipe_records_groups_of_one_question(tmp_path):
    episodes = list(build("clarifying-qa", 240, tmp_path / "d", seed=3, progress=False))
    contexts = [episode.info["context"] for episode in episodes]
    groups = np.array(contexts).reshape(-1, 4)
    assert (groups == groups[:, :1]).all() and len(set(groups[:, 0])) == 60
    openings = {tuple(episode.tokens[: int(np.argmax(episode.is_action))].tolist()) for episode in episodes[:4]}
    assert len(openings) == 1
    returns = np.array([episode.ret for episode in episodes]).reshape(-1, 4)
    assert (returns.std(axis=1) > 0).mean() > 0.5  # most questions have better and worse conversations
    by_policy = defaultdict(list)
    for episode in episodes:
        by_policy[episode.info["policy"]].append(episode.ret)
    assert set(by_policy) == {"asks", "answers-at-once", "asks-irrelevant", "answers-anything"}
    assert np.mean(by_policy["asks"]) == 1 > np.mean(by_policy["answers-at-once"]) + 0.4


def test_the_recipe_passes_over_a_small_file_again_and_again(tmp_path, physics):
    dataset = build(
        "clarifying-qa", 30, tmp_path / "d", corpus=str(physics), per_context=2, progress=False,
        assistants=("asks", "answers-anything"),
    )  # fmt: skip
    contexts = [episode.info["context"] for episode in dataset]
    assert Counter(contexts) == dict.fromkeys(range(5), 6)
    assert {frozenset(Counter(contexts[i : i + 10]).values()) for i in (0, 10, 20)} == {frozenset({2})}


def test_an_assistant_named_more_often_is_drawn_more_often(tmp_path):
    assistants = ("asks", "asks", "asks", "answers-at-once")
    dataset = build("clarifying-qa", 400, tmp_path / "d", assistants=assistants, progress=False)
    drawn = Counter(episode.info["policy"] for episode in dataset)
    assert 270 < drawn["asks"] < 330 and drawn.total() == 400


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"per_context": 0}, "per_context"),
        ({"assistants": ("asks", "nobody")}, "some of"),
        ({"assistants": ()}, "some of"),
        ({"env_id": "MovieReview-v0"}, "needs the environment ClarifyingQA"),
    ],
)
def test_the_recipe_refuses(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        build("clarifying-qa", 4, tmp_path / "d", progress=False, **options)
