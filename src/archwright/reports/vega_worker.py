"""The process in which charts are drawn; run as a script, it imports nothing of archwright.

The JavaScript engine inside vl-convert reserves tens of gigabytes of address space and starts threads. In a process of
its own it cannot end a run whose address space is limited, nor disturb a fork.

It reads {"specs": [Vega-Lite specification, …], "with_script": bool} from standard input and writes
{"svgs": [text, …], "script": text or null} to standard output.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import vl_convert

VEGA_LITE = "6.4"


def main() -> None:
    """Draw the specifications from standard input and write the pictures to standard output."""
    try:
        made = answer(json.load(sys.stdin))
    except ValueError as error:
        sys.exit(f"a chart was refused: {str(error).splitlines()[0]}")
    json.dump(made, sys.stdout)


def answer(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Pictures and script, as they are written.

    Raises:
        ValueError: If a specification is refused.
    """
    svgs = [vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE) for spec in asked["specs"]]
    # its types ask for a snippet; without one, vegaEmbed becomes a global name
    script = vl_convert.javascript_bundle(vl_version=VEGA_LITE) if asked["with_script"] else None  # type: ignore[call-arg]
    return {"svgs": svgs, "script": script}


if __name__ == "__main__":
    main()
