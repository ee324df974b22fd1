"""Files that episodes are imported from: our JSON lines and Parquet, Minari's folders, TRL's prompts and answers."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from damage import Bytes, Edit, of_bytes, of_json, write_json
from data_sets import contents
from hypothesis import strategies as st
from outcome import Outcome, same, using
from worker import Kind

from datasets_builders import EpisodeDataset, build, record, trl
from datasets_builders.logs.importing import Options
from datasets_builders.minari import from_minari, to_minari
from lang_envs.policies.movie_review import Reviewer
from lang_envs.tasks.movie_review import MovieReview

MISNAMED = ("score", "label", "rewards", "chosen_score", "Reward", "reward ")
"""what others call a reward; a file that does must not be read as one without rewards"""


@dataclass(frozen=True)
class Form:
    """A file or folder of one kind, and its reader."""

    path: Path
    read: Callable[[Path], EpisodeDataset]
    reward: str = ""
    """the field of a line that holds a reward, which may be left out"""

    @property
    def lines(self) -> list[Any]:
        """The values of its lines, where it has any."""
        is_lines = self.path.suffix == ".jsonl"
        return [json.loads(line) for line in self.path.read_text().splitlines()] if is_lines else []


@dataclass(frozen=True)
class World:
    """What is imported, and what is in it."""

    forms: dict[str, Form]
    wanted: dict[str, Any]


@dataclass(frozen=True)
class Damaged:
    """What is done to a form."""

    form: str
    damage: Bytes | Edit | str
    """to bytes, to the list of lines, or the name that rewards have there"""
    file: str = ""
    """which one, of a folder"""


def prepare(folder: Path) -> World:
    """Every form of the same few episodes."""
    dataset = record("MovieReview-v0", Reviewer(MovieReview()), 5, folder / "recorded", progress=False)
    tokenizer = dataset.tokenizer()
    dataset.to_jsonl(folder / "e.jsonl")
    dataset.to_parquet(folder / "e.parquet")
    trl.to_sft(dataset, folder / "sft.jsonl")
    chats = _chats(folder / "chats")
    trl.to_sft(chats, folder / "sft-chat.jsonl", chat=True)
    trl.to_preference(chats, folder / "preference.jsonl")
    trl.to_preference(chats, folder / "preference-chat.jsonl", chat=True)
    with mock.patch.dict(os.environ, {"MINARI_DATASETS_PATH": str(folder / "minari")}):
        for form in ("hdf5", "arrow"):
            to_minari(dataset, f"{form}-v0", form)

    plain = Options(plain=True, strict=True)

    def sft(path: Path) -> EpisodeDataset:
        return EpisodeDataset.from_rows(path, tokenizer, plain)

    def chat(path: Path) -> EpisodeDataset:
        return EpisodeDataset.from_rows(path, chats.tokenizer(), plain)

    forms = {
        "JSON lines": Form(folder / "e.jsonl", EpisodeDataset.from_jsonl),
        "Parquet": Form(folder / "e.parquet", EpisodeDataset.from_parquet),
        "sft": Form(folder / "sft.jsonl", sft, "reward"),
        "sft, chat": Form(folder / "sft-chat.jsonl", chat, "reward"),
        "preference": Form(folder / "preference.jsonl", chat),
        "preference, chat": Form(folder / "preference-chat.jsonl", chat),
        "Minari, HDF5": Form(folder / "minari" / "hdf5-v0", _minari),
        "Minari, Arrow": Form(folder / "minari" / "arrow-v0", _minari),
    }
    return World(forms, {name: contents(form.read(form.path)) for name, form in forms.items()})


def _chats(folder: Path) -> EpisodeDataset:
    """Several replies to each of a few contexts."""
    return build("dialogue-mixture", 12, folder, env_id="Dialogue-BLEU-v0", progress=False)


def _minari(path: Path) -> EpisodeDataset:
    with mock.patch.dict(os.environ, {"MINARI_DATASETS_PATH": str(path.parent)}):
        return from_minari(path.name)


@st.composite
def damages(draw: st.DrawFn, world: World) -> Damaged:
    """Lines are edited or, once in a while, call their rewards something else."""
    name = draw(st.sampled_from(sorted(world.forms)))
    form = world.forms[name]
    if form.path.is_dir():
        files = sorted(str(file.relative_to(form.path)) for file in form.path.rglob("*") if file.is_file())
        file = draw(st.sampled_from(files))
        if file.endswith(".json") and draw(st.booleans()):
            return Damaged(name, draw(of_json(json.loads((form.path / file).read_text()))), file)
        return Damaged(name, draw(of_bytes()), file)
    match draw(st.integers(0, 9)) if form.lines else 9:
        case 0 if form.reward:
            return Damaged(name, draw(st.sampled_from(MISNAMED)))
        case choice if choice < 7:
            return Damaged(name, draw(of_json(form.lines)))
    return Damaged(name, draw(of_bytes()))


def always(world: World) -> list[Damaged]:
    """Every other name of a reward."""
    return [Damaged(name, other) for name, form in world.forms.items() if form.reward for other in MISNAMED]


def attempt(world: World, damage: Damaged, case: Path) -> Outcome:
    """A reward that is not found is not 0."""
    form = world.forms[damage.form]
    path = _copied(form, case)
    misnamed = isinstance(damage.damage, str)
    if misnamed:
        path.write_text("".join(json.dumps(_misnamed(line, form.reward, damage.damage)) + "\n" for line in form.lines))
    else:
        file = path / damage.file if damage.file else path
        file.write_bytes(_damaged(form, damage, file.read_bytes()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = form.read(path)
        with using():
            found = contents(dataset)
    wanted = world.wanted[damage.form]
    if misnamed:  # the provenance says what the rewards were called
        found, wanted = (text.replace(damage.damage, form.reward) for text in (found, wanted))
    if form.path.is_dir():
        wanted = wanted.replace(form.path.name, path.name)
    return same(found, wanted, "different" if misnamed else "accepted", f"{damage.form}: {damage.damage}")


def _copied(form: Form, case: Path) -> Path:
    """A copy below ``case``; that of a Minari data set has the name of its folder."""
    if not form.path.is_dir():
        return Path(shutil.copy(form.path, case / form.path.name))
    path = shutil.copytree(form.path, case / f"{case.name}-v0")
    metadata = path / "data" / "metadata.json"
    metadata.write_text(metadata.read_text().replace(f'"{form.path.name}"', f'"{path.name}"'))
    return path


def _damaged(form: Form, damage: Damaged, content: bytes) -> bytes:
    if isinstance(damage.damage, Bytes):
        return damage.damage.apply(content)
    if damage.file:
        return write_json(damage.damage.apply(json.loads(content)))
    lines = damage.damage.apply(form.lines)
    return b"".join(write_json(line) + b"\n" for line in (lines if isinstance(lines, list) else [lines]))


def _misnamed(line: Any, reward: str, name: str) -> Any:
    return {(name if key == reward else key): value for key, value in line.items()}


KIND = Kind("imports", prepare, damages, attempt, always)
