"""Paths of many files."""

from __future__ import annotations

import os

import pytest

from archwright.tasks.images.file_lists import FileList

NAMES = ["a/1.png", "a/ünïcode.png", "b/" + os.fsdecode(b"\xff\xfe.png"), "b/.png"]


def test_paths_come_back() -> None:
    """In their order, also with bytes that are no UTF-8, from either end and as a slice."""
    files = FileList("root", NAMES)
    expected = [os.path.join("root", name) for name in NAMES]
    assert list(files) == expected
    assert (files[-1], files[1:3], len(files)) == (expected[-1], expected[1:3], 4)
    assert [files.name(i) for i in range(4)] == NAMES


def test_position_beyond_the_end_is_an_error() -> None:
    """As in any sequence."""
    with pytest.raises(IndexError):
        FileList("root", NAMES)[4]


def test_memory_is_the_characters_and_eight_bytes_a_path() -> None:
    """1,000 names of 7 characters, and where the first begins."""
    assert FileList("root", [f"a/{i:05d}" for i in range(1000)]).nbytes == 1000 * 7 + 8 * 1001
