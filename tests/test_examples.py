"""Every example runs, with few steps, and prints what it should."""

import json
import runpy
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import gymnasium as gym
import pytest
import spoken_seeds
from test_dialogue_corpora import verdict, write

from agents import Agent
from datasets_builders import EpisodeDataset

FOLDER = Path(__file__).parents[1] / "examples"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs an example in an empty folder -> what it printed; no agent plays an episode that was recorded."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setattr(gym.envs.registration, "registry", dict(gym.registry))
    spoken = spoken_seeds.watched(monkeypatch)

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
        spoken_seeds.check(spoken)
        return capsys.readouterr().out

    return run


def test_every_example_is_run_here():
    tests = [name.removeprefix("test_") for name in globals() if name.startswith("test_")]
    examples = {path.stem for path in FOLDER.glob("*.py")} - {"distributed"}  # see test_distributed.py
    assert examples == examples & {*tests}


def test_quickstart(run, tmp_path):
    printed = run("quickstart", "--steps", 3)
    assert "2000 logged reviews earned 0.1" in printed and "review : the movie" in printed
    assert len(EpisodeDataset.load(tmp_path / "data" / "movie-review")) == 2000
    assert "After training the agent writes:" in run("quickstart", "--steps", 1)  # the logs are there already


def test_new_task(run):
    printed = run("new_task", "--steps", 3, "--episodes", 64)
    assert "Haggle-v0 is a sound environment." in printed and printed.count("how much?") == 3


def test_new_agent(run):
    printed = run("new_agent", "--steps", 2)
    assert [line.split()[0] for line in printed.splitlines()] == ["cloned", "reinforced"]


def test_train_ilql(run, tmp_path):
    arguments = ["--episodes", 64, "--steps", 3, "--tensorboard"]
    printed = run("train_ilql", *arguments)
    assert [line.split()[1] for line in printed.splitlines() if line.startswith("step")] == ["1", "2", "3"]
    assert Agent.load(tmp_path / "runs" / "wordle" / "agent").step == 3
    assert list((tmp_path / "runs" / "wordle" / "tensorboard").iterdir())
    again = run("train_ilql", *arguments)  # nothing is left to do
    assert "step " not in again and "The agent is in" in again


def test_online(run):
    printed = run("online", "--steps", 1)
    assert printed.count("the agent earns") == 3 and "It played 48 episodes" in printed


@contextmanager
def a_server_that_says(text):
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            answer = json.dumps({"choices": [{"message": {"content": text}}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def test_served_llm(run, tmp_path):
    with a_server_that_says("b") as url:
        printed = run("served_llm", "--url", url, "--model", "anything", "--episodes", 8)
    assert "<|agent|>b<|end|>" in printed and "anything earned" in printed
    assert len(EpisodeDataset.load(tmp_path / "data" / "served")) == 8


def test_human_feedback(run, tmp_path):
    said = ((1.0, "Which one?"), (0.0, "No."))
    rows = [verdict(str(i), reward, {"role": "agent", "text": text}) for i in range(60) for reward, text in said]
    printed = run("human_feedback", write(tmp_path / "reward_00.json", rows), "--steps", 8)
    assert "50% approve" in printed and printed.count("finds the approved reply likelier in") == 2
    assert "Refit  finds the approved reply likelier in 100%" in printed


def test_chat(run, monkeypatch):
    lines = iter(["i need a taxi", "tomorrow", ""])
    monkeypatch.setattr("builtins.input", lambda prompt: next(lines))
    assert run("chat", "--steps", 1).count("agent > ") == 2
    lines = iter([""])
    run("chat", "--steps", 0)

    def ended(prompt):
        raise EOFError

    monkeypatch.setattr("builtins.input", ended)
    assert "agent > " not in run("chat", "--steps", 0)


def test_trl_grpo(run):
    printed = run("trl_grpo", "--steps", 1, "--imitation", 2, "--games", 16)
    assert "after imitation: -6.000" in printed and "after 1 steps of GRPO: -6.000" in printed
