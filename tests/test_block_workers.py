"""A data set has the same bytes however many processes record it."""

import os
import signal
from pathlib import Path

import gymnasium as gym
import pytest

from agents import BC, LM
from datasets_builders import build, record, write_blocks
from datasets_builders.block_workers import Workers
from datasets_builders.samples import Sampling, record_samples
from lang_envs.policies.dialogue import NearestReply
from lang_envs.policies.movie_review import Reviewer
from lang_envs.tokenizers import text_tokenizer

MANY = 10_000  # reviews: two blocks and a part of a third


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def reviews(out, workers=1, **options):
    return build("movie-review", MANY, out, progress=False, workers=workers, **options)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone") / "d"
    reviews(folder)
    return folder


def test_a_recipe_by_two_processes(alone, tmp_path):
    assert len(reviews(tmp_path / "d", workers=2)) == MANY
    assert contents(tmp_path / "d") == contents(alone)


def test_what_one_process_began_two_finish(alone, tmp_path, monkeypatch):
    from datasets_builders import writer

    append, written = writer.Recording.append, []

    def stopped(self, batch):
        append(self, batch)
        written.append(len(batch))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(writer.Recording, "append", stopped)
        with pytest.raises(KeyboardInterrupt):
            reviews(tmp_path / "d")
    assert written == [4096] and (tmp_path / "d.partial").is_dir()
    reviews(tmp_path / "d", workers=2)
    assert contents(tmp_path / "d") == contents(alone)


def test_a_policy_by_two_processes(tmp_path):
    env = gym.make_vec("MovieReview-v0", num_envs=8)
    for workers in (1, 2):
        played = {"block_size": 32, "progress": False, "workers": workers}
        record("MovieReview-v0", Reviewer(env.unwrapped.task), 100, tmp_path / f"{workers}", **played)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


def test_samples_by_two_processes(tmp_path):
    """Of a scripted policy and of a language model, whose histories, weights and chance go with them."""
    env = gym.make_vec("Dialogue-chrF-v0", num_envs=8).unwrapped
    agent = BC(LM.from_scratch("d64-l2", env))
    policies = {"nearest": NearestReply(env.task, env.tokenizer), "bc": agent.policy(temperature=0.5)}
    for workers in (1, 2):
        (tmp_path / f"{workers}").mkdir()
        folder = tmp_path / f"{workers}" / "d"
        record_samples(env, Sampling(policies, per_context=1), folder, 400, progress=False, workers=workers)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


@pytest.mark.slow  # a cluster takes seconds to start, and its workers to import everything
def test_a_recipe_by_a_cluster(alone, tmp_path, monkeypatch):
    ray = pytest.importorskip("ray", reason="the extra ray is not installed: pip install 'lang-envs[ray]'")
    if ray.is_initialized():
        pytest.skip("a Ray cluster is in use")
    monkeypatch.setenv("RAY_ADDRESS", "local")
    try:
        reviews(tmp_path / "d", workers=2, executor="ray")
    finally:
        ray.shutdown()
    assert contents(tmp_path / "d") == contents(alone)


class Failing:
    def __call__(self):
        def block(k):
            raise ValueError(f"block {k} cannot be made")

        return block


class Killed:
    def __call__(self):
        def block(k):
            os.kill(os.getpid(), signal.SIGKILL)

        return block


@pytest.mark.parametrize(
    ("opening", "told"),
    [(Failing(), "block 0 cannot be made"), (Killed(), "A worker process was killed.*fewer workers")],
)
def test_what_goes_wrong_in_a_worker_is_told(tmp_path, opening, told):
    with pytest.raises(ValueError, match=told):
        write_blocks(opening(), 10, tmp_path / "d", {"format_version": 1}, text_tokenizer(), False, Workers(opening, 2))
    assert not (tmp_path / "d").exists()


def test_what_cannot_be_sent_is_told(tmp_path):
    class Local:
        def act(self, histories, rngs):
            return []

    with pytest.raises(ValueError, match=r"cannot be sent to another process.*a module of its own"):
        record("MovieReview-v0", Local(), 100, tmp_path / "d", progress=False, workers=2)


@pytest.mark.parametrize(("asked", "told"), [((0, "processes"), "at least 1"), ((2, "slurm"), "'processes' or 'ray'")])
def test_other_workers_are_refused(tmp_path, asked, told):
    with pytest.raises(ValueError, match=told):
        reviews(tmp_path / "d", workers=asked[0], executor=asked[1])
    assert not (tmp_path / "d.partial").exists()
