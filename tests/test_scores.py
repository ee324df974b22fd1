"""Reference returns: the committed figures equal measured ones."""

import gymnasium as gym
import numpy as np
import pytest

from lang_envs import rollout, scores
from lang_envs.make import language_vec, needed_options
from lang_envs.tasks.movie_review import MovieReview
from lang_envs.tokenizers import character_tokenizer, decode


@pytest.mark.parametrize(
    ("env_id", "words"), [key for key in scores.WORDLE_EXPERT if key[1] in ("english", "english-100")]
)
def test_committed_numbers_are_what_measuring_gives(env_id, words):
    committed = scores.reference(env_id, words=words)
    policy = scores.expert(gym.make(env_id, words=words))
    mean, error = scores.measure(env_id, policy, 600, words=words)
    assert abs(mean - committed.expert) < 4 * error
    assert scores.measure(env_id, None, 100, words=words)[0] == committed.random
    assert committed.optimum is None


@pytest.mark.parametrize("env_id", ["ClarifyingQA-v0", "VisualDialogue-v0", "Dialogue-BLEU-v0"])
def test_the_expert_speaks_the_tokens_of_the_environment(env_id):
    letters = [*map(chr, range(32, 127)), "\n", "<pad>", "<end>"]
    characters = character_tokenizer(letters, end_token="<end>", pad_token="<pad>")
    env = language_vec(env_id, 4, tokenizer=characters, max_tokens=4000)
    for episode in rollout(env, scores.expert(env), range(4)):
        assert "<pad>" not in decode(characters, [episode.tokens])[0]


def test_every_registered_environment_has_a_reference():
    ids = [id for id, spec in gym.registry.items() if "lang_envs" in str(spec.entry_point) and id.endswith("-v0")]
    for env_id in [id for id in ids if not needed_options(id)]:
        found = scores.reference(env_id)
        assert found.random < found.expert
        assert found.how
        assert scores.normalised(env_id, found.random) == 0
        assert scores.normalised(env_id, found.expert) == 1


def test_movie_review_is_exact():
    found = scores.reference("MovieReview-v0")
    assert found.expert == found.optimum == MovieReview().optimal_return == 1.0
    assert scores.measure("MovieReview-v0", scores.expert("MovieReview-v0"), 20) == (1.0, 0.0)
    assert found.random == pytest.approx(-2, abs=2e-5)
    assert scores.measure("MovieReview-v0", None, 500)[0] == pytest.approx(found.random, abs=0.02)


def test_normalising_keeps_the_shape():
    low, high = scores.reference("Wordle-v0").random, scores.reference("Wordle-v0").expert
    np.testing.assert_allclose(
        scores.normalised("Wordle-v0", [[low, high], [(low + high) / 2, 0]])[0], [0, 1], atol=1e-12
    )
    assert scores.normalised("Wordle-v0", 0.0) > 1


@pytest.mark.parametrize(
    ("env_id", "options"),
    [
        ("Wordle-v0", {"hidden": "resample"}),
        ("Wordle-v0", {"words": ["crane"]}),
        ("Wordle-v0", {"words": "other"}),
        ("CartPole-v1", {}),
        ("MovieReview-v0", {"max_tokens": 9}),
    ],
)
def test_what_was_never_measured(env_id, options):
    with pytest.raises(ValueError, match="measure"):
        scores.reference(env_id, **options)


def test_there_is_no_expert_for_other_environments():
    with pytest.raises(ValueError, match="no environment of a language task"):
        scores.expert("CartPole-v1")
