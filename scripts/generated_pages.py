"""Shared by the scripts that write documentation pages; ``--check`` writes nothing and reports outdated pages."""

import argparse
from pathlib import Path


def write(pages: dict[Path, str], about: str | None) -> int:
    """Writes the pages that are not what they should be.

    Args:
        pages: what each file should hold.
        about: for ``--help``.

    Returns:
        1 where ``--check`` was given and a page is out of date, else 0.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page is out of date")
    check = parser.parse_args().check
    stale = {path: text for path, text in pages.items() if not path.exists() or path.read_text("utf-8") != text}
    for path, text in stale.items():
        print(f"{path.name} is out of date" if check else f"wrote {path.name}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return int(check and bool(stale))
