"""Sources of logged, live and mixed episodes: which episodes come, in which order, and what is refused."""

import json
from typing import Any

import numpy as np
import pytest
from toy_agent import END, TOKENIZER, make_env, make_episodes

from agents.data.source import Live, Logged, Mixed
from datasets_builders import EpisodeDataset
from lang_envs import Episodes, Turn
from lang_envs.seeds import LIVE
from lang_envs.tokenizers import character_tokenizer


class Guesser:
    """Says one letter drawn from the episode's generator."""

    def act(self, histories: Any, rngs: Any) -> list[Turn]:
        return [Turn(np.array([rng.integers(8), END], np.int32)) for rng in rngs]


def keys(episodes: Episodes) -> list[tuple[Any, ...]]:
    return [(*e.tokens.tolist(), *e.rewards.tolist(), e.terminated) for e in episodes]


def test_an_epoch_hands_out_every_episode_once() -> None:
    data = make_episodes(10)
    source = Logged(data, seed=3)
    epochs = [keys(source.sample(10)) for _ in range(3)]
    assert all(sorted(epoch) == sorted(keys(data)) for epoch in epochs)
    assert epochs[0] != epochs[1] and len(set(keys(data))) == 10


def test_a_request_may_span_epochs() -> None:
    whole, pieces = Logged(make_episodes(10)), Logged(make_episodes(10))
    got = keys(whole.sample(25))
    assert got == [key for n in (7, 7, 11) for key in keys(pieces.sample(n))]
    assert sorted(got[:10]) == sorted(got[10:20]) and len(set(got[20:])) == 5


def test_the_seed_sets_the_order() -> None:
    data = make_episodes(10)
    assert keys(Logged(data, seed=1).sample(10)) == keys(Logged(data, seed=1).sample(10))
    assert keys(Logged(data, seed=1).sample(10)) != keys(Logged(data, seed=2).sample(10))


def test_a_path_a_data_set_and_a_list_are_the_same_source(tmp_path: Any) -> None:
    episodes = make_episodes(10)
    dataset = EpisodeDataset.from_episodes(episodes, tokenizer=TOKENIZER)
    dataset.save(tmp_path / "data")
    expected = keys(Logged(list(episodes)).sample(10))
    for data in (episodes, dataset, tmp_path / "data", str(tmp_path / "data")):
        assert keys(Logged(data).sample(10)) == expected


def test_logged_continues_where_it_was() -> None:
    first = Logged(make_episodes(10), seed=5)
    first.sample(17)
    state = json.loads(json.dumps(first.state_dict()))
    second = Logged(make_episodes(10), seed=0)
    second.load_state_dict(state)
    assert keys(first.sample(9)) == keys(second.sample(9))


def test_logged_refuses_the_position_in_other_data() -> None:
    state = Logged(make_episodes(10)).state_dict()
    with pytest.raises(ValueError, match="10 episodes, but this one has 9"):
        Logged(make_episodes(9)).load_state_dict(state)


def test_filter_keeps_the_best() -> None:
    data = make_episodes(10)
    best = np.sort(data.returns)[-3:]
    kept = Logged(data, seed=1).filter(top_fraction=0.3)
    assert len(kept) == 3 and np.allclose(np.sort(kept.sample(3).returns), best)
    assert len(Logged(data).filter(min_return=float(best[1]) - 1e-9)) == 2
    assert keys(kept.filter().sample(3)) == keys(Logged(data, seed=1).filter(top_fraction=0.3).sample(3))


def test_another_tokenizer_is_refused_in_words() -> None:
    other = character_tokenizer([*"abc", "<pad>", "<end>"], end_token="<end>", pad_token="<pad>")
    dataset = EpisodeDataset.from_episodes(make_episodes(3), tokenizer=TOKENIZER)
    live = Live(make_env())
    for source in (Logged(dataset), live, Mixed(Logged(dataset), live)):
        source.check_tokenizer(TOKENIZER)
        with pytest.raises(ValueError, match=r"tokenizer .* other words"):
            source.check_tokenizer(other)
    Logged(make_episodes(3)).check_tokenizer(other)  # nothing is known about these


def test_live_never_repeats_a_seed() -> None:
    source = Live(make_env(num_envs=4), seed=7)
    seeds = [e.info["seed"] for n in (3, 6, 1) for e in source.sample(n, Guesser())]
    assert seeds == list(LIVE.episodes(10, run=7))
    other = Live(make_env(), seed=8).sample(3, Guesser())
    assert not {e.info["seed"] for e in other} & set(seeds)


def test_live_continues_where_it_was() -> None:
    first, second = Live(make_env(), seed=1), Live(make_env(num_envs=3))
    first.sample(5, Guesser())
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert keys(first.sample(4, Guesser())) == keys(second.sample(4, Guesser()))


def test_live_needs_a_policy() -> None:
    with pytest.raises(ValueError, match="pass a policy"):
        Live(make_env()).sample(1)


def test_live_by_id() -> None:
    source = Live("Wordle-v0", num_envs=2)
    assert source.env.num_envs == 2 and source.env.task.words


@pytest.mark.parametrize("request_size", [1, 3, 8])
def test_the_mixture_holds_over_the_run(request_size: int) -> None:
    source = Mixed(Logged(make_episodes(10)), Live(make_env()), logged_fraction=0.25)
    assert source.needs_policy
    live = 0
    for _ in range(24 // request_size):
        got = source.sample(request_size, Guesser())
        assert len(got) == request_size
        live += sum("seed" in e.info for e in got)
    assert live == 18


def test_a_mixture_continues_where_it_was() -> None:
    def make(seed: int) -> Mixed:
        return Mixed(Logged(make_episodes(10), seed), Live(make_env(), seed=seed), logged_fraction=0.5)

    first, second = make(4), make(0)
    first.sample(7, Guesser())
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert keys(first.sample(5, Guesser())) == keys(second.sample(5, Guesser()))


def test_the_state_of_another_kind_of_source_is_refused() -> None:
    with pytest.raises(ValueError, match="another kind of source"):
        Logged(make_episodes(3)).load_state_dict(Live(make_env()).state_dict())


def test_a_fraction_is_a_fraction() -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        Mixed(Logged(make_episodes(3)), Live(make_env()), logged_fraction=1.5)


def test_a_live_source_refuses_an_id_that_is_no_language_environment():
    with pytest.raises(ValueError, match=r"language environment .* got 'CartPole-v1'"):
        Live("CartPole-v1")


@pytest.mark.parametrize("n", [1, 7, 8])
@pytest.mark.parametrize("kind", ["logged", "live", "mixed"])
def test_rows_of_a_request_are_shares_of_it(kind: str, n: int) -> None:
    def make() -> Any:
        logged, live = Logged(make_episodes(10), seed=1), Live(make_env(), seed=2)
        return {"logged": logged, "live": live, "mixed": Mixed(logged, live, logged_fraction=0.4)}[kind]

    whole, shares = make(), [make(), make(), make()]
    for _ in range(3):
        expected = keys(whole.sample(n, Guesser()))
        got = [s.sample(n, Guesser(), range(n * i // 3, n * (i + 1) // 3)) for i, s in enumerate(shares)]
        assert [len(part) for part in got] == [n * (i + 1) // 3 - n * i // 3 for i in range(3)]
        assert sorted(key for part in got for key in keys(part)) == sorted(expected)
    assert all(share.state_dict() == whole.state_dict() for share in shares)


def test_every_share_of_a_mixture_has_its_part_of_the_play() -> None:
    played = [
        sum("seed" in e.info for e in Mixed(Logged(make_episodes(10)), Live(make_env())).sample(8, Guesser(), rows))
        for rows in (range(4), range(4, 8))
    ]
    assert played == [2, 2]
