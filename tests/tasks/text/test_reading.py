"""Texts from files, their parts and vocabularies."""

from __future__ import annotations

from pathlib import Path

import pytest

from archwright.core.errors import DataError, InvalidValueError
from archwright.tasks.text.reading import Vocabulary, divided, pydoc_text, read_texts, tokens_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b\nc\n", "a b <eos> c <eos>"),
        ("a b\r\nc", "a b <eos> c <eos>"),
        ("a\n\nb\n", "a <eos> <eos> b <eos>"),
        ("", ""),
    ],
)
def test_words_and_line_ends(text: str, expected: str) -> None:
    """One <eos> a line, whether or not the last one ends."""
    assert " ".join(tokens_of(text, "word")) == expected


def test_characters() -> None:
    """Line ends are characters."""
    assert tokens_of("ab\nä", "character") == ["a", "b", "\n", "ä"]


def test_parts_follow_each_other() -> None:
    """80, 10 and 10 %."""
    train, validation, test = divided(list(range(50)))  # type: ignore[arg-type]
    assert (len(train), len(validation), len(test)) == (40, 5, 5)
    assert [*train, *validation, *test] == list(range(50))


def test_the_most_frequent_words_are_kept() -> None:
    """Equal ones in the order of their letters; <unk> takes a place."""
    vocabulary = Vocabulary.of("x", ["b", "a", "b", "a", "b", "c", "d"], "word", 4)
    assert vocabulary.words == ("b", "a", "c", "<unk>")
    assert vocabulary.encode(["a", "d", "z", "b"]).tolist() == [1, 3, 3, 0]


def test_a_text_with_its_own_unknown_word_gets_no_second() -> None:
    """As the Penn Treebank, which has 10,000 words with it."""
    words = ["<unk>", "a", "<unk>", "b"]
    assert Vocabulary.of("x", words, "word", 10).words == ("<unk>", "a", "b")
    assert Vocabulary.of("x", words, "word", 2).words == ("<unk>", "a")
    assert Vocabulary.of("x", ["a", "a", "a", "b", "b", "<unk>"], "word", 2).words == ("a", "<unk>")


@pytest.mark.parametrize(("words", "said"), [("a a <eos> a", "one word only, 'a'"), ("<eos> <eos>", "no word at all")])
def test_a_vocabulary_of_one_is_refused(words: str, said: str) -> None:
    """There is nothing to tell apart."""
    with pytest.raises(DataError, match=said):
        Vocabulary.of("x", words.split(), "word", 10)


def test_a_cap_below_two_is_refused() -> None:
    """<unk> alone is no vocabulary."""
    with pytest.raises(InvalidValueError, match="vocabulary is 1"):
        Vocabulary.of("x", ["a", "b"], "word", 1)


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"", "is empty"), (b" \n\n", "is empty"), (b"abc \xff\xfe", "is not UTF-8 (byte 4)")],
)
def test_unusable_files_are_refused(tmp_path: Path, data: bytes, said: str) -> None:
    """In one line that names the file."""
    path = tmp_path / "text.txt"
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        read_texts(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """With what the system says about it."""
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_texts(tmp_path / "none.txt")


@pytest.mark.parametrize(
    ("path", "said"),
    [("/dev/zero", "^/dev/zero is no file; give a text file"), ("x" * 5000, "cannot be read"), ("a\0", "cannot")],
)
def test_what_is_no_file_is_refused(path: str, said: str) -> None:
    """A device would never end; a name may be none."""
    with pytest.raises(DataError, match=said):
        read_texts(Path(path))


@pytest.mark.parametrize("names", [("train.txt", "valid.txt", "test.txt"), ("a.train.x", "a.val.x", "a.test.x")])
def test_a_folder_has_a_file_for_each_part(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Known by a part of their names."""
    for name in names:
        (tmp_path / name).write_text(name, encoding="utf-8")
    assert read_texts(tmp_path) == names


def test_a_folder_without_a_part_is_refused(tmp_path: Path) -> None:
    """Named: the part, and what is accepted."""
    (tmp_path / "train.txt").write_text("a b", encoding="utf-8")
    with pytest.raises(DataError, match=r"no file for the part 'valid'; give one each of train\.txt"):
        read_texts(tmp_path)


def test_two_files_for_a_part_are_refused(tmp_path: Path) -> None:
    """Which one is meant?"""
    for name in ("train.txt", "a.train.txt"):
        (tmp_path / name).write_text("a b", encoding="utf-8")
    with pytest.raises(DataError, match=r"2 files .*for the part 'train'"):
        read_texts(tmp_path)


def test_pydoc_has_text_enough() -> None:
    """In every version of Python: words in lower case, no line without one."""
    words = pydoc_text().split()
    assert len(words) > 50_000
    assert pydoc_text() == pydoc_text().lower()
    assert all(any(c.isalnum() for c in line) for line in pydoc_text().split("\n"))
