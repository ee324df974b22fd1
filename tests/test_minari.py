"""Export to Minari keeps the environment's observations, and import restores every field of an episode."""

import json
import os
import sys

import gymnasium as gym
import numpy as np
import pytest
from test_dataset import assert_same, make_episode, make_episodes, make_tokenizer

from datasets_builders import DatasetError, EpisodeDataset, record
from datasets_builders.minari import from_minari, to_minari
from lang_envs.episode import Episode
from lang_envs.policies.movie_review import Reviewer
from lang_envs.tasks.movie_review import MovieReview

minari = pytest.importorskip("minari", reason="needs the extra lang-envs[minari]")


@pytest.fixture(autouse=True)
def shelf(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path / "minari"


@pytest.fixture
def dataset():
    return EpisodeDataset.from_episodes(make_episodes(12), {"env": {"id": "Test-v0"}}, make_tokenizer())


@pytest.fixture(scope="module")
def reviews(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reviews") / "d"
    return record("MovieReview-v0", Reviewer(MovieReview()), 20, folder, progress=False)


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("data_format", ["hdf5", "arrow"])
def test_a_round_trip_is_exact(dataset, data_format, monkeypatch):
    monkeypatch.setattr("datasets_builders.minari._EPISODES", 5)
    to_minari(dataset, "test/all-v0", data_format)
    found = from_minari("test/all-v0", make_tokenizer())
    assert_same(found, list(dataset))
    assert found.provenance == dataset.provenance
    assert found.tokenizer().decode(found[0].tokens) == dataset.tokenizer().decode(dataset[0].tokens)


def test_a_selection_is_exact_too(reviews):
    part = reviews.select([7, 3, 11])
    made = to_minari(part, "reviews-v0")
    assert_same(from_minari(made), list(part))
    assert made.total_episodes == 3


def test_observations_and_rewards_are_those_of_the_environment(reviews):
    made = to_minari(reviews, "reviews-v0", author="nobody in particular")
    env = made.recover_environment()
    assert made.observation_space == env.observation_space and made.action_space == env.action_space
    scores = minari.get_normalized_score(made, np.array([episode.rewards.sum() for episode in made]))
    assert np.isfinite(scores).all()
    assert made.storage.metadata["algorithm_name"] == "Reviewer"
    seeds = [own["seed"] for own in made.storage.get_episode_metadata(range(20))]
    for data, seed in zip(made, seeds, strict=True):
        observation, _ = env.reset(seed=seed)
        for step, action in enumerate(data.actions):
            for key, value in observation.items():
                shown = data.observations[key][step]
                assert shown.dtype == value.dtype and (shown == value).all()
            observation, reward, terminated, truncated, _ = env.step(action)
            assert np.float32(reward) == data.rewards[step]
            assert (terminated, truncated) == (data.terminations[step], data.truncations[step])
        assert terminated or truncated


def test_data_sets_without_our_notes_are_read(dataset, shelf):
    to_minari(dataset, "plain-v0")
    path = shelf / "plain-v0" / "data" / "metadata.json"
    metadata = json.loads(path.read_text())
    del metadata["lang_envs_provenance"]
    path.write_text(json.dumps(metadata))
    found = from_minari("plain-v0")
    assert_same(found, list(dataset))
    assert found.provenance["minari"] == "plain-v0"
    assert from_minari("plain-v0", make_tokenizer()).tokenizer() is not None


def test_another_tokenizer_is_refused(dataset):
    to_minari(dataset, "a-v0")
    with pytest.raises(DatasetError, match="recorded with the tokenizer"):
        from_minari("a-v0", make_tokenizer("<stop>"))


def test_an_environment_that_cannot_be_made_here_is_left_out():
    gone = {"env": {"id": "Reddit-Toxicity-v0", "kwargs": {"corpus": "/elsewhere/comments.csv"}}}
    there = EpisodeDataset.from_episodes(make_episodes(3), gone, make_tokenizer())
    assert_same(from_minari(to_minari(there, "a-v0")), list(there))


def test_half_a_copy_is_removed(dataset, shelf):
    silent = Episode(np.zeros(3, np.int32), np.zeros(3, bool), np.zeros(3, np.float32), True)
    some = [make_episode(np.random.default_rng(0), 1), silent]
    with pytest.raises(ValueError, match="episode 1 has no action"):
        to_minari(EpisodeDataset.from_episodes(some), "a-v0")
    with pytest.raises(ValueError, match="parquets"):
        to_minari(dataset, "a-v0", "parquets")
    assert not (shelf / "a-v0").exists()
    to_minari(dataset, "a-v0")
    with pytest.raises(FileExistsError, match="higher version"):
        to_minari(dataset, "a-v0")
    with pytest.raises(FileNotFoundError):
        from_minari("b-v0")
    for name in ("a", "../a-v0", "/tmp/a-v0", ""):
        with pytest.raises(ValueError, match="a Minari data set is called"):
            to_minari(dataset, name)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_other_data_sets_are_refused(dataset):
    buffer = minari.data_collector.EpisodeBuffer(None, None, None, [0.0, 1.0], [0], [1.0], [True], [False])
    spaces = {"observation_space": gym.spaces.Box(0, 1, ()), "action_space": gym.spaces.Discrete(2)}
    numbers = minari.create_dataset_from_buffers("numbers-v0", [buffer], **spaces)
    with pytest.raises(DatasetError, match=r"numbers-v0: expected observations Dict\(input_ids, attention_mask\)"):
        from_minari(numbers)
    made = to_minari(dataset, "a-v0")

    class Changed:
        spec, storage, episode_indices = made.spec, made.storage, made.episode_indices
        observation_space = made.observation_space

        def iterate_episodes(self):
            for data in made.iterate_episodes():
                data.observations["input_ids"][2, 0] += 1
                yield data

    with pytest.raises(DatasetError, match="a-v0, episode 0, observations: expected each to be all tokens so far"):
        from_minari(Changed())


def test_the_extra_is_named(dataset, monkeypatch):
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(ImportError, match=r"pip install 'lang-envs\[minari\]'"):
        to_minari(dataset, "a-v0")


def test_an_export_that_was_killed_leaves_nothing_under_its_name(dataset, shelf, monkeypatch):
    monkeypatch.setattr("datasets_builders.minari._EPISODES", 5)
    child = os.fork()
    if child == 0:
        monkeypatch.setattr("datasets_builders.minari._describe", lambda storage, some: os._exit(9))
        to_minari(dataset, "test/all-v0")
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert not (shelf / "test" / "all-v0").exists() and minari.list_local_datasets() == {}
    to_minari(dataset, "test/all-v0")
    assert_same(from_minari("test/all-v0", make_tokenizer()), list(dataset))
    assert [path.name for path in shelf.iterdir()] == ["test"]


def test_an_export_that_fails_leaves_nothing(dataset, shelf, monkeypatch):
    def full(*arguments):
        raise OSError("No space left on device")

    monkeypatch.setattr("datasets_builders.minari._describe", full)
    with pytest.raises(OSError, match="No space"):
        to_minari(dataset, "all-v0")
    assert not list(shelf.iterdir())
    assert os.environ["MINARI_DATASETS_PATH"] == str(shelf)
