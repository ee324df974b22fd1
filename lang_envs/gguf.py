"""Converts GGUF files into folders that the transformers library opens; each file is converted once, into a cache.

    <cache>/models/<name>-<sha256>/     model.safetensors (bf16), config.json, tokenizer.json ..., licences, SOURCE

The cache is ``$LANG_ENVS_CACHE``, else ``$XDG_CACHE_HOME/lang-envs``, else ``~/.cache/lang-envs``. A folder's name
holds a checksum of the GGUF file, so no two files share a folder. A folder is written beside its place and renamed into
it, and ``SOURCE`` holds the checksums of its files. So an unfinished folder is never used, and a damaged one is made
again. The weights are the dequantised weights of the file. The tokenizer cuts a text into pieces as the library does
for the layout, except for tokenizers whose file names one of ``DIGITS_APART``.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sys
import tempfile
from contextlib import redirect_stderr
from functools import lru_cache
from pathlib import Path
from typing import Any

from lang_envs.loading import loading
from lang_envs.progress import part_of, progress_bar

CACHE = "LANG_ENVS_CACHE"
SOURCE = "source.json"
CONVERSION = 1
"""version of the conversion; raise it with any change of the files that are written"""
DIGITS_APART = ("smollm",)
"""``tokenizer.ggml.pre`` of tokenizers that split off every digit before they cut as GPT-2 does"""


def cache_folder() -> Path:
    """The folder of converted models; it need not exist yet."""
    if chosen := os.environ.get(CACHE):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lang-envs"


def converted(file: Path) -> Path:
    """The folder of a GGUF file's model. The first call makes it, which takes about 20 seconds for 135 M weights.

    Several processes may call it at once; one converts, and the others wait.

    Raises:
        ValueError: there is no such file, or it cannot be converted.
        OSError: the cache cannot be written.
    """
    if not file.is_file():
        raise ValueError(f"{file} is no file: expected the path of a model in the format GGUF")
    facts = file.stat()
    return _converted(file.resolve(), cache_folder().resolve(), facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=8)
def _converted(file: Path, cache: Path, *_of_the_file: int) -> Path:
    import filelock

    content = _sha256(file)
    folder = cache / "models" / f"{file.stem}-{content[:16]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder.with_name(f".{folder.name}.lock")):
        if not _is_whole(folder, content):
            shutil.rmtree(folder, ignore_errors=True)
            _convert(file, folder, content)
    return folder


def _convert(file: Path, folder: Path, content: str) -> None:
    sys.stderr.write(f"Converting {file.name} into {folder}, once; this takes a while (20 s for 135 M weights) ...\n")
    for left_over in folder.parent.glob(f".{folder.name}-*"):  # of killed processes, because this one holds the lock
        shutil.rmtree(left_over, ignore_errors=True)
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _write_model(file, new)
        for licence in _licences(file):
            shutil.copy(licence, new / licence.name)
        files = {path.name: {"bytes": path.stat().st_size, "sha256": _sha256(path)} for path in sorted(new.iterdir())}
        facts = {"conversion": CONVERSION, "file": file.name, "sha256": content, "files": files}
        (new / SOURCE).write_text(json.dumps(facts, indent=2), encoding="utf-8")
        os.replace(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    sys.stderr.write(f"Converted {file.name}.\n")


def _write_model(file: Path, new: Path) -> None:
    """Writes weights, configuration, generation settings and tokenizer to the folder ``new``."""
    import gguf
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    with (
        part_of(f"converting {file.name}"),  # plain lines: the library reports no progress before the end
        progress_bar("weights", None),
        loading(file),
        torch.random.fork_rng(devices=[]),
        redirect_stderr(io.StringIO()),  # the library draws a progress bar even if it is disabled
    ):
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, trust_remote_code=False)
        _cut_as_trained(tokenizer, gguf.GGUFReader(file).fields.get("tokenizer.ggml.pre"))
        # Quantised weights cannot be saved.
        plain = GgufConfig(dequantize=True)
        model = AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, dtype=torch.bfloat16, quantization_config=plain, trust_remote_code=False
        )
        if (positions := getattr(model.config.get_text_config(), "max_position_embeddings", None)) is not None:
            tokenizer.model_max_length = positions
        tokenizer.save_pretrained(new)
        model.save_pretrained(new)


def _cut_as_trained(tokenizer: Any, name: Any) -> None:
    """Sets the pre-tokenizer that the file names, for those tokenizers for which the library sets another."""
    from tokenizers import pre_tokenizers

    if name is not None and name.contents() in DIGITS_APART:
        bytewise = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        parts = [pre_tokenizers.Digits(individual_digits=True), bytewise]
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)


def _licences(file: Path) -> list[Path]:
    """The licence files beside a model, or if there are none, those of the package that it came in."""
    beside = [path for path in file.parent.glob("LICEN[CS]E*") if path.is_file()]
    packages = file.parent.parent.glob(f"{file.parent.name}-*.dist-info")
    return beside or [path for package in packages for path in sorted(package.rglob("LICEN[CS]E*")) if path.is_file()]


def _is_whole(folder: Path, content: str) -> bool:
    """Whether a folder holds the unchanged files of this version's conversion of the file with checksum ``content``."""
    try:
        facts = json.loads((folder / SOURCE).read_text(encoding="utf-8"))
        if (facts["conversion"], facts["sha256"]) != (CONVERSION, content):
            return False
        return all(
            (folder / name).stat().st_size == entry["bytes"] and _sha256(folder / name) == entry["sha256"]
            for name, entry in facts["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
