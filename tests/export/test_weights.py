"""Weights survive the way to disk and back; what does not fit is named and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from archwright.core.errors import InvalidValueError, RunFolderError
from archwright.export.weights import load_weights, save_weights


class Tied(nn.Module):
    """Two names for one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(4, 4)
        self.decode = nn.Linear(4, 4)
        self.decode.weight = self.encode.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.decode(self.encode(x))


def network(seed: int, channels: int = 8) -> nn.Sequential:
    torch.manual_seed(seed)
    made = nn.Sequential(nn.Conv2d(3, channels, 3), nn.BatchNorm2d(channels), nn.Flatten(), nn.Linear(channels * 4, 2))
    made(torch.randn(5, 3, 4, 4))  # moves the running statistics
    return made


def test_round_trip_restores_every_bit(tmp_path: Path) -> None:
    """Parameters, running statistics and the batch counter; a channels-last target stays channels-last."""
    source, target = network(0), network(1).to(memory_format=torch.channels_last)
    save_weights(source, tmp_path / "w.safetensors", metadata={"space": "toy"})
    assert load_weights(target, tmp_path / "w.safetensors") == {"space": "toy"}
    for name, tensor in source.state_dict().items():
        assert torch.equal(tensor, target.state_dict()[name]), name
    assert target[0].weight.is_contiguous(memory_format=torch.channels_last)


def test_file_is_plain_safetensors(tmp_path: Path) -> None:
    """The library alone reads it, and torch's own strict loading takes it."""
    source, target = network(0), network(1)
    save_weights(source, tmp_path / "w.safetensors")
    target.load_state_dict(safetensors.torch.load_file(tmp_path / "w.safetensors"), strict=True)
    assert torch.equal(target[3].weight, source[3].weight)


def test_file_of_other_origin_is_read(tmp_path: Path) -> None:
    """No digest, no metadata: still loaded."""
    source, target = network(0), network(1)
    safetensors.torch.save_file(source.state_dict(), tmp_path / "w.safetensors")
    assert load_weights(target, tmp_path / "w.safetensors") == {}
    assert torch.equal(target[0].weight, source[0].weight)


def test_same_weights_give_the_same_bytes(tmp_path: Path) -> None:
    """Memory format is no part of the file."""
    save_weights(network(0), tmp_path / "a")
    save_weights(network(0).to(memory_format=torch.channels_last), tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_tied_tensors_stay_tied(tmp_path: Path) -> None:
    """Both names are in the file; after loading they are one tensor again, with the saved values."""
    source, target = Tied(), Tied()
    save_weights(source, tmp_path / "w")
    load_weights(target, tmp_path / "w")
    assert target.decode.weight is target.encode.weight
    assert torch.equal(target.decode.weight, source.encode.weight)


def test_misfits_are_listed_and_nothing_changes(tmp_path: Path) -> None:
    """Missing, unexpected and wrongly shaped names in one line; the network keeps its weights."""
    torch.manual_seed(0)
    save_weights(nn.ModuleDict({"a": nn.Linear(2, 3), "b": nn.Linear(1, 1)}), tmp_path / "w")
    target = nn.ModuleDict({"a": nn.Linear(2, 4), "c": nn.Linear(1, 1)})
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    with pytest.raises(InvalidValueError) as caught:
        load_weights(target, tmp_path / "w")
    text = str(caught.value)
    assert "missing: c.weight, c.bias;" in text
    assert "unexpected: b.bias, b.weight;" in text
    assert "wrongly shaped: a.weight (3, 2) instead of (4, 2), a.bias (3,) instead of (4,)" in text
    assert "\n" not in text
    assert all(torch.equal(tensor, before[name]) for name, tensor in target.state_dict().items())


def test_long_lists_are_cut_with_their_count(tmp_path: Path) -> None:
    """Five names, then how many there are."""
    save_weights(nn.Linear(1, 1), tmp_path / "w")
    target = nn.ModuleList([nn.Linear(1, 1) for _ in range(20)])
    with pytest.raises(InvalidValueError, match=r"missing: 0\.weight, .*2\.weight, … \(40 in all\)"):
        load_weights(target, tmp_path / "w")


@pytest.mark.parametrize("keep", [0, 5, 200, -1])
def test_truncated_file_is_refused(tmp_path: Path, keep: int) -> None:
    """Empty, or cut in the length, the header or the data: named, not loaded."""
    path = tmp_path / "w.safetensors"
    save_weights(network(0), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(RunFolderError, match=r"w\.safetensors cannot be read"):
        load_weights(network(1), path)


def test_flipped_bit_is_found(tmp_path: Path) -> None:
    """One bit of one weight differs from the digest in the header."""
    path = tmp_path / "w.safetensors"
    save_weights(network(0), path)
    data = bytearray(path.read_bytes())
    data[-3] ^= 16
    path.write_bytes(data)
    with pytest.raises(RunFolderError, match=r"w\.safetensors is corrupt"):
        load_weights(network(1), path)


@pytest.mark.parametrize("name", ["absent", "."])
def test_missing_file_and_folder_are_refused(tmp_path: Path, name: str) -> None:
    """Neither is a safetensors file."""
    with pytest.raises(RunFolderError, match="cannot be read"):
        load_weights(network(0), tmp_path / name)


def test_meta_tensors_and_reserved_name_are_refused(tmp_path: Path) -> None:
    """There is no data to save; the digest's name is taken; no file is left."""
    with pytest.raises(InvalidValueError, match="'weight' is on the meta device"):
        save_weights(nn.Linear(1, 1, device="meta"), tmp_path / "w")
    with pytest.raises(InvalidValueError, match="sha256"):
        save_weights(nn.Linear(1, 1), tmp_path / "w", metadata={"sha256": "x"})
    assert list(tmp_path.iterdir()) == []


def test_torch_files_are_read(tmp_path: Path) -> None:
    """A state dict, one below `state_dict`, one with the prefix of a parallel wrapper."""
    source = network(0)
    state = source.state_dict()
    torch.save(state, tmp_path / "plain.pt")
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "nested.pth")
    torch.save({"model": {f"module.{name}": tensor for name, tensor in state.items()}}, tmp_path / "wrapped.bin")
    for name in ("plain.pt", "nested.pth", "wrapped.bin"):
        target = network(1)
        load_weights(target, tmp_path / name)
        assert all(torch.equal(tensor, state[key]) for key, tensor in target.state_dict().items()), name


def test_numpy_files_are_read(tmp_path: Path) -> None:
    """Scalars too; counts of batches may be missing."""
    source, target = network(0), network(1)
    arrays = {name: tensor.numpy() for name, tensor in source.state_dict().items()}
    np.savez(tmp_path / "w.npz", **arrays)
    load_weights(target, tmp_path / "w.npz")
    assert all(torch.equal(tensor, source.state_dict()[key]) for key, tensor in target.state_dict().items())
    del arrays["1.num_batches_tracked"]
    np.savez(tmp_path / "few.npz", **arrays)
    load_weights(network(2), tmp_path / "few.npz")


class Unwanted:
    """Something that is no tensor."""


@pytest.mark.parametrize("name", ["w.pt", "w.npz", "missing.pt", "missing.npz"])
def test_files_with_anything_but_tensors_are_refused(tmp_path: Path, name: str) -> None:
    """Nothing is unpickled: one line that says what to give."""
    torch.save({"0.weight": Unwanted()}, tmp_path / "w.pt")
    np.savez(tmp_path / "w.npz", weight=np.array([Unwanted()], dtype=object))
    with pytest.raises(RunFolderError, match=r"cannot be read|are not loaded") as caught:
        load_weights(network(0), tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_torch_file_without_a_state_dict_is_refused(tmp_path: Path) -> None:
    """A single tensor is none."""
    torch.save(torch.zeros(3), tmp_path / "w.pt")
    with pytest.raises(RunFolderError, match="holds no state dict"):
        load_weights(network(0), tmp_path / "w.pt")


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    """Whatever the order of the texts; the library alone puts them into another order each time."""
    network = nn.Linear(3, 2)
    texts = {f"key{i}": f"é{i}" for i in range(12)}
    written = []
    for i, metadata in enumerate([texts, dict(reversed(texts.items())), texts]):
        save_weights(network, tmp_path / f"{i}.safetensors", metadata=metadata)
        written.append((tmp_path / f"{i}.safetensors").read_bytes())
    assert written[0] == written[1] == written[2]
    assert load_weights(nn.Linear(3, 2), tmp_path / "0.safetensors") == texts
    assert int.from_bytes(written[0][:8], "little") % 8 == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda weight: (weight * 100).to(torch.int8), "weight holds torch.int8"),
        (lambda weight: weight.to(torch.complex64), "weight holds torch.complex64"),
        (lambda weight: weight / 0, "weight holds NaN or infinite numbers"),
        (lambda weight: weight.to_sparse(), "weight is sparse or quantised"),
    ],
)
def test_weights_that_are_no_plain_numbers_are_refused(
    tmp_path: Path, change: Callable[[torch.Tensor], torch.Tensor], said: str
) -> None:
    """One line, and the network is as before."""
    network = nn.Linear(3, 2)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.save({**before, "weight": change(before["weight"])}, tmp_path / "w.pth")
    with pytest.raises(InvalidValueError, match=said):
        load_weights(network, tmp_path / "w.pth")
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
