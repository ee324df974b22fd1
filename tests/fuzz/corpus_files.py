"""A small sound file of every layout that a corpus is read from, made here."""

from __future__ import annotations

import csv
import io
import json
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from damage import HUGE, Edit, write_json
from safetensors.numpy import save

from lang_envs import words
from lang_envs.corpora.dialogues import abcd, multiwoz, plain, taskmaster
from lang_envs.corpora.multiwoz import annotated
from lang_envs.corpora.questions import read_questions
from lang_envs.corpora.reddit.read import read_comments
from lang_envs.corpora.visdial.features import from_file
from lang_envs.corpora.visdial.visdial import ImageDialogue, read_visdial
from lang_envs.corpora.visdial.vispro import read_vispro
from lang_envs.corpora.wordle_tweets import read_answers, read_tweets

datasets.disable_progress_bars()
TEXTS = ("a room please", "For which day?", "Friday", "Done. Bye!")
IMAGES = [ImageDialogue(str(image), "a cat", (("why", "so"),)) for image in range(4)]
FEATURES = np.arange(12, dtype=np.float32).reshape(4, 3)


@dataclass(frozen=True)
class Source:
    """A reader, a file that it reads, and the records in it."""

    read: Callable[[Path], Any]
    file: str
    form: str
    """json, lines, csv, tsv, words, parquet, tar, saved, npy or safetensors"""
    records: Any = None
    """the value, the list of values, or the rows, in the file"""
    counts: bool = False
    """whether the reader returns what it reads and how much it left out"""

    @property
    def is_text(self) -> bool:
        """Whether the file is text, which may come compressed."""
        return self.form in ("json", "lines", "csv", "tsv", "words")

    @property
    def is_whole(self) -> bool:
        """Whether the file is one value, which shows where it is cut."""
        return self.form in ("json", "parquet", "safetensors")

    @cached_property
    def content(self) -> bytes:
        """The bytes of the file; of a saved folder those of its table."""
        return CONTENT[self.form](self.records)

    def edited(self, edits: Sequence[Edit]) -> bytes:
        """The same with other records; the library that writes it raises where it cannot hold them."""
        records = self.records
        for edit in edits:
            records = edit.apply(records)
        return CONTENT[self.form](records)

    def write(self, folder: Path, content: bytes, ending: str = "") -> Path:
        """Writes a file with this content, and returns the path to read."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.file}{ending}"
        if self.form == "saved":
            path.mkdir()
            for name, text in SAVED.items():
                (path / name).write_text(text)
            (path / "data-00000-of-00001.arrow").write_bytes(content)
        else:
            path.write_bytes(content)
        return path


SAVED = {
    "dataset_info.json": "{}",
    "state.json": json.dumps(
        {
            "_data_files": [{"filename": "data-00000-of-00001.arrow"}],
            "_fingerprint": "0123456789abcdef",
            **dict.fromkeys(("_format_columns", "_format_type", "_split")),
            "_format_kwargs": {},
            "_output_all_columns": False,
        }
    ),
}
"""the other files of a folder that ``datasets.save_to_disk`` wrote"""


def _lines(records: Any) -> bytes:
    return b"".join(write_json(record) + b"\n" for record in (records if isinstance(records, list) else [records]))


def _table(records: Any, delimiter: str = ",") -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    for row in records if isinstance(records, list) else [records]:
        cells = row if isinstance(row, list) else [row]
        writer.writerow(["9" * 5000 if cell == HUGE else cell for cell in cells])
    return text.getvalue().encode("utf-8", "surrogatepass")


def _words(records: Any) -> bytes:
    lines = records if isinstance(records, list) else [records]
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass")


def _parquet(records: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records), file)
    return file.getvalue()


def _arrow(records: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        datasets.Dataset.from_list(records).save_to_disk(folder)
        [file] = Path(folder).glob("*.arrow")
        return file.read_bytes()


def _tar(records: Any) -> bytes:
    file, text = io.BytesIO(), _table(records)
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        member = tarfile.TarInfo("val/physics_val.csv")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    return file.getvalue()


def _npy(records: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, FEATURES)
    return file.getvalue()


CONTENT: dict[str, Callable[[Any], bytes]] = {
    "json": write_json,
    "lines": _lines,
    "csv": _table,
    "tsv": lambda records: _table(records, "\t"),
    "words": _words,
    "parquet": _parquet,
    "saved": _arrow,
    "tar": _tar,
    "npy": _npy,
    "safetensors": lambda _: save({"features": FEATURES, "image_id": np.arange(4)}),
}


# Dialogues


def woz21(name: str) -> dict[str, Any]:
    return {name: {"goal": {}, "log": [{"text": text, "metadata": {}} for text in TEXTS]}}


def goal21(name: str) -> dict[str, Any]:
    need = {"info": {"area": "east"}, "fail_info": {}, "book": {"day": "friday", "invalid": False}, "reqt": ["phone"]}
    state = {"hotel": {"semi": {"area": "east"}, "book": {"booked": [], "day": ""}}}
    acts = {"dialog_act": {"Hotel-Inform": [["Area", "east"]]}, "span_info": [["Hotel-Inform", "Area", "east", 0, 0]]}
    log = [{"text": text, "metadata": state if i % 2 else {}, **acts} for i, text in enumerate(TEXTS)]
    return {name: {"goal": {"hotel": need, "taxi": {}, "message": ["a hotel"]}, "log": log}}


def woz22(name: str) -> dict[str, Any]:
    turns = [{"speaker": ("USER", "SYSTEM")[i % 2], "utterance": text, "frames": []} for i, text in enumerate(TEXTS)]
    return {"dialogue_id": name, "services": [], "turns": turns}


def hub(name: str) -> dict[str, Any]:
    turns = {"turn_id": [*"0123"], "speaker": [0, 1, 0, 1], "utterance": [*TEXTS]}
    return {"dialogue_id": name, "turns": turns}


def conversation(name: str) -> dict[str, Any]:
    rows = [[("customer", "agent")[i % 2], text] for i, text in enumerate(TEXTS)]
    return {"convo_id": name, "original": [*rows, ["action", "Looked it up."]], "delexed": []}


def movie(name: str) -> dict[str, Any]:
    said = [{"index": i, "speaker": ("user", "ASSISTANT")[i % 2], "text": text} for i, text in enumerate(TEXTS)]
    return {"conversation_id": name, "utterances": said}


def verdict(name: str, generation: dict[str, Any]) -> dict[str, Any]:
    context = [{"role": "agent", "text": "Hello"}, {"role": "user", "text": "a film"}]
    inner = {"context": json.dumps(context), "generation": json.dumps(generation)}
    return {"conversation_id": name, **inner, "reward": 1.0}


def own(name: str) -> dict[str, Any]:
    turns = [{"speaker": ("user", "agent")[i % 2], "text": text} for i, text in enumerate(TEXTS)]
    return {"id": name, "turns": turns, "split": "train"}


DIALOGUES = {
    "MultiWOZ 2.1": Source(multiwoz.read, "data.json", "json", woz21("a") | woz21("b")),
    "MultiWOZ 2.1, annotated": Source(annotated.read, "data.json", "json", goal21("a")),
    "MultiWOZ 2.2": Source(multiwoz.read, "dialogues_001.json", "json", [woz22("a"), woz22("b")]),
    "MultiWOZ, the hub's array": Source(multiwoz.read, "rows.json", "json", [hub("a"), hub("b")]),
    "MultiWOZ, the hub's lines": Source(multiwoz.read, "rows.jsonl", "lines", [hub("a"), hub("b")]),
    "MultiWOZ, the hub's Parquet": Source(multiwoz.read, "train.parquet", "parquet", [hub("a"), hub("b")]),
    "ABCD": Source(abcd.read, "abcd_v1.1.json", "json", {"train": [conversation("a")], "dev": [conversation("b")]}),
    "ABCD, the sample": Source(abcd.read, "abcd_sample.json", "json", [conversation("a"), conversation("b")]),
    "Taskmaster": Source(taskmaster.read, "data_00.json", "json", [movie("a"), movie("b")]),
    "Taskmaster's verdicts": Source(
        taskmaster.read_verdicts,
        "reward_00.json",
        "json",
        [verdict("a", {"role": "agent", "text": "Which?"}), verdict("b", {"role": "agent", "api": {"book": {}}})],
    ),
    "one's own dialogues": Source(plain.read, "mine.jsonl", "lines", [own("a"), own("b")]),
}

# Questions

_CHOICES = {"text": [*"wxyz"], "label": [*"ABCD"]}
_ENDINGS = [*enumerate("wxyz")]
ARC = {
    "id": "q1",
    "question": {
        "stem": "What melts?",
        "choices": [{"text": text, "label": label} for text, label in zip("xyz", "123", strict=True)],
    },
    "answerKey": "2",
}
LAYOUTS: dict[str, list[dict[str, Any]]] = {
    "ARC": [ARC],
    "the hub's ARC": [{"id": "q1", "question": "What melts?", "choices": _CHOICES, "answerKey": "D"}],
    "the hub's OpenBookQA": [
        {"id": "q1", "question_stem": "What melts?", "choices": _CHOICES, "answerKey": "C", "fact1": "y gets warm"}
    ],
    "SWAG": [{"id": "q1", "sent1": "What melts", "sent2": "?", **{f"ending{i}": t for i, t in _ENDINGS}, "label": 3}],
    "CosmosQA": [
        {"id": "q", "context": "Hot.", "question": "Eh?", **{f"answer{i}": t for i, t in _ENDINGS}, "label": "1"}
    ],
    "SciQ": [
        {
            "question": "What melts?", "distractor1": "x", "distractor2": "y", "distractor3": "z",
            "correct_answer": "ice", "support": "Ice melts.",
        }
    ],
    "MMLU": [{"question": "What melts?", "subject": "physics", "choices": [*"wxyz"], "answer": 2}],
    "OLMo's requests": [
        {
            "native_id": "q1", "idx": i, "label": 1,
            "doc": {"id": "q1", "query": "Question: What melts?\nAnswer:", "choices": [*"xyz"], "gold": 1},
        }
        for i in range(3)
    ],
    "MathDial": [
        {
            "qid": 1, "question": "Two boxes of 1,000 pens; 12 are lost. How many are left?", "conversation": "",
            "ground_truth": "2 x 1000 = 2000.\n2000 - 12 = 1988.\n 1988",
            "teacher_described_confusion": "forgets the lost ones",
            "student_incorrect_solution": "There are 2,000 pens. 2000",
        }
    ],
}  # fmt: skip
_SCIQ = LAYOUTS["SciQ"][0]
QUESTIONS = {
    **{name: Source(read_questions, "a.jsonl", "lines", records) for name, records in LAYOUTS.items()},
    **{f"{name}, a list": Source(read_questions, "a.json", "json", LAYOUTS[name]) for name in ("ARC", "MMLU")},
    **{f"{name}, Parquet": Source(read_questions, "a.parquet", "parquet", LAYOUTS[name]) for name in ("ARC", "MMLU")},
    **{f"{name}, saved": Source(read_questions, "a", "saved", LAYOUTS[name]) for name in ("ARC", "SciQ")},
    "SciQ, a table": Source(read_questions, "a.csv", "csv", [[*_SCIQ], [*_SCIQ.values()]]),
    "MMLU, a table": Source(
        read_questions, "physics_val.csv", "csv", [["What?", *"wxyz", "B"], ["Who?", *"wxyz", "A"]]
    ),
    "MMLU, an archive": Source(read_questions, "val.tar.gz", "tar", [["What?", *"wxyz", "B"], ["Who?", *"wxyz", "A"]]),
}

# Comments, images, games

KAGGLE = [
    ["id", "parent_id", "link_id", "text", "score", "author", "parent_text", "parent_score"],
    ["a", "t1_p", "t3_l", "a comment", "12", "someone", "a parent", "3"],
    ["b", "t1_p", "t3_l", "another, with a comma", "-3.0", "someone", "a parent", "3"],
]
DUMP = [
    {"id": "p1", "title": "A question", "selftext": "with a body", "score": 3},
    {"id": "a", "parent_id": "t3_p1", "body": "an answer", "score": 2, "subreddit": "askit"},
    {"id": "b", "parent_id": "t1_a", "body": "thanks &lt;3", "score": -1},
]
VISDIAL = {
    "version": "1.0",
    "split": "val2018",
    "data": {
        "questions": ["is it sunny", "any people"],
        "answers": ["yes", "no"],
        "dialogs": [
            {"image_id": 7, "caption": "a cat", "dialog": [{"question": 1, "answer": 0, "answer_options": [0, 1]}]},
            {"image_id": 9, "caption": "a field", "dialog": [{"question": 0, "answer": 1}]},
        ],
    },
}
VISPRO = [
    {
        "sentences": [["A", "cat", "."], ["Is", "it", "black", "?"], ["I", "ca", "n't", "tell", "."]],
        "image_file": f"COCO_val2014_00000000000{image}.jpg",
        "object_detection": [17, 90, 1],
        "clusters": [],
    }
    for image in range(2)
]
_SOLVED = (
    "Wordle 210 2/6\n\n\N{BLACK LARGE SQUARE}" + "\N{LARGE YELLOW SQUARE}" * 4 + "\n" + "\N{LARGE GREEN SQUARE}" * 5
)
TWEETS = [
    ["wordle_id", "tweet_id", "tweet_date", "tweet_username", "tweet_text"],
    ["210", "1", "2022-01-15", "someone", _SOLVED],
    ["211", "2", "2022-01-16", "someone", "no luck today"],
]
OTHERS = {
    "Kaggle's comments": Source(read_comments, "comments_positive.csv", "csv", KAGGLE),
    "Kaggle's month": Source(
        read_comments, "kaggle_RC_2019-05.csv", "csv",
        [["", "subreddit", "body", "score"], ["0", "gifs", "nice", "5"], ["1", "a", "b", "1"]],
    ),
    "labelled replies": Source(
        read_comments, "gc.csv", "csv",
        [["id", "text", "parent", "label"], ["1", "you", "hi", "1"], ["2", "ta", "hi", "0"]],
    ),
    "top posts": Source(
        read_comments, "pics.csv", "csv", [["score", "id", "title", "selftext"], ["300", "p1", "Look at this", ""]]
    ),
    "GoEmotions": Source(read_comments, "train.tsv", "tsv", [["He said hi", "3,11", "c1"], ["plain text", "27", "c2"]]),
    "a dump of comments": Source(read_comments, "RC_2019-05", "lines", DUMP),
    "VisDial": Source(read_visdial, "visdial_1.0_val.json", "json", VISDIAL),
    "VisDial, the hub's Parquet": Source(
        read_visdial, "val.parquet", "parquet",
        [{"caption": "a cat", "dialog": [["is it", "yes"], ["why", "so"]], "image_path": f"{i}.jpg"} for i in range(2)],
    ),
    "VisPro": Source(read_vispro, "vispro.jsonl", "lines", VISPRO),
    "features, numpy's": Source(lambda path: from_file(path, IMAGES), "f.npy", "npy"),
    "features, safetensors": Source(lambda path: from_file(path, IMAGES), "f.safetensors", "safetensors"),
    "tweets": Source(read_tweets, "tweets.csv", "csv", TWEETS),
    "answers": Source(read_answers, "answers.csv", "csv", [["wordle_id", "word"], ["210", "crane"], ["211", "slate"]]),
    "a word list": Source(words.load, "words.txt", "words", ["crane", "slate", "toolong", "house"], counts=True),
}  # fmt: skip

SOURCES = {**DIALOGUES, **QUESTIONS, **OTHERS}
