"""The cost of recording a served model's episode, without the model: docs/scaling.md. Run ``--benchmark-enable -s``.

Processor time of one core. Limits: encoding and decoding texts, the HTTP client, and the reward model's arithmetic.
"""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import gymnasium as gym
import numpy as np
import pytest

from datasets_builders import build
from lang_envs.policies.served_tokens import ServedTokens
from lang_envs.rewards.bertscore import BERTScore

SAID = " the" * 20


def cost(name, count, work):
    began = time.thread_time()  # of this thread: a server beside it does not count
    result = work()
    sys.stdout.write(f"\n{name}: {1e6 * (time.thread_time() - began) / count:.1f} us of a core each ({count:,})")
    return result


@pytest.fixture
def at_once(request):
    """A server that answers at once, in the tokens of the environment."""
    from lang_envs.tokenizers import text_tokenizer

    tokenizer = text_tokenizer()
    ids = [*tokenizer(SAID)["input_ids"], tokenizer.eos_token_id]
    choice = {
        "text": SAID,
        "token_ids": ids,
        "logprobs": {"token_logprobs": [-1.0] * len(ids)},
        "finish_reason": "stop",
    }
    answer = json.dumps({"choices": [choice]}).encode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def test_what_an_episode_costs(tmp_path, at_once, request):
    many = request.config.getoption("--benchmark-enable")
    episodes, requests, texts = (6_000, 640, 600) if many else (100, 64, 20)
    logs = cost(
        "recorded by a script, dialogue-mixture",
        episodes,
        lambda: build("dialogue-mixture", episodes, tmp_path / "d", progress=False, env_id="Dialogue-chrF-v0"),
    )
    size = sum(file.stat().st_size for file in (tmp_path / "d").glob("*.arrow"))
    said = sum(int(episode.is_action.sum()) for episode in logs) / episodes
    sys.stdout.write(f"\n{logs.lengths.mean():.0f} tokens an episode, {said:.0f} said; {size / episodes:.0f} bytes")
    cost("read", episodes, lambda: logs.rows(np.arange(episodes)))
    env = gym.make_vec("Dialogue-chrF-v0", 64).unwrapped
    env.begin(range(64), range(64))
    policy = ServedTokens(at_once, "m", env.task, env.tokenizer, concurrency=64)
    histories, rngs = [env.history(i).copy() for i in range(64)], [np.random.default_rng(i) for i in range(64)]
    began = time.process_time()
    for _ in range(requests // 64):
        assert len(policy.act(histories, rngs)[0].tokens) == 21
    each = 1e6 * (time.process_time() - began) / requests
    sys.stdout.write(f"\nasked of a server: {each:.1f} us of a core each, the server's too")
    score, replies = BERTScore(), [env.task.logged_replies(i)[0] for i in range(2 * texts)]
    score(replies[:texts], replies[:texts])  # references are remembered
    cost("scored by BERTScore", texts, lambda: score(replies[texts:], replies[:texts]))
