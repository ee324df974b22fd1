"""Served models that return the environment's tokens; several servers of one model."""

import logging

import numpy as np
import pytest
from test_served import HELLO, TOKENIZER, Echo, act, chat, history, said, serve

from lang_envs import rollout
from lang_envs.conversation import user
from lang_envs.policies.served import Served
from lang_envs.policies.served_tokens import ServedTokens
from lang_envs.vector import TokenVectorEnv


@pytest.fixture
def server():
    with serve() as script:
        yield script


END = TOKENIZER.eos_token_id


def ids(text):
    return TOKENIZER(text)["input_ids"]


def completion(text, /, **more):
    """As vLLM answers: ids with the end token, text without."""
    token_ids = [*ids(text), END]
    logprobs = {"tokens": None, "token_logprobs": [-0.5] * len(token_ids)}
    return {"choices": [{"text": text, "token_ids": token_ids, "logprobs": logprobs, "finish_reason": "stop"} | more]}


def asks(server, **options):
    return ServedTokens(server.url, "m", Echo(), TOKENIZER, **{"backoff": 0.001, "retries": 2, **options})


def test_tokens_go_there_and_come_back(server):
    server.answer = lambda path, body: (200, completion("ok"))
    [turn] = act(asks(server), HELLO)
    path, body, _ = server.asked[0]
    assert path == "/v1/completions" and body["prompt"] == HELLO.tolist()
    assert body["return_token_ids"] is True and body["stop_token_ids"] == [END] and body["max_tokens"] == 8
    assert turn.tokens.tolist() == [*ids("ok"), END] and turn.logprobs.tolist() == [-0.5] * 3


def test_the_spelling_that_was_drawn_is_kept(server):
    """One text, two spellings: what the server drew is recorded, not what the tokenizer would write."""
    from lang_envs.tokenizers import text_tokenizer

    tokenizer, task = text_tokenizer(), Echo()
    drawn = [*tokenizer("o")["input_ids"], *tokenizer("pen")["input_ids"]]
    assert drawn != tokenizer("open")["input_ids"]
    end = tokenizer.eos_token_id
    answer = completion("open", token_ids=[*drawn, end], logprobs=None)
    server.answer = lambda path, body: (200, answer)
    [turn] = act(ServedTokens(server.url, "m", task, tokenizer), np.array([1, 2, 3], np.int32))
    assert turn.tokens.tolist() == [*drawn, end] and np.isnan(turn.logprobs).all()


def test_an_end_that_the_server_keeps_is_added(server):
    server.answer = lambda path, body: (
        200,
        completion("ok", token_ids=ids("ok"), logprobs={"token_logprobs": [-1, -2]}),
    )
    [turn] = act(asks(server), HELLO)
    assert turn.tokens.tolist() == [*ids("ok"), END]
    assert turn.logprobs[:2].tolist() == [-1, -2] and np.isnan(turn.logprobs[2])


def test_an_utterance_may_be_cut_at_the_limit(server):
    server.answer = lambda path, body: (200, completion("abcdefgh", token_ids=ids("abcdefgh"), logprobs=None))
    [turn] = act(asks(server), HELLO)
    assert turn.tokens.tolist() == ids("abcdefgh")


@pytest.mark.parametrize(
    ("options", "kept"), [({}, True), ({"temperature": 0.5}, False), ({"temperature": 0.5, "processed": True}, True)]
)
def test_log_probabilities_of_another_distribution_are_not_kept(server, options, kept):
    server.answer = lambda path, body: (200, completion("ok"))
    [turn] = act(asks(server, **options), HELLO)
    assert np.isnan(turn.logprobs).any() != kept


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (completion("ok", token_ids=None), "gave no token ids.*return_token_ids.*Served takes the text"),
        (completion("ok", token_ids=[3, 9999]), "gave no token ids of the environment's tokenizer"),
        (completion("ok", token_ids=[True]), "gave no token ids"),
        (completion("ok", token_ids=[END, 3]), "went on after the end token"),
        (completion("ok", token_ids=[3] * 9), "beyond max_tokens=8"),
        (completion("no", token_ids=[*ids("ok"), END]), "read 'ok', and its text is 'no'.*another tokenizer"),
        (completion("ok", text=None), "its text is None"),
    ],
)
def test_answers_that_cannot_be_trusted_are_refused(server, answer, told):
    server.answer = lambda path, body: (200, answer)
    with pytest.raises(ValueError, match=told):
        act(asks(server), HELLO)


def test_what_is_recorded_has_the_tokens(server):
    server.answer = lambda path, body: (200, completion("ok"))
    [episode] = rollout(TokenVectorEnv(Echo(), 1), asks(server), [3])
    assert episode.tokens[episode.is_action].tolist() == [*ids("ok"), END] * 2
    assert episode.logprobs[episode.is_action].tolist() == [-0.5] * 6


# Several servers


@pytest.fixture
def two():
    with serve() as one, serve() as other:
        yield one, other


def test_two_servers_share_the_work(two):
    for server in two:
        server.answer = lambda path, body: (200, chat("ok"))
    policy = Served([server.url for server in two], "m", Echo(), concurrency=2)
    turns = act(policy, *[HELLO] * 40)
    assert [said(turn) for turn in turns] == ["ok<|end|>"] * 40
    assert sum(len(server.asked) for server in two) == 40 and all(len(server.asked) > 4 for server in two)
    assert policy.url == [f"{server.url}/v1" for server in two]


def test_answers_keep_the_order_of_what_was_asked(two):
    for server in two:
        server.answer = lambda path, body: (200, chat(body["messages"][-1]["content"]))
    letters = "abcdefghijklmnop"
    heard = [history(user(letter)) for letter in letters]
    turns = act(Served([server.url for server in two], "m", Echo(), concurrency=3), *heard)
    assert [said(turn) for turn in turns] == [f"{letter}<|end|>" for letter in letters]


def test_a_server_that_is_lost_leaves_its_work_to_the_others(two, caplog):
    one, other = two
    one.answer = lambda path, body: (503, "broken")
    other.answer = lambda path, body: (200, chat("ok"))
    policy = Served([one.url, other.url], "m", Echo(), concurrency=2, retries=1, backoff=0.001)
    with caplog.at_level(logging.WARNING, logger="lang_envs"):
        assert len(act(policy, *[HELLO] * 12)) == 12
    assert len(other.asked) == 12
    assert [record for record in caplog.messages if "go on without it" in record]


def test_the_last_server_that_is_lost_is_an_error(two):
    for server in two:
        server.answer = lambda path, body: (503, "broken")
    policy = Served([server.url for server in two], "m", Echo(), concurrency=2, retries=0)
    with pytest.raises(ConnectionError, match="failed 1 times"):
        act(policy, *[HELLO] * 12)


def test_no_server_is_refused():
    with pytest.raises(ValueError, match="name at least one server"):
        Served([], "m", Echo())
