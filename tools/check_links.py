"""Check that the links between the project's Markdown files lead somewhere.

usage: check_links.py

Relative targets must exist and their #anchors must be headings there. Links to the web are left alone.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"`[^`\n]*`")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.MULTILINE)


def pages(root: Path) -> list[Path]:
    """The Markdown files that people read: at the top, under docs/ and under changes/."""
    found = [*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("changes/*.md")]
    return sorted(found)


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as Markdown renderers derive them."""
    headings = HEADING.findall(FENCE.sub("", text))
    return {re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-") for heading in headings}


def broken(page: Path) -> Iterator[str]:
    """Links of one page that lead nowhere."""
    text = page.read_text("utf-8")
    for target in LINK.findall(INLINE_CODE.sub("", FENCE.sub("", text))):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        name, _, anchor = target.partition("#")
        aimed = (page.parent / name).resolve() if name else page
        if not aimed.exists():
            yield f"{target}: no such file"
        elif anchor and aimed.suffix == ".md" and anchor not in anchors(aimed.read_text("utf-8")):
            yield f"{target}: no such heading"


def main(root: Path = ROOT) -> int:
    """Print each broken link; returns the exit code."""
    checked = pages(root)
    faults = [f"{page.relative_to(root)}: {fault}" for page in checked for fault in broken(page)]
    for fault in faults:
        print(fault)
    print(f"{len(checked)} Markdown files, {len(faults)} broken links")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
