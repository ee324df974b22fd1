"""Tasks over a corpus: episodes from a chosen starting point, and openings that keep only their last tokens."""

import gymnasium as gym
import numpy as np
import pytest
from guess_task import Guess
from lang_envs.transcript import heard, prompt

from lang_envs import Reply, Start, Task, TokenEnv, TokenVectorEnv, UtteranceEnv, rollout
from lang_envs.policies.any_task import Say
from lang_envs.tokenizers import decode, encode, text_tokenizer

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
        return context, prompt([("user", CORPUS[context])])

    def reply(self, state, utterance, rng):
        return Reply(state, heard(utterance), float(len(utterance)), False, {"context": state})


@pytest.mark.parametrize("context", range(len(CORPUS)))
def test_every_view_starts_where_it_is_told(context):
    options = {"context": context}
    single = TokenEnv(Echo())
    observation, _ = single.reset(seed=0, options=options)
    tokens = observation["input_ids"][observation["attention_mask"] == 1].tolist()
    assert tokens == encode(TOKENIZER, [prompt([("user", CORPUS[context])])])[0][-16:]
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
