"""The files of an agent that are sent to the hub: weights, configuration and page, without paths of this machine."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from agents.models.adapter_files import DESCRIPTION as ADAPTERS
from agents.models.adapter_files import holds_adapters
from agents.models.sizes import SIZES
from agents.runs import decoding_file
from agents.runs.card import agent_card
from agents.runs.config import SENT, RunConfig, agent_folder, known_config, name_of
from agents.saved import DESCRIPTION, read_description
from datasets_builders.atomic import read_object, write_text
from datasets_builders.checksums import CHECKSUMS, entry_of, read_entries, write_entries
from datasets_builders.hub import CARD
from datasets_builders.provenance import read_provenance
from lang_envs.model_files import ALIASES


@contextmanager
def agent_files(run: Path, license: str | None = None) -> Iterator[dict[str, Path]]:
    """The files to send: place in the repository -> file. Files made for this exist only inside the ``with`` block.

    Args:
        run: folder of a run or of a saved agent.
        license: of the weights, for the card.

    Raises:
        ValueError: there is no agent, it is damaged, or its adapters belong to a model that only this machine has.
    """
    folder = agent_folder(run)
    read_description(folder)  # compares all checksums
    _check_origin(folder)
    entries = read_entries(folder)
    if entries is None:
        raise ValueError(f"{folder} has no {CHECKSUMS}; save the agent again, which adds one.")
    with TemporaryDirectory() as made:
        new, description = Path(made), read_object(folder / DESCRIPTION)
        description["fit"] = (description.get("fit") or None) and {**description["fit"], "out": None}
        write_text(new / DESCRIPTION, json.dumps(description, indent=2))
        if (config := _run(run)) is not None:
            write_text(new / SENT, json.dumps(dataclasses.asdict(config), indent=2))
        names = [file.name for file in new.iterdir()]
        write_entries(new, {**entries, **{name: entry_of(new / name) for name in names}})
        write_text(new / CARD, agent_card(name_of(run), description, _scores(run), config, license))
        yield {
            **{name: folder / name for name in entries},
            **{file.name: file for file in sorted(new.iterdir())},
        }


def _check_origin(folder: Path) -> None:
    if not holds_adapters(folder):
        return
    source = str(read_object(folder / ADAPTERS)["origin"]["source"])
    if Path(source).exists() or Path(source).is_absolute():
        raise ValueError(
            f"{folder} holds adapters of a model that only this machine has. lang-envs merge writes the agent whole; "
            "push that."
        )


def _run(run: Path) -> RunConfig | None:
    """The configuration of the run, with its environment and without folders of this machine; None if unknown."""
    config = known_config(run)
    if config is None:
        return None
    env, options = config.env, dict(config.env_options)
    if config.data is not None:
        try:
            found = read_provenance(Path(config.data)).get("env") or {}
        except (ValueError, OSError):
            found = {}
        if env is None or env.rpartition(":")[2] == found.get("id"):
            env, options = env or found.get("id"), {**found.get("kwargs", {}), **options}
    options = {name: value for name, value in options.items() if not _of_this_machine(value)}
    lm = config.lm if config.lm in SIZES or config.lm in ALIASES else "d64-l2"
    return dataclasses.replace(config, data=None, env=env, env_options=options, lm=lm)


def _of_this_machine(value: Any) -> bool:
    return isinstance(value, str) and Path(value).is_absolute()


def _scores(run: Path) -> decoding_file.Chosen | None:
    return decoding_file.read(agent_folder(run).parent)
