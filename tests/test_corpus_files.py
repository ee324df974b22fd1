"""Opening corpus files: every compression, and an error that names each fault."""

import bz2
import csv
import gzip
import io
import json
import lzma
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from lang_envs.corpora import compressed
from lang_envs.corpora.arrow_files import parquet
from lang_envs.corpora.by_name import downloaded, located
from lang_envs.corpora.csv_files import rows
from lang_envs.corpora.files import CorpusError, data_folder, json_lines, lines, open_text, read_json, read_text
from lang_envs.corpora.json_stream import JsonStream
from lang_envs.corpora.records import brief, field, name_of

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


# What is made to do harm


def streamed(path):
    with JsonStream(path) as stream:
        found = [stream.value() for _ in stream.elements()]
        stream.end()
    return found


READERS = {"whole": read_json, "lines": lambda path: list(json_lines(path)), "streamed": streamed}


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000 + "]" * 100_000, "nested at most 200 deep"),
        ('[{"a":' * 101 + "1" + "}]" * 101, "nested at most 200 deep"),
        ("[" + "9" * 5_000 + "]", "expected (integers|numbers) of at most"),
        ("[", "cut short"),
        ("[1] [2]", "expected JSON|another follows"),
        ('["\0"]', "expected JSON"),
    ],
)
def test_json_that_breaks_a_parser_is_refused_in_words(tmp_path, read, text, message):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(CorpusError, match=message) as caught:
        READERS[read](path)
    assert str(path) in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize("read", READERS)
def test_json_nested_as_deep_as_is_allowed(tmp_path, read):
    path = tmp_path / "a.json"
    value = []
    for _ in range(198):
        value = [value]
    path.write_text(json.dumps([value]))
    assert READERS[read](path) == ([(1, [value])] if read == "lines" else [value])


@pytest.mark.parametrize("chunk", [1, 5, 2**16])
def test_half_a_character_in_a_stream_is_refused_at_its_record(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr("lang_envs.corpora.json_stream._CHUNK", chunk)
    path = tmp_path / "a.json"
    path.write_text(r'["\ud83d\ude00", "\\ud800", "\\\\ud800 \\", "\ue000", "\uD83D\uDE00\ud83d\ude00"]')
    assert streamed(path) == json.loads(path.read_text())
    for half in (r"\ud800", r"\udc00", r"\uD83D\ud83d\ude00", r"\ud83d\ude00\ude00", r"\\\ud83d", r"\ud83dx"):
        path.write_text('["fine", "' + half + '"]')
        with pytest.raises(CorpusError, match=r"a\.json, record 1: .*half a character"):
            streamed(path)


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst", ".zip"])
@pytest.mark.parametrize("read", [read_text, lambda path: list(lines(path)), streamed])
def test_a_bomb_is_refused_unless_the_limits_are_raised(tmp_path, monkeypatch, ending, read):
    path = tmp_path / f"a.json{ending}"
    text = "[" + " " * 2**20 + "]"
    if ending == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.json", text)
    else:
        path.write_bytes(PACK[ending](text.encode()))
    monkeypatch.setattr(compressed, "_UNCHECKED", 2**17)
    with pytest.raises(CorpusError, match=r"a\.json\.\w+.*200 times as large.*LANG_ENVS_MAX_EXPANSION"):
        read(path)
    monkeypatch.setenv("LANG_ENVS_MAX_EXPANSION", "1e6")
    assert len(read(path)) < 2**20 + 3
    monkeypatch.setenv("LANG_ENVS_MAX_RECORD_MIB", "0.5")
    with pytest.raises(CorpusError, match=r"at most 0\.5 MiB of text in one record.*LANG_ENVS_MAX_RECORD_MIB"):
        read(path)
    for wrong in ("much", "0", "nan", "inf"):
        monkeypatch.setenv("LANG_ENVS_MAX_RECORD_MIB", wrong)
        with pytest.raises(ValueError, match=f"LANG_ENVS_MAX_RECORD_MIB must be a number.*'{wrong}'"):
            read(path)


def test_a_small_piece_of_a_zst_file_is_unpacked_at_once(tmp_path, monkeypatch):
    path = tmp_path / "a.txt.zst"
    path.write_bytes(PACK[".zst"](b"\0" * 2**28))  # the library would unpack all of it for one byte
    seen = []
    unpack = zstandard.ZstdDecompressor

    class Watched:
        def __init__(self, **options):
            self.inner = unpack(**options)

        def decompressobj(self):
            frame = self.inner.decompressobj()

            class Frame:
                eof = property(lambda self: frame.eof)
                unused_data = property(lambda self: frame.unused_data)

                def decompress(self, data):
                    found = frame.decompress(data)
                    seen.append(len(found))
                    return found

            return Frame()

    monkeypatch.setattr(zstandard, "ZstdDecompressor", Watched)
    with pytest.raises(CorpusError, match="LANG_ENVS_MAX_EXPANSION"):
        list(lines(path))
    assert seen and max(seen) <= 2**26


def zip_with(flag_bits=0, method=None):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a.json", "[1]")
    data = bytearray(content.getvalue())
    central = data.find(b"PK\x01\x02")
    data[6] |= flag_bits
    data[central + 8] |= flag_bits
    if method is not None:
        data[8] = data[central + 10] = method
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (zip_with(flag_bits=1), "is encrypted"),
        (zip_with(method=99), "compression method"),
        (zip_with(method=12), "cannot be decompressed"),
        (zip_with().replace(b"PK\x03\x04", b"PK\x03\x05"), "cannot be decompressed"),
        (zip_with()[:40] + b"\xff" * 8 + zip_with()[48:], "cannot be decompressed"),
    ],
)
def test_zips_that_cannot_be_unpacked(tmp_path, data, message):
    path = tmp_path / "a.json.zip"
    path.write_bytes(data)
    for read in (read_json, streamed):
        with pytest.raises(CorpusError, match=rf"a\.json\.zip.*{message}"):
            read(path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_other_encodings_are_named(tmp_path, encoding):
    path = tmp_path / "a.json"
    path.write_bytes("[1]".encode(encoding))
    for read in READERS.values():
        with pytest.raises(CorpusError, match=r"expected UTF-8, got byte 0xff.*as UTF-16 does"):
            read(path)


def test_the_line_of_a_wrong_byte_is_exact(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\n" * 5_000 + b"\xe9\n" + b"one\n" * 5_000)
    with pytest.raises(CorpusError, match=r"a\.txt, line 5001: expected UTF-8, got byte 0xe9"):
        list(lines(path))


def test_a_byte_order_mark_is_passed_over(tmp_path):
    for ending, pack in PACK.items():
        path = tmp_path / f"a.json{ending}"
        path.write_bytes(pack(b"\xef\xbb\xbf[1]"))
        assert read_json(path) == streamed(path) == [1]
        assert list(json_lines(path)) == [(1, [1])]


# Fields and tables


def test_fields_have_the_type_that_was_asked_for():
    record = {
        "text": "hi",
        "int": 3,
        "float": 2.5,
        "true": True,
        "none": None,
        "list": [1],
        "half": "\ud800",
        "nan": 1e999,
    }
    assert field(record, "text", str, "f") == "hi" and field(record, "float", float, "f") == 2.5
    assert field(record, "int", float, "f") == 3.0 and name_of(record, "int", "f") == "3"
    for key, kind, message in (
        ("int", str, "expected str, got int 3"),
        ("true", int, "expected int, got bool True"),
        ("true", float, "expected float, got bool True"),
        ("none", str, "expected str, got nothing"),
        ("list", dict, r"expected dict, got list \[1\]"),
        ("half", str, "the text .* holds half a character"),
        ("nan", float, "expected a finite number, got inf"),
        ("other", str, "missing; the record has"),
    ):
        with pytest.raises(CorpusError, match=f"file, record 7, field '{key}': {message}"):
            field(record, key, kind, "file, record 7")
    with pytest.raises(CorpusError, match="f, field 'x': expected an object that has it, got list"):
        field([], "x", str, "f")
    with pytest.raises(CorpusError, match="f, field 'list': expected str, got list"):
        name_of(record, "list", "f")


def test_whatever_a_value_is_an_error_shows_it_in_a_few_words():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    for value in (deep, "x" * 10**6, list(range(10**6)), {str(i): "y" * 99 for i in range(10**4)}, 10**5000):
        assert len(brief(value)) < 2_000


def test_rows_of_a_table(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('\ufeffa,b\n1,"two\nlines"\n\n3\n4,5,6\n')
    assert list(rows(path, ["b"])) == [
        (1, {"a": "1", "b": "two\nlines"}),
        (2, {"a": "3", "b": None}),
        (3, {"a": "4", "b": "5"}),
    ]
    for text, message in (
        ("a\n1\n", r"header: expected the columns \['b'\], got \['a'\]"),
        ('b\n"' + "x" * 200_000, r"row 1: expected CSV \(unexpected end of data"),
        ('"b', "header: expected CSV"),
    ):
        path.write_text(text)
        with pytest.raises(CorpusError, match=rf"a\.csv, {message}"):
            list(rows(path, ["b"]))


def test_a_long_field_of_a_table_is_read_and_the_limit_of_csv_is_put_back(tmp_path, monkeypatch):
    path, before = tmp_path / "a.csv", csv.field_size_limit()
    path.write_text(f"a,b\n1,{'x' * 200_000}\n2,y\n")
    found = []
    for _, row in rows(path):
        assert csv.field_size_limit() == before
        found.append((row["a"], len(row["b"])))
    assert found == [("1", 200_000), ("2", 1)]
    monkeypatch.setenv("LANG_ENVS_MAX_RECORD_MIB", "0.25")
    path.write_text(f"a\n{'x' * 2**17}\n{'x' * (2**17 + 2**16)}\n")
    assert len(list(rows(path))) == 2
    monkeypatch.setenv("LANG_ENVS_MAX_RECORD_MIB", "0.18")
    with pytest.raises(CorpusError, match=r"a\.csv"):
        list(rows(path))


def test_long_records_of_parquet_are_read_in_pieces(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    monkeypatch.setenv("LANG_ENVS_MAX_RECORD_MIB", "0.01")
    pq.write_table(pa.table({"a": [str(i) * 3000 for i in range(10)]}), path)
    assert [(number, row["a"][0]) for number, row in parquet(path)] == [(i, str(i)) for i in range(10)]
    pq.write_table(pa.table({"a": ["x", "y" * 20_000]}), path)
    with pytest.raises(CorpusError, match=r"a\.parquet, after record 0: expected at most .* MiB of text in one"):
        list(parquet(path))


def test_corpora_by_name(tmp_path, monkeypatch):
    for name in ("qa/openbookqa_swag/train.json", "qa/openbookqa_swag/dev.json", "qa/arc/dev", "qa/arc_old/dev"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setenv("LANG_ENVS_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name, found in (
        ("openbookqa/train", ["openbookqa_swag/train.json"]),
        ("openbookqa_swag/dev.json", ["openbookqa_swag/dev.json"]),
        ("arc", ["arc"]),  # as it is called, before what begins so
        ("ar/dev", ["arc/dev", "arc_old/dev"]),
    ):
        assert downloaded("qa", name) == [tmp_path / "qa" / path for path in found]
        assert located("qa", name) == downloaded("qa", name)
    assert located("qa", "qa/arc/dev") == [Path("qa/arc/dev")]
    for name, words in (
        ("openbookqa/t*", "no file or folder 'openbookqa/t[*]', nor a corpus of that name: .*qa: there is no"),
        ("sciq", "there is no 'sciq' here; download it there, or pass its path"),
        ("../qa/openbookqa", "no file or folder '../qa/openbookqa'; pass the path"),
        ("/nowhere/at all", "no file or folder '/nowhere/at all'; pass the path of one"),
    ):
        with pytest.raises(CorpusError, match=words):
            located("qa", name)
    monkeypatch.delenv("LANG_ENVS_DATA")
    with pytest.raises(
        CorpusError, match=r"'openbookqa/train', nor .* set LANG_ENVS_DATA to the folder that holds 'qa'"
    ):
        located("qa", "openbookqa/train")
