"""Makes every test run offline and on one thread, with real data only if ``LANG_ENVS_DATA`` names their folder."""

import os
from pathlib import Path
from typing import Any

import pytest

APART = ("test_suites.py", "test_fuzz.py")
"""files whose tests may be run by several workers: together each takes longer than a worker should be left with"""
SLOW = (
    "test_suites.py",
    "test_fuzz.py",
    "test_distributed.py",
    "test_runner.py",
    "test_executors.py",
    "test_interrupts.py",
)
"""files of few long tests, begun first: one that is left to the end keeps one worker busy while the other waits"""

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the files with the longest tests first."""
    items.sort(key=lambda item: SLOW.index(item.path.name) if item.path.name in SLOW else len(SLOW))


@pytest.hookimpl(optionalhook=True)  # of xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """All tests of a file go to one worker, but for the files whose tests go to any."""
    from xdist.scheduler import LoadFileScheduling

    class Files(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return nodeid if file.endswith(APART) else file

    return Files(config, log)


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
