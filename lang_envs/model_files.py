"""Finds the files of a model by its name: a folder, a GGUF file, a name known here, or a name on the hub."""

from __future__ import annotations

import os
from pathlib import Path

from lang_envs.gguf import converted
from lang_envs.smollm2 import NAME, smollm2

ALIASES = {NAME: smollm2}
"""names of models that come in packages -> the function that finds their files"""


def located(source: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """The folder of a model, or its name on the hub, which the transformers library opens.

    A GGUF file is converted to a folder the first time (``lang_envs.gguf``). ``"smollm2"`` is always the packaged
    model; for a folder of that name pass ``"./smollm2"``. Any other source is returned as it is.

    Raises:
        ValueError: the GGUF file is missing or cannot be converted, the package of the model is not installed, or the
            source is a pushed agent ("hub:owner/name"), which ``datasets_builders.hub.local`` fetches.
    """
    if os.fspath(source).startswith("hub:"):
        raise ValueError(
            f"{os.fspath(source)} is an agent on the hub, and a folder is needed here: "
            f"datasets_builders.hub.local({os.fspath(source)!r}, 'agent') fetches it and returns its folder"
        )
    if source in ALIASES:
        return converted(ALIASES[str(source)]())
    if os.fspath(source).lower().endswith(".gguf"):
        return converted(Path(source))
    return source
