"""Reads multiple-choice questions from JSON, CSV, Parquet, saved hub data sets, and MMLU's archives of CSV files."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from lang_envs.corpora.arrow_files import parquet, saved
from lang_envs.corpora.by_name import located
from lang_envs.corpora.compressed import onward
from lang_envs.corpora.csv_files import lists, rows
from lang_envs.corpora.files import (
    CorpusError,
    as_text,
    faults,
    first_character,
    json_lines,
    lines,
    lines_of,
    open_bytes,
    unreadable,
)
from lang_envs.corpora.json_stream import JsonStream
from lang_envs.corpora.questions.question import Question
from lang_envs.corpora.questions.records import Record, oe_eval, place_of, reader_of
from lang_envs.corpora.records import brief

_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")
Located = tuple[str, Record]
"""the place of a record, for errors and for the ids of records without one; and the record"""


def read_questions(path: str | os.PathLike[str], subject: str | None = None) -> tuple[Question, ...]:
    """Reads multiple-choice questions. The file's name tells the file format, and the first record tells the layout.

    Layouts: ARC and OpenBookQA (official and hub), SciQ, MMLU (official and hub), CosmosQA, SWAG-like endings,
    MathDial and OLMo's evaluation requests; see :mod:`lang_envs.corpora.questions.records`.

    Args:
        path: ``.jsonl`` or ``.json`` (lines or one list), ``.csv`` with a header (each also compressed), ``.parquet``,
            a folder of ``datasets.save_to_disk``; of MMLU also a headerless ``.csv``, a folder of these, or a ``.tar``.
            An archive with several splits is read completely; to read one split, unpack it and pass its folder. The
            path may also be a name in the folder ``qa`` of ``$LANG_ENVS_DATA``, such as ``openbookqa/train``
            (``lang_envs.corpora.by_name``); the first file whose name begins with it is read.
        subject: only this subject of MMLU ("anatomy"); None for all.

    Raises:
        CorpusError: a record is not a question, an id occurs twice, or there is no question; the message names file,
            record and field.
    """
    path = located("qa", path)[0]
    questions: dict[str, Question] = {}
    seen: dict[str, set[int]] = {}  # for layouts with one record per choice: id -> the choices that were read
    reader = None
    for where, record in _records(path):
        if subject is not None and (record.get("subject") if isinstance(record, dict) else None) != subject:
            continue
        try:
            reader = reader_of(record) if reader is None else reader
            question = reader(record, where)
            choice = place_of(record) if reader is oe_eval else -1
        except ValueError as error:
            raise CorpusError(f"{path}, {where}, {error}") from error
        earlier = questions.setdefault(question.id, question)
        if reader is oe_eval:
            seen.setdefault(question.id, set()).add(choice)
        if earlier is not question and (reader is not oe_eval or earlier != question):
            raise CorpusError(f"{path}, {where}, field 'id': {brief(question.id)} is there twice; leave one out")
    for id, choices in seen.items():
        if len(choices) != len(questions[id].choices):
            there = f"only the lines of {sorted(choices)} are there; was the file cut short?"
            raise CorpusError(f"{path}, question {brief(id)}, field 'idx': expected a line for each choice, {there}")
    if not questions:
        missing = "no questions" if subject is None else f"no questions of the subject {subject!r}"
        raise CorpusError(f"{path}: there are {missing} in it")
    return tuple(questions.values())


def _records(path: Path) -> Iterator[Located]:
    if path.is_dir():
        tables = sorted(path.glob("[!.]*.csv"))
        if tables:
            return (located for table in tables for located in _subject(table))
        return ((f"record {number + 1}", record) for number, record in saved(path))
    if ".tar" in path.suffixes or path.suffix == ".tgz":
        return _archive(path)
    suffixes = [suffix for suffix in path.suffixes if suffix not in _COMPRESSED]
    match suffixes[-1] if suffixes else "":
        case ".parquet":
            return ((f"record {number + 1}", record) for number, record in parquet(path))
        case ".csv":
            _, header = next(lists((line for _, line in lines(path)), str(path)), (0, []))
            if "question" not in header:
                return _subject(path)
            return ((f"row {number}", row) for number, row in rows(path))
        case ".json" | ".jsonl":
            return _json(path)
    raise CorpusError(
        f"{path}: expected a name that ends in .jsonl, .json, .csv, .parquet or .tar (also compressed), or a folder"
    )


def _json(path: Path) -> Iterator[Located]:
    if first_character(path) != "[":
        yield from ((f"line {number}", record) for number, record in json_lines(path))
        return
    with JsonStream(path) as stream:
        yield from ((f"record {i}", stream.value()) for i, _ in enumerate(stream.elements(), start=1))
        stream.end()


def _subject(path: Path) -> Iterator[Located]:
    """One of MMLU's files, which have no header; the file's name has the subject and the split."""
    return _mmlu(path, path.name.split(".")[0], lines(path))


def _mmlu(path: Path, stem: str, found: Iterator[tuple[int, str]]) -> Iterator[Located]:
    subject = stem.rpartition("_")[0] or stem
    for i, row in lists((line for _, line in found), f"{path}, {stem}"):
        if len(row) != 6:
            raise CorpusError(
                f"{path}, {stem} row {i}: expected 6 fields (question, 4 choices, letter), got {len(row)}"
            )
        yield f"{stem} row {i}", {"question": row[0], "choices": row[1:5], "answer": row[5], "subject": subject}


def _archive(path: Path) -> Iterator[Located]:
    """The tables of a tar archive, read once from its beginning to its end, so that it is unpacked only once."""
    found = False
    try:
        with open_bytes(path) as content, tarfile.open(fileobj=content, mode="r|") as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                is_table = name.suffix == ".csv" and not name.name.startswith(".")  # macOS adds files "._x.csv"
                table = archive.extractfile(member) if is_table and member.isfile() else None
                if table is not None:
                    found = True
                    yield from _mmlu(path, name.stem, lines_of(as_text(onward(table)), f"{path}, {name.name}"))
    except tarfile.TarError as error:
        raise CorpusError(f"{path}: expected a tar archive ({error}); was the download cut short?") from error
    except faults() as error:
        raise unreadable(path, error) from error
    if not found:
        raise CorpusError(f"{path}: expected an archive of CSV files, one for each subject, got none")
