"""Runs OpenEnv's validation, up to its highest level, on an exported folder of every environment.

OpenEnv's own provider starts containers. The provider here starts the folder's server in this process, on a port of the
loopback device, and needs neither a container nor a network. Checks that need a sandbox are skipped, and the report
says so.

    python scripts/validate_openenv.py [ID ...]
"""

from __future__ import annotations

import json
import runpy
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gymnasium as gym
from openenv.validation import Level, Verdict, run_validation
from openenv.validation.providers import ExecResult
from openenv.validation.types import CheckStatus, ProviderCapability

from datasets_builders.logs.importing import Options
from datasets_builders.logs.writing import import_logs
from lang_envs.make import needed_options
from lang_envs.openenv.export import export
from lang_envs.openenv.server import serving
from lang_envs.tokenizers import text_tokenizer


class Running:
    """A server in a thread, as a provider hands it out."""

    def __init__(self, app: Any) -> None:
        self._stack = ExitStack()
        self.base_url = self._stack.enter_context(serving(app))

    def inspect(self) -> dict[str, Any]:
        """Nothing to tell."""
        return {}

    def logs(self, max_bytes: int = 65536) -> str:
        """None are kept."""
        return ""

    def exec(self, argv: list[str], timeout_s: float) -> ExecResult:
        """Refused."""
        raise NotImplementedError("nothing is executed beside the server")

    def stop(self) -> None:
        """Ends the server."""
        self._stack.close()


class InThisProcess:
    """A provider of OpenEnv's validation that starts ``server/app.py`` of a folder in this process."""

    name = "in-this-process"
    capabilities = frozenset({ProviderCapability.IMAGE_BUILD})
    supported_network_modes = frozenset({"public"})

    def build(self, root: Path, execution: Any) -> str:
        """Remembers the folder -> a digest that stands for it."""
        self._root = root
        return "sha256:" + "0" * 64

    def start(self, spec: Any) -> Running:
        """Starts its server."""
        return Running(runpy.run_path(str(self._root / "server" / "app.py"))["app"])


def needed(env_id: str, folder: Path) -> dict[str, str]:
    """What an environment cannot be made without: of logs, a data set of two conversations below ``folder``.

    Raises:
        ValueError: where it needs something else.
    """
    options = needed_options(env_id)
    if options not in ((), ("data",)):
        raise ValueError(f"{env_id} needs {' and '.join(options)}, and this script brings nothing but data")
    if not options:
        return {}
    log, data = folder / "log.jsonl", folder / "log"
    rows = ({"prompt": prompt, "response": "hello", "reward": 1.0} for prompt in ("hi", "good day"))
    log.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    import_logs([log], data, text_tokenizer(), Options(), held_out=0)
    return {"data": str(data)}


def validate(env_id: str, folder: Path, **options: Any) -> list[str]:
    """Exports an environment and validates it at each level -> what was found wrong."""
    export(env_id, folder, **options)
    found = []
    for level in Level.STATIC, Level.RUNTIME, Level.SEMANTIC:
        report = run_validation(folder, max_level=level, provider=InThisProcess())
        failed = [r for r in report.results if r.status in (CheckStatus.FAIL, CheckStatus.ERROR)]
        if report.verdict is Verdict.FAIL or failed:
            found += [f"{level.name.lower()}: {r.check_id}: {'; '.join(r.evidence)}" for r in failed]
        if level > Level.STATIC:
            passed = {r.check_id for r in report.results if r.status is CheckStatus.PASS}
            found += [f"{level.name.lower()}: {check} was not run" for check in RUNTIME_CHECKS - passed]
    return found


RUNTIME_CHECKS = {
    "runtime.startup",
    "runtime.reward_well_formed",
    "runtime.observation_schema",
    "runtime.state_contract",
}
"""those that this version of OpenEnv has and that need no sandbox"""


def main(ids: list[str]) -> int:
    """Prints a line for each environment -> 1 where one was refused."""
    refused = 0
    for env_id in ids:
        if needed_options(env_id) == ("path",):
            print(f"{env_id:40} is left out: its corpus is not in the folder that LANG_ENVS_DATA names")
            continue
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            found = validate(env_id, Path(folder) / "env", **needed(env_id, Path(folder)))
        refused += bool(found)
        print(f"{env_id:40} {found or 'passes'} ({time.perf_counter() - started:.1f} s)")
    return int(refused > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or [id for id, spec in gym.registry.items() if "lang_envs" in str(spec.entry_point)]))
