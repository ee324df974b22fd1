"""Recording is exact, resumes after any interruption and is never visible in part; RecordEpisodes works in any loop."""

import dataclasses
import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from guess_task import Guess
from test_dataset import assert_same, make_episode, make_tokenizer

from datasets_builders import DatasetError, EpisodeDataset, RecordEpisodes, block_files, record, write_blocks
from lang_envs import TokenEnv, TokenVectorEnv, Turn, UtteranceEnv, rollout
from lang_envs.utterances import spell

BLOCK, EPISODES = 16, 400
PROVENANCE = {"format_version": 1, "seed": 0}


class Chatter:
    """Says random letters, in up to two of them, and knows how likely the last was."""

    def __init__(self, env, volume=2):
        self.end, self.volume = env.end_id, volume

    def act(self, histories, rngs):
        turns = []
        for rng in rngs:
            said = np.array([*rng.integers(0, 8, rng.integers(1, self.volume + 1)), self.end], np.int32)
            turns.append(Turn(said, np.full(len(said), -0.5, np.float32)))
        return turns


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def blocks(pause=0.0):
    def block(k):
        time.sleep(pause)
        rng = np.random.default_rng(k)
        return [make_episode(rng, k * BLOCK + i) for i in range(BLOCK + k % 3)]

    return block


def make(out, pause=0.0, episodes=EPISODES, provenance=PROVENANCE):
    return write_blocks(blocks(pause), episodes, out, provenance, make_tokenizer(), progress=False)


@pytest.fixture
def small_files(monkeypatch):
    monkeypatch.setattr(block_files, "FILE_BYTES", 12_000)


def test_record_is_the_rollout(tmp_path):
    env = TokenVectorEnv(Guess(), 5)
    dataset = record(env, Chatter(env), 50, tmp_path / "d", seed=3, block_size=16, progress=False)
    expected = list(rollout(env, Chatter(env), ((3 << 32) + i for i in range(50))))
    for episode in expected:
        episode.info["policy"] = "Chatter"
    assert_same(dataset, expected)
    found = json.loads((tmp_path / "d" / "provenance.json").read_text())
    assert found["policy"] == {"name": "Chatter", "config": {"volume": 2}}
    assert (found["seed"], found["episodes"], found["tokenizer"]["vocab_size"]) == (3, 50, 14)
    assert "Chatter" in (tmp_path / "d" / "README.md").read_text()


def test_record_takes_an_id_and_is_the_same_in_any_blocks(tmp_path):
    first = record("Wordle-v0", Chatter(gym.make("Wordle-v0").unwrapped, 5), 30, tmp_path / "a", block_size=30)
    second = record("Wordle-v0", Chatter(gym.make("Wordle-v0").unwrapped, 5), 30, tmp_path / "b", block_size=7)
    assert_same(first, list(second))
    assert first.provenance["env"]["id"] == "Wordle-v0"
    with pytest.raises(ValueError, match="seed of a recording"):
        record("Wordle-v0", Chatter(gym.make("Wordle-v0").unwrapped), 30, tmp_path / "c", seed=-1)
    with pytest.raises(ValueError, match="at least 1 episode"):
        record("Wordle-v0", Chatter(gym.make("Wordle-v0").unwrapped), 0, tmp_path / "c")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


def kill_again_and_again(whole: Path, killed: Path):
    """Records to ``killed`` in children that are killed, until one ends; it is what ``whole`` is, or not there."""
    block_files.FILE_BYTES = 12_000
    expected, rng, kills = contents(whole), np.random.default_rng(0), 0
    for attempt in range(200):
        child = os.fork()
        if child == 0:
            try:
                make(killed, pause=0.002)
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        time.sleep(rng.uniform(0.0, 0.05))
        assert not killed.exists() or contents(killed) == expected
        if attempt < 12:
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        kills += os.WIFSIGNALED(status)
        if status == 0:
            break
        assert os.WIFSIGNALED(status), "the child failed of itself"
    assert kills >= 3
    assert contents(killed) == expected


def test_killed_at_any_moment_it_ends_in_the_same_bytes(tmp_path, small_files):
    make(tmp_path / "whole")
    assert len([name for name in contents(tmp_path / "whole") if name.endswith(".arrow")]) > 2
    # A process of its own: a fork of one that has run other tests would inherit their threads' locks.
    folders = [str(tmp_path / "whole"), str(tmp_path / "killed")]
    call = f"import pathlib, test_recorder; test_recorder.kill_again_and_again(*map(pathlib.Path, {folders}))"
    process = subprocess.run(
        [sys.executable, "-c", call],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    assert not (tmp_path / "killed.partial").exists()


SCRIPT = """
import sys
from datasets_builders import build
print("ready", flush=True)
build("wordle-trap", 3000, sys.argv[1], words="english-100", progress=False)
"""


def test_a_killed_recipe_is_resumed_exactly(tmp_path, monkeypatch):
    from datasets_builders import build, wordle

    command = [
        sys.executable,
        "-c",
        SCRIPT.replace("print(", "import datasets_builders.wordle as w; w._BLOCK_GAMES = 200\nprint("),
    ]
    monkeypatch.setattr(wordle, "_BLOCK_GAMES", 200)
    options = {"words": "english-100", "progress": False}
    build("wordle-trap", 3000, tmp_path / "whole", **options)
    root = str(Path(__file__).parent.parent)
    child = subprocess.Popen([*command, str(tmp_path / "d")], stdout=subprocess.PIPE, cwd=root)
    child.stdout.readline()
    partial = tmp_path / "d.partial"
    while child.poll() is None and len(list(partial.glob("*.arrow"))) < 3:
        time.sleep(0.002)
    child.kill()
    child.wait()
    assert partial.exists() and not (tmp_path / "d").exists()
    with pytest.raises(FileNotFoundError, match="unfinished"):
        EpisodeDataset.load(tmp_path / "d")
    build("wordle-trap", 3000, tmp_path / "d", **options)
    assert contents(tmp_path / "d") == contents(tmp_path / "whole")


def interrupted(out, after=3):
    def block(k):
        if k == after:
            raise KeyboardInterrupt
        return blocks()(k)

    with pytest.raises(KeyboardInterrupt):
        write_blocks(block, EPISODES, out, PROVENANCE, make_tokenizer(), progress=False)


def test_whole_blocks_are_not_played_again(tmp_path):
    interrupted(tmp_path / "d")
    asked = []

    def block(k):
        asked.append(k)
        return blocks()(k)

    write_blocks(block, EPISODES, tmp_path / "d", PROVENANCE, make_tokenizer(), progress=False)
    assert asked[0] == 3
    make(tmp_path / "e")
    assert contents(tmp_path / "d") == contents(tmp_path / "e")


def test_another_recording_is_not_mixed_in(tmp_path):
    interrupted(tmp_path / "d")
    with pytest.raises(DatasetError, match="seed is 0 there, 1 was asked for"):
        make(tmp_path / "d", provenance={**PROVENANCE, "seed": 1})
    with pytest.raises(DatasetError, match="episodes is 400 there, 401"):
        make(tmp_path / "d", episodes=401)
    with pytest.raises(DatasetError, match="recipe is null there"):
        make(tmp_path / "d", provenance={**PROVENANCE, "recipe": "other"})
    assert len(make(tmp_path / "d")) == EPISODES


def test_a_finished_folder_is_never_overwritten(tmp_path):
    make(tmp_path / "d")
    before = contents(tmp_path / "d")
    with pytest.raises(FileExistsError, match="never overwritten"):
        make(tmp_path / "d", episodes=10)
    assert contents(tmp_path / "d") == before


def test_two_recordings_of_one_folder_are_refused(tmp_path):
    def block(k):
        with pytest.raises(FileExistsError, match="at work in"):
            make(tmp_path / "d", episodes=BLOCK)
        return blocks()(k)

    assert len(write_blocks(block, BLOCK, tmp_path / "d", PROVENANCE, make_tokenizer(), progress=False)) == BLOCK


def test_an_empty_block_is_refused(tmp_path):
    with pytest.raises(ValueError, match="block 0 holds no episode"):
        write_blocks(lambda k: [], 5, tmp_path / "d", PROVENANCE, make_tokenizer(), progress=False)


@pytest.mark.parametrize("moment", [0, 4, 9, "joined", "card"])
def test_a_full_disk_loses_nothing(tmp_path, monkeypatch, small_files, moment):
    make(tmp_path / "whole")
    calls = 0
    write_arrow, write_text = block_files.write_arrow, Path.write_text

    def full(path, batches, columns):
        nonlocal calls
        first, last = path.stem.removeprefix("data-").split("-")
        if calls == moment or (moment == "joined" and first != last):
            path.with_name(path.name + ".tmp").write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        calls += 1
        write_arrow(path, batches, columns)

    def full_text(path, text, **kwargs):
        if moment == "card" and "README" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_text(path, text, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(block_files, "write_arrow", full)
        patch.setattr(Path, "write_text", full_text)
        with pytest.raises(OSError, match=r"the disk is full.*episodes are safe in .*make room") as caught:
            make(tmp_path / "d")
    assert caught.value.errno == errno.ENOSPC
    assert not (tmp_path / "d").exists()
    assert not list((tmp_path / "d.partial").glob("*.tmp"))
    make(tmp_path / "d")
    assert contents(tmp_path / "d") == contents(tmp_path / "whole")


def test_a_write_that_the_system_refuses_is_told(tmp_path):
    """A real failure in the middle of a file: the process may not write files of more than 2 kB."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
        try:
            make(tmp_path / "d")
        except OSError as error:
            os._exit(0 if "the disk is full" in str(error) and error.errno == errno.EFBIG else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not list((tmp_path / "d.partial").glob("*.tmp"))
    assert len(make(tmp_path / "d")) == EPISODES


def test_no_bar_where_nobody_looks(tmp_path, capsys):
    write_blocks(blocks(), 20, tmp_path / "d", PROVENANCE, make_tokenizer(), progress=True)
    assert capsys.readouterr() == ("", "")


def test_a_bar_after_two_seconds_on_a_terminal(monkeypatch, capsys):
    from lang_envs import progress

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress.progress_bar("recording", 10) as show:
        show(3)
    assert "recording" not in capsys.readouterr().err
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    with progress.progress_bar("recording", 10) as show:
        show(3)
    assert "3/10" in capsys.readouterr().err


# RecordEpisodes


def key(episode):
    info = json.dumps({k: v for k, v in episode.info.items() if k not in ("seed", "policy")}, sort_keys=True)
    flags = (episode.terminated, episode.truncated)
    return episode.tokens.tobytes(), episode.is_action.tobytes(), episode.rewards.tobytes(), flags, info


def streams(num_envs):
    """Each row's actions, whatever the autoreset mode: letters, ends and other tokens."""
    return np.random.default_rng(7).choice([0, 1, 2, 3, 8, 12, 12, 12], size=(num_envs, 4000))


def expected_episodes(num_envs, steps):
    env = TokenVectorEnv(Guess(), num_envs, autoreset_mode="Disabled")
    env.reset(seed=5)
    actions, found = streams(num_envs), []
    for step in range(steps):
        env.step(actions[:, step])
        found += [env.episode(row) for row in np.flatnonzero(env.finished).tolist()]
        if env.finished.any():
            env.reset(options={"reset_mask": env.finished})
    return found


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
@pytest.mark.parametrize("copy", [True, False])
def test_record_episodes_is_exact_in_every_mode(tmp_path, mode, copy):
    num_envs, steps = 6, 300
    env = RecordEpisodes(
        TokenVectorEnv(Guess(), num_envs, autoreset_mode=mode, copy=copy), tmp_path / "d", policy="noise", block_size=50
    )
    env.reset(seed=5)
    actions, used, ended = streams(num_envs), np.zeros(num_envs, int), 0
    over = np.zeros(num_envs, bool)
    for _ in range(steps):
        _, _, terminated, truncated, _ = env.step(actions[np.arange(num_envs), used])
        used += 1 if mode != "NextStep" else ~over
        over = terminated | truncated
        ended += over.sum()
        if mode == "Disabled" and over.any():
            env.reset(options={"reset_mask": over})
    dataset = env.finish()
    assert len(dataset) == ended > 50
    assert dataset.provenance["episodes"] == ended
    possible = Counter(map(key, expected_episodes(num_envs, steps)))
    found = Counter(map(key, dataset))
    assert found <= possible
    assert mode == "NextStep" or found == possible
    assert sorted(e.info["seed"] for e in dataset if "seed" in e.info) == [5, 6, 7, 8, 9, 10]
    assert {e.info["policy"] for e in dataset} == {"noise"}
    assert env.finish() is dataset


@pytest.mark.parametrize("level", [TokenEnv, UtteranceEnv])
def test_recording_one_environment_is_what_the_vector_records(tmp_path, level):
    """The same games, seed for seed and token for token, at both levels; an episode that is left is not recorded."""
    task = Guess(max_tokens=200)
    env, vector = RecordEpisodes(level(task), tmp_path / "d", "noise", block_size=3), TokenVectorEnv(task, 1)
    spoken = np.random.default_rng(0).choice(["a", "b", "c", "abc", ""], 400).tolist()
    said, expected = iter(spoken), []
    for seed in range(7):
        env.reset(seed=100)  # left
        env.reset(seed=seed)
        vector.begin([0], [seed])
        over = False
        while not over:
            text = next(said)
            tokens = spell(vector.tokenizer, text, task.max_utterance_tokens)
            vector.say([0], [tokens])
            actions = tokens.tolist() if level is TokenEnv else [text]
            over = [any(env.step(action)[2:4]) for action in actions][-1]
        expected.append(vector.episode(0))
    dataset = env.finish()
    assert [key(episode) for episode in dataset] == [key(episode) for episode in expected]
    assert [episode.info["seed"] for episode in dataset] == list(range(7))
    with pytest.raises(ValueError, match="the episode is over"):
        env.step(actions[0])


def test_recording_one_environment_refuses_in_words(tmp_path):
    class Broken(gym.RewardWrapper):
        def reward(self, reward):
            return float("nan") if reward else reward

    with pytest.raises(TypeError, match=r"gymnasium\.make"):
        RecordEpisodes(gym.make("CartPole-v1"), tmp_path / "d")
    with pytest.raises(TypeError, match=r"gymnasium\.make_vec"):
        RecordEpisodes(gym.make_vec("CartPole-v1", 2), tmp_path / "d")
    own = TokenEnv(Guess(max_turns=1))
    env = RecordEpisodes(Broken(own), tmp_path / "d")
    with pytest.raises(ValueError, match=r"call reset\(\)"):
        env.step(0)
    with pytest.raises(ValueError, match="below 2"):
        env.reset(seed=2**63)
    env.reset(seed=0)
    own.step(0)
    with pytest.raises(ValueError, match="from its beginning"):
        env.step(0)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"step .* cannot be recorded: a reward must be finite"):
        while True:
            env.step(env.unwrapped.end_id)
    with pytest.raises(ValueError, match="from its beginning"):
        env.step(0)
    env.close()
    assert not list(tmp_path.iterdir())


def test_record_episodes_adds_to_an_interrupted_recording_only_when_asked(tmp_path):
    def play(**options):
        env = RecordEpisodes(TokenVectorEnv(Guess(), 4), tmp_path / "d", block_size=5, **options)
        env.reset(seed=0)
        for step in range(200):
            env.step(streams(4)[:, step])
        return env

    before = play()._log.written
    with pytest.raises(FileExistsError, match="unfinished"):
        play()
    env = play(resume=True)
    env.close()
    assert len(EpisodeDataset.load(tmp_path / "d")) > before > 0


def test_record_episodes_without_an_episode(tmp_path):
    env = RecordEpisodes(TokenVectorEnv(Guess(), 4), tmp_path / "d")
    env.reset(seed=0)
    with pytest.raises(DatasetError, match="no episode has ended yet"):
        env.finish()
    env.close()
    assert not list(tmp_path.iterdir())


def test_record_episodes_goes_on_after_a_full_disk(tmp_path, monkeypatch):
    env = RecordEpisodes(TokenVectorEnv(Guess(), 4, autoreset_mode="SameStep"), tmp_path / "d", block_size=5)
    env.reset(seed=5)

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    steps = iter(streams(4).T[:200])
    with monkeypatch.context() as patch:
        patch.setattr(block_files, "write_arrow", full)
        with pytest.raises(OSError, match=r"0 episodes are safe in .*resume=True"):
            for actions in steps:
                env.step(actions)
    for actions in steps:
        env.step(actions)
    assert Counter(map(key, env.finish())) == Counter(map(key, expected_episodes(4, 200)))


def test_record_episodes_keeps_infos_as_they_are(tmp_path):
    class Noted(Guess):
        def reply(self, state, utterance, rng):
            reply = super().reply(state, utterance, rng)
            share = 0 if reply.info["off"] == 8 else reply.info["share"]  # an integer at times
            return dataclasses.replace(reply, info={"share": share, "final_score": reply.info["off"]})

    venv = TokenVectorEnv(Noted(), 8)
    env = RecordEpisodes(venv, tmp_path / "d")
    env.reset(seed=0)
    for step in range(60):
        env.step(streams(8)[:, step])
    infos = [episode.info for episode in env.finish() if "share" in episode.info]
    assert {info["final_score"] / 8 for info in infos} >= {1, 0.5}
    assert all(info["share"] == (0 if info["final_score"] == 8 else info["final_score"] / 8) for info in infos)


def test_record_episodes_records_from_the_beginning_only(tmp_path):
    venv = TokenVectorEnv(Guess(), 2)
    venv.reset(seed=0)
    venv.step([0, 0])
    env = RecordEpisodes(venv, tmp_path / "d")
    with pytest.raises(ValueError, match="call reset"):
        env.step([0, 0])
    with pytest.raises(ValueError, match="below 2"):
        env.reset(seed=[1, 2**63])
    env.reset(seed=np.array([3, 4]))
    for step in range(60):
        env.step(streams(2)[:, step])
    assert {episode.info.get("seed") for episode in env.finish()} >= {3, 4}


def test_closed_twice_it_deletes_nothing_of_another(tmp_path):
    first = RecordEpisodes(TokenVectorEnv(Guess(), 4), tmp_path / "d")
    first.close()
    second = RecordEpisodes(TokenVectorEnv(Guess(), 4), tmp_path / "d", block_size=5)
    second.reset(seed=0)
    for step in range(60):
        second.step(streams(4)[:, step])
    first.close()
    assert len(second.finish()) > 5


class Rewarded(Guess):
    """Pays by a function that it is given."""

    def __init__(self, reward, max_turns=4):
        super().__init__(max_turns)
        self.reward = reward


class Weighed(Chatter):
    def __init__(self, env, weights=None, model=None, volume=2):
        super().__init__(env, volume)
        self.weights, self.model = weights, model


def constant(value, documentation="A reward."):
    made = {}
    exec(f"def constant(text):\n    {documentation!r}\n    return {value}", made)
    return made["constant"]


@pytest.mark.parametrize(
    ("task", "policy", "changed"),
    [
        (Rewarded(constant(-1)), {}, "env"),
        (Rewarded(constant(1), max_turns=3), {}, "env"),
        (Rewarded(constant(1)), {"weights": np.arange(4)}, "policy"),
        (Rewarded(constant(1)), {"model": torch.nn.Linear(1, 1)}, "policy"),
    ],
)
def test_another_reward_task_or_model_is_another_recording(tmp_path, task, policy, changed):
    def stopped(histories, rngs, act=Chatter.act):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(1)
        return act(chatter, histories, rngs)

    calls, usual = [], {"weights": np.arange(3), "model": torch.nn.Linear(1, 1)}
    venv = TokenVectorEnv(Rewarded(constant(1)), 4)
    chatter = Weighed(venv, **usual)
    chatter.act = stopped
    with pytest.raises(KeyboardInterrupt):
        record(venv, chatter, 40, tmp_path / "d", block_size=4, progress=False)
    other = TokenVectorEnv(task, 4)
    with pytest.raises(DatasetError, match=f"belongs to another recording: {changed} is"):
        record(other, Weighed(other, **{**usual, **policy}), 40, tmp_path / "d", block_size=4, progress=False)
    again = TokenVectorEnv(Rewarded(constant(1, "1, whatever the text.")), 4)  # other documentation
    assert len(record(again, Weighed(again, **usual), 40, tmp_path / "d", block_size=4, progress=False)) == 40
