"""Every test runs offline, on one thread, with the real data folder only where ``LANG_ENVS_DATA`` names one."""

import os
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real files in official formats; the test is skipped where there is none."""
    folder = os.environ.get("LANG_ENVS_DATA")
    if not folder:
        pytest.skip("LANG_ENVS_DATA is not set: no folder of real files to test on")
    return Path(folder)


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The folder of SmolLM2, which the first run of the tests makes and later ones find in the cache."""
    from lang_envs.model_files import located

    return Path(located("smollm2"))
