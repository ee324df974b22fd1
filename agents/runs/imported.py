"""Data sets of imported logs: their environment, ``Logs-v0``, replays the conversations in the data set's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lang_envs.corpora.logged import holds_out
from lang_envs.tokenizers import fingerprint

ENV_ID = "Logs-v0"
HELD_OUT = "held-out"
"""the split of the environment that is held out from training, and the folder of its episodes in a data set"""


def folder_of(data: str, env_options: dict[str, Any]) -> Path:
    """The folder of a run's logs; if it is no longer there, the one that the environment's option ``data`` names."""
    moved = env_options.get("data")
    return Path(data) if moved is None or Path(data).is_dir() else Path(moved)


def options_of(folder: Path, env: dict[str, Any]) -> dict[str, Any]:
    """The options of the environment that a data set was made for; an imported log's have its folder as ``data``.

    Args:
        folder: where the data set is now.
        env: ``env`` of its provenance.
    """
    options = env.get("kwargs") or {}
    return {"data": str(folder), **options} if env.get("id") == ENV_ID else options


def measured_on(env_id: str, options: dict[str, Any]) -> dict[str, Any]:
    """The environment's options to measure a trained agent with: on held-out conversations, if there are any.

    Raises:
        ValueError: the data set cannot be read.
    """
    if env_id != ENV_ID or "split" in options or "data" not in options or not holds_out(options["data"]):
        return options
    return {**options, "split": HELD_OUT}


def held_out_episodes(folder: Path) -> Path | None:
    """The folder of the episodes that were held out when ``folder`` was imported; None where there is none."""
    found = folder / HELD_OUT
    return found if (found / "provenance.json").is_file() else None


def check_tokens(folder: Path, provenance: dict[str, Any], tokenizer: Any, lm: str) -> None:
    """Checks that the episodes of an imported data set are in the tokens of ``tokenizer``.

    Raises:
        ValueError: they are not; the error says how to import the log for the model.
    """
    spelled = (provenance.get("tokenizer") or {}).get("fingerprint")
    if spelled not in (None, fingerprint(tokenizer)):
        files = " ".join(map(str, provenance.get("source") or ["FILE"]))
        raise ValueError(
            f"The episodes in {folder} are not in the tokens of {lm}. Import the log for that model: "
            f"lang-envs import {files} --tokenizer {lm} --out {folder}-{Path(lm).stem}"
        )
