"""Write the page of one run's folder, or a page that compares several runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from archwright.core.errors import InvalidValueError, RunError
from archwright.reports.comparison import comparison_view
from archwright.reports.folder import PAGE, run_document
from archwright.reports.page import GENERATOR, render, render_page
from archwright.runs.files import write_text


def build_report(folders: Sequence[Path | str], output: Path | str | None = None) -> Path:
    """Write the page of a run, or one page that compares several runs; runs need not be finished.

    Args:
        folders: The runs' folders; nothing in them changes besides the page.
        output: The file; None is `report.html`, in the folder of a single run, else in the current folder.

    Returns:
        The file.

    Raises:
        RunFolderError: If a folder holds no run, or a file in it is damaged.
        InvalidValueError: If no folder is given, one is given twice, the runs cannot be compared, or the output is an
            existing file that is no page of ours.
    """
    given = [Path(folder) for folder in folders]
    _check_folders(given)
    path = Path(output) if output is not None else (given[0] if len(given) == 1 else Path()) / PAGE
    if len(given) > 1 or output is not None:
        check_output(path)
    if len(given) == 1:
        text = render_page(run_document(given[0]))
    else:
        documents = dict(zip(_names(given), map(run_document, given), strict=True))
        text = render("compare.html", comparison_view(documents, path.absolute().parent))
    try:
        write_text(path, text)
    except RunError as error:
        raise InvalidValueError(f"{error}; choose another file with -o") from None
    return path


def _check_folders(folders: Sequence[Path]) -> None:
    if not folders:
        raise InvalidValueError("no folder of a run is given; give at least one (the --out of a search)")
    seen: set[Path] = set()
    for folder in folders:
        if folder.resolve() in seen:
            raise InvalidValueError(f"{folder} is given twice; a run is compared with others, give it once")
        seen.add(folder.resolve())


def check_output(path: Path) -> None:
    """Refuse a path that is a folder or a file of somebody else; a page is made anew without asking.

    Args:
        path: Where a page is to stand.

    Raises:
        InvalidValueError: If something else stands there.
    """
    if path.is_dir():
        raise InvalidValueError(f"{path} is a folder; name a file with -o")
    if path.exists():
        try:
            with path.open("rb") as stream:
                is_ours = GENERATOR.encode() in stream.read(2000)
        except OSError as error:
            raise InvalidValueError(f"{path} cannot be read: {error.strerror}; choose another file with -o") from None
        if not is_ours:
            raise InvalidValueError(f"{path} exists and is no page of archwright; choose another file with -o")


def _names(folders: Sequence[Path]) -> list[str]:
    """The last part of each path, or all of it where that names two."""
    short = [folder.resolve().name for folder in folders]
    return short if len(set(short)) == len(short) else [str(folder) for folder in folders]
