"""Reads files with the transformers library, with errors in words and without its progress bars and reports."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading(path: str | os.PathLike[str]) -> Iterator[None]:
    """In the block, errors of the library become ``ValueError``, and it shows no progress bars and no reports.

    The report of unused weights is not needed, because layers are left out on purpose.

    Raises:
        ValueError: the library raised any error; the message names ``path``.
    """
    from transformers.utils import logging

    level, shows = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    except BaseException as error:
        # Damaged files make the library raise errors of any type; a panic in Rust code is not an Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise ValueError(f"cannot load a model from {path}: {_reason(error)}") from error
    finally:
        logging.set_verbosity(level)
        if shows:
            logging.enable_progress_bar()


def _reason(error: BaseException) -> str:
    if "trust_remote_code" in str(error):
        return "it needs code that comes with it, which is never run; take a model whose layout transformers knows"
    said = str(error).strip().split("\n")[0][:300] or type(error).__name__
    return (
        "expected a folder with config.json, model.safetensors and tokenizer.json, a .gguf file, or the name of such a "
        f"model on the hub while that can be reached ({type(error).__name__}: {said})"
    )
