"""Draw Vega-Lite specifications as pictures for a page, and provide the script that makes them interactive."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from archwright.core.errors import ArchwrightError
from archwright.runs.files import write_text

Spec = Mapping[str, Any]

WORKER = Path(__file__).with_name("vega_worker.py")
TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Drawn:
    """The result of drawing.

    Attributes:
        svgs: One `<svg>` element for each specification; empty if drawing failed.
        script: The code of Vega, Vega-Lite and vega-embed; empty if it was not available.
        failure: Why drawing failed, in one line; empty if it did not.
    """

    svgs: tuple[str, ...] = ()
    script: str = ""
    failure: str = ""


def draw(specs: Sequence[Spec]) -> Drawn:
    """Draw specifications in a separate process; a failure is returned, not raised, so the page has no pictures then.

    Putting the script together takes longer than drawing all pictures, so it is kept in the user's cache folder.
    """
    if not specs:
        return Drawn()
    kept = cache_file()
    script = _cached(kept)
    try:
        made = _work({"specs": list(specs), "with_script": not script})
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return Drawn(failure=" ".join(_reason(error).split()))
    if not script:
        script = str(made["script"]).replace("\r\n", "\n")
        _keep(kept, script)
    return Drawn(tuple(made["svgs"]), script)


def cache_file() -> Path | None:
    """The file that keeps the script of the installed vl-convert; None if there is no place for it."""
    try:
        version = metadata.version("vl-convert-python")
        named = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
        folder = Path(named) if named else Path.home() / ".cache"
    except (metadata.PackageNotFoundError, RuntimeError):
        return None
    return folder / "archwright" / f"vega-{version}.js"


def _work(asked: Mapping[str, Any]) -> Any:
    # -P: the worker's folder must not come first among those imported from
    done = subprocess.run(
        [sys.executable, "-P", str(WORKER)],
        input=json.dumps(asked),
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        check=True,
    )
    return json.loads(done.stdout)


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        said = error.stderr.strip().splitlines()
        return said[-1] if said else f"the drawing process ended with code {error.returncode}"
    return f"{type(error).__name__}: {error}"


def _cached(path: Path | None) -> str:
    """The kept script, if it is whole: its first line is the digest of the rest."""
    if path is None:
        return ""
    try:
        digest, _, script = path.read_text("utf-8").partition("\n")
    except (OSError, ValueError):
        return ""
    return script if digest == _digest(script) else ""


def _keep(path: Path | None, script: str) -> None:
    """Only a shortcut: where it cannot be written, the next page takes longer."""
    if path is not None:
        try:
            write_text(path, f"{_digest(script)}\n{script}", durable=False)
        except ArchwrightError:
            return


def _digest(text: str) -> str:
    return "//" + hashlib.sha256(text.encode()).hexdigest()
