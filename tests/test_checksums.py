"""Files that differ from what was written are refused, and the error names them."""

import json
import random

import pytest

from datasets_builders.checksums import CHECKSUMS, verify, write_checksums


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "data.bin").write_bytes(random.Random(0).randbytes(3_000_000))
    (tmp_path / "inner" / "note.json").write_text("{}")
    (tmp_path / "empty").touch()
    write_checksums(tmp_path)
    return tmp_path


def test_an_untouched_folder_passes_and_later_files_are_not_looked_at(folder):
    (folder / "cache-1.arrow").write_text("made by another library")
    verify(folder)


@pytest.mark.parametrize("bit", [0, 8_000_001, 23_999_999])
def test_one_flipped_bit_is_found(folder, bit):
    content = bytearray((folder / "data.bin").read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    (folder / "data.bin").write_bytes(content)
    with pytest.raises(ValueError, match=r"data\.bin is not what was written"):
        verify(folder)


def test_a_cut_file_and_a_missing_one_are_named(folder):
    (folder / "data.bin").write_bytes((folder / "data.bin").read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"data\.bin has 2999999 bytes where 3000000 were written"):
        verify(folder)
    (folder / "data.bin").unlink()
    with pytest.raises(ValueError, match=r"data\.bin is missing"):
        verify(folder)


def test_a_folder_of_an_earlier_version_is_warned_of(folder):
    (folder / CHECKSUMS).unlink()
    with pytest.warns(UserWarning, match="has no checksums.json"):
        verify(folder)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"algorithm": "md5", "files": {}}',
        '{"algorithm": "xxh3_128", "files": {"../other": {"bytes": 0, "sum": ""}}}',
        '{"algorithm": "xxh3_128", "files": {"/etc/passwd": {"bytes": 0, "sum": ""}}}',
        '{"algorithm": "xxh3_128", "files": {"data.bin": {"bytes": 0}}}',
        '{"algorithm": "xxh3_128", "files": {"data.bin": 3}}',
    ],
)
def test_damaged_checksums_are_refused_by_name(folder, text):
    (folder / CHECKSUMS).write_text(text)
    with pytest.raises(ValueError, match=r"checksums\.json"):
        verify(folder)


def test_the_checksum_is_that_of_the_library(folder):
    import xxhash

    entry = json.loads((folder / CHECKSUMS).read_text())["files"]["data.bin"]
    assert entry == {"bytes": 3_000_000, "sum": xxhash.xxh3_128((folder / "data.bin").read_bytes()).hexdigest()}
