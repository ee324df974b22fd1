"""Opening corpus files: every compression, and every fault named."""

import bz2
import gzip
import json
import lzma
import zipfile

import pytest
import zstandard

from lang_envs.corpora.files import CorpusError, data_folder, json_lines, lines, open_text, read_json

TEXT = '{"text": "Ça va"}\n\n{"text": "今日は"}\n'
PACK = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


def test_several_zst_frames(tmp_path):
    path = tmp_path / "frames.txt.zst"
    path.write_bytes(b"".join(PACK[".zst"](f"line {i}\n".encode() * 50_000) for i in range(3)))
    assert [line for _, line in lines(path)] == [f"line {i}\n" for i in range(3) for _ in range(50_000)]


def zipped(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


@pytest.mark.parametrize("ending", PACK)
def test_every_compression(tmp_path, ending):
    path = tmp_path / f"file.jsonl{ending}"
    path.write_bytes(PACK[ending](TEXT.encode()))
    assert list(json_lines(path)) == [(1, {"text": "Ça va"}), (3, {"text": "今日は"})]
    with open_text(path) as file:
        assert file.read() == TEXT


def test_zip_of_one_file(tmp_path):
    assert read_json(zipped(tmp_path / "a.zip", {"__MACOSX/x": "", "a.json": "[1]"})) == [1]
    with pytest.raises(CorpusError, match=r"two\.zip: expected a zip of one file, got 2"):
        read_json(zipped(tmp_path / "two.zip", {"a.json": "1", "b.json": "2"}))


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst"])
def test_cut_short(tmp_path, ending):
    path = tmp_path / f"file.jsonl{ending}"
    packed = PACK[ending]("".join(json.dumps({"number": i * i}) + "\n" for i in range(5000)).encode())
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(CorpusError, match=rf"file\.jsonl{ending}"):
        list(json_lines(path))
    with pytest.raises(CorpusError, match=rf"file\.jsonl{ending}"):
        read_json(path)


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst", ".zip"])
def test_not_what_its_name_says(tmp_path, ending):
    path = tmp_path / f"file.json{ending}"
    path.write_text("[1, 2, 3] and more text than a header has")
    with pytest.raises(CorpusError, match=rf"file\.json{ending}"):
        read_json(path)


def test_wrong_encoding_and_wrong_json(tmp_path):
    path = tmp_path / "latin.txt"
    path.write_bytes("first\nça va\n".encode("latin-1"))
    with pytest.raises(CorpusError, match="expected UTF-8, got byte 0xe7"):
        list(lines(path))
    path.write_text('{"a": 1}\n{"a": \n')
    with pytest.raises(CorpusError, match=r"latin\.txt, line 2: expected JSON"):
        list(json_lines(path))
    with pytest.raises(CorpusError, match="no file"):
        open_text(tmp_path / "none.txt")


def test_the_folder_of_downloads(tmp_path, monkeypatch):
    monkeypatch.delenv("LANG_ENVS_DATA", raising=False)
    with pytest.raises(CorpusError, match="set LANG_ENVS_DATA"):
        data_folder("dialogue")
    monkeypatch.setenv("LANG_ENVS_DATA", str(tmp_path))
    with pytest.raises(CorpusError, match="there is no 'dialogue'"):
        data_folder("dialogue")
    (tmp_path / "dialogue").mkdir()
    assert data_folder("dialogue") == tmp_path / "dialogue"
