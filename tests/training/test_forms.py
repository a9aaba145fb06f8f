"""The form in which a CPU trains a network."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archwright.nn.ops.quantized import InputQuantizer
from archwright.training import forms
from archwright.training.forms import Form, form_of

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "has_tiles", lambda: True)


def dense(width: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten(), nn.Linear(9, 2))


def test_dense_convolutions_of_full_registers_are_trained_in_bfloat16_and_channels_last() -> None:
    assert form_of(dense(32), "auto", True, CPU) == Form(torch.bfloat16, True)


def test_registers_filled_in_part_take_the_contiguous_layout() -> None:
    assert form_of(dense(24), "auto", True, CPU) == Form(torch.bfloat16, False)


@pytest.mark.parametrize(("n_full", "is_last"), [(2, False), (3, True)])
def test_the_layout_is_that_of_most_convolutions(n_full: int, is_last: bool) -> None:
    """One of 8 channels beside two of 32, two thirds, or beside three, three quarters."""
    network = nn.Sequential(nn.Conv2d(3, 8, 3), *(nn.Conv2d(32, 32, 3) for _ in range(n_full)))
    assert form_of(network, "auto", True, CPU) == Form(torch.bfloat16, is_last)


def test_a_layout_that_was_chosen_is_kept() -> None:
    assert form_of(dense(32), "auto", False, CPU) == Form(torch.bfloat16, False)


def test_a_precision_that_was_chosen_is_kept_with_its_layout() -> None:
    assert form_of(dense(24), "float32", True, CPU) == Form(torch.float32, True)


def test_without_tiles_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "has_tiles", lambda: False)
    assert form_of(dense(24), "auto", True, CPU) == Form(torch.float32, True)


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(16, 16, 3, groups=16),
        nn.Conv1d(16, 16, 3),
        nn.LSTM(4, 4),
        nn.ConvTranspose2d(16, 16, 3),
        InputQuantizer(4),  # rounds to steps that bfloat16 does not have
    ],
    ids=lambda module: type(module).__name__,
)
def test_one_layer_without_a_form_in_bfloat16_keeps_the_network_in_float32(module: nn.Module) -> None:
    network = nn.Sequential(dense(16), module)
    assert form_of(network, "auto", True, CPU) == Form(torch.float32, True)


def test_linear_layers_alone_stay_in_float32() -> None:
    assert form_of(nn.Linear(64, 64), "auto", True, CPU) == Form(torch.float32, True)


@pytest.mark.parametrize(("most", "has"), [("AVX512_CORE_AMX", True), ("all", True), ("AVX512_CORE", False)])
def test_the_librarys_own_limit_forbids_tiles(monkeypatch: pytest.MonkeyPatch, most: str, has: bool) -> None:
    """On a processor that has them."""
    monkeypatch.undo()
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", most)
    assert forms.has_tiles() is has
