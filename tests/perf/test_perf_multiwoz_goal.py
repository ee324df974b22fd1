"""MultiWOZ-Goal in the native vector environment, one thread, the agent's turns replayed.

Target: 3,000 turns a second for texts that come for the first time, more for texts that come again.
"""

import sys
import time

import multiwoz_folder
import pytest

from lang_envs import Start, rollout
from lang_envs.make import language_vec
from lang_envs.policies.multiwoz_goal import Expert

# The processor's clock: what other processes take of the machine does not count.
pytestmark = pytest.mark.benchmark(timer=time.process_time)
NUM_ENVS, EPISODES = 256, 512


def replayed(env):
    """The expert's conversations, as what to say in each of them; and how many turns they have."""
    played = list(rollout(env, Expert(env.task, env.tokenizer), range(EPISODES)))
    limit = env.task.max_utterance_tokens
    said = [[episode.tokens[span] for span in episode.utterances(env.end_id, limit)] for episode in played]
    return [Start(seed, said=texts) for seed, texts in enumerate(said)], sum(map(len, said))


@pytest.mark.parametrize("files", ["few", "real"])
def test_turns(benchmark, tmp_path, files, request):
    if files == "real":
        folder = request.getfixturevalue("real_data") / "dialogue" / "multiwoz21"
    else:
        folder = multiwoz_folder.write(tmp_path / "multiwoz")
    env = language_vec("MultiWOZ-Goal-v0", NUM_ENVS, path=str(folder))
    starts, turns = replayed(env)
    benchmark.pedantic(lambda: list(rollout(env, Expert(env.task, env.tokenizer), starts)), rounds=3, iterations=1)
    if benchmark.enabled:
        per_second = turns / benchmark.stats.stats.min
        benchmark.extra_info["turns_per_s"] = round(per_second)
        sys.stdout.write(f"\nMultiWOZ-Goal, {files} goals: {per_second:,.0f} turns/s\n")
