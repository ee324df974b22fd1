"""Damaged data sets, of this version and of earlier ones without checksums: refused in words, or read as written."""

import json
import os
import random
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from test_dataset import data_file, edit, make_episodes, make_tokenizer, replaced

from datasets_builders import DatasetError, EpisodeDataset, block_files, storage, write_blocks, writer
from lang_envs.tokenizers import character_tokenizer


@pytest.fixture
def folder(tmp_path):
    EpisodeDataset.from_episodes(make_episodes(), tokenizer=make_tokenizer()).save(tmp_path / "d")
    return tmp_path / "d"


@pytest.fixture
def unsummed(folder):
    """A folder as a person or an earlier version makes it."""
    (folder / "checksums.json").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield folder


def flip(file: Path, bit: int) -> None:
    content = bytearray(file.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(content)


def outcome(folder: Path) -> str:
    """ "read", or the words of the refusal; anything else is raised."""
    try:
        dataset = EpisodeDataset.load(folder)
        list(dataset)
        dataset.tokenizer()
        return "read"
    except DatasetError as error:
        return str(error)


def test_any_flipped_bit_of_any_file_is_found(folder):
    chance = random.Random(0)
    files = [file for file in folder.rglob("*") if file.is_file() and file.name not in ("README.md", "checksums.json")]
    assert len(files) >= 5
    for _ in range(150):
        file = chance.choice(files)
        bit = chance.randrange(8 * file.stat().st_size)
        flip(file, bit)
        assert file.name in outcome(folder)
        flip(file, bit)
    assert outcome(folder) == "read"


def test_the_card_may_be_edited(folder):
    (folder / "README.md").write_text("# Mine")
    assert outcome(folder) == "read"


def test_flipped_bits_without_checksums_end_in_words_and_never_in_a_crash(unsummed):
    """In a process of its own, which a crash would end; most flips fall on the columns' description and offsets."""
    size, chance = data_file(unsummed).stat().st_size, random.Random(0)
    child = os.fork()
    if child == 0:
        try:
            refused = 0
            for turn in range(400):
                bit = 8 * chance.randrange(2_500 if turn % 4 else size) + chance.randrange(8)
                flip(data_file(unsummed), bit)
                refused += outcome(unsummed) != "read"
                flip(data_file(unsummed), bit)
            os._exit(0 if refused > 100 else 3)
        except BaseException:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    EpisodeDataset.load(unsummed)


def test_without_verification_the_content_is_not_read(folder):
    flip(data_file(folder), 8 * (data_file(folder).stat().st_size - 700))
    assert len(EpisodeDataset.load(folder, verify=False)) == 40
    with pytest.raises(DatasetError, match="its checksum differs"):
        EpisodeDataset.load(folder)


def changed(column: pa.Array, episode: int, value: object) -> pa.Array:
    values = column.to_pylist()
    values[episode] = value(values[episode]) if callable(value) else value
    return pa.array(values, column.type)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("tokens", lambda v: [v[0], 200, *v[2:]], "expected ids below 10"),
        ("tokens", lambda v: [10, *v[1:]], "expected ids below 10"),
        ("rewards", lambda v: [np.nan, *v[1:]], "expected finite numbers"),
        ("rewards", lambda v: [-np.inf, *v[1:]], "expected finite numbers"),
        ("logprobs", lambda v: [0.3] * len(v), "of at most 0"),
        ("logprobs", lambda v: [-np.inf] * len(v), "expected finite numbers"),
        ("is_action", lambda v: [True, *v[1:]], None),
        ("info", "[1]", "expected a JSON object"),
        ("info", "[" * 100_000, "expected a JSON object"),
        ("info", "{", "expected a JSON object"),
        ("terminated", True, None),
    ],
)
def test_content_that_cannot_be_right_is_named(unsummed, field, value, message):
    batch = storage.read_arrow(data_file(unsummed))[0]
    episode = 7 if field == "logprobs" else 6  # 7 has all of them, 6 was cut
    broken = replaced(batch, field, changed(batch.column(field), episode, value))
    if field == "is_action":  # with a reward for the action that was added
        more = changed(batch.column("rewards"), episode, lambda v: [0.0, *v])
        broken = replaced(broken, "rewards", more)
    if field == "terminated":
        broken = replaced(broken, "truncated", changed(batch.column("truncated"), episode, True))
    storage.write_arrow(data_file(unsummed), [broken], broken.schema)
    told = rf"\.arrow, episode {episode}, field '{field}'.*{message or 'expected'}.*record it anew"
    with pytest.raises(DatasetError, match=told):
        EpisodeDataset.load(unsummed)


def test_text_that_is_no_text_is_refused(unsummed):
    batch = storage.read_arrow(data_file(unsummed))[0]
    bent = pa.array([b"\xff"] * len(batch), pa.binary()).view(pa.string())
    broken = replaced(batch, "info", bent)
    storage.write_arrow(data_file(unsummed), [broken], broken.schema)
    with pytest.raises(DatasetError, match="expected whole Arrow columns"):
        EpisodeDataset.load(unsummed)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"tokenizer": [1]}, "tokenizer"),
        ({"tokenizer": {"vocab_size": "ten"}}, "tokenizer.vocab_size"),
        ({"tokenizer": {"vocab_size": -1}}, "tokenizer.vocab_size"),
        ({"tokenizer": {"fingerprint": {}}}, "tokenizer.fingerprint"),
        ({"env": "Wordle-v0"}, "env"),
        ({"env": {"id": 3}}, "env.id"),
        ({"env": {"id": "Wordle-v0", "kwargs": [1]}}, "env.kwargs"),
        ({"max_utterance_tokens": True}, "max_utterance_tokens"),
        ({"episodes": "40"}, "episodes"),
        ({"reference_scores": 1.5}, "reference_scores"),
    ],
)
def test_facts_that_are_none_are_named(unsummed, change, field):
    edit(unsummed, lambda provenance: provenance.update(change))
    with pytest.raises(DatasetError, match=rf"provenance\.json, field '{field}': expected"):
        EpisodeDataset.load(unsummed)
    (unsummed / "provenance.json").write_text("[" * 100_000)
    with pytest.raises(DatasetError, match=r"provenance\.json should hold a JSON object"):
        EpisodeDataset.load(unsummed)


@pytest.mark.parametrize("name", ["../d/data-00000000-00000000.arrow", "/etc/passwd", "a/b", 3, None])
def test_data_files_lie_in_the_folder(unsummed, name):
    (unsummed / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    with pytest.raises(DatasetError, match=r"state\.json"):
        EpisodeDataset.load(unsummed)


@pytest.mark.parametrize("name", ["provenance.json", "state.json", "data-00000000-00000000.arrow", "checksums.json"])
def test_devices_and_folders_in_the_place_of_files_are_refused(folder, name):
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")
    assert name in outcome(folder)
    (folder / name).unlink()
    (folder / name).mkdir()
    assert name in outcome(folder)


def test_a_damaged_tokenizer_and_another_one_are_refused(unsummed):
    for text in ("", "{}", '{"model": 3}', "[" * 100_000):
        (unsummed / "tokenizer" / "tokenizer.json").write_text(text)
        assert "tokenizer: expected a tokenizer as save_pretrained writes it" in outcome(unsummed)
    character_tokenizer([*"hgfedcba", "<pad>", "<end>"], end_token="<end>", pad_token="<pad>").save_pretrained(
        unsummed / "tokenizer"
    )
    assert "the same ids are other words" in outcome(unsummed)


# What was recorded so far


def blocks(k):
    return make_episodes(10, seed=k)


def recorded(out: Path, count: int = 40) -> EpisodeDataset:
    facts = {"format_version": 1}
    return write_blocks(blocks, count, out, facts, make_tokenizer(), progress=False)


@pytest.fixture
def partial(tmp_path):
    """A recording that was stopped after three of four blocks."""

    def stopped(k):
        if k == 3:
            raise KeyboardInterrupt
        return blocks(k)

    with pytest.raises(KeyboardInterrupt):
        write_blocks(stopped, 40, tmp_path / "d", {"format_version": 1}, make_tokenizer(), progress=False)
    return tmp_path / "d.partial"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_damaged_block_is_not_recorded_over_in_silence(partial):
    block = partial / "data-00000001-00000001.arrow"
    flip(block, 8 * (block.stat().st_size - 700))
    with pytest.raises(DatasetError, match=r"data-00000001-00000001\.arrow is not what was written.*delete the folder"):
        recorded(partial.with_name("d"))
    block.unlink()
    with pytest.raises(DatasetError, match=r"data-00000001-00000001\.arrow is missing"):
        recorded(partial.with_name("d"))


def test_damage_while_it_is_recorded_is_found_at_the_end(tmp_path):
    def damaging(k):
        if k == 2:
            block = tmp_path / "d.partial" / "data-00000000-00000000.arrow"
            flip(block, 8 * (block.stat().st_size - 700))
        return blocks(k)

    with pytest.raises(DatasetError, match=r"data-00000000-00000000\.arrow is not what was written"):
        write_blocks(damaging, 40, tmp_path / "d", {"format_version": 1}, make_tokenizer(), progress=False)


def test_a_block_that_was_not_taken_down_is_recorded_again(partial):
    recorded(partial.with_name("whole"))
    (partial / "data-00000003-00000003.arrow").write_bytes(b"killed before its checksum was written")
    recorded(partial.with_name("d"))
    assert contents(partial.with_name("d")) == contents(partial.with_name("whole"))


def test_a_recording_that_an_earlier_version_began_is_finished(partial):
    recorded(partial.with_name("whole"))
    (partial / "checksums.json").unlink()
    with pytest.warns(UserWarning, match="3 files of episodes are taken as they are"):
        recorded(partial.with_name("d"))
    assert contents(partial.with_name("d")) == contents(partial.with_name("whole"))


@pytest.mark.parametrize("name", ["provenance.json", "checksums.json"])
def test_a_partial_folder_without_its_facts_is_refused(partial, name):
    (partial / name).write_text("{")
    with pytest.raises(DatasetError, match=name):
        recorded(partial.with_name("d"))
    (partial / "provenance.json").unlink()
    with pytest.raises(FileExistsError, match="made by something else"):
        recorded(partial.with_name("d"))


def test_a_stray_name_among_the_blocks_is_refused(partial):
    (partial / "checksums.json").unlink()
    (partial / "data-x-y.arrow").touch()
    with (
        pytest.warns(UserWarning, match="taken as they are"),
        pytest.raises(DatasetError, match=r"data-x-y\.arrow: expected a name"),
    ):
        recorded(partial.with_name("d"))


def test_what_is_refused_can_be_asked_for_again_at_once(partial):
    """The folder is let go of where it is refused."""
    (partial / "checksums.json").write_text("{")
    for _ in range(2):
        with pytest.raises(DatasetError, match=r"checksums\.json"):
            recorded(partial.with_name("d"))


# Saves that were stopped


@pytest.mark.parametrize("moment", [0, 1, "finish"])
def test_a_save_that_was_killed_is_made_anew(tmp_path, folder, monkeypatch, moment):
    monkeypatch.setattr("datasets_builders.dataset._AT_ONCE", 25)
    dataset = EpisodeDataset.load(folder)
    child = os.fork()
    if child == 0:
        write, count = block_files.write_arrow, 0

        def killed(*arguments):
            nonlocal count
            if count == moment:
                os._exit(9)
            count += 1
            write(*arguments)

        def killed_at_the_end(source, target):
            if str(target).endswith("copy"):
                os._exit(9)
            os.rename(source, target)

        block_files.write_arrow, writer.os.replace = killed, killed_at_the_end
        dataset.save(tmp_path / "copy")
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert (tmp_path / "copy.copying").exists() and not (tmp_path / "copy").exists()
    saved = dataset.save(tmp_path / "copy")
    assert all(one.same_as(other) for one, other in zip(saved, dataset, strict=True))
    assert {path.name for path in tmp_path.iterdir()} == {"d", "copy"}
    dataset.save(tmp_path / "second")
    assert contents(tmp_path / "copy") == contents(tmp_path / "second")


def test_a_save_never_deletes_a_recording(partial):
    before = contents(partial)
    with pytest.raises(FileExistsError, match="unfinished recording"):
        EpisodeDataset.from_episodes(make_episodes(), tokenizer=make_tokenizer()).save(partial.with_name("d"))
    assert contents(partial) == before
