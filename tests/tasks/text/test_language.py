"""The language-model task: streams, windows, perplexity."""

from __future__ import annotations

import lzma
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from archwright.core.errors import DataError, InvalidValueError
from archwright.tasks import LanguageTask, open_task, pydoc
from archwright.tasks.base import Batch
from archwright.tasks.opening import reopen_task, smoke_options
from archwright.tasks.text.language import IGNORED, PerplexityMeter, TextSplit

WORDS = " ".join(f"w{i % 7}" for i in range(300))


@pytest.fixture
def task() -> LanguageTask:
    return LanguageTask("toy", WORDS, tokens=5)


def numbers(n: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.arange(n)


# ── batches ───────────────────────────────────────────────────────────────────────────────────────


def test_targets_are_the_next_tokens() -> None:
    """One place further on."""
    for inputs, targets in TextSplit(numbers(101), 4).batches(5, seed=0, n_steps=7):
        assert inputs.shape == targets.shape == (5, 4)
        assert torch.equal(inputs + 1, targets)


def test_a_batch_goes_on_where_the_one_before_ended() -> None:
    """Stream by stream, until the pass is over."""
    split = TextSplit(numbers(101), 4)
    assert split.steps_per_epoch(5) == 5
    batches = list(split.batches(5, seed=0, n_steps=10))
    for k in range(1, 10):
        goes_on = torch.equal(batches[k][0][:, 0], batches[k - 1][0][:, -1] + 1)
        assert goes_on is (k != 5)


def test_a_pass_reads_no_token_twice() -> None:
    """5 x 4 x 5 of 100."""
    seen = torch.cat([inputs.flatten() for inputs, _ in TextSplit(numbers(104), 4).batches(5, seed=3, n_steps=5)])
    assert len(seen.unique()) == len(seen) == 100


def test_passes_begin_at_different_places() -> None:
    """The remainder that is left out is drawn anew."""
    split = TextSplit(numbers(104), 4)
    first = {
        int(inputs[0, 0]) for k in range(0, 60, 5) for inputs, _ in split.batches(5, seed=0, first_step=k, n_steps=1)
    }
    assert first == {0, 1, 2, 3}


def test_batches_depend_on_seed_and_step_alone() -> None:
    """A loop that begins in the middle sees the same."""
    split = TextSplit(numbers(120), 4)
    every = [inputs for inputs, _ in split.batches(5, seed=1, n_steps=12)]
    later = [inputs for inputs, _ in split.batches(5, seed=1, first_step=7, n_steps=5)]
    assert all(torch.equal(one, other) for one, other in zip(every[7:], later, strict=True))


def test_more_streams_than_windows_become_as_many_as_there_are() -> None:
    """One step a pass."""
    split = TextSplit(numbers(21), 4)
    ((inputs, _),) = split.batches(64, seed=0, n_steps=1)
    assert inputs.shape == (5, 4)


@pytest.mark.parametrize("n", [2, 9, 51, 100, 101, 187])
def test_a_scoring_pass_has_every_target_once(n: int) -> None:
    """All tokens but the first, whatever the remainder; inputs are the tokens before them."""
    found = []
    for inputs, targets in TextSplit(numbers(n), 4).ordered(256):
        kept = targets != IGNORED
        assert torch.equal(inputs[kept] + 1, targets[kept])
        found.append(targets[kept])
    assert sorted(torch.cat(found).tolist()) == list(range(1, n))


def test_a_scoring_pass_is_the_same_for_any_batch_size() -> None:
    """Ten streams."""
    split = TextSplit(numbers(187), 4)
    one, other = (list(split.ordered(size)) for size in (1, 256))
    assert one[0][0].shape == (10, 4)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(one, other, strict=True))


# ── task ──────────────────────────────────────────────────────────────────────────────────────────


def test_sizes(task: LanguageTask) -> None:
    """Seven words, <unk>; one <eos> at the very end, which is no part of the training text."""
    assert task.input_shape == (5,)
    assert task.n_classes == len(task.class_names) == 8
    assert (task.metric, task.direction) == ("perplexity", "min")
    assert task.split("train+validation").n == (240 + 30 - 1) // 5


def test_loss_is_the_mean_over_tokens(task: LanguageTask) -> None:
    """By hand; places behind the end do not count."""
    logits, targets = torch.randn(2, 3, 8), torch.tensor([[1, 2, 3], [4, IGNORED, IGNORED]])
    log = logits.log_softmax(-1)
    expected = -(log[0, 0, 1] + log[0, 1, 2] + log[0, 2, 3] + log[1, 0, 4]) / 4
    assert torch.allclose(task.loss(logits, Batch(logits, targets)), expected)


def test_perplexity_of_an_even_guess_is_the_vocabulary() -> None:
    """exp(log V), and log2 V bits."""
    meter = PerplexityMeter()
    meter.update(torch.zeros(2, 3, 8), Batch(torch.empty(0), torch.zeros(2, 3, dtype=torch.long)))
    result = meter.result()
    assert result["perplexity"] == pytest.approx(8)
    assert result["loss"] == pytest.approx(math.log(8))
    assert result["bits_per_token"] == pytest.approx(3)


def test_batches_weigh_by_their_tokens(task: LanguageTask) -> None:
    """One pass in two updates equals one update."""
    logits, targets = torch.randn(4, 3, 8), torch.randint(8, (4, 3))
    targets[3, 1:] = IGNORED
    whole, parts = task.meter(), task.meter()
    whole.update(logits, Batch(logits, targets))
    for i in range(4):
        parts.update(logits[i : i + 1], Batch(logits[i : i + 1], targets[i : i + 1]))
    assert whole.result() == pytest.approx(parts.result())


def test_a_network_that_diverged_is_infinitely_bad() -> None:
    """Not a number would rank anywhere."""
    meter = PerplexityMeter()
    meter.update(torch.full((1, 2, 3), torch.nan), Batch(torch.empty(0), torch.zeros(1, 2, dtype=torch.long)))
    assert meter.result()["perplexity"] == math.inf


def test_a_meter_without_tokens_says_so() -> None:
    """No batch."""
    with pytest.raises(InvalidValueError, match="no token was measured"):
        PerplexityMeter().result()


def test_an_equal_task_in_another_process(task: LanguageTask, tmp_path: Path) -> None:
    """By its blueprint: the same fingerprint, sizes and batches."""
    other = task.blueprint(tmp_path).build()
    assert other.fingerprint == task.fingerprint
    assert other.class_names == task.class_names
    mine, theirs = (next(each.split("test").ordered(1)) for each in (task, other))
    assert torch.equal(mine[0], theirs[0])


@pytest.mark.parametrize("change", [{"tokens": 6}, {"vocabulary": 5}, {"level": "character"}])
def test_options_are_part_of_the_data(task: LanguageTask, change: dict[str, object]) -> None:
    """Another length, vocabulary or level is refused by a resumed run."""
    options = {"tokens": 5, **change}
    assert LanguageTask("toy", WORDS, **options).fingerprint != task.fingerprint  # type: ignore[arg-type]


def test_opens_by_name_with_options(tmp_path: Path) -> None:
    """And again from what a run keeps; numbers may be texts, as on the command line."""
    path = tmp_path / "a:b.txt"
    path.write_text(WORDS, encoding="utf-8")
    task = open_task(f"text:{path}", tokens="6", level="character")
    assert task.input_shape == (6,)
    assert task.options == {"tokens": 6, "level": "character"}
    assert reopen_task(task.name, 3, task.options, task.fingerprint).fingerprint == task.fingerprint


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tokens": "x"}, "option tokens of data 'pydoc' is 'x'; give a whole number"),
        ({"tokens": 0}, "tokens is 0; give"),
        ({"level": "syllable"}, "level is 'syllable'; choose one of word, character"),
        ({"speed": 1}, "data 'pydoc' have no option 'speed'; it has tokens, vocabulary, level"),
        ({"val_images": 5}, "are no images"),
        ({"input_shape": (1, 8, 8)}, "stay as they are"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, object], said: str) -> None:
    """In one line that says what is accepted."""
    with pytest.raises(InvalidValueError, match=said):
        open_task("pydoc", **options)  # type: ignore[arg-type]


def test_smoke_runs_take_short_inputs() -> None:
    """Of texts; images stay as they are."""
    assert smoke_options("text:a:b") == smoke_options("pydoc") == {"tokens": 8}
    assert smoke_options("digits") == {}


def test_images_have_no_such_options() -> None:
    """Named data, named option."""
    with pytest.raises(InvalidValueError, match="data 'digits' have no option 'tokens'; it has none"):
        open_task("digits", tokens=5)


def test_a_sequence_longer_than_the_text_is_refused() -> None:
    """Says how long it may be."""
    with pytest.raises(DataError, match=r"an input has 500 tokens, but the training part has 240.*at most 239"):
        LanguageTask("toy", WORDS, tokens=500)


def test_a_part_without_a_target_is_refused() -> None:
    """Two words in all leave nothing for validation."""
    with pytest.raises(DataError, match="the validation part has 0 tokens"):
        LanguageTask("toy", "a b", tokens=1)


def test_pydoc_is_ready() -> None:
    """Thousands of words, 35 a window."""
    task = pydoc()
    assert task.input_shape == (35,)
    assert 1000 < task.n_classes <= 10_000
    assert task.split("train").n > 1000


@pytest.mark.parametrize("part", [("train", 929_589), ("valid", 73_760), ("test", 82_430)])
def test_penn_treebank_has_its_standard_size(
    part: tuple[str, int], shared_data: Callable[[str], Path], tmp_path: Path
) -> None:
    """Tokens of each part with one <eos> a line."""
    from archwright.tasks.text.reading import tokens_of

    name, n = part
    text = lzma.decompress(shared_data(f"text/ptb.{name}.txt.xz").read_bytes()).decode()
    assert len(tokens_of(text, "word")) == n


def test_penn_treebank_has_its_standard_vocabulary(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    """10,000 words, and none of validation and test outside it."""
    for name in ("train", "valid", "test"):
        packed = shared_data(f"text/ptb.{name}.txt.xz").read_bytes()
        (tmp_path / f"ptb.{name}.txt").write_bytes(lzma.decompress(packed))
    task = open_task(f"text:{tmp_path}")
    assert task.n_classes == 10_000
    unknown = task.class_names.index("<unk>")
    assert task.class_names.count("<unk>") == 1
    (inputs, _), *_ = task.split("test").ordered(1)
    first = " ".join(task.class_names[i] for i in [*inputs[0, :5].tolist()])
    assert first == "no it was n't black"
    assert unknown < 10


def test_shares_are_stretches_of_the_text(task: LanguageTask) -> None:
    """In order, with no token in two."""
    shares = task.shares("train", (0.5, 0.3), seed=0)
    whole, parts = task._texts["train"], [share._text for share in shares]  # type: ignore[attr-defined]
    n = len(whole)
    assert [len(part) for part in parts] == [round(0.5 * n), round(0.8 * n) - round(0.5 * n)]
    assert np.concatenate(parts).tolist() == whole[: round(0.8 * n)].tolist()


def test_a_share_shorter_than_an_input_is_refused(task: LanguageTask) -> None:
    """It would be padded in silence."""
    with pytest.raises(InvalidValueError, match=r"a share of 0\.01 of the train part .* tokens, an input"):
        task.shares("train", (0.5, 0.01), seed=0)
