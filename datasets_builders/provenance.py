"""Collects and checks the provenance of a data set; its facts are the same on every run, so that the bytes are too."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np

import lang_envs
from datasets_builders import checksums
from datasets_builders.atomic import read_object
from datasets_builders.storage import FORMAT_VERSION, DatasetError
from lang_envs.policies.address import without_secrets
from lang_envs.scores import reference
from lang_envs.tokenizers import fingerprint, opening_tokens, vocabulary_size

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

RESULTS = ("episodes", "mean_return")  # known only at the end; a resumed recording need not match them
_NO_MATTER = ("num_envs", "vectorization_mode", "autoreset_mode", "copy", "render_mode")  # do not change an episode
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_SECRET = re.compile(r"(^|_)(api_?key|password|secret|access_token|auth_token)$", re.IGNORECASE)
_LIBRARIES = ("numpy", "gymnasium", "tokenizers", "pyarrow")


def provenance_of(
    env: Any,
    policy: Any = None,
    *,
    seed: int | None = None,
    tokenizer: PreTrainedTokenizerFast | None = None,
    **facts: Any,
) -> dict[str, Any]:
    """The facts that are known before the first episode.

    Args:
        env: the environment; its id and arguments are read from ``env.spec``, or from its task if it has no spec.
        policy: the policy that plays; its name and configuration are recorded.
        seed: the seed of the whole recording.
        tokenizer: the tokenizer, if it is not ``env.tokenizer``.
        facts: further JSON-able facts (name, description, options ...).
    """
    spec = getattr(env, "spec", None)
    tokenizer = env.tokenizer if tokenizer is None else tokenizer
    env_id = spec.id if spec is not None else type(env).__name__
    kwargs = {key: value for key, value in (spec.kwargs if spec is not None else {}).items() if key not in _NO_MATTER}
    found: dict[str, Any] = {"format_version": FORMAT_VERSION, **facts, "env": {"id": env_id, "kwargs": plain(kwargs)}}
    task = env.unwrapped.task
    if spec is None:
        found["env"] |= {
            "task": type(task).__name__,
            "task_config": config_of(task),
            "max_tokens": env.unwrapped.max_tokens,
        }
    found["max_utterance_tokens"] = task.max_utterance_tokens
    if not task.pays:
        found["rewards"] = "none"
    if policy is not None:
        found["policy"] = {"name": policy_name(policy), "config": config_of(policy)}
    if seed is not None:
        found["seed"] = seed
    found["tokenizer"] = tokenizer_facts(tokenizer)
    found["versions"] = versions()
    scores = reference_scores(env_id, kwargs) if spec is not None else {}
    if scores:
        found["reference_scores"] = scores
    return found


def versions() -> dict[str, str]:
    """The versions of this package and of the libraries that make the bytes of a data set."""
    return {"lang-envs": lang_envs.__version__} | {name: version(name) for name in _LIBRARIES}


def tokenizer_facts(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """The facts by which a reader tells this tokenizer from another."""
    facts = {"fingerprint": fingerprint(tokenizer), "vocab_size": vocabulary_size(tokenizer)}
    before = opening_tokens(tokenizer)  # the tokens that every episode opens with, if the tokenizer has a template
    return facts | {"end_id": tokenizer.eos_token_id} | ({"opening": before} if before else {})


def check_tokenizer(provenance: dict[str, Any], tokenizer: PreTrainedTokenizerFast) -> None:
    """Refuses any tokenizer except the one that a data set was recorded with.

    Raises:
        DatasetError: ``tokenizer`` is another one.
    """
    if (provenance.get("tokenizer") or {}).get("fingerprint") != fingerprint(tokenizer):
        env = (provenance.get("env") or {}).get("id")
        size = (provenance.get("tokenizer") or {}).get("vocab_size")
        raise DatasetError(
            f"the data set was recorded with the tokenizer of {env or 'an unknown environment'} "
            f"({size or 'an unknown number of'} tokens). The one in use ({len(tokenizer)} tokens) is another, where "
            "the same ids are other words. Use episodes of the environment in use, recorded with tokenizer=... if "
            "that is not its own tokenizer, or use dataset.tokenizer()"
        )


def policy_name(policy: Any) -> str:
    """The ``name`` of the policy, or the name of its class if it has none."""
    return str(getattr(policy, "name", type(policy).__name__))


def config_of(policy: Any) -> dict[str, Any]:
    """The JSON-able fields of a dataclass, or those arguments of the constructor that are kept as attributes.

    Attributes whose names are those of passwords and keys are left out.
    """
    if dataclasses.is_dataclass(policy) and not isinstance(policy, type):
        names = [field.name for field in dataclasses.fields(policy) if field.init]
    else:
        names = list(inspect.signature(type(policy)).parameters)
    told = [name for name in names if hasattr(policy, name) and not _SECRET.search(name)]
    values = {name: plain(getattr(policy, name)) for name in told}
    return {name: value for name, value in values.items() if value is not None}


def plain(value: Any) -> Any:
    """``value`` as JSON would return it; paths become text, and an address loses its user info and its query.

    A function, an array or a model becomes its name and a hash of its content. Any other object that JSON cannot hold
    becomes the name of its class.
    """
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, str) and _ADDRESS.fullmatch(value):
        return without_secrets(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        return value.item()
    content = _content(value)
    name = f"{value.__module__}.{value.__qualname__}" if inspect.isfunction(value) else type(value).__name__
    return name if content is None else f"{name} {hashlib.sha256(content).hexdigest()[:16]}"


def _content(value: Any) -> bytes | None:
    """The content of a function, an array or a model as bytes; None for other objects."""
    if inspect.isfunction(value):
        closed = [plain(cell.cell_contents) for cell in value.__closure__ or ()]
        return repr((_instructions(value.__code__, value.__doc__), plain(value.__defaults__), closed)).encode()
    if isinstance(value, np.ndarray):
        return repr((value.dtype.str, value.shape)).encode() + value.tobytes()
    if hasattr(value, "state_dict"):  # of torch, which this package does not need
        digest = hashlib.sha256()
        for name, tensor in sorted(value.state_dict().items()):
            digest.update(name.encode() + tensor.detach().cpu().float().numpy().tobytes())
        return digest.digest()
    return None


def _instructions(code: CodeType, documentation: str | None = None) -> tuple[Any, ...]:
    """The instructions, names and constants of a function, without its file, its lines and its documentation."""
    documented = documentation is not None and code.co_consts[:1] == (documentation,)
    found = (None, *code.co_consts[1:]) if documented else code.co_consts  # None is there where nothing is documented
    constants = [_instructions(part) if isinstance(part, CodeType) else repr(part) for part in found]
    return code.co_code, code.co_names, tuple(constants)


def reference_scores(env_id: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Mean returns to compare a data set's with; empty if none are known for this environment with these arguments."""
    usual = gym.spec(env_id).kwargs
    options = {key: value for key, value in kwargs.items() if usual.get(key) != value}
    try:
        return plain(dataclasses.asdict(reference(env_id, **options)))
    except ValueError:
        return {}


def merged(provenances: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The provenance of merged data sets: that of each, their tokenizer, and the utterance limit if all have the same.

    Raises:
        DatasetError: they were recorded with different tokenizers.
    """
    first = provenances[0]
    prints = [(one.get("tokenizer") or {}).get("fingerprint") for one in provenances]
    if len(set(prints)) > 1:
        raise DatasetError(f"only data sets of one tokenizer can be merged, got the tokenizers {prints}")
    found: dict[str, Any] = {"format_version": FORMAT_VERSION, "merged": list(provenances)}
    if "tokenizer" in first:
        found["tokenizer"] = first["tokenizer"]
    limits = {one.get("max_utterance_tokens") for one in provenances}
    if len(limits) == 1 and None not in limits:
        found["max_utterance_tokens"] = first["max_utterance_tokens"]
    return found


def read_provenance(folder: Path) -> dict[str, Any]:
    """The ``provenance.json`` of a data set, compared with its checksum if there is one.

    Raises:
        FileNotFoundError: there is no such folder, or only its unfinished recording.
        DatasetError: the file is missing, was changed, is not a JSON object, or is of another format version.
    """
    if not folder.is_dir():
        partial = folder.with_name(folder.name + ".partial")
        hint = f"; {partial} is its unfinished recording: record again with the same arguments to finish it"
        raise FileNotFoundError(f"there is no data set at {folder}{hint if partial.exists() else ''}")
    file = folder / "provenance.json"
    if not file.is_file():
        raise DatasetError(
            f"{file} is missing: expected a folder written by datasets_builders (record, build, "
            "EpisodeDataset.save); a plain datasets folder does not say where its episodes come from"
        )
    try:
        entry = (checksums.read_entries(folder) or {}).get(file.name)
        if entry is not None:
            checksums.compare(file, entry)
        found = read_object(file)
    except ValueError as error:
        raise DatasetError(f"{error}; copy the folder again or record it anew") from error
    check_facts(found, str(file))
    return found


_KINDS: dict[tuple[str, ...], type] = {
    ("episodes",): int,
    ("max_utterance_tokens",): int,
    ("reference_scores",): dict,
    ("env",): dict,
    ("env", "id"): str,
    ("env", "kwargs"): dict,
    ("tokenizer",): dict,
    ("tokenizer", "fingerprint"): str,
    ("tokenizer", "vocab_size"): int,
    ("tokenizer", "end_id"): int,
}
"""The types of the facts that readers rely on if they are there. A provenance may hold any other facts."""


def check_facts(found: Any, where: str) -> None:
    """Refuses a provenance of another format version, or with facts of another type than readers expect.

    Raises:
        DatasetError: the message names ``where`` and the field.
    """
    of = found.get("format_version") if isinstance(found, dict) else None
    if of != FORMAT_VERSION or isinstance(of, bool):
        raise DatasetError(
            f"{where}, field 'format_version': expected {FORMAT_VERSION}, got {of}; "
            "read it with the release that wrote it, or record it anew"
        )
    for names, kind in _KINDS.items():
        value: Any = found
        for name in names:
            value = None if value is None else value.get(name)
        if value is not None and not _is(value, kind):
            raise DatasetError(
                f"{where}, field {'.'.join(names)!r}: expected {_IN_WORDS[kind]}, got {_shown(value)}; "
                "copy it again or record it anew"
            )


def _is(value: Any, kind: type) -> bool:
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
    return isinstance(value, kind)


_IN_WORDS: dict[type, str] = {dict: "an object", str: "a text", int: "a whole number from 0 on"}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
