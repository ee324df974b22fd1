"""Corpus files of every reader: damaged in a record, in a byte, or as a whole (encodings, compression, bombs)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus_files import SOURCES, Source
from damage import Bytes, Edit, of_bytes, of_json
from hypothesis import assume
from hypothesis import strategies as st
from outcome import Outcome, same
from whole_files import ATTACKS, PACKED
from worker import Kind


@dataclass(frozen=True)
class Damaged:
    """What is done to the file of a source."""

    source: str
    damage: Bytes | tuple[Edit, ...] | str
    """to its bytes, to its records, or an attack of ``whole_files``"""
    packed: str = ""
    """how it is compressed before its bytes are damaged"""


def prepare(folder: Path) -> dict[str, Any]:
    """What each reader makes of the sound file."""
    return {
        name: _read(source, source.write(folder / str(place), source.content))
        for place, (name, source) in enumerate(SOURCES.items())
    }


@st.composite
def damages(draw: st.DrawFn, wanted: dict[str, Any]) -> Damaged:
    """As many damaged records as damaged files."""
    name = draw(st.sampled_from(sorted(wanted)))
    source = SOURCES[name]
    how = draw(st.sampled_from(("records", "records", "whole", "bytes", "packed")))
    if how == "records" and source.records is not None:
        edits, records = [], source.records
        for _ in range(draw(st.integers(1, 2))):
            edits.append(draw(of_json(records)))
            records = edits[-1].apply(records)
            if not isinstance(records, list | dict) or not records:
                break
        assume(_can_be_written(source, edits))
        return Damaged(name, tuple(edits))
    if how == "whole":
        fitting = [name for name, attack in ATTACKS.items() if source.is_text or attack.of_any_file]
        return Damaged(name, draw(st.sampled_from(fitting)))
    if how == "packed" and source.is_text:
        return Damaged(name, draw(of_bytes()), draw(st.sampled_from(sorted(PACKED))))
    return Damaged(name, draw(of_bytes()))


def always(wanted: dict[str, Any]) -> list[Damaged]:
    """Every attack on a whole file, each on another source."""
    texts = [name for name, source in SOURCES.items() if source.is_text]
    return [Damaged(texts[7 * place % len(texts)], attack) for place, attack in enumerate(ATTACKS)]


def _can_be_written(source: Source, edits: list[Edit]) -> bool:
    """Whether the container (Parquet, with its types) can hold such records: else there is no such file."""
    try:
        source.edited(edits)
    except Exception:  # of whichever library writes it
        return False
    return True


def attempt(wanted: dict[str, Any], damage: Damaged, case: Path) -> Outcome:
    """What is left out is counted; compressed bytes and whole files cannot pass for something else."""
    source = SOURCES[damage.source]
    otherwise = "accepted"
    if isinstance(damage.damage, str):
        attack = ATTACKS[damage.damage]
        path = attack.write(case, source)
        otherwise = "different" if attack.keeps_content else "accepted"
    elif isinstance(damage.damage, Bytes):
        content = source.content
        if damage.packed:
            content = PACKED[damage.packed](content)
        content = damage.damage.apply(content)
        path = source.write(case, content, damage.packed)
        told = damage.packed and content and damage.damage.how != "twice"  # two packed files in a row are their sum
        if told or (source.is_whole and damage.damage.how in ("cut", "empty")):
            otherwise = "different"
    else:
        path = source.write(case, source.edited(damage.damage))
    found = _read(source, path)
    if found[0] != wanted[damage.source][0] and found[1] != wanted[damage.source][1]:
        return Outcome("skipped")
    return same(found[0], wanted[damage.source][0], otherwise, getattr(damage.damage, "how", str(damage.damage)))


def _read(source: Source, path: Path) -> tuple[str, str]:
    """What is read, and what is counted as left out."""
    found = source.read(path)
    if isinstance(found, Iterator):
        found = list(found)
    skipped = getattr(found, "skipped", None)
    if source.counts:
        found, skipped = found
    if hasattr(found, "rows"):
        found = {
            name: value.tolist() if hasattr(value, "tolist") else value
            for name, value in vars(found).items()
            if name != "skipped"
        }
    text = repr(found.tolist() if hasattr(found, "tolist") else found)
    return text.replace(path.name, "the file"), repr(skipped)  # some readers number records by the file's name


KIND = Kind("corpora", prepare, damages, attempt, always)
