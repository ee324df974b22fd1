"""OpenEnv's server: utterance steps a second in 64 sessions, with the client in its own process.

The time is wall-clock time, because two processes share the work. For comparison, an environment that does nothing runs
behind the same server: its time is that of OpenEnv's protocol.
"""

import json
import subprocess
import sys

import pytest
from openenv.core.env_server.http_server import create_app

from lang_envs.openenv.environment import UtteranceEnvironment
from lang_envs.openenv.models import EpisodeState, UtteranceAction, UtteranceObservation
from lang_envs.openenv.server import make_app, serving

SESSIONS, STEPS = 64, 60
CLIENT = """
import asyncio, json, sys, time
from openenv.core import GenericEnvClient

url, sessions, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

async def play(env, seed):
    await env.reset(seed=seed)
    for _ in range(steps):
        if (await env.step({"message": "crane"})).done:
            await env.reset(seed=seed)

async def main():
    envs = [GenericEnvClient(base_url=url) for _ in range(sessions)]
    await asyncio.gather(*(env.connect() for env in envs))
    begun = time.perf_counter()
    await asyncio.gather(*(play(env, seed) for seed, env in enumerate(envs)))
    print(json.dumps(sessions * steps / (time.perf_counter() - begun)))
    await asyncio.gather(*(env.close() for env in envs))

asyncio.run(main())
"""


class Nothing(UtteranceEnvironment):
    """Answers at once, and is never over."""

    def __init__(self):
        self._state = EpisodeState()

    def reset(self, *_, **__):
        return UtteranceObservation(text="")

    def step(self, *_, **__):
        return UtteranceObservation(text="", reward=0.0)


def steps_a_second(app):
    with serving(app) as url:
        command = [sys.executable, "-c", CLIENT, url, str(SESSIONS), str(STEPS)]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.benchmark
def test_steps_of_64_sessions(benchmark):
    if not benchmark.enabled:
        pytest.skip("a benchmark")
    nothing = create_app(Nothing, UtteranceAction, UtteranceObservation, max_concurrent_envs=SESSIONS)
    found = {}
    for name, app in (("an environment that does nothing", nothing), ("Wordle-v0", make_app("Wordle-v0"))):
        found[name] = max(steps_a_second(app) for _ in range(3))
    benchmark.pedantic(lambda: None)
    benchmark.extra_info |= found
    sys.stdout.write("".join(f"\n{name}: {value:,.0f} utterance steps/s" for name, value in found.items()) + "\n")
    assert found["Wordle-v0"] > 0.2 * found["an environment that does nothing"]
