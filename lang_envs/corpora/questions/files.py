"""What questions are stored in: JSON, CSV, Parquet, saved hub data sets, and MMLU's archives of CSV files."""

from __future__ import annotations

import csv
import io
import os
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from lang_envs.corpora.files import CorpusError, faults, json_lines, lines, open_text, unreadable
from lang_envs.corpora.json_stream import JsonStream
from lang_envs.corpora.questions.question import Question
from lang_envs.corpora.questions.records import Record, oe_eval, reader_of

_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")
Located = tuple[str, Record]
"""where a record stands, for errors and for the ids of those without one; and the record"""


def read_questions(path: str | os.PathLike[str], subject: str | None = None) -> tuple[Question, ...]:
    """Reads multiple-choice questions; the file's name says what it is stored in, the first record its layout.

    Layouts: ARC and OpenBookQA (official and hub), SciQ, MMLU (official and hub), CosmosQA, SWAG-like endings,
    MathDial and OLMo's evaluation requests; see :mod:`lang_envs.corpora.questions.records`.

    Args:
        path: ``.jsonl`` or ``.json`` (lines or one list), ``.csv`` with a header (each also compressed), ``.parquet``,
            a folder of ``datasets.save_to_disk``; of MMLU also a headerless ``.csv``, a folder of these, or a ``.tar``.
            An archive of several splits is read whole: unpack it and pass the folder of one.
        subject: only this subject of MMLU ("anatomy"); None for all.

    Raises:
        CorpusError: naming file, record and field, for what is no question; for an id that is there twice; for a file
            without questions.
    """
    path = Path(path)
    if not path.exists():
        raise CorpusError(f"there is no file or folder {str(path)!r}; pass the path of a file of questions")
    questions: dict[str, Question] = {}
    seen: dict[str, set[int]] = {}  # of layouts with one record for each choice: the choices that were there
    reader = None
    for where, record in _records(path):
        if subject is not None and (record.get("subject") if isinstance(record, dict) else None) != subject:
            continue
        try:
            reader = reader_of(record) if reader is None else reader
            question = reader(record, where)
        except ValueError as error:
            raise CorpusError(f"{path}, {where}, {error}") from error
        earlier = questions.setdefault(question.id, question)
        if reader is oe_eval:
            seen.setdefault(question.id, set()).add(record.get("idx", -1))
        if earlier is not question and (reader is not oe_eval or earlier != question):
            raise CorpusError(f"{path}, {where}, field 'id': {question.id!r} is there twice; leave one out")
    for id, choices in seen.items():
        if len(choices) != len(questions[id].choices):
            there = f"only the lines of {sorted(choices)} are there; was the file cut short?"
            raise CorpusError(f"{path}, question {id!r}, field 'idx': expected a line for each choice, {there}")
    if not questions:
        missing = "no questions" if subject is None else f"no questions of the subject {subject!r}"
        raise CorpusError(f"{path}: there are {missing} in it")
    return tuple(questions.values())


def _records(path: Path) -> Iterator[Located]:
    if path.is_dir():
        tables = sorted(path.glob("[!.]*.csv"))
        return (located for table in tables for located in _subject(table)) if tables else _saved(path)
    if ".tar" in path.suffixes or path.suffix == ".tgz":
        return _archive(path)
    suffixes = [suffix for suffix in path.suffixes if suffix not in _COMPRESSED]
    match suffixes[-1] if suffixes else "":
        case ".parquet":
            return _parquet(path)
        case ".csv":
            _, header = next(lines(path), (0, ""))
            fields = next(csv.reader([header.strip()]), [])
            return _csv(path) if "question" in fields else _subject(path)
        case ".json" | ".jsonl":
            return _json(path)
    raise CorpusError(
        f"{path}: expected a name that ends in .jsonl, .json, .csv, .parquet or .tar (also compressed), or a folder"
    )


def _json(path: Path) -> Iterator[Located]:
    with JsonStream(path) as stream:
        if stream.peek() == "[":
            yield from ((f"record {i}", stream.value()) for i, _ in enumerate(stream.elements(), start=1))
            stream.end()
            return
    yield from ((f"line {number}", record) for number, record in json_lines(path))


def _csv(path: Path) -> Iterator[Located]:
    with open_text(path) as file:
        yield from ((f"row {i}", row) for i, row in _counted(path, csv.DictReader(file, strict=True)))


def _subject(path: Path) -> Iterator[Located]:
    """One of MMLU's files, which have no header; its name is the subject and the split."""
    with open_text(path) as file:
        yield from _mmlu(path, path.name.split(".")[0], file)


def _mmlu(path: Path, stem: str, file: Iterable[str]) -> Iterator[Located]:
    subject = stem.rpartition("_")[0] or stem
    for i, row in _counted(path, csv.reader(file, strict=True)):
        if len(row) != 6:
            raise CorpusError(
                f"{path}, {stem} row {i}: expected 6 fields (question, 4 choices, letter), got {len(row)}"
            )
        yield f"{stem} row {i}", {"question": row[0], "choices": row[1:5], "answer": row[5], "subject": subject}


def _archive(path: Path) -> Iterator[Located]:
    found = False
    damaged: tuple[type[Exception], ...] = (tarfile.TarError, *faults())
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                is_table = name.suffix == ".csv" and not name.name.startswith(".")  # "._x.csv" is made by a Mac's tar
                content = archive.extractfile(member) if is_table and member.isfile() else None
                if content is None:
                    continue
                found = True
                text = io.TextIOWrapper(content, encoding="utf-8", newline="")
                yield from _mmlu(path, name.stem, text)
    except damaged as error:
        raise CorpusError(f"{path}: expected a tar archive ({error}); was the download cut short?") from error
    if not found:
        raise CorpusError(f"{path}: expected an archive of CSV files, one for each subject, got none")


def _counted(path: Path, rows: Iterator[Any]) -> Iterator[tuple[int, Any]]:
    number = 0
    try:
        for number, row in enumerate(rows, start=1):
            yield number, row
    except csv.Error as error:
        raise CorpusError(f"{path}, row {number + 1}: expected CSV ({error}); was the file cut short?") from error
    except faults() as error:
        raise unreadable(path, error, number + 1) from error


def _saved(path: Path) -> Iterator[Located]:
    """A folder that ``datasets.save_to_disk`` wrote: one split of a hub data set."""
    from datasets import Dataset, load_from_disk

    try:
        data = load_from_disk(str(path))
    except (FileNotFoundError, ValueError) as error:
        raise CorpusError(f"{path}: expected a folder of CSV files, or one saved by save_to_disk ({error})") from error
    if not isinstance(data, Dataset):
        raise CorpusError(f"{path}: expected one split, got {sorted(data)}; pass the folder of one of them")
    return ((f"record {i}", record) for i, record in enumerate(data, start=1))


def _parquet(path: Path) -> Iterator[Located]:
    import pyarrow
    import pyarrow.parquet

    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise CorpusError(f"{path}: expected a Parquet file ({error}); was the download cut short?") from error
    return ((f"record {i}", record) for i, record in enumerate(rows, start=1))
