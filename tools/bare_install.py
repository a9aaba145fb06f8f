"""Install archwright without extras into a second environment, and search there.

usage: bare_install.py [--keep FOLDER] [--no-search]

The new environment borrows torch, torchvision and what they need from the one that runs this file: their files are
linked, so that gigabytes are neither fetched nor copied again. Everything else is installed by pip within the pins
of constraints.txt. Then the package must import, show its help and search on the embedded dataset, with none of the
extras there to lean on.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
BORROWED = ("torch", "torchvision")
ABSENT = ("mlxtend", "pytest", "matplotlib", "pandas")
"""What a bare install must do without: the extras and what they bring."""


def closure(roots: Iterable[str]) -> list[metadata.Distribution]:
    """The distributions of these names and all they require here, each once; environment markers are obeyed."""
    found: dict[str, metadata.Distribution] = {}
    waiting = [Requirement(name) for name in roots]
    asked: set[tuple[str, str]] = set()
    while waiting:
        requirement = waiting.pop()
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        found.setdefault(name, metadata.distribution(name))
        for extra in {"", *requirement.extras}:
            if (name, extra) not in asked:
                asked.add((name, extra))
                waiting += required(found[name], extra)
    return list(found.values())


def required(distribution: metadata.Distribution, extra: str) -> list[Requirement]:
    """What a distribution requires on this machine, with one of its extras ("" for none)."""
    parsed = [Requirement(text) for text in distribution.requires or ()]
    return [each for each in parsed if each.marker is None or each.marker.evaluate({"extra": extra})]


def lend(distribution: metadata.Distribution, home: Path) -> int:
    """Link a distribution's files into the site-packages `home`; returns how many."""
    n_links = 0
    for file in distribution.files or ():
        # scripts lie outside of site-packages; nothing here calls them
        if ".." in file.parts:
            continue
        source, link = Path(str(distribution.locate_file(file))), home / file
        if source.is_file() and not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(source)
            n_links += 1
    return n_links


def run(*command: str | Path, cwd: Path) -> None:
    """Run a command with none of the caller's Python paths; its failure ends this program."""
    line = [str(part) for part in command]
    print("$", " ".join(line), flush=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    if code := subprocess.run(line, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, check=False).returncode:
        raise SystemExit(f"bare install: exit code {code} from: {' '.join(line)}")


def build(folder: Path) -> Path:
    """Make the environment in `folder` and install archwright there; returns the folder of its programs."""
    venv.create(folder, with_pip=True)
    # the layout of this Python's own environments, with the new one as base
    paths = sysconfig.get_paths(scheme="venv", vars={"base": str(folder), "platbase": str(folder)})
    home, programs = Path(paths["purelib"]), Path(paths["scripts"])
    lent = closure(BORROWED)
    n_links = sum(lend(distribution, home) for distribution in lent)
    print(f"borrowed {len(lent)} distributions, {n_links} files")
    options = ("--disable-pip-version-check", "--quiet", "--constraint", ROOT / "constraints.txt")
    run(programs / "python", "-m", "pip", "install", *options, ROOT, cwd=folder)
    return programs


def try_out(programs: Path, folder: Path, *, search: bool) -> None:
    """Import, show the help and search, from an empty folder."""
    absent = f"assert not [name for name in {ABSENT!r} if importlib.util.find_spec(name)], 'an extra is installed'"
    run(programs / "python", "-c", f"import archwright, importlib.util; {absent}", cwd=folder)
    run(programs / "archwright", "--help", cwd=folder)
    if search:
        options = ("--data", "digits", "--preset", "smoke", "--seed", "0", "--out", folder / "run")
        run(programs / "archwright", "search", "spos", *options, cwd=folder)
        run(programs / "archwright", "status", folder / "run", cwd=folder)


def main(arguments: list[str] | None = None) -> int:
    """Build the bare environment and try it out; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="make the environment here and leave it there")
    parser.add_argument("--no-search", action="store_true", help="only install, import and show the help")
    options = parser.parse_args(arguments)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="archwright-bare-") as temporary:
        folder = (options.keep or Path(temporary) / "env").resolve()
        programs = build(folder)
        empty = Path(temporary) / "empty"
        empty.mkdir()
        try_out(programs, empty, search=not options.no_search)
    print(f"bare install: passed in {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
