"""Files decoded ahead by threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from archwright.core.errors import DataError, RunError
from archwright.core.trial import derive_seed
from archwright.tasks.augmenting import AUGMENTS, Augment
from archwright.tasks.images.decoding import read_image
from archwright.tasks.images.file_lists import FileList
from archwright.tasks.images.framing import Framing
from archwright.tasks.images.photo_augmentation import PhotoAugmentation
from archwright.tasks.images.streaming import ImageReader, Job, StreamedSplit, default_workers, read_batches

N = 40


@pytest.fixture
def files(make_tree: Callable[..., Path]) -> FileList:
    """40 images of two sizes."""
    root = make_tree(counts={"train": {"a": N}}, shapes=((20, 30, 3), (24, 18, 3)))
    return FileList(root, [f"train/a/{i:02d}.png" for i in range(N)])


def _reader(files: FileList, side: int = 16) -> ImageReader:
    return ImageReader(files, (3, side, side), Framing.default((side, side)))


def _split(files: FileList, side: int = 64, n_workers: int = 2, augment: Augment | None = None) -> StreamedSplit:
    """Photos from a side of 64 on, small images below."""

    def normalize(images: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(images).float().permute(0, 3, 1, 2)

    return StreamedSplit(_reader(files, side), np.arange(N), np.arange(0, N, 2), normalize, n_workers, augment)


def _same(one: Iterator[tuple[torch.Tensor, ...]], other: Iterator[tuple[torch.Tensor, ...]]) -> bool:
    pairs = list(zip(one, other, strict=True))
    return bool(pairs) and all(torch.equal(x, u) and torch.equal(y, v) for (x, y), (u, v) in pairs)


@pytest.mark.parametrize("side", [16, 64])
def test_batches_do_not_depend_on_the_number_of_threads(files: FileList, side: int) -> None:
    """One, two and seven threads yield the same bits, order and augmentation included."""
    one = _split(files, side, 1, AUGMENTS)
    for n_workers in (2, 7):
        more = _split(files, side, n_workers, AUGMENTS)
        assert _same(one.batches(6, seed=3, n_steps=8), more.batches(6, seed=3, n_steps=8))
        assert _same(one.ordered(6), more.ordered(6))


@pytest.mark.parametrize("side", [16, 64])
@pytest.mark.parametrize("first_step", [1, 3, 5])
def test_stream_continues_bit_for_bit(files: FileList, side: int, first_step: int) -> None:
    """Batches from step k on are those of a stream that began at 0."""
    split = _split(files, side).augmented(AUGMENTS)
    whole = list(split.batches(6, seed=3, n_steps=7))
    assert _same(iter(whole[first_step:]), split.batches(6, seed=3, first_step=first_step, n_steps=7 - first_step))


def test_seeds_and_steps_draw_their_own_changes(files: FileList) -> None:
    """The same image in two epochs, and under two seeds, is cut differently."""
    split = _split(files)
    everything = [list(split.batches(20, seed=seed, n_steps=2)) for seed in (0, 1)]
    images = [inputs[targets == 4][0] for batches in everything for inputs, targets in batches]
    assert not any(torch.equal(images[i], images[j]) for i in range(4) for j in range(i))


def test_photos_are_changed_where_they_are_decoded(files: FileList) -> None:
    """Each by its own row of numbers: what `PhotoAugmentation` of the same names makes of the same file."""
    names: Augment = ("crop", "mirror", "jitter")
    photo, framing = PhotoAugmentation.of(names), Framing.default((64, 64))
    inputs, targets = next(_split(files, augment=names).batches(6, seed=3, n_steps=1))
    draws = photo.draws(6, np.random.default_rng(derive_seed(3, "augmentation", 0)))
    for i, position in enumerate(targets.tolist()):
        expected = np.asarray(photo(read_image(files[position], 3), draws[i], framing))
        assert np.array_equal(inputs[i].permute(1, 2, 0).numpy(), expected)


def test_nothing_changes_framed_photos(files: FileList) -> None:
    """Without augmentation a training batch holds the images as they are scored, in another order."""
    inputs, targets = next(_split(files, augment=()).batches(20, seed=3, n_steps=1))
    framed, positions = next(_split(files).ordered(20))
    assert torch.equal(inputs[targets.argsort()], framed[positions.argsort()])


def test_ordered_shows_every_image_once_framed(files: FileList) -> None:
    """In stored order and without augmentation; the last batch is smaller."""
    split, reader = _split(files, 16), _reader(files)
    batches = list(split.ordered(8))
    assert [len(targets) for _, targets in batches] == [8, 8, 4]
    assert torch.cat([targets for _, targets in batches]).tolist() == list(range(0, N, 2))
    expected = np.stack([reader(i) for i in range(0, N, 2)])
    assert np.array_equal(torch.cat([inputs for inputs, _ in batches]).permute(0, 2, 3, 1).numpy(), expected)


def test_jobs_are_begun_only_a_little_ahead(files: FileList) -> None:
    """Of a long stream three batches are in memory when the first is taken."""
    begun: list[int] = []

    def jobs() -> Iterator[Job]:
        for i in range(N):
            begun.append(i)
            yield Job(np.array([i]))

    stream = read_batches(_reader(files), jobs(), 2)
    next(stream)
    assert begun == [0, 1, 2]
    stream.close()


def test_leaving_early_leaves_no_thread(files: FileList) -> None:
    """Whoever takes one batch and goes away ends the stream."""
    before = threading.active_count()
    for _ in _split(files).batches(6, seed=0, n_steps=1000):
        break
    assert threading.active_count() == before


def test_damaged_image_ends_the_stream_when_its_batch_is_due(files: FileList) -> None:
    """The batches before it come; then one line with the file and how the run goes on (exit code 1, not 2)."""
    Path(files[20]).write_bytes(b"no image")
    taken = []
    with pytest.raises(RunError, match=r"20\.png: cannot be read.*goes on with --resume once") as caught:
        taken.extend(_split(files).ordered(4))
    assert len(taken) == 2
    assert caught.value.exit_code == 1


def test_damaged_image_in_the_bare_stream_is_an_error_of_the_data(files: FileList) -> None:
    """Before anything has started it is for the user to mend."""
    Path(files[0]).unlink()
    with pytest.raises(DataError, match=r"00\.png"):
        list(read_batches(_reader(files), [Job(np.arange(4))], 2))


def test_workers_are_at_least_one_and_at_most_eight() -> None:
    """Whatever the machine."""
    assert 1 <= default_workers() <= 8
