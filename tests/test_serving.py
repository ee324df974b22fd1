"""An agent behind OpenAI's protocol, with the official client: it says what its policy with values says."""

import json
import socket
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import gymnasium as gym
import numpy as np
import openai
import pytest
import torch
from test_cli import call
from transformers import GPT2Config, GPT2LMHeadModel

from agents import AGENTS, ILQL, LM, DecisionTransformerConfig, ILQLConfig
from agents.serving.speaker import Speaker, Wanted
from agents.serving.spoken import Spoken
from lang_envs import rollout
from lang_envs.conversation import assistant, user
from lang_envs.markup import markup_of
from lang_envs.policies.served import Served
from lang_envs.policies.served_tokens import ServedTokens
from lang_envs.random_generators import OF_POLICY, generator
from lang_envs.tasks.dialogue import Dialogue
from lang_envs.tasks.movie_review import MovieReview
from lang_envs.tokenizers import decode, encode, text_tokenizer

uvicorn = pytest.importorskip("uvicorn", reason="the extra serve is not installed")

from agents.serving.run import is_loopback, make_server  # noqa: E402  # behind the extra

TOKENIZER = text_tokenizer()
GREEDY = {"greedy": True, "advantage_weight": 6.0}
HELLO = [{"role": "user", "content": "is it open on <|end|> monday?"}]
PROMPTS = ["<|user|>hello<|agent|>", "<|user|>is it far<|agent|>", "what", "a b c d e f g h i j k l m n o p"]


def make_lm(tokenizer=TOKENIZER, limit=12, seed=3):
    sizes = {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 96, "initializer_range": 0.3}
    ids = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LM(GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), **sizes, **ids)), tokenizer, limit)


def make_agent():
    """Values made by chance, on a language model made by chance."""
    agent = ILQL(make_lm(), ILQLConfig(zero_init=False, q_head="full"))
    agent.model.update_targets(1.0)
    return agent


class Serving:
    """A server in a thread of this process."""

    def __init__(self, agent, name="clerk", decoding=GREEDY):
        self.server = make_server(agent, name, decoding, "127.0.0.1", 0)
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        deadline = time.monotonic() + 20
        while not self.server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        self.client = openai.OpenAI(base_url=f"http://127.0.0.1:{self.port}/v1", api_key="none", max_retries=0)

    def __enter__(self):
        return self.client

    def __exit__(self, *error):
        self.client.close()
        self.server.should_exit = True
        self.thread.join()


@pytest.fixture(scope="module")
def agent():
    return make_agent()


@pytest.fixture(scope="module")
def client(agent):
    with Serving(agent) as client:
        yield client


def said(agent, history, seed=0, **decoding):
    """What the agent's policy says, and its log-probabilities."""
    turn = agent.policy(**decoding).act([np.array(history, np.int32)], [generator(seed, OF_POLICY)])[0]
    return turn.tokens.tolist(), turn.logprobs.tolist()


def text_of(tokens):
    return decode(TOKENIZER, [[token for token in tokens if token != TOKENIZER.eos_token_id]])[0]


def spelled(prompt):
    return encode(TOKENIZER, [prompt])[0]


def test_greedy_replies_are_the_policy_s_token_for_token(agent, client):
    history = markup_of(TOKENIZER).opening((user(HELLO[0]["content"]),))
    tokens, _ = said(agent, history, **GREEDY)
    answer = client.chat.completions.create(model="clerk", messages=HELLO, extra_body={"return_token_ids": True})
    choice = answer.choices[0]
    assert choice.model_extra["token_ids"] == tokens and choice.message.content == text_of(tokens)
    assert answer.model_extra["prompt_token_ids"] == [history]
    assert choice.finish_reason == ("stop" if tokens[-1] == TOKENIZER.eos_token_id else "length")
    usage = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (len(history), len(tokens))
    assert usage.total_tokens == len(history) + len(tokens)


def test_a_conversation_goes_on(agent, client):
    turns = [
        *HELLO,
        {"role": "assistant", "content": "yes"},
        {"role": "user", "content": [{"type": "text", "text": "ok"}]},
    ]
    history = markup_of(TOKENIZER).opening((user(HELLO[0]["content"]), assistant("yes"), user("ok")))
    answer = client.chat.completions.create(model="clerk", messages=turns)
    assert answer.choices[0].message.content == text_of(said(agent, history, **GREEDY)[0])


def test_the_weight_of_the_values_comes_with_the_request(agent, client):
    found = set()
    for weight in (0.0, 6.0, 40.0):
        tokens, _ = said(agent, spelled(PROMPTS[0]), greedy=True, advantage_weight=weight)
        answer = client.completions.create(model="clerk", prompt=PROMPTS[0], extra_body={"advantage_weight": weight})
        assert answer.choices[0].text == text_of(tokens)
        found.add(answer.choices[0].text)
    assert len(found) == 3
    assert agent.model.config.advantage_weight == 1.0  # nobody else's weight was changed


@pytest.mark.parametrize(
    "decoding", [{"temperature": 0.7, "top_p": 0.9}, {"temperature": 1.3, "top_k": 20, "lm_top_p": 0.8}]
)
def test_sampled_replies_and_their_log_probabilities_are_the_policy_s(agent, client, decoding):
    tokens, logprobs = said(agent, spelled("what"), seed=5, **{**GREEDY, "greedy": False}, **decoding)
    asked = {"model": "clerk", "seed": 5, "extra_body": {**decoding, "return_token_ids": True}}
    answer = client.completions.create(prompt=spelled("what"), logprobs=0, **asked)
    choice = answer.choices[0]
    assert choice.model_extra["token_ids"] == tokens
    assert choice.logprobs.token_logprobs == pytest.approx(logprobs, abs=1e-5) and sum(logprobs) < -1
    texts = choice.logprobs.tokens
    assert choice.logprobs.text_offset == [len("".join(texts[:i])) for i in range(len(tokens))]
    chat = client.chat.completions.create(messages=HELLO, logprobs=True, **asked).choices[0]
    tokens, logprobs = said(
        agent, markup_of(TOKENIZER).opening((user(HELLO[0]["content"]),)), 5, **{**GREEDY, "greedy": False}, **decoding
    )
    assert [entry.logprob for entry in chat.logprobs.content] == pytest.approx(logprobs, abs=1e-5)
    assert [entry.token for entry in chat.logprobs.content] == decode(TOKENIZER, [[token] for token in tokens])


def test_what_is_recorded_of_it_is_what_it_drew(agent, client):
    """Over the wire and back: tokens, their log-probabilities, and not a spelling of their text."""
    task = Dialogue("chrf", max_response_tokens=12)
    policy = ServedTokens(str(client.base_url), "clerk", task, TOKENIZER, temperature=0.7, processed=True)
    histories = [np.array(encode(TOKENIZER, [text])[0], np.int32) for text in PROMPTS]
    turns = policy.act(histories, [np.random.default_rng(i) for i in range(4)])
    seeds = [int(np.random.default_rng(i).integers(2**31)) for i in range(4)]
    own = agent.policy(**GREEDY | {"greedy": False}, temperature=0.7)
    expected = own.act(histories, [generator(seed, OF_POLICY) for seed in seeds])
    for turn, other in zip(turns, expected, strict=True):
        assert turn.tokens.tolist() == other.tokens.tolist()
        np.testing.assert_allclose(turn.logprobs, other.logprobs, atol=1e-5)


def test_pieces_join_to_the_whole_and_end_with_the_numbers(client):
    asked = {"model": "clerk", "messages": HELLO, "temperature": 1.5, "seed": 2, "logprobs": True}
    whole = client.chat.completions.create(**asked)
    chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    *pieces, last = chunks
    assert "".join(c.choices[0].delta.content or "" for c in pieces) == whole.choices[0].message.content
    assert sum(bool(c.choices[0].delta.content) for c in pieces) > 2
    logprobs = [e.logprob for c in pieces if c.choices[0].logprobs for e in c.choices[0].logprobs.content]
    assert logprobs == [e.logprob for e in whole.choices[0].logprobs.content]
    assert pieces[0].choices[0].delta.role == "assistant"
    assert pieces[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    assert last.choices == [] and last.usage == whole.usage
    plain = {"model": "clerk", "prompt": "what", "temperature": 1.5, "seed": 2}
    text = "".join(c.choices[0].text for c in client.completions.create(**plain, stream=True))
    assert text == client.completions.create(**plain).choices[0].text


def test_requests_at_once_are_answered_as_one_by_one(client):
    def ask(i):
        return client.completions.create(model="clerk", prompt=PROMPTS[i % 4], max_tokens=4 + i).choices[0].text

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(ask, range(8)))
    assert together == [ask(i) for i in range(8)]


def test_several_replies_and_several_prompts(agent, client):
    answer = client.completions.create(model="clerk", prompt=PROMPTS[:2], n=3, temperature=1, seed=1)
    texts = [choice.text for choice in sorted(answer.choices, key=lambda choice: choice.index)]
    assert len(texts) == 6 and len(set(texts[:3])) == 3
    expected = said(agent, spelled(PROMPTS[1]), 1, temperature=1.0, advantage_weight=6.0)[0]
    assert texts[3] == text_of(expected)
    assert answer.usage.prompt_tokens == sum(len(spelled(prompt)) for prompt in PROMPTS[:2])


def test_limits_and_stop_strings_end_a_reply(agent, client):
    tokens, _ = said(agent, spelled("what"), **GREEDY)
    cut = client.completions.create(model="clerk", prompt="what", max_tokens=2)
    assert cut.choices[0].text == text_of(tokens[:2]) and cut.choices[0].finish_reason == "length"
    assert cut.usage.completion_tokens == 2
    whole = text_of(tokens)
    stop = whole[3:6]
    place = whole.index(stop)
    for stream in (False, True):
        asked = client.completions.create(model="clerk", prompt="what", stop=[stop, "never"], stream=stream)
        choices = [chunk.choices[0] for chunk in asked] if stream else [asked.choices[0]]
        assert "".join(choice.text for choice in choices) == whole[:place]
        assert choices[-1].finish_reason == "stop"


def test_models_are_the_one_that_is_served(client):
    assert [model.id for model in client.models.list()] == ["clerk"]
    assert client.models.retrieve("clerk").model_extra["decoding"] == GREEDY
    for name in ("gpt2", "hub:someone/else", "../clerk"):
        with pytest.raises(openai.NotFoundError, match="There is no model"):
            client.completions.create(model=name, prompt="what")


WRONG = [
    ({"temperature": -1}, "temperature"),
    ({"top_p": 2}, "top_p"),
    ({"max_tokens": 0}, "max_tokens is a whole number"),
    ({"n": 1000}, "n is a whole number from 1 to 128"),
    ({"extra_body": {"advantage_weight": "much"}}, "advantage_weight is a finite number"),
    ({"extra_body": {"advantage_wieght": 4}}, "advantage_weight"),
    ({"extra_body": {"rank": "q"}}, "ranks candidates"),
    ({"frequency_penalty": 0.5}, "frequency_penalty is not offered"),
    ({"logprobs": 3}, "logprobs is 0"),
    ({"prompt": [5, 10**6]}, "token 1000000 is out of range"),
    ({"prompt": []}, "between 1 and 95"),
    ({"prompt": "a b " * 60}, "between 1 and 95"),
    ({"prompt": {"a": 1}}, "prompt is a text"),
    ({"stop": [""]}, "none of them empty"),
    ({"seed": -4}, "seed is a whole number"),
]


@pytest.mark.parametrize("wrong,words", WRONG, ids=[words for _, words in WRONG])
def test_a_request_that_cannot_be_met_is_refused_in_words(client, wrong, words):
    with pytest.raises(openai.BadRequestError, match=words):
        client.completions.create(**{"model": "clerk", "prompt": "what", **wrong})


@pytest.mark.parametrize(
    "messages,words",
    [
        ([], "messages is empty"),
        ([{"role": "user", "content": 3}], "a message has a role"),
        ([{"role": "nobody", "content": "x"}], "a message has a role"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "parts of the type 'text'"),
        ([*HELLO, {"role": "assistant", "content": "yes"}], "end with the user"),
        ([{"role": "user", "content": "word " * 200}], "between 1 and 95"),
    ],
)
def test_messages_that_make_no_sense_are_refused_in_words(client, messages, words):
    with pytest.raises(openai.BadRequestError, match=words):
        client.chat.completions.create(model="clerk", messages=messages)


def test_what_is_no_request_is_refused_in_words_and_so_is_another_host(client):
    def post(content, **headers):
        request = urllib.request.Request(f"{client.base_url}completions", content, headers)
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(request)
        return refusal.value.code, refusal.value.read().decode()

    for content in (b"{", b"[]", b"[" * 100_000, b"\xff"):
        code, words = post(content)
        assert code == 400 and "JSON object" in json.loads(words)["error"]["message"]
    assert post(b"{}")[0] == 404
    assert post(b"{}", Host="evil.example")[0] == 400


def test_an_agent_that_fails_says_so_and_the_next_request_is_answered():
    agent = make_agent()
    with Serving(agent) as client:
        with torch.no_grad():
            kept = agent.model.lm.transformer.wte.weight.clone()
            agent.model.lm.transformer.wte.weight.fill_(float("nan"))
            with pytest.raises(openai.InternalServerError, match="not finite"):
                client.completions.create(model="clerk", prompt="what")
            agent.model.lm.transformer.wte.weight.copy_(kept)
        assert client.completions.create(model="clerk", prompt="what").choices[0].text


@pytest.mark.parametrize("name", ["utterance_ilql", "decision_transformer"])
def test_agents_that_speak_in_ways_of_their_own(name):
    config = DecisionTransformerConfig(edges=(0.0,)) if name == "decision_transformer" else None
    agent = AGENTS[name](make_lm(), config)
    with Serving(agent, decoding={}) as client:
        policy = agent.policy()
        [turn] = policy.act([np.array(spelled("what"), np.int32)], [generator(7, OF_POLICY)])
        asked = {"model": "clerk", "prompt": "what", "seed": 7}
        assert client.completions.create(**asked).choices[0].text == text_of(turn.tokens.tolist())
        if name == "utterance_ilql":
            with pytest.raises(openai.BadRequestError, match="log-probabilities of the tokens of BestUtterance"):
                client.completions.create(**asked, logprobs=0)
        else:
            logprobs = client.completions.create(**asked, logprobs=0).choices[0].logprobs.token_logprobs
            assert logprobs == pytest.approx(turn.logprobs.tolist(), abs=1e-5)


def test_without_a_chat_template_the_only_message_is_the_text_so_far():
    tokenizer = MovieReview().tokenizer()
    agent = AGENTS["bc"](make_lm(tokenizer))
    with Serving(agent, decoding={"greedy": True}) as client:
        asked = {"model": "clerk", "messages": [{"role": "user", "content": "review :"}]}
        chat = client.chat.completions.create(**asked).choices[0].message.content
        assert chat == client.completions.create(model="clerk", prompt="review :").choices[0].text
        with pytest.raises(openai.BadRequestError, match="no chat template"):
            client.chat.completions.create(model="clerk", messages=[*asked["messages"]] * 2)
        with pytest.raises(openai.BadRequestError, match="no tokens for a part of 'what'"):
            client.completions.create(model="clerk", prompt="what")


def test_served_plays_an_agent_without_a_chat_template_by_plain_text():
    env = gym.make_vec("MovieReview-v0", 2).unwrapped
    agent = AGENTS["bc"](make_lm(env.tokenizer, env.task.max_utterance_tokens))
    with Serving(agent, decoding={}) as client:
        asked = (str(client.base_url), "clerk", env.task, env.tokenizer)
        episodes = list(rollout(env, Served(*asked, chat=False, temperature=0), range(2)))
        own = list(rollout(env, agent.policy(greedy=True), range(2)))
        assert [e.tokens.tolist() for e in episodes] == [e.tokens.tolist() for e in own]
        with pytest.raises(ValueError, match=r"no chat template.*use completions"):
            list(rollout(env, Served(*asked), range(2)))


def test_a_piece_never_has_to_be_taken_back():
    tokens = encode(TOKENIZER, [" héllo 😀 wörld STOP and more"])[0]
    for stop, expected in (((), " héllo 😀 wörld STOP and more"), (("STOP", "ST"), " héllo 😀 wörld ")):
        reply = Spoken(TOKENIZER, TOKENIZER.eos_token_id, stop)
        pieces = [reply.hear(token, None) for token in tokens] + [reply.finish()]
        assert "".join(pieces) == expected and all("\ufffd" not in piece for piece in pieces)
        assert reply.finish_reason == ("stop" if stop else "length")


def test_a_template_s_lead_is_no_part_of_a_reply():
    reply = Spoken(TOKENIZER, TOKENIZER.eos_token_id, lead=" \n")
    pieces = [reply.hear(token, None) for token in [*encode(TOKENIZER, [" "])[0], *encode(TOKENIZER, ["\nyes"])[0]]]
    assert "".join(pieces) + reply.finish() == "yes" and pieces[0] == ""


def test_only_this_machine_is_loopback():
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "example.org")] == [True] * 3 + [
        False
    ] * 2
    with socket.socket() as taken, pytest.warns(UserWarning, match="checks no key"):
        taken.bind(("127.0.0.1", 0))
        make_server(make_agent(), "x", {}, "0.0.0.0", 0)


def test_the_command_says_where_and_how_it_answers(agent, tmp_path, capsys, monkeypatch):
    asked = []
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: asked.append((self, sockets[0].getsockname())))
    saved = ILQL(agent.lm, agent.config)
    saved.decoding = {"greedy": True, "advantage_weight": 2.0}
    run = saved.save(tmp_path / "clerk" / "agent")
    code, out, error = call(capsys, "serve", run, "--port", 0)
    assert code == 0, error
    [(server, address)] = asked
    assert address[0] == server.config.host == "127.0.0.1"
    assert f"the model 'clerk' at http://127.0.0.1:{address[1]}/v1" in " ".join(out.split())
    assert "greedy=true advantage_weight=2.0 (chosen after training)" in " ".join(out.split())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, _, error = call(capsys, "serve", run, "--port", taken.getsockname()[1])
        assert code == 2 and "choose another --port" in error
    code, _, error = call(capsys, "serve", run, "--port", 99999)
    assert code == 2 and "choose another --port" in error
    code, _, error = call(capsys, "serve", run, "--set", "temperature=-1")
    assert code == 2 and "temperature must be above 0" in error


def test_replies_that_wait_when_the_server_closes_end_with_an_error(agent):
    speaker, ended = Speaker(agent), []
    speaker.close()
    speaker.ask(
        Wanted(agent.policy(), np.array([1], np.int32), generator(0, OF_POLICY), 4, lambda *token: None, ended.append)
    )
    assert [str(error) for error in ended] == ["the server closes"]
