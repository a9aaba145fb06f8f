"""Memory of a training step, by the tensors that it keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from archwright.core.errors import InvalidValueError
from archwright.training import memory
from archwright.training.memory import check_memory, free_bytes, needed_bytes, saved_bytes

CPU = torch.device("cpu")


def test_kept_are_inputs_and_weights_once() -> None:
    """Two linear layers without ReLU keep their inputs (8 x 100 and 8 x 50 floats) and the second's weights (50 x 10).

    The first's weights are not kept: nothing asks for a gradient of the data.
    """
    network = nn.Sequential(nn.Linear(100, 50, bias=False), nn.Linear(50, 10, bias=False))
    x = torch.randn(8, 100)
    saved = saved_bytes(lambda: torch.autograd.backward(network(x).sum()))
    assert saved == 4 * (8 * 100 + 8 * 50 + 50 * 10)


def test_what_two_operations_keep_counts_once() -> None:
    """Of x * x + x * x one memory of 1,000 floats."""
    x = torch.randn(1000, requires_grad=True)
    assert saved_bytes(lambda: torch.autograd.backward((x * x + x * x).sum())) == 4000


def test_larger_batches_need_more() -> None:
    """Four times what was kept, four copies of the parameters, and a fifth."""
    assert needed_bytes(1000, 16, 64, 500) == 1.2 * (4000 + 2000)


def test_free_memory_is_the_least_that_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A control group may leave less than the system; a group without a limit says nothing."""
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("2000\n")
    (tmp_path / "free").mkdir()
    (tmp_path / "free" / "memory.max").write_text("max\n")
    monkeypatch.setattr(memory, "_CGROUPS", (tmp_path, tmp_path / "free"))
    assert free_bytes(CPU) == 3000
    monkeypatch.setattr(memory, "_CGROUPS", ())
    monkeypatch.setattr(memory, "_available", lambda: None)
    assert free_bytes(CPU) is None


def test_too_large_a_step_is_refused() -> None:
    """With both figures; where nothing is known, nothing is refused."""
    with pytest.raises(
        InvalidValueError, match=r"a step of 9 needs about 30\.0 GB of memory, and 2\.0 GB are free; lower"
    ):
        check_memory(30_000_000_000, 2_000_000_000, "a step of 9")
    check_memory(30_000_000_000, None, "a step of 9")
    check_memory(1, 2, "a step of 9")
