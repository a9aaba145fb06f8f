"""Devices, layouts and seeds."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from archwright.core.errors import InvalidValueError
from archwright.runs.run import open_run
from archwright.training.device import (
    compute_dtype,
    make_deterministic,
    pick_device,
    place_inputs,
    seeder,
    set_threads,
    takes_channels_last,
    use_layout,
)

CPU = torch.device("cpu")


@pytest.fixture
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_threads")
def test_threads_are_set() -> None:
    """Torch says what it was told; none is refused."""
    set_threads(2)
    assert torch.get_num_threads() == 2
    with pytest.raises(InvalidValueError, match="threads is 0"):
        set_threads(0)


def test_auto_is_cuda_or_cpu() -> None:
    """What this machine has."""
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["gpu", "meta", "cuda:99", ""])
def test_unusable_device_is_named(name: str) -> None:
    """No such word, not for computing, not in this machine."""
    with pytest.raises(InvalidValueError, match=f"device '{name}'"):
        pick_device(name)


def test_auto_precision_on_cpu_is_float32() -> None:
    """Mixed precision only where the device has it, or on demand."""
    assert compute_dtype("auto", CPU) == torch.float32
    assert compute_dtype("bfloat16", CPU) == torch.bfloat16


def test_seeder_equals_manual_seed() -> None:
    """The cheap way gives torch's own stream."""
    with torch.random.fork_rng([]):
        torch.manual_seed(2**62 + 5)
        expected = torch.rand(3)
        seeder(CPU)(2**62 + 5)
        assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("channels_last", [True, False])
def test_layout_changes_strides_not_values(channels_last: bool) -> None:
    """Parameters stay the same objects."""
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv3d(2, 2, 3), nn.Linear(2, 2))
    before, kept = list(network.parameters()), [p.detach().clone() for p in network.parameters()]
    use_layout(network, not channels_last)
    use_layout(network, channels_last)
    assert all(a is b for a, b in zip(network.parameters(), before, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(before, kept, strict=True))
    assert before[0].stride() == ((27, 1, 9, 3) if channels_last else (27, 9, 3, 1))


@pytest.mark.parametrize("grey", [torch.zeros(2, 5, 4, 1).permute(0, 3, 1, 2), torch.zeros(2, 1, 5, 4)])
def test_grey_images_get_the_strides_of_their_layout(grey: Tensor) -> None:
    """One channel counts as both layouts, yet kernels are chosen by strides."""
    assert place_inputs(grey, CPU, channels_last=False).stride() == (20, 20, 4, 1)
    assert place_inputs(grey, CPU, channels_last=True).stride() == (20, 1, 4, 1)


def test_deterministic_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch warns of operations without a deterministic form, and allocations stay fast; needs no device."""
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    try:
        make_deterministic(torch.device("cuda"))
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
        assert not torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
        assert (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic) == (False, True)
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        with open_run(None, {}, seed=0, threads=1) as run:
            torch.zeros(4).put_(torch.tensor([0, 0]), torch.ones(2))
            assert run.nondeterministic == ["put_"]
    finally:
        torch.set_deterministic_debug_mode("default")


def test_switching_does_not_import_the_compiler(run_python: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """It takes seconds, which each command and worker would pay."""
    code = (
        "import sys, torch; from archwright.training.device import make_deterministic; "
        "make_deterministic(torch.device('cuda')); assert torch.are_deterministic_algorithms_enabled(); "
        "print('torch._inductor.config' in sys.modules)"
    )
    assert run_python("-c", code).stdout == "False\n"


def test_cpu_needs_no_settings() -> None:
    """Torch's switches stay where they are."""
    before = torch.are_deterministic_algorithms_enabled()
    make_deterministic(CPU)
    assert torch.are_deterministic_algorithms_enabled() == before


def test_narrow_strided_convolutions_keep_the_contiguous_layout() -> None:
    """Of 1x1 pixels and few inputs; wider ones, larger kernels and those without a stride take channels-last."""
    wide, narrow = nn.Conv2d(8, 4, 1, stride=2), nn.Conv2d(7, 4, 1, stride=2)
    assert takes_channels_last(nn.Sequential(wide, nn.Conv2d(4, 4, 3, stride=2), nn.Conv2d(4, 4, 1)))
    network = nn.Sequential(narrow, wide)
    assert not takes_channels_last(network)
    use_layout(network, True)
    assert wide.weight.is_contiguous()
