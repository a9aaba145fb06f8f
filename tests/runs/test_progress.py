"""What people see of a run."""

from __future__ import annotations

import io
import re

import pytest

from archwright.runs import progress
from archwright.runs.progress import PlainProgress, Progress, Rate, RichProgress, Standing, make_progress

HOSTILE = "[red]x\x1b[2J\r\n"


def test_plain_lines() -> None:
    """Start, a line where enough time passed, end with the duration."""
    stream = io.StringIO()
    shown = PlainProgress(stream)
    shown.begin(Standing("supernet", total=10))
    shown._last_s -= 15
    shown.update(Standing("supernet", 4, 10, {"best": 0.934567, "from": "a"}, 12.0))
    shown.end(Standing("supernet", 10, 10, {"best": 0.95}), 75.0, is_done=True)
    assert stream.getvalue().splitlines() == [
        "supernet: started (10 units)",
        "supernet: 4/10, best=0.9346, from=a, 12.0 s left",
        "supernet: done in 1 min 15 s, best=0.95",
    ]


def test_plain_lines_are_rare() -> None:
    """A thousand updates within ten seconds give none."""
    stream = io.StringIO()
    shown = PlainProgress(stream)
    shown.begin(Standing("a"))
    for done in range(1000):
        shown.update(Standing("a", done))
    assert stream.getvalue() == "a: started\n"


def test_hostile_text_is_escaped_in_plain_lines() -> None:
    """No control character reaches the terminal and no line is forged."""
    stream = io.StringIO()
    PlainProgress(stream).end(Standing(HOSTILE, 1, figures={"best": "\x07\u202e"}), 1, is_done=False)
    assert stream.getvalue() == "[red]x\\x1b[2J\\r\\n: stopped after 1.0 s, best=\\x07\\u202e\n"


def test_a_stream_of_few_characters() -> None:
    """Text its encoding lacks is escaped instead of ending the run."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    PlainProgress(stream).skip(Standing("größe"))
    assert stream.buffer.getvalue() == b"gr\\xf6\\xdfe: done before\n"  # type: ignore[attr-defined]


def test_a_closed_stream_does_not_end_the_run() -> None:
    """The reader of a pipe may go away."""
    stream = io.StringIO()
    shown = PlainProgress(stream)
    stream.close()
    shown.begin(Standing("a"))
    assert stream.closed


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name, count, figures and outcome are drawn; markup and control characters in names are not obeyed."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    stream = _Terminal()
    shown = RichProgress(stream)
    shown.skip(Standing("before", total=3))
    shown.begin(Standing(HOSTILE, 0, 8))
    shown.update(Standing(HOSTILE, 4, 8, {"best": 0.5}, 3.0))
    shown.end(Standing(HOSTILE, 8, 8, {"best": 0.75}), 6.0, is_done=True)
    shown.close()
    shown.close()
    text = stream.getvalue()
    assert "[red]x\\x1b[2J\\r\\n" in text
    assert "\x1b[2J" not in text
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    assert "4/8, best=0.5, 3.0 s left" in plain
    assert "done in 6.0 s, best=0.75" in plain
    assert "done before" in plain


def test_chosen_by_the_stream() -> None:
    """A terminal gets the bar, anything else lines."""
    assert isinstance(make_progress(_Terminal()), RichProgress)
    assert isinstance(make_progress(io.StringIO()), PlainProgress)


def test_the_base_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """For runs from Python."""
    Progress().begin(Standing("a"))
    Progress().end(Standing("a"), 1.0, is_done=True)
    assert capsys.readouterr() == ("", "")


def test_time_left_follows_the_current_rate() -> None:
    """100 units in the first 100 s, then one unit in 10 s: 50 remaining units take 500 s after a while."""
    rate = Rate()
    for second in range(101):
        rate.note(second, float(second))
    assert rate.time_left_s(100, 150) == pytest.approx(50)
    for step in range(1, 11):
        rate.note(100 + step, 100.0 + 10 * step)
    assert rate.time_left_s(110, 160) == pytest.approx(500)


def test_time_left_without_progress() -> None:
    """Unknown instead of a division by zero; nothing remains at the end."""
    rate = Rate()
    assert rate.time_left_s(0, 10) is None
    rate.note(3, 1.0)
    rate.note(3, 1.0)
    rate.note(3, 2.0)
    assert rate.time_left_s(3, 10) is None
    assert rate.time_left_s(3, None) is None
    assert rate.time_left_s(10, 10) == 0


def test_many_notes_take_little_memory() -> None:
    """A hundred thousand in a window keep one sample each half second."""
    rate = Rate()
    for note in range(100_000):
        rate.note(note, note / 10_000)
    assert len(rate._seen) < 30
    assert rate.time_left_s(100_000, 200_000) == pytest.approx(10, rel=0.01)


def test_durations_for_people() -> None:
    """Rounding never shows 60 s or 60 min."""
    shown = [progress.duration_text(seconds) for seconds in (0, 59.96, 119.7, 3599.6, float("inf"))]
    assert shown == ["0.0 s", "1 min 00 s", "2 min 00 s", "1 h 00 min", "unknown time"]
