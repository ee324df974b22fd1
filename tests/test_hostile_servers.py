"""Servers that are slow, endless, broken or malicious: requests end within limits, and errors show no secret."""

import base64
import gzip
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
from contextlib import closing, suppress

import numpy as np
import pytest
from interrupted import heed_interrupts

from agents import cli
from agents.cli import bench_command
from datasets_builders import EpisodeDataset, record
from datasets_builders.provenance import config_of
from datasets_builders.samples import Sampling, record_samples
from lang_envs import Reply, Task, Turn, rollout
from lang_envs.conversation import user
from lang_envs.markup import markup_of
from lang_envs.policies.address import Address, without_secrets
from lang_envs.policies.served import Served
from lang_envs.policies.thoughts import apart
from lang_envs.tokenizers import text_tokenizer
from lang_envs.vector import TokenVectorEnv

TOKENIZER = text_tokenizer()


class Talk(Task[int]):
    """Two turns."""

    max_turns, max_utterance_tokens, max_tokens = 2, 8, 96

    def tokenizer(self):
        return TOKENIZER

    def begin(self, rng):
        return 0, (user(f"hi {rng.integers(100)}"),)

    def reply(self, state, utterance, rng):
        return Reply(state + 1, () if state else (user("and then?"),), float(len(utterance)), state == 1)


HELLO = np.array(markup_of(TOKENIZER).opening((user("hi"),)), np.int32)


class Hostile:
    """A server of bytes: ``answer(connection, path, headers)`` writes what it likes, then the connection is closed."""

    def __init__(self):
        self.asked, self.answer = [], None
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.place = f"127.0.0.1:{self.listening.getsockname()[1]}"
        self.url = f"http://{self.place}"
        threading.Thread(target=self.serve, daemon=True).start()

    def close(self):
        self.listening.shutdown(socket.SHUT_RDWR)  # wakes who waits for a connection
        self.listening.close()

    def serve(self):
        with suppress(OSError):
            while True:
                connection, _ = self.listening.accept()
                connection.settimeout(3)
                threading.Thread(target=self.handle, args=(connection,), daemon=True).start()

    def handle(self, connection):
        with closing(connection), suppress(OSError):
            data = b""
            while b"\r\n\r\n" not in data:
                data += connection.recv(65536)
            head, _, body = data.partition(b"\r\n\r\n")
            first, *lines = head.decode().split("\r\n")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            while len(body) < int(headers.get("content-length", 0)):
                body += connection.recv(65536)
            self.asked.append((first.split()[1], headers))
            self.answer(connection, first.split()[1], headers)


@pytest.fixture
def server():
    hostile = Hostile()
    with suppress(OSError), closing(hostile):
        yield hostile


def http(body, status="200 OK", *headers):
    body = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def saying(*answers):
    """Writes the answers one after the other; the last one again and again."""
    left = list(answers)
    return lambda connection, path, headers: connection.sendall(left.pop(0) if len(left) > 1 else left[0])


def chat(text, **more):
    message = {"role": "assistant", "content": text, **more.pop("message", {})}
    return {"choices": [{"message": message, "finish_reason": "stop", **more}]}


def act(server, count=1, url=None, **options):
    policy = Served(url or server.url, "m", Talk(), **{"backoff": 0.001, "retries": 1, "timeout": 2, **options})
    return policy.act([HELLO] * count, [np.random.default_rng(i) for i in range(count)])


def said(turn):
    return TOKENIZER.decode(turn.tokens)


# Limits


def drip(head, byte):
    """Sends a byte every 50 ms, for 3 seconds."""

    def answer(connection, path, headers):
        connection.sendall(head)
        for _ in range(60):
            connection.sendall(byte)
            time.sleep(0.05)

    return answer


@pytest.mark.parametrize(
    ("head", "byte"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"HTTP/1.1 200 OK\r\nX-Header: ", b"x"),
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
        (b"HTTP/1.1 500 Broken\r\nContent-Length: 1000000\r\n\r\n", b" "),
    ],
    ids=["body", "chunks", "headers", "interim answers", "body of an error"],
)
def test_one_deadline_holds_for_a_whole_answer(server, head, byte):
    server.answer = drip(head, byte)
    start = time.monotonic()
    with pytest.raises(
        ConnectionError, match=rf"{server.url}/v1 failed 1 times, .* no whole answer within 0.3 seconds"
    ):
        act(server, timeout=0.3, retries=0)
    assert 0.3 <= time.monotonic() - start < 2


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request"])
def test_an_endless_answer_is_not_read_to_its_end(server, status):
    block, sent = b"x" * 2**20, []

    def answer(connection, path, headers):
        connection.sendall(f"HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        while sum(sent) < 200:
            connection.sendall(b"100000\r\n" + block + b"\r\n")
            sent.append(1)

    server.answer = answer
    with pytest.raises(ValueError, match=rf"{server.url}/v1 (answered with more than 16 MB|refused with status 400)"):
        act(server, timeout=5)
    assert sum(sent) < 40  # what fits the limit, and the buffers on the way
    assert len(server.asked) == 1


def test_a_long_text_is_cut_before_it_is_spelled(server):
    server.answer = saying(http(chat("word " * 2_000_000)))
    tracemalloc.start()
    start = time.monotonic()
    (turn,) = act(server, timeout=10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert said(turn) == "word word word word" and len(turn.tokens) == 8
    assert time.monotonic() - start < 8 and peak < 200e6


def test_compressed_answers_are_neither_asked_for_nor_opened(server):
    server.answer = saying(http(gzip.compress(b" " * 10_000_000), "200 OK", "Content-Encoding: gzip"))
    with pytest.raises(ValueError, match=rf"{server.url}/v1 answered with a compressed body"):
        act(server)
    ((_, headers),) = server.asked
    assert headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[" * 200_000, "expected the JSON"),
        (b'{"choices":[{"message":{"content":' + b"[" * 200_000, "expected the JSON"),
        (b'{"choices":[{"message":{"content":"caf\xe9"}}]}', "expected the JSON"),
        (b'{"choices":[{"message":{"content":"bad \\ud800 half"}}]}', "half a character"),
        (b'{"choices":[{"message":{"content":"fine","reasoning":"\\ud800"}}]}', "half a character"),
        (b'{"choices":' + b"9" * 5000 + b"}", "expected the JSON"),
        (b"", "expected the JSON"),
        (b"\x1b]0;owned\x07\x1b[2J", r"\\x1b\]0;owned\\x07"),
        (json.dumps({"choices": [{"message": {"content": {"a": "b" * 10_000}}}]}).encode(), "to be a text, got"),
    ],
    ids=[
        "nested",
        "nested within",
        "latin-1",
        "surrogate",
        "surrogate in thoughts",
        "digits",
        "empty",
        "terminal",
        "long",
    ],
)
def test_an_answer_without_sense_is_told_in_words(server, body, words):
    server.answer = saying(http(body))
    with pytest.raises(ValueError, match=words) as told:
        act(server)
    assert type(told.value) is ValueError and told.value.__cause__ is told.value.__context__ is None
    message = str(told.value)
    assert message.startswith(f"{server.url}/v1") and len(message) < 1000 and message.isprintable()


def test_text_that_no_request_can_hold_is_told():
    with pytest.raises(ValueError, match="must be whole texts"):
        Served("http://x", "m", Talk(), instruction="half \ud800")
    with pytest.raises(ValueError, match="holds half a character"):
        Served("http://x", "m", Talk()).answer([(user("half \ud800"),)])


def test_limits_are_checked():
    for timeout in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="timeout must be above 0"):
            Served("http://x", "m", Talk(), timeout=timeout)


# Repetition


def test_a_lost_connection_is_asked_again_and_told(server, caplog):
    half = http(chat("fine"))[:60]
    server.answer = saying(
        b"", half, b"nonsense\r\n\r\n", http("busy", "429 Busy", "Retry-After: 0.01"), http(chat("fine"))
    )
    assert said(act(server, retries=4)[0]) == "fine<|end|>"
    lines = [line.getMessage() for line in caplog.records if line.name.startswith("lang_envs")]
    assert len(lines) == 4 and all(line.startswith(f"{server.url}/v1: ") for line in lines)
    assert "retry 1 of 4" in lines[0] and "status 429, 'busy'; retry 4 of 4 in 0.01 s" in lines[3]


@pytest.mark.parametrize(
    ("asked", "waited"),
    [
        ("7", 7),
        ("1e9", 60),
        ("inf", 60),
        ("nan", 0.5),
        ("-5", 0.5),
        ("soon", 0.5),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 60),
    ],
)
def test_a_server_is_left_alone_as_long_as_it_asks_within_reason(server, monkeypatch, asked, waited):
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    monkeypatch.setattr("lang_envs.policies.endpoint.asyncio.sleep", sleep)
    server.answer = saying(http("", "503 Busy", f"Retry-After: {asked}"), http(chat("fine")))
    act(server, backoff=0.5)
    assert waits == [waited]


def test_redirects_are_told_and_not_followed(server):
    other = Hostile()
    for status in ("301 Moved", "307 Moved", "308 Moved"):
        server.answer = saying(http("", status, f"Location: {other.url}/v1/chat/completions"))
        with pytest.raises(ValueError, match=rf"{server.url}/v1 refused with status 30.*points to '{other.url}/v1"):
            act(server, api_key="sk-secret")
    assert len(server.asked) == 3 and not other.asked
    other.close()


def test_a_redirect_to_nonsense_is_told(server):
    server.answer = saying(http("", "302 Moved").replace(b"\r\n\r\n", b"\r\nLocation: /\xcf\r\n\r\n"))
    with pytest.raises(ValueError, match=r"status 302: ''. It points to '/.'"):
        act(server)


def test_nothing_goes_through_a_proxy(server, monkeypatch, tmp_path):
    proxy = Hostile()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.url)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Own: secret")
    monkeypatch.setenv("OPENAI_ORG_ID", "organization")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    server.answer = saying(http(chat("fine")))
    act(server)
    ((_, headers),) = server.asked
    assert not proxy.asked
    assert {*headers} == {"host", "accept", "accept-encoding", "content-type", "content-length", "user-agent"}
    proxy.close()


# Ends


def test_an_interruption_ends_at_once(server):
    server.answer = lambda c, *_: time.sleep(9) if len(server.asked) > 1 else c.sendall(http("", "500 Broken"))
    script = textwrap.dedent(f"""
        import numpy as np
        from test_hostile_servers import Talk, HELLO
        from lang_envs.policies.served import Served
        Served("{server.url}", "m", Talk(), timeout=60).act([HELLO] * 3, [np.random.default_rng()] * 3)
    """)
    folder = os.path.dirname(__file__)
    paths = os.pathsep.join([folder, os.path.dirname(folder), *sys.path])
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": paths},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )
    while len(server.asked) < 4 and process.poll() is None:
        time.sleep(0.02)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=20)[1]
    assert time.monotonic() - start < 5
    assert errors.rstrip().endswith("KeyboardInterrupt") and "never retrieved" not in errors
    assert errors.startswith(f"{server.url}/v1: status 500, ''; retry 1 of 5 in 0.5 s")  # seen without any set-up


def test_a_policy_works_inside_of_an_event_loop(server):
    import asyncio

    async def notebook():
        return act(server)

    server.answer = saying(http(chat("fine")))
    assert said(asyncio.run(notebook())[0]) == "fine<|end|>"


# Thoughts


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("yes", ("yes", "")),
        ("<think>\nwell\n</think>\n\nyes", ("yes", "well")),
        ("<think>well", ("", "well")),
        ("well</think>yes", ("yes", "well")),
        ("<think></think>yes", ("yes", "")),
        ("<think>a</think>yes <THINK>b</THINK>no", ("yes no", "a\nb")),
        ("yes<thinking>b", ("yes", "b")),
        ("<think>a <think> b</think>yes", ("yes", "a <think> b")),
        ("I think so", ("I think so", "")),
    ],
)
def test_thoughts_are_told_from_what_is_said(text, parts):
    assert apart(text) == parts


@pytest.mark.parametrize(
    "message",
    [
        {"content": "<think>well</think>yes"},
        {"content": "yes", "reasoning_content": "well"},
        {"content": "yes", "reasoning": "well"},
        {"content": "yes", "reasoning": "well", "reasoning_content": "well"},
    ],
)
def test_thoughts_are_recorded_beside_what_is_said(server, tmp_path, message):
    server.answer = saying(http(chat("hm")), http({"choices": [{"message": message}]}))
    env = TokenVectorEnv(Talk(), 1)
    data = record(env, Served(server.url, "m", env.task, concurrency=1), 2, tmp_path / "d")
    assert [episode.info["thoughts"] for episode in data] == [[None, "well"], ["well", "well"]]
    assert [TOKENIZER.decode(e.tokens[e.is_action]) for e in data] == ["hm<|end|>yes<|end|>", "yes<|end|>yes<|end|>"]


def test_who_does_not_think_leaves_no_thoughts(server):
    server.answer = saying(http(chat("yes")))
    (episode,) = rollout(TokenVectorEnv(Talk(), 1), Served(server.url, "m", Talk()), [3])
    assert episode.info == {"seed": 3}


@pytest.mark.parametrize("message", [{"content": "<think>well, let me"}, {"content": "", "reasoning_content": "well"}])
def test_thoughts_alone_are_told(server, message):
    server.answer = saying(http({"choices": [{"message": message, "finish_reason": "length"}]}))
    with pytest.raises(ValueError, match=r"got thoughts alone .finish_reason 'length'.*larger max_tokens"):
        act(server)
    server.answer = saying(http({"choices": [{"message": message, "finish_reason": "stop"}]}))
    assert said(act(server)[0]) == "<|end|>"  # it had its say


def test_markers_in_thoughts_do_not_end_the_reply(server):
    server.answer = saying(http(chat("<think>first <|end|></think>yes<|end|>more")))
    (turn,) = act(server)
    assert said(turn) == "yes<|end|>more<|end|>"  # what a chat server says is text, names of special tokens and all
    assert (turn.tokens == TOKENIZER.eos_token_id).sum() == 1


def test_facts_on_turns_are_gathered_by_key():
    class Noting:
        def act(self, histories, rngs):
            count = [int((history == TOKENIZER.eos_token_id).sum()) for history in histories]
            return [Turn(np.array([TOKENIZER.eos_token_id]), None, {"seed": -1, f"turn {n}": n}) for n in count]

    (episode,) = rollout(TokenVectorEnv(Talk(), 1), Noting(), [5])
    assert episode.info == {"seed": 5, "turn 0": [0, None], "turn 1": [None, 1]}


# Secrets

SECRETS = ("me-and/only", "sk-URL@SECRET", "sk-QUERY=1", "sk-KEY/of+mine")


def address(server, place="/v1"):
    return f"http://me-and%2Fonly:sk-URL%40SECRET@{server.place}{place}?api_key=sk-QUERY%3D1&version=2"


def spellings(headers):
    """All of the secrets as a spying server may quote them."""
    return [
        *SECRETS,
        "me-and%2Fonly",
        "sk-URL%40SECRET",
        "sk-QUERY%3D1",
        "sk-KEY\\/of+mine",
        "sk-key%2fof%2Bmine",
        "sk-KEY\\u002fof&#43;mine",
        headers["authorization"].split()[1],
    ]


def holds_secret(text):
    spelled = [*SECRETS, "sk-URL", "sk-QUERY", "sk-KEY", "bWUtYW5kL29ubHk6", "c2stVVJMQFNFQ1JFVA"]
    return [secret for secret in spelled if secret.lower() in text.lower()]


def test_secrets_are_sent(server):
    server.answer = saying(http(chat("fine")))
    act(server, url=address(server), api_key=SECRETS[3])
    act(server, url=f"{server.url}/?key=1&a=%20b", api_key=SECRETS[3] + "\n")
    act(server, url=f"http://token@{server.place}", api_key=None, chat=True)
    paths, headers = zip(*server.asked, strict=True)
    assert paths == (
        "/v1/chat/completions?api_key=sk-QUERY%3D1&version=2",
        "/v1/chat/completions?key=1&a=%20b",
        "/v1/chat/completions",
    )
    kind, basic = headers[0]["authorization"].split()
    assert kind == "Basic" and base64.b64decode(basic) == b"me-and/only:sk-URL@SECRET"
    assert headers[1]["authorization"] == f"Bearer {SECRETS[3]}"
    assert base64.b64decode(headers[2]["authorization"].split()[1]) == b"token:"


def echo(status):
    def answer(connection, path, headers):
        text = " ".join([path, *spellings(headers)])
        connection.sendall(http({"error": {"message": text}}, f"{status} {path}", f"Location: http://x{path}"))

    return answer


def refusals():
    yield from ((echo(status), (ValueError, ConnectionError)) for status in (307, 400, 401, 403, 404, 422, 429, 500))
    quoting = [lambda text: text, lambda text: f"<html>{text}", lambda text: json.dumps({"choices": [text]})]
    for quote in quoting:
        yield lambda c, path, headers, q=quote: c.sendall(http(q(" ".join([path, *spellings(headers)])))), ValueError
    for field in ("content", "finish_reason"):

        def answer(connection, path, headers, field=field):
            what = {"leak": [path, *spellings(headers)]}
            choice = {"message": {"content": what if field == "content" else None}, "finish_reason": what}
            connection.sendall(http({"choices": [choice]}))

        yield answer, ValueError
    yield (
        lambda c, path, headers: c.sendall("\r\n".join([path, *spellings(headers)]).encode() + b"\r\n"),
        ConnectionError,
    )
    yield lambda c, path, headers: c.sendall(http(chat(path + " \ud800"), "200 OK")), ValueError


def test_secrets_are_in_no_error_and_in_no_log(server, caplog):
    caplog.set_level(logging.INFO)
    for answer, kind in refusals():
        server.answer = answer
        with pytest.raises(kind) as told:
            act(server, url=address(server), api_key=SECRETS[3])
        assert not holds_secret("".join(map(str, traceback_lines(told.value))))
        assert server.place in str(told.value)
    server.close()
    with pytest.raises(ConnectionError) as told:
        act(server, url=address(server), api_key=SECRETS[3])
    assert not holds_secret(str(told.value)) and not holds_secret(caplog.text)
    assert f"POST {server.url}/v1/chat/completions" in caplog.text  # of the library, which has the address to tell


def traceback_lines(error):
    import traceback

    return traceback.format_exception(error)


@pytest.mark.parametrize(
    "url",
    [
        "me:sk-URL@host:1",
        "ftp://me:sk-URL@host/v1?k=sk-QUERY",
        "http://me:sk-URL@host:port/v1",
        "http://me:sk-URL/@host",
    ],
)
def test_secrets_of_a_wrong_address_are_not_shown(url):
    with pytest.raises(ValueError, match=r"expected the address of a server .*got '.*host") as told:
        Served(url, "m", Talk())
    assert not holds_secret(str(told.value))


def test_a_key_that_cannot_be_sent_is_not_shown():
    for key in ("sk-KEY\nX-Header: 1", "“sk-KEY”", "sk-KEY\x00"):
        with pytest.raises(ValueError, match=r"API key .* holds a character that no header can carry") as told:
            Served("http://x", "m", Talk(), api_key=key)
        assert not holds_secret(str(told.value))


def test_secrets_in_replies_are_not_recorded(server, tmp_path, caplog):
    def answer(connection, path, headers):
        connection.sendall(http(chat("the key is " + SECRETS[3], message={"reasoning": " ".join(spellings(headers))})))

    server.answer = answer
    env = TokenVectorEnv(Talk(), 1)
    policy = Served(address(server), "m", env.task, api_key=SECRETS[3])
    data = record(env, policy, 1, tmp_path / "d")
    assert "the key is ***" in TOKENIZER.decode(data[0].tokens)
    assert "quotes the key" in caplog.text
    assert not holds_secret(everything(tmp_path)) and not holds_secret(repr(policy) + str(vars(policy)))


def test_a_short_key_is_a_word_as_well(server):
    server.answer = saying(http(chat("none, EMPTY")))
    assert said(act(server, api_key="EMPTY", url=f"{server.url}/v1?a=none")[0]) == "none, EMPTY"


def everything(folder):
    """All bytes of all files, and their names."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return "".join(f"{path} {path.read_bytes().decode('latin-1')}" for path in files)


def test_secrets_are_in_no_recorded_file(server, tmp_path, monkeypatch, capfd, caplog):
    monkeypatch.setenv("OPENAI_API_KEY", SECRETS[3])
    server.answer = saying(http("", "500 Broken"), http(chat("great")))
    out = ["--per-context", "2", "--episodes", "2", "--out", str(tmp_path / "d")]
    asked = ["--server", address(server), "--model", "m", "--env", "MovieReview-v0", "--max-tokens", "77"]
    assert cli.main(["record", "samples", *asked, *out]) == 0
    data = EpisodeDataset.load(tmp_path / "d")
    assert data.provenance["source"] == {"server": f"http://{server.place}/v1", "model": "m", "kept": "text"}
    config = data.provenance["policies"]["m-1"]["config"]
    assert config["url"] == f"http://{server.place}/v1" and config["max_tokens"] == 77
    assert not holds_secret(everything(tmp_path)) and server.place in everything(tmp_path)
    assert not holds_secret("".join(capfd.readouterr()) + caplog.text) and "status 500" in caplog.text


def test_secrets_of_other_policies_are_not_recorded(server, tmp_path):
    class Own:
        name = "own"

        def __init__(self):
            self.address, self.api_key, self.token_limit = address(server), "sk-KEY", 3

        def act(self, histories, rngs):
            return [Turn(np.array([TOKENIZER.eos_token_id], np.int32))] * len(histories)

    own = type("Given", (Own,), {"__init__": lambda self, address=0, api_key=0, token_limit=0: Own.__init__(self)})()
    assert config_of(own) == {"address": f"http://{server.place}/v1", "token_limit": 3}
    env = TokenVectorEnv(Talk(), 2)
    sampling = Sampling({"own": own}, 1, human=False)
    record_samples(env, sampling, tmp_path / "d", 2, source={"server": address(server)}, progress=False)
    assert not holds_secret(everything(tmp_path))


def test_secrets_are_in_no_recorded_command(server, monkeypatch):
    monkeypatch.setattr("sys.argv", ["lang-envs", "bench", "quick", f"--note={address(server)}", address(server)])
    command = bench_command._command_line()
    assert command == f"lang-envs bench quick --note=http://{server.place}/v1 http://{server.place}/v1"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("http://me:sk@host:1/v1?k=sk#sk", "http://host:1/v1"),
        ("--server=https://sk@host?k=sk more http://a/b?c", "--server=https://host more http://a/b"),
        ("postgres://me:sk@host/d", "postgres://host/d"),
        ("hf://a/b@c", "hf://a/b@c"),
        ("why? me@host", "why? me@host"),
    ],
)
def test_addresses_lose_their_secrets(text, kept):
    assert without_secrets(text) == kept


def test_a_repr_shows_no_secret(server):
    assert re.search(server.place, repr(Address(address(server), "sk-KEY")))
    assert not holds_secret(repr(Address(address(server), "sk-KEY")))
