"""Runs the recipes of docs/other_libraries.md whose libraries are not installed beside this package.

Each library gets its own environment in build/others, which is made if it does not exist. A recipe that begins with the
line ``# server: lang-envs ...`` is for a library that cannot share an environment with this package. The library's
environment is then without this package, and the command in the line runs beside it in the environment of this script.
At the end a table shows for each library its version, and whether its recipe ran or why it did not.

python scripts/try_other_libraries.py [LIBRARY ...]
"""

import argparse
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "other_libraries.md"
OTHERS = ROOT / "build" / "others"
RECIPE = re.compile(r'^```py title="(.+?)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
SERVER = re.compile(r"^# server: lang-envs (.+)$", re.MULTILINE)
PATIENCE = 120
"""seconds that a server has to start"""


def recipes() -> dict[str, tuple[str, str]]:
    """By library: what pip installs, which is the library and its extras, and the code."""
    found = RECIPE.findall(PAGE.read_text("utf-8"))
    return {title.partition("[")[0]: (title, code) for title, code in found}


def installed(library: str, package: str, alone: bool) -> Path:
    """The Python of the library's environment, which is made where it is not there; without this package if ``alone``.

    Torch comes first and by its constraint: asked for later, a range takes the newest build with CUDA packages.
    """
    folder = OTHERS / library
    python, done = folder / "bin" / "python", folder / ".installed"
    if not done.exists():
        run([sys.executable, "-m", "venv", "--clear", str(folder)])
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if not alone:
            run([*pip, "-c", str(ROOT / "constraints.txt"), "torch"])
        run([*pip, package])
        if not alone:
            run([*pip, "-e", str(ROOT)])
        done.touch()
    return python


def run(command: list[str], **settings: object) -> str:
    """Runs a command -> its output; raises ValueError with the last line of it where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **settings)
    if done.returncode:
        raise ValueError((done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1])
    return done.stdout


@contextmanager
def server(code: str) -> Iterator[dict[str, str]]:
    """Runs the server that a recipe asks for -> the variable SERVER, its address; nothing where it asks for none.

    Raises:
        ValueError: it does not start.
    """
    if not (found := SERVER.search(code)):
        yield {}
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "agents.cli", *shlex.split(found[1]), "--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        try:
            for _ in range(PATIENCE):
                if process.poll() is not None or answers(port):
                    break
                time.sleep(1)
            if not answers(port):
                raise ValueError(f"the server does not start: lang-envs {found[1]}")
            yield {"SERVER": f"http://127.0.0.1:{port}"}
        finally:
            process.terminate()


def answers(port: int) -> bool:
    """Whether something listens at a port of this machine."""
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def tried(library: str, package: str, code: str) -> tuple[str, str]:
    """Its version, and "passed" or why not."""
    version = "not installed"
    try:
        python = installed(library, package, alone=bool(SERVER.search(code)))
        ask = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
        version = run([str(python), "-c", ask, library]).strip()
        work = OTHERS / f"{library}-files"
        run(["rm", "-rf", str(work)])
        work.mkdir()
        with server(code) as address:
            settings = {**os.environ, "HF_HUB_OFFLINE": "1", **address}
            run([str(python), "-c", code], cwd=work, timeout=300, env=settings)
    except (ValueError, OSError, subprocess.TimeoutExpired) as error:
        return version, f"failed: {error}"
    return version, "passed"


def main() -> int:
    """Tries the libraries named, or all, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = recipes()
    parser.add_argument("libraries", nargs="*", help=f"of {', '.join(known)}; all by default")
    names = parser.parse_args().libraries or list(known)
    OTHERS.mkdir(parents=True, exist_ok=True)
    rows = [(name, *tried(name, *known[name])) for name in names]
    print("| library | version | recipe |\n|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    return int(any(row[2] != "passed" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
