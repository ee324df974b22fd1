"""Tasks over a corpus: episodes from a chosen starting point, and openings that keep only what is last."""

import gymnasium as gym
import numpy as np
import pytest
from guess_task import Guess

from lang_envs import Reply, Start, Task, TokenEnv, TokenVectorEnv, UtteranceEnv, rollout
from lang_envs.conversation import assistant, system, user
from lang_envs.markup import markup_of
from lang_envs.policies.any_task import Say
from lang_envs.tokenizers import decode, text_tokenizer

CORPUS = ("what is the capital of France?", "Ça va ? 今日は", "and a much longer opening, " * 12)
TOKENIZER = text_tokenizer()


class Echo(Task[int]):
    """Say what was said; the longer, the better."""

    max_turns, max_utterance_tokens, max_tokens = 2, 8, 64
    num_contexts, max_context_tokens = len(CORPUS), 16

    def tokenizer(self):
        return TOKENIZER

    def begin(self, rng):
        return self.begin_at(int(rng.integers(len(CORPUS))), rng)

    def begin_at(self, context, rng):
        return context, (user(CORPUS[context]),)

    def reply(self, state, utterance, rng):
        return Reply(state, (user(utterance),), float(len(utterance)), False, {"context": state})


@pytest.mark.parametrize("context", range(len(CORPUS)))
def test_every_view_starts_where_it_is_told(context):
    options = {"context": context}
    single = TokenEnv(Echo())
    observation, _ = single.reset(seed=0, options=options)
    tokens = observation["input_ids"][observation["attention_mask"] == 1].tolist()
    assert tokens == markup_of(TOKENIZER).opening((user(CORPUS[context]),), 16)
    many = TokenVectorEnv(Echo(), 3)
    many.reset(seed=0, options=options)
    assert [many.history(row).tolist() for row in range(3)] == [tokens] * 3
    many.reset(seed=0, options={"context": [context, None, (context + 1) % 3]})
    assert many.history(0).tolist() == tokens != many.history(2).tolist()
    text, _ = UtteranceEnv(Echo()).reset(seed=0, options=options)
    assert text == decode(TOKENIZER, [tokens])[0]
    [episode] = rollout(many, Say("yes", Echo()), [Start(5, context=context)])
    assert episode.tokens[: len(tokens)].tolist() == tokens
    assert episode.info["context"] == context
    assert episode.truncated


def test_gymnasium_vectors_take_a_context_too():
    env = gym.vector.SyncVectorEnv([lambda: TokenEnv(Echo())] * 2)
    ids = env.reset(seed=0, options={"context": 2})[0]["input_ids"]
    np.testing.assert_array_equal(ids, TokenVectorEnv(Echo(), 2).reset(seed=0, options={"context": 2})[0]["input_ids"])


def test_a_seed_still_draws_the_context():
    seen = {episode.info["context"] for episode in rollout(TokenVectorEnv(Echo(), 4), Say("a", Echo()), range(20))}
    assert seen == {0, 1, 2}


@pytest.mark.parametrize("context", [-1, 3])
def test_there_is_no_such_context(context):
    with pytest.raises(ValueError, match=f"context {context} is out of range"):
        TokenEnv(Echo()).reset(options={"context": context})
    with pytest.raises(ValueError, match=f"context {context} is out of range"):
        TokenVectorEnv(Echo(), 2).begin([0], [0], [context])


def test_a_task_without_contexts_says_so():
    with pytest.raises(ValueError, match="no contexts to choose from"):
        TokenEnv(Guess()).reset(options={"context": 0})
    with pytest.raises(ValueError, match="no contexts to choose from"):
        TokenVectorEnv(Guess(), 2).reset(options={"context": 0})
    with pytest.raises(ValueError, match="one context for each of 2"):
        TokenVectorEnv(Echo(), 2).reset(options={"context": [0]})


# What is left out of an opening that is too long

LONG = (system("rules"), user("first"), assistant("one two"), user("second"), assistant("three"), user("now?"))
MARKUP = markup_of(TOKENIZER)


class Remembers(Echo):
    """The opening is a whole conversation, of which only so much is shown."""

    num_contexts = None

    def __init__(self, limit, said=LONG):
        self.max_context_tokens, self.said = limit, said

    def begin(self, rng):
        return 0, self.said


def opened(task):
    """What the agent reads first, as messages."""
    env = TokenVectorEnv(task, 1)
    env.begin([0], [0])
    assert len(env.history(0)) <= task.max_context_tokens
    return markup_of(env.tokenizer).read(env.history(0))


def test_the_oldest_turns_are_left_out_one_by_one_and_the_rules_stay():
    whole = len(MARKUP.opening(LONG))
    for left in range(5):
        kept = (LONG[0], *LONG[1 + left :])
        least = len(MARKUP.opening(kept))
        assert opened(Remembers(least)) == kept
        assert least < whole or left == 0
        if left < 4:
            assert opened(Remembers(least - 1)) == (LONG[0], *LONG[2 + left :])


def test_of_a_single_turn_that_is_too_long_the_first_words_are_left_out():
    words = " ".join(f"word{i}" for i in range(200))
    ((_, kept),) = opened(Remembers(24, (user(words),)))
    assert words.endswith(kept) and words[-len(kept) - 1] == " " and kept.startswith("word")
    assert 16 <= len(MARKUP.opening((user(kept),))) <= 24


def test_no_character_is_cut_through():
    text = "今日は とても いい 天気 です ね " * 20
    ((_, kept),) = opened(Remembers(20, (user(text),)))
    assert "\N{REPLACEMENT CHARACTER}" not in kept and text.endswith(kept)


def test_a_limit_without_room_for_a_word_is_told():
    with pytest.raises(ValueError, match="at most 2 tokens has no room for a word"):
        opened(Remembers(2, (system("many rules here"), user("hi"))))


def test_every_view_leaves_out_the_same():
    tokens = MARKUP.opening(LONG, 16)
    task = Remembers(16)
    observation, _ = TokenEnv(task).reset(seed=0)
    assert observation["input_ids"][observation["attention_mask"] == 1].tolist() == tokens
    assert UtteranceEnv(task).reset(seed=0)[0] == decode(TOKENIZER, [tokens])[0]
    env = TokenVectorEnv(task, 1)
    env.begin([0], [0])
    assert env.history(0).tolist() == tokens
