"""The recipes: their content at a small size, and the paper's figures on the paper's word list."""

import json

import numpy as np
import pytest
from test_dataset import assert_same

from datasets_builders import EpisodeDataset, build
from datasets_builders.wordle import utterances
from lang_envs.tokenizers import text_tokenizer

END = 30
SHORT = {"words": "english-100", "progress": False}


@pytest.fixture(scope="module")
def trap(tmp_path_factory):
    return build("wordle-trap", 3000, tmp_path_factory.mktemp("trap") / "d", seed=1, **SHORT)


def words_of(episode):
    return ["".join(chr(ord("a") + letter) for letter in said[:5]) for said in utterances(episode, END)]


def by_policy(dataset, name):
    return [episode for episode in dataset if episode.info["policy"] == name]


def test_the_trap_branches_from_the_expert(trap):
    assert len(trap) == 3000
    words, rounds = [], []
    for episode in trap:
        words = words_of(episode)
        policy = episode.info["policy"]
        if policy == "expert":
            opening, rounds = words, [*rounds, {"expert": len(words), "adversarial": 0, "suboptimal": 0}]
            continue
        rounds[-1][policy] += 1
        if policy == "adversarial":
            assert words[:2] == opening[:2]
            assert len(words) == 6 and set(words) == set(opening[:2])
            assert episode.ret == -6
    for found in rounds[:-1]:
        assert found["suboptimal"] == 5
        assert found["adversarial"] == (5 if found["expert"] >= 3 else 0)
    assert {found["adversarial"] for found in rounds} == {0, 5}


def test_the_branches_differ_from_one_another(trap):
    games = [tuple(words_of(episode)) for episode in by_policy(trap, "adversarial")[:50]]
    assert len(set(games)) > 30


def test_the_opening_of_the_expert_looks_worst(trap):
    expert, suboptimal = by_policy(trap, "expert"), by_policy(trap, "suboptimal")
    lost = len(by_policy(trap, "adversarial")) / len(expert)
    best = np.mean([e.ret for e in expert])
    behaviour = (best - 6 * lost) / (1 + lost)
    assert behaviour < np.mean([e.ret for e in suboptimal]) - 0.3 < best


def test_every_game_of_a_round_has_its_own_chance(trap):
    seeds = [e.info["seed"] for e in trap if e.info["policy"] != "adversarial"]
    assert len(set(seeds)) == len(seeds)
    assert min(seeds) == 1 << 32


@pytest.mark.parametrize("name", ["movie-review", "wordle-expert", "wordle-trap", "wordle-mixed"])
def test_a_recipe_is_the_same_in_any_blocks(name, tmp_path, monkeypatch):
    from datasets_builders import recipes, wordle

    options = {"progress": False} if name == "movie-review" else SHORT
    first = build(name, 150, tmp_path / "a", **options)
    monkeypatch.setattr(wordle, "_BLOCK_GAMES", 33)
    monkeypatch.setattr(recipes, "_BLOCK_EPISODES", 33)
    second = build(name, 150, tmp_path / "b", **options)
    assert len(first) == 150
    if name != "wordle-mixed":  # who plays is drawn for a whole block at once
        assert_same(first, list(second))
    assert first.provenance["recipe"]["name"] == name
    assert build(name, 20, tmp_path / "c", seed=1, **options)[0].info["seed"] == 1 << 32


def test_options_reach_the_recipe_and_the_environment(tmp_path):
    dataset = build("wordle-trap", 40, tmp_path / "d", n_adversarial=0, n_suboptimal=1, env_id="Wordle-v0", **SHORT)
    assert set(dataset.describe()["policies"]) == {"expert", "suboptimal"}
    found = json.loads((tmp_path / "d" / "provenance.json").read_text())
    assert found["recipe"]["options"] == {"n_adversarial": 0, "n_suboptimal": 1}
    assert found["env"]["id"] == "Wordle-v0" and found["env"]["kwargs"]["words"] == "english-100"


def test_the_mixture_has_players_of_every_skill(tmp_path):
    dataset = build("wordle-mixed", 1500, tmp_path / "d", skills=(0.0, 0.5, 1.0), **SHORT)
    found = dataset.describe()["policies"]
    assert set(found) == {"mixture-0", "mixture-0.5", "mixture-1"}
    assert all(0.28 < part["share"] < 0.39 for part in found.values())
    assert found["mixture-0"]["mean_return"] < found["mixture-0.5"]["mean_return"] < found["mixture-1"]["mean_return"]


def test_reviews_carry_the_log_probabilities_of_the_reviewer(tmp_path):
    dataset = build("movie-review", 500, tmp_path / "d", progress=False)
    for episode in dataset:
        assert episode.logprobs is not None and np.isfinite(episode.logprobs[episode.is_action]).all()
    assert dataset.rows(np.arange(10)).logprobs is not None


def test_bad_asks_are_told_in_words(tmp_path):
    with pytest.raises(ValueError, match="did you mean 'wordle-trap'"):
        build("wordle-trp", 10, tmp_path / "d")
    with pytest.raises(TypeError, match="n_adversarials"):
        build("wordle-trap", 10, tmp_path / "d", n_adversarials=3)
    with pytest.raises(ValueError, match="must not be negative"):
        build("wordle-trap", 10, tmp_path / "d", n_suboptimal=-1, **SHORT)
    with pytest.raises(ValueError, match="at least one player"):
        build("wordle-mixed", 10, tmp_path / "d", skills=(), **SHORT)
    with pytest.raises(ValueError, match="needs a game of Wordle"):
        build("wordle-trap", 10, tmp_path / "d", env_id="MovieReview-v0")
    with pytest.raises(ValueError, match="speak Wordle's own tokens"):
        build("wordle-trap", 10, tmp_path / "d", tokenizer=text_tokenizer(), **SHORT)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_trap_has_the_shares_and_returns_of_the_paper(real_data, tmp_path):
    words = str(real_data / "wordle" / "words" / "lmrl_wordle_official.txt")
    build("wordle-trap", 20_000, tmp_path / "d", words=words, progress=False)
    found = EpisodeDataset.load(tmp_path / "d").describe()["policies"]
    expected = {"expert": (0.093, -2.635), "adversarial": (0.441, -6.0), "suboptimal": (0.466, -4.231)}
    for name, (share, mean_return) in expected.items():
        assert found[name]["share"] == pytest.approx(share, abs=0.006)
        assert found[name]["mean_return"] == pytest.approx(mean_return, abs=0.05)
    size = sum(file.stat().st_size for file in (tmp_path / "d").glob("*.arrow"))
    assert size / 20_000 <= 300
