"""Checks the files in the folder of a data set and opens them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets_builders import checksums
from datasets_builders.atomic import read_object
from datasets_builders.columns import Columns
from datasets_builders.storage import DatasetError, read_arrow
from datasets_builders.views import Chunk
from lang_envs.adoption import adopt
from lang_envs.file_names import component
from lang_envs.tokenizers import fingerprint

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def verify(folder: Path) -> None:
    """Compares the files of a folder with their checksums.

    Raises:
        DatasetError: a file is missing or was changed.
    """
    try:
        checksums.verify(folder)
    except ValueError as error:
        raise DatasetError(str(error)) from error


def chunks(folder: Path, provenance: dict[str, Any], content: bool) -> list[Chunk]:
    """The record batches of a folder, which must all have the same columns.

    Args:
        folder: the folder of the data set.
        provenance: the provenance of the data set.
        content: whether the content of every episode is checked too.

    Raises:
        DatasetError: a file is damaged; the message names the file, the episode and the field.
    """
    vocabulary = (provenance.get("tokenizer") or {}).get("vocab_size")
    found: list[Chunk] = []
    for file in _data_files(folder):
        for number, batch in enumerate(read_arrow(file)):
            where = str(file) if number == 0 else f"{file}, record batch {number}"
            chunk = Chunk.of(batch, where)
            if found and batch.schema != found[0].batch.schema:
                raise DatasetError(f"{where}: expected the columns of the file before, got those of another data set")
            if content:
                chunk.check_episodes(where, vocabulary)
            found.append(chunk)
    return found


def columns_of(folder: Path, provenance: dict[str, Any], content: bool) -> Columns:
    """The episodes of a folder; the arguments are those of :func:`chunks`.

    Raises:
        DatasetError: there are more or fewer episodes than the provenance says, there is none, or a file is damaged;
            the message names the file.
    """
    columns = Columns(chunks(folder, provenance, content))
    if len(columns) != provenance.get("episodes"):
        raise DatasetError(
            f"{folder}: provenance.json promises {provenance.get('episodes')} episodes, the files hold "
            f"{len(columns)}; a file was cut short or left out: copy the folder again or record it anew"
        )
    if not len(columns):
        raise DatasetError(f"{folder}: the data set is empty; record at least one episode")
    return columns


def tokenizer_in(folder: Path, provenance: dict[str, Any]) -> PreTrainedTokenizerFast:
    """The tokenizer of a data set.

    Raises:
        DatasetError: the tokenizer is damaged, or is not the one that the episodes were written with.
    """
    try:
        tokenizer = adopt(folder)
        found = fingerprint(tokenizer)
    except Exception as error:  # the libraries raise errors of many types for a damaged file, even bare Exceptions
        raise DatasetError(
            f"{folder}: expected a tokenizer as save_pretrained writes it, but it cannot be loaded "
            f"({type(error).__name__}: {error}); copy the folder again or record it anew"
        ) from error
    recorded = (provenance.get("tokenizer") or {}).get("fingerprint")
    if recorded not in (None, found):
        raise DatasetError(
            f"{folder} holds the tokenizer {found}, but the episodes are written in {recorded}, where the same ids are "
            "other words; copy the folder again or record it anew"
        )
    return tokenizer


def _data_files(folder: Path) -> list[Path]:
    """The files that ``state.json`` lists, after checking that all of them exist."""
    state = folder / "state.json"
    try:
        names = [component(entry["filename"], "a data file") for entry in read_object(state)["_data_files"]]
        if len(set(names)) < len(names):
            raise ValueError(f"expected different names of files beside it, got {names}")
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{state}: expected the list of data files as datasets.save_to_disk writes it ({error!r}); copy the folder "
            "again or record it anew"
        ) from error
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise DatasetError(f"{folder}: the data files {missing} are missing; copy the folder again or record it anew")
    return [folder / name for name in names]
