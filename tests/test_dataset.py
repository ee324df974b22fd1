"""EpisodeDataset: exact round trips, selections, and refusals in words."""

import errno
import json
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from datasets_builders import DatasetError, EpisodeDataset, block_files, storage, views
from datasets_builders.columns import Columns
from datasets_builders.views import Chunk
from lang_envs.episode import Episode, Episodes
from lang_envs.tokenizers import character_tokenizer


def make_tokenizer(end="<end>"):
    return character_tokenizer([*"abcdefgh", "<pad>", end], end_token=end, pad_token="<pad>")


def make_episode(rng, index, logprobs=None):
    """Two to four turns with replies of zero to three tokens; ``logprobs``: None, "all" or "some"."""
    tokens, acted = [0], [False]
    for _ in range(rng.integers(2, 5)):
        said, heard = rng.integers(0, 4), rng.integers(0, 4)
        tokens += [*rng.integers(0, 8, said), 9, *rng.integers(0, 8, heard)]
        acted += [True] * (said + 1) + [False] * heard
    is_action = np.array(acted)
    rewards = np.where(is_action, rng.normal(size=len(acted)), 0).astype(np.float32)
    known = None
    if logprobs is not None:
        known = np.where(is_action, -rng.random(len(acted)), np.nan).astype(np.float32)
        if logprobs == "some":
            known[np.flatnonzero(is_action)[0]] = np.nan
    return Episode(
        np.array(tokens, np.int32),
        is_action,
        rewards,
        terminated=index % 3 != 0,
        truncated=index % 3 == 0,
        logprobs=known,
        info={"seed": index, "policy": "ab"[index % 2], "note": 'ä, "quoted"\n', "score": 0.1 * index},
    )


def make_episodes(count=40, seed=0):
    rng = np.random.default_rng(seed)
    return [make_episode(rng, i, (None, "all", "some")[i % 3]) for i in range(count)]


@pytest.fixture
def episodes():
    return make_episodes()


@pytest.fixture
def dataset(episodes):
    return EpisodeDataset.from_episodes(episodes, {"env": {"id": "Test-v0"}}, make_tokenizer())


def assert_same(found, expected):
    assert len(found) == len(expected)
    for index, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert a.same_as(b), f"episode {index} differs"


def test_rows_give_back_what_went_in(dataset, episodes):
    assert_same(dataset, episodes)
    order = np.random.default_rng(1).integers(-40, 40, size=100)
    assert_same(dataset.rows(order, info=True), [episodes[i] for i in order])
    assert dataset.rows([3, 4]).info == [{}, {}]
    np.testing.assert_allclose(dataset.returns, [e.ret for e in episodes])
    assert dataset.lengths.tolist() == [len(e) for e in episodes]
    assert len(dataset.rows([])) == 0


def test_rows_refuse_what_is_no_index(dataset):
    with pytest.raises(IndexError, match=r"\[-40, 39\]"):
        dataset.rows([0, 40])
    with pytest.raises(TypeError, match="flatnonzero"):
        dataset.rows(np.ones(40, bool))


def test_save_and_load_keep_every_bit(dataset, episodes, tmp_path):
    saved = dataset.save(tmp_path / "d")
    assert_same(saved, episodes)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d"]
    assert saved.tokenizer().get_vocab() == make_tokenizer().get_vocab()
    saved.require(make_tokenizer())
    assert saved.provenance["episodes"] == 40
    again = saved.save(tmp_path / "e")
    for file in ("data-00000000-00000000.arrow", "provenance.json", "README.md", "state.json"):
        assert (tmp_path / "d" / file).read_bytes() == (tmp_path / "e" / file).read_bytes()
    assert_same(again, episodes)


def test_nothing_is_copied_at_load(dataset, tmp_path):
    saved = dataset.save(tmp_path / "d")
    for chunk in saved._columns.chunks:
        for view in (chunk.tokens, chunk.offsets, chunk.is_action.data, chunk.rewards, chunk.action_offsets):
            assert not view.flags.owndata and not view.flags.writeable
    assert saved.select(np.arange(5))._columns is saved._columns


def test_reading_takes_no_more_memory_than_the_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(views, "_CHECKED_AT_ONCE", 256)
    block = Episodes.from_list(make_episodes(300))
    EpisodeDataset.from_episodes(Episodes.concat([block] * 40), tokenizer=make_tokenizer()).save(tmp_path / "d")
    size = (tmp_path / "d" / "data-00000000-00000000.arrow").stat().st_size
    tracemalloc.start()
    try:
        dataset = EpisodeDataset.load(tmp_path / "d")
        for start in range(0, 12_000, 64):
            dataset.rows(np.arange(start, min(start + 64, 12_000)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size > 1_500_000
    assert peak < 0.3 * size


def test_datasets_opens_the_folder(dataset, episodes, tmp_path):
    datasets = pytest.importorskip("datasets")
    dataset.save(tmp_path / "d")
    opened = datasets.load_from_disk(str(tmp_path / "d"))
    assert opened.features["tokens"] == datasets.List(datasets.Value("uint8"))
    for row, episode in zip(opened, episodes, strict=True):
        assert row["tokens"] == episode.tokens.tolist()
        assert row["is_action"] == episode.is_action.tolist()
        assert row["rewards"] == episode.rewards[episode.is_action].tolist()
        assert (row["logprobs"] is None) == (episode.logprobs is None)
        assert json.loads(row["info"])["policy"] == episode.info["policy"]
    part = EpisodeDataset.load(tmp_path / "d").select([7, 3]).to_hf()
    assert [row["seed"] for row in part] == [7, 3]


def test_many_files_read_as_one(dataset, episodes, tmp_path, monkeypatch):
    monkeypatch.setattr(block_files, "FILE_BYTES", 1)
    monkeypatch.setattr("datasets_builders.dataset._AT_ONCE", 7)
    saved = dataset.save(tmp_path / "d")
    assert len(list((tmp_path / "d").glob("*.arrow"))) == 6
    assert_same(saved, episodes)
    order = np.random.default_rng(1).permutation(40)
    assert_same(saved.rows(order, info=True), [episodes[i] for i in order])
    assert_same(saved.select(order).save(tmp_path / "e"), [episodes[i] for i in order])
    assert str(saved) == str(dataset)


def test_sliced_batches_are_read_where_they_start(episodes):
    batch = storage.encode(Episodes.from_list(episodes), storage.schema(10))
    columns = Columns([Chunk.of(batch.slice(5, 9)), Chunk.of(batch.slice(14, 3))])
    for index, episode in enumerate(columns.gather(np.arange(12))):
        expected = episodes[5 + index]
        assert np.array_equal(episode.tokens, expected.tokens) and np.array_equal(episode.rewards, expected.rewards)
        assert np.array_equal(episode.is_action, expected.is_action) and episode.terminated == expected.terminated
        assert (episode.logprobs is None) == (expected.logprobs is None)


@pytest.mark.parametrize(
    ("vocabulary", "kind"), [(256, "uint8"), (257, "uint16"), (65_536, "uint16"), (65_537, "int32")]
)
def test_tokens_take_the_narrowest_integers(vocabulary, kind):
    assert str(storage.schema(vocabulary).field("tokens").type.value_type) == kind


def test_a_token_that_does_not_fit_is_refused():
    episode = Episode(np.array([0, 300], np.int32), np.array([False, True]), np.zeros(2, np.float32), True)
    with pytest.raises(ValueError, match="between 0 and 255"):
        EpisodeDataset.from_episodes([episode], tokenizer=make_tokenizer())
    assert EpisodeDataset.from_episodes([episode])[0].tokens.tolist() == [0, 300]


def test_info_must_be_json():
    episode = Episode(
        np.zeros(1, np.int32), np.zeros(1, bool), np.zeros(1, np.float32), False, True, info={"x": {1, 2}}
    )
    with pytest.raises(ValueError, match="JSON-able"):
        EpisodeDataset.from_episodes([episode])


def test_filter_keeps_the_best_in_order(dataset):
    returns = dataset.returns
    best = dataset.filter(top_fraction=0.25)
    assert len(best) == 10
    assert best.returns.min() >= np.sort(returns)[-10]
    assert [e.info["seed"] for e in best] == sorted(e.info["seed"] for e in best)
    above = dataset.filter(min_return=0.0)
    assert np.array_equal(above.returns, returns[returns >= 0])
    assert np.array_equal(above.filter(top_fraction=1.0).returns, above.returns)
    with pytest.raises(ValueError, match="the best is"):
        dataset.filter(min_return=1e9)
    with pytest.raises(ValueError, match="top_fraction"):
        dataset.filter(top_fraction=0)


def test_a_return_that_float32_rounds_down_is_still_at_least_itself():
    found = EpisodeDataset.from_episodes([spoken_for(reward) for reward in (-0.1, 0.1, -0.2, 0.3)])
    assert [episode.ret for episode in found.filter(min_return=-0.1)] == pytest.approx([-0.1, 0.1, 0.3])
    assert len(found.filter(min_return=0.1)) == 2


def spoken_for(reward):
    rewards = np.array([0, reward], np.float32)
    return Episode(np.array([1, 9], np.int32), np.array([False, True]), rewards, terminated=True)


def test_split_and_merge_lose_nothing(dataset, episodes):
    parts = dataset.split([0.8, 0.2], seed=3)
    assert [len(p) for p in parts] == [32, 8]
    seeds = [e.info["seed"] for part in parts for e in part]
    assert sorted(seeds) == list(range(40))
    assert [len(p) for p in dataset.split([5, 6])] == [5, 6]
    assert [e.info["seed"] for e in dataset.split([0.5], seed=3)[0]] != [
        e.info["seed"] for e in dataset.split([0.5])[0]
    ]
    merged = parts[1].merge(parts[0], dataset)
    assert [e.info["seed"] for e in merged] == seeds[32:] + seeds[:32] + list(range(40))
    with pytest.raises(ValueError, match="sum to 1"):
        dataset.split([0.8, 0.3])
    with pytest.raises(ValueError, match="at least one"):
        dataset.split([41])
    other = EpisodeDataset.from_episodes(episodes, tokenizer=make_tokenizer("<stop>"))
    with pytest.raises(DatasetError, match="one tokenizer"):
        dataset.merge(other)


def test_describe_counts(dataset, episodes):
    found = dataset.select(np.arange(30)).describe()
    some = episodes[:30]
    assert found["episodes"] == 30
    assert found["tokens"] == sum(map(len, some)) and found["actions"] == sum(e.num_actions for e in some)
    assert found["return"]["mean"] == pytest.approx(np.mean([e.ret for e in some]))
    assert found["return"]["median"] == pytest.approx(np.median([e.ret for e in some]))
    assert found["turns"]["mean"] == pytest.approx(np.mean([(e.tokens == 9).sum() for e in some]))
    assert found["policies"]["a"]["episodes"] == 15
    assert found["policies"]["b"]["mean_return"] == pytest.approx(np.mean([e.ret for e in some[1::2]]))
    assert "30 episodes" in str(dataset.select(np.arange(30)))


def test_another_tokenizer_is_refused(dataset):
    dataset.require(make_tokenizer())
    with pytest.raises(DatasetError, match="recorded with the tokenizer"):
        dataset.require(make_tokenizer("<stop>"))
    with pytest.raises(ValueError, match="carries no tokenizer"):
        EpisodeDataset.from_episodes(list(dataset)).tokenizer()


def test_an_existing_folder_is_never_overwritten(dataset, tmp_path):
    dataset.save(tmp_path / "d")
    with pytest.raises(FileExistsError, match="never overwritten"):
        dataset.save(tmp_path / "d")
    (tmp_path / "e.partial").mkdir()
    with pytest.raises(FileExistsError, match="unfinished"):
        dataset.save(tmp_path / "e")


def test_a_full_disk_leaves_no_half_copy(dataset, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(block_files, "write_arrow", full)
    with pytest.raises(OSError, match=r"the disk is full.*make room and save again"):
        dataset.save(tmp_path / "d")
    assert not list(tmp_path.iterdir())


# Bad files


@pytest.fixture
def folder(dataset, tmp_path):
    dataset.save(tmp_path / "d")
    return tmp_path / "d"


def data_file(folder: Path) -> Path:
    return folder / "data-00000000-00000000.arrow"


@pytest.fixture
def unsummed(folder):
    """A folder as a person or an earlier version makes it."""
    (folder / "checksums.json").unlink()
    with pytest.warns(UserWarning, match=r"no checksums\.json"):
        yield folder


def edit(folder: Path, change) -> None:
    provenance = json.loads((folder / "provenance.json").read_text())
    change(provenance)
    (folder / "provenance.json").write_text(json.dumps(provenance))


def test_a_missing_folder_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="no data set at"):
        EpisodeDataset.load(tmp_path / "none")
    (tmp_path / "none.partial").mkdir()
    with pytest.raises(FileNotFoundError, match="unfinished recording"):
        EpisodeDataset.load(tmp_path / "none")


def test_every_truncation_is_refused(folder):
    whole = data_file(folder).read_bytes()
    for size in np.linspace(0, len(whole) - 9, 25).astype(int).tolist():
        data_file(folder).write_bytes(whole[:size])
        with pytest.raises(DatasetError, match=r"data-00000000|provenance.json promises"):
            EpisodeDataset.load(folder)


def test_missing_pieces_are_named(unsummed):
    folder = unsummed
    shutil.copytree(folder, folder.with_name("no-data"))
    data_file(folder.with_name("no-data")).unlink()
    with pytest.raises(DatasetError, match="are missing"):
        EpisodeDataset.load(folder.with_name("no-data"))
    (folder / "state.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"state\.json"):
        EpisodeDataset.load(folder)
    (folder / "provenance.json").write_text("{")
    with pytest.raises(DatasetError, match="cannot be read"):
        EpisodeDataset.load(folder)
    (folder / "provenance.json").unlink()
    with pytest.raises(DatasetError, match=r"provenance\.json is missing"):
        EpisodeDataset.load(folder)


def test_another_format_version_is_refused(folder):
    (folder / "checksums.json").unlink()
    edit(folder, lambda provenance: provenance.update(format_version=2))
    with pytest.raises(DatasetError, match="'format_version': expected 1, got 2"):
        EpisodeDataset.load(folder)


def test_an_empty_data_set_is_refused(folder):
    batch = storage.read_arrow(data_file(folder))[0]
    storage.write_arrow(data_file(folder), [batch.slice(0, 0)], batch.schema)
    edit(folder, lambda provenance: provenance.update(episodes=0))
    with pytest.raises(DatasetError, match="empty"):
        EpisodeDataset.load(folder)
    with pytest.raises(DatasetError, match="at least one"):
        EpisodeDataset.from_episodes([])


def replaced(batch: pa.RecordBatch, name: str, column: pa.Array) -> pa.RecordBatch:
    return batch.set_column(batch.schema.names.index(name), name, column)


@pytest.mark.parametrize(
    ("field", "change", "message"),
    [
        ("tokens", lambda c: c.cast(pa.list_(pa.int64())), r"field 'tokens'.*got list<item: int64>"),
        ("rewards", lambda c: c.cast(pa.list_(pa.float64())), r"field 'rewards'.*double"),
        ("info", lambda c: pa.array([None, *c.to_pylist()[1:]], pa.string()), r"field 'info'.*1 are null"),
        (
            "rewards",
            lambda c: pa.array([*c.to_pylist()[:5], [], *c.to_pylist()[6:]], c.type),
            "episode 5, field 'rewards': 0",
        ),
        (
            "is_action",
            lambda c: pa.array([*c.to_pylist()[:8], [True], *c.to_pylist()[9:]], c.type),
            "episode 8, field 'is_a",
        ),
        (
            "tokens",
            lambda c: pa.array([*c.to_pylist()[:3], [], *c.to_pylist()[4:]], c.type),
            "episode 3, field 'tokens'",
        ),
        (
            "logprobs",
            lambda c: pa.array([*c.to_pylist()[:4], [0.5], *c.to_pylist()[5:]], c.type),
            "episode 4, field 'logprobs': 1",
        ),
    ],
)
def test_columns_that_cannot_be_right_are_named(unsummed, field, change, message):
    folder = unsummed
    batch = storage.read_arrow(data_file(folder))[0]
    broken = replaced(batch, field, change(batch.column(field)))
    storage.write_arrow(data_file(folder), [broken], broken.schema)
    with pytest.raises(DatasetError, match=r"data-00000000-00000000\.arrow.*" + message):
        EpisodeDataset.load(folder)


def test_offsets_that_point_outside_are_named(unsummed):
    folder = unsummed
    batch = storage.read_arrow(data_file(folder))[0]
    tokens = batch.column("tokens")
    offsets = tokens.offsets.to_numpy().copy()
    offsets[7] = 10_000
    buffers = [None, pa.py_buffer(offsets)]
    bent = pa.Array.from_buffers(tokens.type, len(tokens), buffers, children=[tokens.values])
    broken = replaced(batch, "tokens", bent)
    storage.write_arrow(data_file(folder), [broken], broken.schema)
    with pytest.raises(DatasetError, match="episode 6, field 'tokens': it runs from"):
        EpisodeDataset.load(folder)


def test_a_missing_column_is_named(unsummed):
    folder = unsummed
    batch = storage.read_arrow(data_file(folder))[0]
    broken = batch.drop_columns(["rewards"])
    storage.write_arrow(data_file(folder), [broken], broken.schema)
    with pytest.raises(DatasetError, match=r"\['rewards'\] missing"):
        EpisodeDataset.load(folder)
