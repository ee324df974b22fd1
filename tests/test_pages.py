"""The pages of docs/environments are what the docstrings say."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / "scripts" / "write_environment_pages.py"


def test_environment_pages_are_up_to_date():
    done = subprocess.run([sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"run scripts/write_environment_pages.py\n{done.stdout}{done.stderr}"
