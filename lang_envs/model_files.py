"""Where the files of a model are that somebody names: a folder, a GGUF file, a name known here, or one on the hub."""

from __future__ import annotations

import os
from pathlib import Path

from lang_envs.gguf import converted
from lang_envs.smollm2 import NAME, smollm2

ALIASES = {NAME: smollm2}
"""names of models that come in packages, and what finds their files"""


def located(source: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """What the transformers library opens: a folder, or a name on the hub, which is returned as it is.

    A GGUF file becomes a folder the first time (``lang_envs.gguf``). ``"smollm2"`` is the model of that name even where
    a folder is called so, which is ``"./smollm2"`` then.

    Raises:
        ValueError: the GGUF file is missing or cannot be converted, or the package of the model is not installed; or it
            is a pushed agent ("hub:owner/name"), which is fetched elsewhere.
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
