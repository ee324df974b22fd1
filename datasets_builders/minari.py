"""Writes and reads Minari data sets (https://minari.farama.org), without loss in either direction.

A step is one token of the agent. Its observation is the environment's own: all tokens so far, padded, with their mask.
A Minari data set is therefore much larger than a data set of this package. Log-probabilities are in the infos of the
steps; the first entry belongs to the reset and is NaN. An episode's info is in the episode's metadata, as JSON. The
provenance is in the metadata of the data set.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from datasets_builders.dataset import EpisodeDataset
from datasets_builders.imports import checked_provenance
from datasets_builders.provenance import RESULTS, tokenizer_facts
from datasets_builders.storage import FORMAT_VERSION, DatasetError, encode, schema_of, to_json
from lang_envs.corpora.files import CorpusError, parse
from lang_envs.episode import Episode, Episodes
from lang_envs.make import of_file
from lang_envs.progress import counted
from lang_envs.spaces import history_space

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_EPISODES = 256  # number of episodes that are turned into observations at once
_SHELF = "MINARI_DATASETS_PATH"  # where Minari keeps its data sets
_PROVENANCE, _INFO, _LOGPROB = "lang_envs_provenance", "lang_envs_info", "logprob"


def to_minari(dataset: EpisodeDataset, dataset_id: str, data_format: str = "hdf5", **facts: Any) -> Any:
    """Writes a Minari data set, which ``minari.load_dataset(dataset_id)`` opens.

    Its spaces are those of the environment if it can be made here. Otherwise they are inferred from the episodes.

    Args:
        dataset: the episodes.
        dataset_id: its name in Minari, such as ``wordle/trap-v0``; its folder is in ``$MINARI_DATASETS_PATH`` (by
            default ``~/.minari/datasets``).
        data_format: "hdf5", or "arrow", which makes a folder for each episode.
        **facts: arguments of ``minari.create_dataset_from_buffers``: author, code_permalink, description ...

    Returns:
        The ``minari.MinariDataset``.

    Raises:
        ImportError: Minari is not installed.
        FileExistsError: there is such a data set.
        ValueError: the name or the format is not valid, or an episode has no action and therefore no step.
    """
    minari = _minari()
    from minari.storage.datasets_root_dir import get_dataset_path

    folder = get_dataset_path(_checked(dataset_id))
    if folder.exists():
        raise FileExistsError(f"{folder} exists: choose another name or a higher version, or delete it")
    env = _environment(dataset)
    spaces: tuple[Any, Any] = _spaces(dataset) if env is None else (env.observation_space, env.action_space)
    width = spaces[0]["input_ids"].shape[0]
    pad_id = 0 if env is None else env.unwrapped.pad_id  # type: ignore[attr-defined]  # token environments have one
    scores = dataset.provenance.get("reference_scores")
    if scores and env is not None:
        facts = {"ref_min_score": scores["random"], "ref_max_score": scores["expert"]} | facts
    episodes = enumerate(counted(f"writing {dataset_id}", len(dataset), dataset))
    first = list(islice(episodes, _EPISODES))
    with _aside(dataset_id, folder):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Minari warns about every fact that is missing
            made = minari.create_dataset_from_buffers(
                dataset_id,
                [_buffer(index, episode, width, pad_id) for index, episode in first],
                env=env,
                observation_space=spaces[0],
                action_space=spaces[1],
                data_format=data_format,
                **{"algorithm_name": ", ".join(dataset.describe()["policies"]), **facts},
            )
        made.storage.update_metadata({_PROVENANCE: dataset.provenance})
        _describe(made.storage, first)
        while some := list(islice(episodes, _EPISODES)):
            made.storage.update_episodes([_buffer(index, episode, width, pad_id) for index, episode in some])
            _describe(made.storage, some)
    return minari.load_dataset(dataset_id)


@contextmanager
def _aside(dataset_id: str, folder: Path) -> Iterator[None]:
    """Lets Minari write to a hidden folder; when the block ends, the data set is moved to ``folder``."""
    from minari.dataset.minari_dataset import parse_dataset_id
    from minari.namespace import create_namespace, list_local_namespaces
    from minari.storage.datasets_root_dir import get_dataset_path

    namespace = parse_dataset_id(dataset_id)[0]
    if namespace is not None and namespace not in list_local_namespaces():
        create_namespace(namespace)
    hidden = get_dataset_path() / f".unfinished-{dataset_id.replace('/', '-')}"
    shutil.rmtree(hidden, ignore_errors=True)
    before = os.environ.get(_SHELF)
    os.environ[_SHELF] = str(hidden)
    try:
        yield
        os.replace(hidden / dataset_id, folder)
    finally:
        if before is None:
            del os.environ[_SHELF]
        else:
            os.environ[_SHELF] = before
        shutil.rmtree(hidden, ignore_errors=True)


def from_minari(source: Any, tokenizer: PreTrainedTokenizerFast | None = None) -> EpisodeDataset:
    """Reads a data set that :func:`to_minari` wrote, or any Minari data set of token environments of this package.

    Args:
        source: a ``minari.MinariDataset`` or the name of one.
        tokenizer: if given, it must be the tokenizer that the episodes were recorded with.

    Raises:
        ImportError: Minari is not installed.
        FileNotFoundError: there is no such data set.
        DatasetError: the data set is damaged, or its observations are not the token histories of a token environment.
    """
    minari = _minari()
    name = source if isinstance(source, str) else source.spec.dataset_id
    try:
        return _imported(minari.load_dataset(source) if isinstance(source, str) else source, name, tokenizer)
    except (DatasetError, FileNotFoundError):
        raise
    except Exception as error:  # Minari, HDF5 and Arrow raise errors of many types for damaged files
        raise DatasetError(
            f"{name}: Minari cannot read it ({type(error).__name__}: {error}); copy it again or record it anew"
        ) from error


def _imported(found: Any, name: str, tokenizer: PreTrainedTokenizerFast | None) -> EpisodeDataset:
    """The episodes of a Minari data set."""
    space = found.observation_space
    if not isinstance(space, gym.spaces.Dict) or set(space.spaces) != {"input_ids", "attention_mask"}:
        raise DatasetError(
            f"{name}: expected observations Dict(input_ids, attention_mask), as a token environment shows, got {space}"
        )
    stored = found.storage.metadata
    provenance = stored.get(_PROVENANCE) or {"format_version": FORMAT_VERSION, "minari": name}
    provenance = checked_provenance(provenance, f"{name}, metadata {_PROVENANCE!r}")
    if "tokenizer" not in provenance and tokenizer is not None:
        provenance["tokenizer"] = tokenizer_facts(tokenizer)
    metadata = found.storage.get_episode_metadata(found.episode_indices)
    episodes = [_episode(data, own, name) for data, own in zip(found.iterate_episodes(), metadata, strict=True)]
    if provenance.get("episodes", len(episodes)) != len(episodes):  # a selection, made here or by Minari
        provenance = {key: value for key, value in provenance.items() if key not in RESULTS}
    packed = encode(Episodes.from_list(episodes), schema_of(provenance))
    return EpisodeDataset._imported(provenance, iter([packed]), tokenizer, name)


def _buffer(index: int, episode: Episode, width: int, pad_id: int) -> Any:
    """An episode as one observation [width] before each action and one at the end."""
    from minari.data_collector import EpisodeBuffer

    places = np.flatnonzero(episode.is_action)  # [n]
    if not len(places):
        raise ValueError(f"episode {index} has no action, and so no step: Minari cannot hold it; leave it out")
    lengths = np.append(places, len(episode))  # [n + 1] number of tokens that each observation shows
    mask = np.arange(width) < lengths[:, None]  # [n + 1, width]
    tokens = np.zeros(width, np.int64)
    tokens[: len(episode)] = episode.tokens
    last = np.arange(len(places)) == len(places) - 1  # [n]
    logprobs = np.full(len(episode), np.nan, np.float32) if episode.logprobs is None else episode.logprobs
    return EpisodeBuffer(
        seed=episode.info.get("seed"),
        observations={"input_ids": np.where(mask, tokens, pad_id), "attention_mask": mask.astype(np.int8)},
        actions=episode.tokens[places].astype(np.int64),
        rewards=episode.rewards[places],
        terminations=last & episode.terminated,
        truncations=last & episode.truncated,
        infos={_LOGPROB: [np.nan, *logprobs[places].tolist()]},  # Minari 0.5.4 cannot read arrays of one axis back
    )


def _describe(storage: Any, episodes: list[tuple[int, Episode]]) -> None:
    """Writes the info of episodes, except the seed, for which Minari has a field."""
    storage.update_episode_metadata(
        [{_INFO: to_json(episode.info)} for _, episode in episodes], [index for index, _ in episodes]
    )


def _episode(data: Any, metadata: dict[str, Any], name: str) -> Episode:
    """The episode of a sequence of steps.

    Raises:
        DatasetError: an observation does not continue the one before it, or a value is of another type.
    """
    where = f"{name}, episode {data.id}"
    _check_steps(data, where)
    shown, mask = data.observations["input_ids"], data.observations["attention_mask"].astype(bool)  # [n + 1, T] each
    lengths = mask.sum(axis=1)  # [n + 1]
    tokens = shown[-1, : lengths[-1]].astype(np.int32)  # [t]
    places = lengths[:-1]  # [n] where each action stands
    prefix = np.arange(mask.shape[1]) < lengths[:, None]
    if not (
        (mask == prefix).all()
        and (np.diff(lengths) > 0).all()
        and (np.where(mask, shown, 0) == np.where(mask, shown[-1], 0)).all()
        and (tokens[places] == data.actions).all()
    ):
        raise DatasetError(
            f"{where}, observations: expected each to be all tokens so far, right-padded, the last "
            "action among them, as a token environment shows them"
        )
    logprobs = np.full(len(tokens), np.nan, np.float32)
    if _LOGPROB in (data.infos or {}):
        logprobs[places] = _numbers(data.infos[_LOGPROB], len(places) + 1, f"{where}, infos {_LOGPROB!r}")[1:]
    rewards = np.zeros(len(tokens), np.float32)
    rewards[places] = _numbers(data.rewards, len(places), f"{where}, rewards")
    is_action = np.zeros(len(tokens), np.bool_)
    is_action[places] = True
    seed = metadata.get("seed")
    return Episode(
        tokens,
        is_action,
        rewards,
        terminated=bool(data.terminations[-1]),
        truncated=bool(data.truncations[-1]) and not bool(data.terminations[-1]),
        logprobs=None if np.isnan(logprobs).all() else logprobs,
        info=_info(metadata.get(_INFO, "{}"), where) | ({} if seed is None else {"seed": int(seed)}),
    )


def _check_steps(data: Any, where: str) -> None:
    """Checks that there is one observation before each action and one at the end, all integers of one width.

    Raises:
        DatasetError: the observations are of another type or number.
    """
    kinds = {name: np.asarray(data.observations[name]) for name in ("input_ids", "attention_mask")} | {
        "actions": np.asarray(data.actions)
    }
    steps = len(kinds["actions"])
    shape = kinds["input_ids"].shape
    fits = len(shape) == 2 and shape == kinds["attention_mask"].shape and shape[0] == steps + 1 and steps > 0
    if not fits or kinds["actions"].ndim != 1 or any(values.dtype.kind not in "iub" for values in kinds.values()):
        got = ", ".join(f"{name} {values.dtype} {values.shape}" for name, values in kinds.items())
        raise DatasetError(f"{where}: expected integers, one row of observations more than actions, got {got}")
    for name in ("terminations", "truncations"):
        if len(getattr(data, name)) != steps:
            raise DatasetError(f"{where}, {name}: expected {steps} of them, got {len(getattr(data, name))}")


def _numbers(values: Any, count: int, where: str) -> NDArray[np.float32]:
    found = np.asarray(values)
    if found.dtype.kind not in "fiu" or found.shape != (count,):
        raise DatasetError(f"{where}: expected {count} numbers, got {found.dtype} {found.shape}")
    return found.astype(np.float32)


def _info(text: Any, where: str) -> dict[str, Any]:
    if not isinstance(text, str):
        raise DatasetError(f"{where}, metadata {_INFO!r}: expected a text, got {type(text).__name__}")
    try:
        found = parse(text, f"{where}, metadata {_INFO!r}")
    except CorpusError as error:
        raise DatasetError(str(error)) from error
    if not isinstance(found, dict):
        raise DatasetError(f"{where}, metadata {_INFO!r}: expected an object, got {type(found).__name__}")
    return found


def _environment(dataset: EpisodeDataset) -> gym.Env[Any, Any] | None:
    """The environment that the episodes were recorded in; None if it is unknown or cannot be made here."""
    import lang_envs  # noqa: F401  # registers the ids

    found = dataset.provenance.get("env") or {}
    if found.get("id") not in gym.registry:
        return None
    try:
        env_id, options = of_file(found["id"], found.get("kwargs", {}), "the data set")
        return gym.make(env_id, **options)
    except (ValueError, TypeError, OSError, ImportError):  # its corpus is not here, or its reward was a function
        return None


def _spaces(dataset: EpisodeDataset) -> tuple[Any, Any]:
    """The observation space and the action space of the environment, inferred from the episodes."""
    vocabulary = (dataset.provenance.get("tokenizer") or {}).get("vocab_size")
    vocabulary = vocabulary or 1 + max(int(episode.tokens.max()) for episode in dataset)
    return history_space(vocabulary, int(dataset.lengths.max())), gym.spaces.Discrete(vocabulary)


def _checked(dataset_id: str) -> str:
    from minari.dataset.minari_dataset import parse_dataset_id

    try:
        parse_dataset_id(dataset_id)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"a Minari data set is called NAME-v0 or FOLDER/NAME-v0, FOLDER of two letters or more; got {dataset_id!r}"
        ) from error
    return dataset_id


def _minari() -> Any:
    try:
        import minari
    except ImportError as error:
        raise ImportError(f"Minari data sets need pip install 'lang-envs[minari]' ({error})") from error
    return minari
