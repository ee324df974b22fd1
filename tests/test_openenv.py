"""Environments behind OpenEnv: its own client over a web socket, its own validation, and folders that it reads."""

import asyncio
import json
import re
import runpy
import threading
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
import requests
from fastapi.testclient import TestClient
from openenv.cli.__main__ import app as openenv
from openenv.cli._validation import validate_running_environment
from openenv.core import GenericEnvClient
from openenv.validation import Level, Verdict, run_validation
from typer.testing import CliRunner
from validate_openenv import needed, validate

from agents import cli
from lang_envs import rollout
from lang_envs.conversation import user
from lang_envs.openenv.client import UtteranceClient
from lang_envs.openenv.environment import Splits, UtteranceEnvironment, page
from lang_envs.openenv.export import export, files
from lang_envs.openenv.models import UtteranceAction
from lang_envs.openenv.server import make_app, serving
from lang_envs.policies.any_task import RandomTokens
from lang_envs.scores import expert
from lang_envs.tasks.wordle import Wordle

WORDS = ["crane", "slate", "x", "", "mount", "audio", "hello", "guess"]
SAID = "The answer is A."


@pytest.fixture(scope="module")
def wordle():
    with serving(make_app("Wordle-v0", sessions=3, words="english-30")) as url:
        yield url


@pytest.fixture
def client(wordle):
    with UtteranceClient(base_url=wordle).sync() as session:
        yield session


def said(message):
    return UtteranceAction(message=message)


# Episodes


def test_the_same_seed_is_the_same_episode_as_with_gymnasium(client):
    env = gym.make("Wordle-v0", level="utterance", words="english-30")
    for seed in range(4):
        result = client.reset(seed=seed)
        text, _ = env.reset(seed=seed)
        assert (result.observation.text, result.reward, result.done) == (text, None, False)
        assert result.observation.metadata["instruction"] == env.unwrapped.task.instruction
        for turn, word in enumerate(WORDS, 1):
            result = client.step(said(word))
            text, reward, terminated, truncated, info = env.step(word)
            assert (result.observation.text, result.reward) == (text, reward)
            assert result.done == (terminated or truncated)
            assert result.metadata == {"truncated": truncated, "turn": turn, "info": info}
            if result.done:
                break
        assert turn <= 6


@pytest.mark.parametrize("env_id", ["ClarifyingQA-v0", "VisualDialogue-v0", "Wordle-Paper-v0"])
def test_a_session_is_gymnasium_s_episode_and_holds_its_messages(env_id):
    session, env = UtteranceEnvironment(Splits(env_id)), gym.make(env_id, level="utterance").unwrapped
    seen, (text, _) = session.reset(seed=3), env.reset(seed=3)
    while not seen.done:
        assert seen.text == text and seen.messages == [m._asdict() for m in env.conversation()]
        seen = session.step(said(SAID))
        text, reward, _, truncated, info = env.step(SAID)
        assert (seen.reward, seen.metadata["truncated"], seen.metadata["info"]) == (reward, truncated, info)
    roles = [message["role"] for message in seen.messages]
    assert roles.count("assistant") == session.state.step_count == seen.metadata["turn"]
    assert json.loads(seen.model_dump_json())["messages"] == seen.messages


def test_messages_of_plain_texts_are_in_words():
    session = UtteranceEnvironment(Splits("Wordle-v0", words=["crane", "slate"]))
    session.reset(context=0)
    assert session.step(said("slate")).messages == [
        {"role": "assistant", "content": "slate"},
        {"role": "user", "content": "bbgbg"},
    ]


def test_an_episode_that_is_cut_is_truncated():
    session = UtteranceEnvironment(Splits("Wordle-v0", words=["crane", "slate"], max_tokens=16))
    session.reset(context=1)  # "slate", whose tokens have no room any more
    seen = [session.step(said(word)) for word in ("crane", "slate")]
    assert [observation.done for observation in seen] == [False, True]
    assert not seen[0].metadata["truncated"]
    assert seen[-1].metadata["truncated"] and session.state.done


def test_a_seedless_reset_goes_on_with_the_generator_as_gymnasium_does():
    session, env = UtteranceEnvironment(Splits("Wordle-v0")), gym.make("Wordle-v0", level="utterance")
    for seed in (5, None, None):
        session.reset(seed=seed)
        env.reset(seed=seed)
        assert session.step(said("crane")).metadata["info"] == env.step("crane")[4]


def test_the_state_follows_the_episode(client):
    client.reset(seed=4, episode_id="mine", context=7)
    client.step(said("crane"))
    state = client.state()
    assert (state.episode_id, state.step_count, state.seed, state.context) == ("mine", 1, 4, 7)
    assert state.split == "all" and not state.done
    client.reset(seed=4)
    assert client.state().episode_id not in (None, "mine") and client.state().step_count == 0


# Sessions


def test_sessions_are_apart_and_share_one_task():
    splits = Splits("Wordle-v0", words="english-30")
    one, other = UtteranceEnvironment(splits), UtteranceEnvironment(splits)
    assert one._env.task is other._env.task and one._env is not other._env
    alone = UtteranceEnvironment(Splits("Wordle-v0", words="english-30"))
    alone.reset(seed=1)
    expected = [alone.step(said(word)).text for word in WORDS[:3]]
    one.reset(seed=1)
    got = []
    for word in WORDS[:3]:
        other.reset(seed=9)
        other.step(said("slate"))
        got.append(one.step(said(word)).text)
    assert got == expected


def test_many_sessions_at_once_play_what_each_would_alone():
    app = make_app("Wordle-v0", sessions=16, words="english-30")

    async def play(url, seed):
        async with GenericEnvClient(base_url=url) as env:
            texts = [(await env.reset(seed=seed)).observation["text"]]
            for word in WORDS[:3]:
                texts.append((await env.step({"message": word})).observation["text"])
            return texts

    async def everybody(url):
        return await asyncio.gather(*(play(url, seed) for seed in range(16)))

    with serving(app) as url:
        heard = asyncio.run(everybody(url))
    env = gym.make("Wordle-v0", level="utterance", words="english-30")
    for seed, texts in enumerate(heard):
        assert texts == [env.reset(seed=seed)[0], *(env.step(word)[0] for word in WORDS[:3])]


def test_a_task_that_takes_long_keeps_no_other_session_waiting(monkeypatch):
    """Replies that come only once two are asked for at the same time."""
    both, reply = threading.Barrier(2), Wordle.reply

    def together(self, *asked):
        both.wait(timeout=5)
        return reply(self, *asked)

    monkeypatch.setattr(Wordle, "reply", together)

    async def play(url):
        async with GenericEnvClient(base_url=url) as env:
            await env.reset(context=1)
            return (await env.step({"message": "slate"})).reward

    async def everybody(url):
        return await asyncio.gather(play(url), play(url))

    with serving(make_app("Wordle-v0", sessions=2, words=["crane", "slate"])) as url:
        assert asyncio.run(everybody(url)) == [0.0, 0.0]


def test_a_client_beyond_the_sessions_is_refused(wordle):
    held = [UtteranceClient(base_url=wordle).sync() for _ in range(3)]
    try:
        for session in held:
            session.connect()
            session.reset(seed=0)
        with UtteranceClient(base_url=wordle).sync() as extra, pytest.raises(RuntimeError, match="3/3"):
            extra.reset(seed=0)
    finally:
        for session in held:
            session.close()


# What is refused, in words


def test_a_client_is_told_in_words_what_is_wrong(client):
    with pytest.raises(RuntimeError, match=r"there is no episode yet: call reset\(\) before step\(\)"):
        client.step(said("crane"))
    client.reset(seed=0)
    with pytest.raises(RuntimeError, match=r"an utterance must be a text \(str\), got int"):
        client.step(said(5))
    with pytest.raises(RuntimeError, match="an utterance has at most 48 characters, got 9000"):
        client.step(said("a" * 9000))
    assert client.step(said("crane")).metadata["turn"] == 1  # none of these was a turn
    for _ in range(5):
        last = client.step(said("x"))
    assert last.done
    with pytest.raises(RuntimeError, match=r"the episode is over: call reset\(\)"):
        client.step(said("crane"))


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"seed": -1}, "a seed must be an integer >= 0, got -1"),
        ({"seed": "x"}, "a seed must be an integer >= 0, got 'x'"),
        ({"context": 30}, "context 30 is out of range: Wordle has 30"),
        ({"context": 1.5}, "a context must be an integer, got 1.5"),
        ({"context": 1, "index": 2}, "context and index name one starting point, got 1 and 2"),
        ({"split": "test"}, "Wordle-v0 has no split 'test'; choose one of all"),
        ({"split": ["all"]}, "a split must be a text, got"),
        ({"contxt": 1}, "reset has no argument 'contxt'; did you mean 'context'?"),
        ({"episode_id": 5}, "episode_id must be a text, got 5"),
    ],
)
def test_a_reset_that_cannot_be_is_refused_in_words(client, arguments, words):
    client.reset(seed=0)
    with pytest.raises(RuntimeError, match=words.replace("?", r"\?")):
        client.reset(**arguments)


def test_plain_requests_are_told_in_words_too(wordle):
    stepped = requests.post(f"{wordle}/step", json={"action": {"message": "crane"}}, timeout=10)
    assert stepped.status_code == 422 and "there is no episode yet" in stepped.json()["detail"]
    begun = requests.post(f"{wordle}/reset", json={"seed": 1, "context": 99}, timeout=10)
    assert begun.status_code == 422 and "context 99 is out of range" in begun.json()["detail"]
    assert requests.post(f"{wordle}/reset", json={"seed": 1}, timeout=10).json()["observation"]["text"] == "<a>"


def test_what_is_no_language_environment_is_refused():
    with pytest.raises(ValueError, match="expected the id of a language environment"):
        Splits("CartPole-v1")
    with pytest.raises(TypeError, match="Wordle has no option 'wrds'"):
        make_app("Wordle-v0", wrds="english-30")
    with pytest.raises(ValueError, match="sessions must be at least 1"):
        make_app("Wordle-v0", sessions=0)


# Tasks and splits


def test_starting_points_are_openenv_s_tasks(wordle):
    def asked(route, **body):
        return requests.post(f"{wordle}/Wordle-v0/{route}", json={"split": "all", **body}, timeout=10)

    assert [split["name"] for split in requests.get(f"{wordle}/Wordle-v0/splits", timeout=10).json()] == ["all"]
    assert asked("num_tasks").json() == {"num_tasks": 30}
    task = asked("task", index=12).json()["task"]
    assert task == {"id": "all-12", "split": "all", "index": 12, "context": 12}
    assert [task["index"] for task in asked("task_range", start=28).json()["tasks"]] == [28, 29]
    assert asked("task", index=30).status_code == asked("task", index=-1).status_code == 400
    assert "has no split 'no'" in asked("num_tasks", split="no").json()["detail"]


def test_a_task_is_begun_at_by_context_or_index():
    session = UtteranceEnvironment(Splits("Wordle-v0", words="english-30"))
    for arguments in ({"context": 12}, {"index": 12}, {"split": "all", "index": 12, "context": 12}):
        session.reset(seed=0, **arguments)
        assert session.step(said("crane")).metadata["info"]["context"] == 12 == session.state.context


def test_each_split_has_its_own_starting_points():
    session = UtteranceEnvironment(Splits("Dialogue-BLEU-v0"))
    assert session.list_splits() == ["train", "validation", "test"]
    sizes = [session.num_tasks(split) for split in session.list_splits()]
    assert sizes == [
        gym.make("Dialogue-BLEU-v0", split=split).unwrapped.task.num_contexts for split in session.list_splits()
    ]
    test = gym.make("Dialogue-BLEU-v0", level="utterance", split="test")
    assert session.reset(context=5, split="test").text == test.reset(options={"context": 5})[0]
    train = gym.make("Dialogue-BLEU-v0", level="utterance")
    assert session.reset(context=5).text == train.reset(options={"context": 5})[0]
    assert UtteranceEnvironment(Splits("Reddit-Toxicity-v0")).list_splits() == ["all", "train", "test"]


def test_a_task_without_starting_points_lists_none():
    with TestClient(make_app("Wordle-Paper-v0")) as client:
        assert client.get("/Wordle-Paper-v0/splits").json() == []
        assert client.post("/Wordle-Paper-v0/num_tasks", json={"split": "all"}).status_code == 501


PAID = [
    *("MovieReview-v0", "Wordle-v0", "ClarifyingQA-v0", "Dialogue-BLEU-v0", "Reddit-Toxicity-v0", "Reddit-Upvotes-v0"),
    *("VisualDialogue-v0", "VisualDialogue-YesNo-v0", "VisualDialogue-ConservativeYesNo-v0"),
]


@pytest.mark.parametrize("env_id", PAID)
def test_rewards_lie_within_the_range_that_a_task_declares(env_id):
    env = gym.make_vec(env_id, 8).unwrapped
    low, high = env.task.reward_range
    for policy, n in ((RandomTokens(env.task, env.tokenizer), 4), (expert(env), 8)):
        rewards = np.concatenate([episode.rewards[episode.is_action] for episode in rollout(env, policy, range(n))])
        assert low <= rewards.min() and rewards.max() <= high


# The page to play at


def test_the_page_shows_the_episode_and_obeys_no_text():
    shown = page((user("<script>"),), -1.0, True)
    assert "<script>" not in shown and "&lt;script&gt;" in shown and "reward -1, the episode is over" in shown
    session = UtteranceEnvironment(Splits("Wordle-v0", words=["crane", "slate"]))
    assert session.render_web({}) == "<div></div>"
    session.reset(context=0)
    seen = session.step(said("slate"))
    drawn = session.render_web({**seen.model_dump(), "reward": seen.reward, "done": seen.done})
    assert "bbgbg" in drawn and "reward -1" in drawn and "over" not in drawn


def test_the_page_is_there_where_it_is_asked_for(monkeypatch):
    monkeypatch.setenv("ENABLE_WEB_INTERFACE", "true")
    with TestClient(make_app("Wordle-v0", words="english-30")) as client:
        assert client.get("/web/").status_code == 200
        client.post("/web/reset", json={})
        stepped = client.post("/web/step", json={"action": {"message": "crane"}}).json()
    assert stepped["reward"] == -1.0 and stepped["observation"]["metadata"]["turn"] == 1


# OpenEnv's validation, and folders


@pytest.mark.parametrize("env_id", ["Wordle-v0", "ClarifyingQA-v0", "Dialogue-BLEU-v0", "Wordle-Paper-v0"])
def test_openenv_validates_an_exported_environment_at_every_level(env_id, tmp_path):
    """scripts/validate_openenv.py does the same for all of them."""
    assert validate(env_id, tmp_path / "env") == []
    assert run_validation(tmp_path / "env", max_level=Level.STATIC).verdict is Verdict.PASS


def test_openenv_validates_the_running_server(wordle):
    report = validate_running_environment(wordle)
    assert report["passed"], report["summary"]


def test_validation_finds_a_reward_beyond_the_declared_range(tmp_path, monkeypatch):
    monkeypatch.setattr(Wordle, "reward_range", (-0.5, 0.0))
    assert any("runtime.reward_well_formed" in line for line in validate("Wordle-v0", tmp_path / "env"))


def test_the_exported_folder_serves_by_itself(tmp_path, capsys):
    folder = tmp_path / "wordle"
    assert cli.main(["export-env", "Wordle-v0", "--out", str(folder), "--set", "words=english-30"]) == 0
    assert "openenv validate" in capsys.readouterr().out
    assert CliRunner().invoke(openenv, ["validate", str(folder), "--level", "static"]).exit_code == 0
    with TestClient(runpy.run_path(str(folder / "server" / "app.py"))["app"]) as client:
        assert client.post("/Wordle-v0/num_tasks", json={"split": "all"}).json() == {"num_tasks": 30}


def test_an_environment_of_a_folder_is_validated_and_served_with_it(tmp_path):
    assert validate("Logs-v0", tmp_path / "env", **needed("Logs-v0", tmp_path)) == []
    served = runpy.run_path(str(tmp_path / "env" / "server" / "app.py"))["app"]
    with TestClient(served) as client:
        assert client.post("/Logs-v0/num_tasks", json={"split": "all"}).json() == {"num_tasks": 2}
    with pytest.raises(TypeError, match="Logs needs the option 'data'"):
        export("Logs-v0", tmp_path / "other")


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(FileExistsError, match="holds something already"):
        export("Wordle-v0", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_what_is_written_into_the_server_is_a_value():
    hostile = '"); import os; os.system("x")  #'
    server = files("Wordle-v0", words=["crane", "slate"], max_tokens=80)["server/app.py"]
    assert "make_app(\"Wordle-v0\", words=['crane', 'slate'], max_tokens=80)" in server
    compile(files("MovieReview-v0", instruction=hostile)["server/app.py"], "app.py", "exec")
    with pytest.raises(ValueError, match="must fit in JSON"):
        files("Wordle-v0", words={1})


def test_the_commands_say_what_is_wrong(capsys):
    assert cli.main(["serve-env", "Wordl-v0"]) == 2
    assert "did you mean 'Wordle-v0'?" in capsys.readouterr().err
    assert cli.main(["serve-env", "Wordle-v0", "--port", "65536"]) == 2
    assert "a port lies in [0, 65535], got 65536" in capsys.readouterr().err


def test_a_free_port_is_taken_and_named(monkeypatch, capsys):
    def interrupted():  # what a server waits for; by then it answers
        told = capsys.readouterr().out
        address = re.search(r"served at (http://127\.0\.0\.1:\d+)\. ", told)[1]
        assert f"curl {address}/health" in told and not address.endswith(":0")
        assert requests.get(f"{address}/health").status_code == 200
        raise KeyboardInterrupt

    never = SimpleNamespace(Thread=threading.Thread, Event=lambda: SimpleNamespace(wait=interrupted))
    monkeypatch.setattr("lang_envs.openenv.server.threading", never)
    assert cli.main(["serve-env", "Wordle-v0", "--port", "0"]) == 130
