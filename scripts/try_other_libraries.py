"""Runs the recipes of docs/other_libraries.md whose libraries do not install beside this package.

Each library gets an environment of its own in build/others, which is made anew where it is not there. At the end a
table says of each: its version, whether the recipe ran, and why not.

python scripts/try_other_libraries.py [LIBRARY ...]
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "other_libraries.md"
OTHERS = ROOT / "build" / "others"
RECIPE = re.compile(r'^```py title="(.+?)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def recipes() -> dict[str, tuple[str, str]]:
    """By library: what pip installs, which is the library and its extras, and the code."""
    found = RECIPE.findall(PAGE.read_text("utf-8"))
    return {title.partition("[")[0]: (title, code) for title, code in found}


def installed(library: str, package: str) -> Path:
    """The Python of the library's environment, which is made where it is not there.

    Torch comes first and by its constraint: asked for later, a range takes the newest build with CUDA packages.
    """
    folder = OTHERS / library
    python, done = folder / "bin" / "python", folder / ".installed"
    if not done.exists():
        run([sys.executable, "-m", "venv", "--clear", str(folder)])
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run([*pip, "-c", str(ROOT / "constraints.txt"), "torch"])
        run([*pip, package])
        run([*pip, "-e", str(ROOT)])
        done.touch()
    return python


def run(command: list[str], **settings: object) -> str:
    """Runs a command -> its output; raises ValueError with the last line of it where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **settings)
    if done.returncode:
        raise ValueError((done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1])
    return done.stdout


def tried(library: str, package: str, code: str) -> tuple[str, str]:
    """Its version, and "passed" or why not."""
    version = "not installed"
    try:
        python = installed(library, package)
        ask = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
        version = run([str(python), "-c", ask, library]).strip()
        work = OTHERS / f"{library}-files"
        run(["rm", "-rf", str(work)])
        work.mkdir()
        run([str(python), "-c", code], cwd=work, timeout=300, env={**os.environ, "HF_HUB_OFFLINE": "1"})
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
