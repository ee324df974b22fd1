"""Odd command lines, run in this process: each must exit with 0, or with 2 and a reason on standard error."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from hypothesis import strategies as st
from outcome import INTERPRETERS_WORDS, Outcome
from worker import Kind

from agents.benchmark import SUITES
from agents.benchmark.smoke import shrunk
from agents.cli import main

CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""what a terminal obeys, but for tabs and line ends"""

# What is written lies in the case's own folder, three levels deep. DATA, BC, ILQL and SUITE stand for what is sound.
ODD = (
    "", "x", "-1", "0", "nan", "inf", "1e400", "9" * 400, "2.5", "None", "True", "[]", "\0", "\u00e9", "a=b", "=", "--",
    "[red]x[/", "\x1b[2J", "--help", "\ud83d",
)  # fmt: skip
COUNT = ("1", "2", "0", "-1", "x", "1.5", "", "nan", "None")
"""of what is played, trained or recorded: a large one is no fault, and takes long"""
STEPS = tuple(count for count in COUNT if count != "None")
"""where None is as many as there usually are"""
NUMBER = (*COUNT, "9" * 400, "1e400", "inf", "-inf", "1e-9", "0.5", "2147483648")
INPUT = (
    "DATA",
    "BC",
    "ILQL",
    "SUITE",
    "DATA/provenance.json",
    "nowhere",
    "",
    ".",
    "..",
    "/dev/null",
    "/etc/passwd",
    "\0",
    "x" * 300,
)
OUTPUT = (
    "out",
    "out.json",
    "out.parquet",
    "a/b/c",
    ".",
    "..",
    "../..",
    "",
    "/proc/nothing/x",
    "\0",
    "x" * 300,
    "e\u0301 b",
)
PAIR = (
    "a=b", "=", "=1", "a=", "words=english-100", "words=../..", "words=[]", "greedy=true", "temperature=nan",
    "top_k=-1", "greedy=x", "advantage_weight=4", "max_tokens=1", "corpus=nowhere", "env_id=MovieReview-v0",
    "level=utterance", "num_envs=3", "render_mode=human", "skills=[1]", "self=1", "tokenizer=nowhere",
    "a=" + "[" * 5000, "x" * 1000,
)  # fmt: skip
ENV = (
    "MovieReview-v0",
    "Wordle-v0",
    "Dialogue-BLEU-v0",
    "CartPole-v1",
    "Nowhere-v0",
    "os:Evil-v0",
    "nowhere:Evil-v0",
    "",
)
SERVER = ("http://127.0.0.1:9/v1", "http://", "ftp://x", "x", "", "http://[::1", "file:///etc/passwd")

OPTIONS: dict[str, dict[str, Sequence[str]]] = {
    "list": {},
    "show": {"--episodes": COUNT},
    "check": {"--set": PAIR},
    "play": {"--seed": NUMBER, "--set": PAIR, "--agent": INPUT, "--decoding": PAIR},
    "record": {
        "--out": OUTPUT, "--episodes": COUNT, "--seed": NUMBER, "--set": PAIR, "--policy": INPUT, "--server": SERVER,
        "--model": ODD, "--per-context": COUNT, "--temperatures": NUMBER, "--beams": COUNT, "--env": ENV,
        "--corpus": INPUT,
    },
    "export": {
        "--to": ("jsonl", "parquet", "minari", "trl-sft", "trl-preference", "x", ""), "--out": OUTPUT, "--chat": (),
    },
    "train": {
        "--data": INPUT, "--out": OUTPUT, "--steps": COUNT, "--lr": NUMBER, "--batch-size": COUNT, "--seed": NUMBER,
        "--env": ENV, "--env-options": PAIR, "--lm": ("d64-l2", "d0-l0", "x", "", "DATA", "BC/agent", "/dev/null"),
        "--lora-rank": COUNT, "--logged-fraction": NUMBER, "--checkpoint-every": NUMBER, "--log-every": NUMBER,
        "--tau": NUMBER, "--gamma": NUMBER, "--from": INPUT, "--keep-top": NUMBER, "--accumulate": COUNT,
        "--decoding-episodes": COUNT,
    },
    "eval": {"--episodes": COUNT, "--seed": NUMBER, "--set": PAIR, "--env": ENV, "--env-options": PAIR},
    "ope": {
        "--data": INPUT, "--behaviour": INPUT, "--fitted-steps": STEPS, "--lr": NUMBER, "--gamma": NUMBER,
        "--least": NUMBER, "--set": PAIR, "--seed": NUMBER, "--out": OUTPUT,
    },
    "bench": {
        "--out": OUTPUT, "--seeds": COUNT, "--workers": COUNT, "--only": ODD, "--from": INPUT, "--tensorboard": (),
        "--executor": ("processes", "x", ""),
    },
    "explain": {
        "--text": ODD, "--next": COUNT, "--data": INPUT, "--episodes": COUNT, "--numbers": (), "--html": OUTPUT,
        "--env": ENV, "--env-options": PAIR, "--seed": NUMBER, "--set": PAIR,
    },
    "chat": {"--seed": NUMBER, "--system": ODD, "--history": INPUT, "--set": PAIR},
}  # fmt: skip
"""of each command, and the values they are tried with; those of none take no value"""
SUBJECTS: dict[str, Sequence[str]] = {
    "show": ("Wordle-v0", "movie-review", "wordle-trap", *INPUT),
    "check": ENV,
    "play": ENV,
    "record": ("movie-review", "wordle-trap", "dialogue-human", "samples", "dialogue-samples", "reddit-samples", *ODD),
    "export": INPUT,
    "train": ("bc", "ilql", "dpo", "decision_transformer", "utterance_ilql", *ODD),
    "eval": INPUT,
    "ope": INPUT,
    "bench": ("nowhere", *ODD),
    "explain": INPUT,
    "chat": INPUT,
}
SEVERAL = ("--set", "--env-options", "--temperatures", "--text", "--only", "--lr")
SOUND = {
    "show": "DATA", "check": "MovieReview-v0", "play": "MovieReview-v0", "record": "movie-review", "export": "DATA",
    "train": "ilql", "eval": "BC", "ope": "BC", "bench": "", "explain": "ILQL", "chat": "ILQL",
}  # fmt: skip
NEEDED = {
    "record": ("--out", "out", "--episodes", "2"),
    "export": ("--to", "jsonl", "--out", "out.jsonl"),
    "train": ("--data", "DATA", "--out", "out", "--steps", "1", "--batch-size", "2", "--decoding-episodes", "1"),
    "eval": ("--episodes", "2"),
    "ope": ("--data", "DATA", "--fitted-steps", "1"),
    "bench": ("--out", "out", "--from", "SUITE", "--workers", "1"),  # another worker takes seconds to begin
    "explain": ("--episodes", "1"),
}
"""what makes a line of a command whole but for its subject; given first, so that odd values come instead"""


def prepare(folder: Path) -> Path:
    """A data set, two trained agents, and a suite of nothing but a baseline."""
    with contextlib.redirect_stdout(io.StringIO()):
        assert not main(["record", "movie-review", "--episodes", "20", "--out", str(folder / "DATA")])
        for name in ("bc", "ilql"):
            few = ["--steps", "2", "--batch-size", "4", "--decoding-episodes", "2"]
            assert not main(["train", name, "--data", str(folder / "DATA"), "--out", str(folder / name.upper()), *few])
    quick = shrunk(SUITES["quick"])
    tiny = dataclasses.replace(quick.experiments[0], cells=(), baselines=quick.experiments[0].baselines[:2])
    plain = dataclasses.replace(quick, experiments=(tiny,)).plain()
    (folder / "SUITE").write_text(json.dumps(plain))
    return folder


@st.composite
def damages(draw: st.DrawFn, folder: Path) -> tuple[str, ...]:
    """A line of a command with up to three odd options."""
    command = draw(st.sampled_from([*OPTIONS, *OPTIONS, "nowhere"]))
    options = OPTIONS.get(command, {})
    line = [command]
    odd_subject = not draw(st.integers(0, 2))
    if command in SUBJECTS:
        line.append(draw(st.sampled_from(SUBJECTS[command])) if odd_subject else SOUND[command])
    given = dict.fromkeys(draw(st.lists(st.sampled_from(sorted(options)), max_size=2)) if options else [])
    needed = list(NEEDED.get(command, ())) if draw(st.integers(0, 15)) else []
    for option, value in zip(needed[::2], needed[1::2], strict=True):
        if option not in given:
            line += [option, value]
    for option in given:
        values = options[option]
        line += [
            option,
            *(draw(st.lists(st.sampled_from(values), min_size=1, max_size=1 + (option in SEVERAL))) if values else []),
        ]
    if not draw(st.integers(0, 9)):
        line.insert(draw(st.integers(0, len(line))), draw(st.sampled_from(ODD)))
    return tuple(line)


def attempt(folder: Path, line: tuple[str, ...], case: Path) -> Outcome:
    """Runs it three levels deep, so that nothing is written elsewhere."""
    place = case / "a" / "b" / "c"
    place.mkdir(parents=True)
    for name in ("DATA", "BC", "ILQL"):
        shutil.copytree(folder / name, place / name)
    shutil.copy(folder / "SUITE", place)
    os.chdir(place)
    said, told = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(told):
            status = main(list(line))
    except SystemExit as end:  # of the library that reads command lines
        status = end.code
    finally:
        os.chdir(folder)
    text = said.getvalue() + told.getvalue()
    if "Traceback (most recent" in text or (status == 2 and INTERPRETERS_WORDS.search(text)):
        return Outcome("traceback", text[-300:], f"printed by {line[:1]}")
    if CONTROL.search(text):
        return Outcome("different", f"control characters reach the terminal: {text[-300:]!r}", f"printed by {line[:1]}")
    if status in (0, None):
        return Outcome("right")
    if status == 2 and told.getvalue().strip():
        return Outcome("refused", text)
    return Outcome("different", f"ends with {status}: {text[-300:]}", f"status {status} of {line[:1]}")


KIND = Kind("arguments", prepare, damages, attempt, names_folder=False, seconds=60)
