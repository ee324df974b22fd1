"""``lang-envs bench``: runs a benchmark and writes its report."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from rich.markup import escape
from tyro.conf import Positional, arg

from agents.cli.next_steps import after_bench, show_next
from agents.cli.show import console, show_markdown
from datasets_builders.atomic import read_object
from lang_envs.make import of_file
from lang_envs.plugins import asked, find
from lang_envs.policies.address import without_secrets

if TYPE_CHECKING:
    from agents.benchmark import Suite


@dataclass
class Bench:
    """Runs a benchmark and writes its report.

    After an interruption, the same command resumes.

    With --executor ray, cells run on every machine of the running Ray cluster (ray start --head; RAY_ADDRESS). --out
    must be on a shared file system under the same path.

    Examples:
        lang-envs bench quick --out runs/quick
        lang-envs bench trap --out runs/trap --seeds 5 --workers 2
        lang-envs bench dialogue-real --only multiwoz --out runs/multiwoz
        lang-envs bench my_package.suites:MINE --out runs/mine
        lang-envs bench --from runs/quick/config.json --out runs/again
    """

    name: Annotated[Positional[str], arg(metavar="[BENCHMARK]")] = ""
    """name of a benchmark (`lang-envs list`), or module:SUITE"""
    out: Path = field(kw_only=True)
    """folder of the results"""
    seeds: int | None = None
    """training runs per cell; by default the benchmark's own number"""
    workers: int = 2
    """number of worker processes with one thread each; results do not depend on it. A Ray cluster ignores it"""
    executor: Literal["processes", "ray"] = "processes"
    """where cells run: worker processes of this machine, or a Ray cluster; needs the package ray"""
    tensorboard: bool = False
    """also log every training for TensorBoard: tensorboard --logdir OUT/cells; needs the package tensorboard"""
    only: tuple[str, ...] = ()
    """names of the experiments to run and report; by default all. An experiment that starts from another's agents needs
    that one too"""
    smoke: bool = False
    """shrink every experiment to seconds, to check that it runs"""
    from_config: Annotated[Path | None, arg(name="from")] = None
    """config.json of an earlier run to repeat, instead of a name"""

    def __call__(self) -> None:
        """Prints where the report is."""
        from agents.benchmark import SUITES, Suite, run
        from agents.benchmark.smoke import shrunk
        from agents.benchmark.suite_file import suite_of_plain

        if self.from_config is not None and self.name:
            raise ValueError(
                f"Name a benchmark ({self.name!r}) or a configuration (--from {self.from_config}), not both."
            )
        if self.from_config is not None:
            suite = suite_of_plain(read_object(self.from_config))
            _check_modules(self.from_config, suite)
        else:
            suite = find("suites", self.name, SUITES, "benchmark", lambda found: isinstance(found, Suite))
        suite = suite.only(*self.only) if self.only else suite
        suite = shrunk(suite) if self.smoke else suite
        suite = dataclasses.replace(suite, seeds=self.seeds) if self.seeds is not None else suite
        screen = console()
        report = run(
            suite,
            self.out,
            self.workers,
            _command_line(),
            say=lambda line: screen.print(line, style="dim", markup=False),
            executor=self.executor,
            tensorboard=self.tensorboard,
        )
        show_markdown(screen, (self.out / "table.md").read_text(encoding="utf-8"))
        screen.print(f"[bold]The report is at[/] {escape(str(report.resolve()))}", soft_wrap=True)
        show_next(screen, *after_bench(self.out, report, self.smoke, self._whole()))

    def _whole(self) -> list[str]:
        """The words of the command that runs in full, in another folder, what was tried with --smoke."""
        what = ["--from", str(self.from_config)] if self.from_config is not None else [self.name]
        only = ["--only", *self.only] if self.only else []
        return ["bench", *what, *only, "--out", f"{self.out}-whole"]


def _check_modules(path: Path, suite: Suite) -> None:
    """Checks that a suite from a file names no code of modules that the user has not named.

    A file must not decide which modules are imported, because importing a module runs it.

    Raises:
        ValueError: the file names such code.
    """
    from agents.benchmark import Data

    for e in suite.experiments:
        logs = (e.data, e.held_out, *(cell.data for cell in e.cells))
        made = [getattr(part, "options", {}) for part in logs]
        recipes = [part.recipe for part in logs if isinstance(part, Data)]
        for at in (*recipes, *(cell.agent for cell in e.cells), *(baseline.policy for baseline in e.baselines)):
            asked(at, path)
        envs = [(e.env, e.env_options), *((other.env, other.options) for other in e.elsewhere)]
        for env_id, options in (*envs, *((options.get("env_id", ""), options) for options in made)):
            of_file(env_id, options, str(path))


def _command_line() -> str:
    """The command as it was typed, without the parts of addresses that may be secret."""
    return shlex.join(["lang-envs", *map(without_secrets, sys.argv[1:])])
