"""Weights of other projects' networks fill ours, which then computes the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from archwright.core.errors import InvalidValueError
from archwright.export.weights import load_weights
from archwright.spaces import ProxylessNas, open_architecture

SIDE = 128


def test_trained_proxylessnas_gives_the_reference_logits(shared_data: Callable[[str], Path]) -> None:
    """Real ImageNet weights under the official code's names; logits computed with that code in float64."""
    folder = shared_data("weights")
    config = json.loads((folder / "proxyless-w0.3-r176_imagenet.json").read_text("utf-8"))
    layers = [block["mobile_inverted_conv"] for block in config["blocks"]]
    chosen = ["zero" if "Zero" in la["name"] else f"k{la['kernel_size']}e{la['expand_ratio']}" for la in layers[1:]]
    stages = [layers[i]["out_channels"] for i in (0, 1, 5, 9, 13, 17, 21)]
    widths = [config["first_conv"]["out_channels"], *stages, config["feature_mix_layer"]["out_channels"]]
    space = ProxylessNas(input_shape=(3, 176, 176), widths=widths)
    network = space.build({f"block{i}": key for i, key in enumerate(chosen, start=1)})
    load_weights(network, folder / "proxyless-w0.3-r176_imagenet.npz")
    with np.load(folder / "reference_logits_phase0.npz") as file:
        expected = torch.from_numpy(file[file.files[0]])
    numbers = np.arange(2 * 3 * 176 * 176)
    x = torch.from_numpy((1.5 * np.sin(0.013 * numbers)).astype(np.float32)).reshape(2, 3, 176, 176)
    with torch.no_grad():
        assert (network.eval().double()(x.double()) - expected).abs().max() < 1e-9
        logits = network.float()(x)
    assert (logits - expected).abs().max() < 1e-4
    assert logits[0].argmax() == 905
    assert sum(parameter.numel() for parameter in network.parameters()) == 754_280


def same_logits(theirs: nn.Module, name: str, path: Path, **args: Any) -> None:
    """Save a foreign network's random weights, load them into a published network of ours, compare logits."""
    generator = torch.Generator().manual_seed(1)
    norms = [part for part in theirs.modules() if isinstance(part, nn.BatchNorm2d)]
    for norm in norms:
        nn.init.normal_(norm.weight, 1.0, 0.1, generator=generator)
        nn.init.normal_(norm.bias, 0.0, 0.1, generator=generator)
        norm.running_mean.normal_(0.0, 0.1, generator=generator)  # type: ignore[union-attr]
        norm.running_var.uniform_(0.8, 1.2, generator=generator)  # type: ignore[union-attr]
    safetensors.torch.save_file(theirs.state_dict(), path)
    found = open_architecture(name, **args)
    ours = found.space.build(found.arch)
    load_weights(ours, path)
    for part in ours.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eps = norms[0].eps  # a setting, which no weight file holds
    x = torch.randn(2, 3, SIDE, SIDE, generator=generator)
    with torch.no_grad():
        expected, logits = theirs.eval()(x), ours.eval()(x)
    assert expected.std() > 1e-3
    assert (expected - logits).abs().max() < 1e-4 * max(1.0, float(expected.abs().max()))


def test_torchvision_mnasnet(tmp_path: Path) -> None:
    """Its mnasnet1_0 is MnasNet-B1."""
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    same_logits(models.mnasnet1_0(weights=None), "mnasnet-b1", tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("theirs", "ours", "args"),
    [
        ("mnasnet_100", "mnasnet-b1", {}),
        ("semnasnet_100", "mnasnet-a1", {}),
        ("mnasnet_small", "mnasnet-small", {}),
        ("fbnetc_100", "fbnet-c", {"bias": False, "always_expand": True}),
    ],
)
def test_timm(theirs: str, ours: str, args: dict[str, Any], tmp_path: Path) -> None:
    """MnasNet B1, A1 and small, and FBNet-C as the paper draws it."""
    timm = pytest.importorskip("timm", reason="timm is not installed")
    torch.manual_seed(0)
    same_logits(timm.create_model(theirs, pretrained=False), ours, tmp_path / "w.safetensors", **args)


def test_weights_of_another_architecture_are_listed(tmp_path: Path) -> None:
    """The family is said, and what is missing and wrongly shaped in our names."""
    models = pytest.importorskip("torchvision.models")
    safetensors.torch.save_file(models.mnasnet0_5(weights=None).state_dict(), tmp_path / "w.safetensors")
    found = open_architecture("mnasnet-a1")
    network = found.space.build(found.arch)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(InvalidValueError) as caught:
        load_weights(network, tmp_path / "w.safetensors")
    message = str(caught.value)
    assert ", read as names of torchvision's MNASNet, does not fit this Sequential: missing: " in message
    assert "wrongly shaped: stem.0.weight (16, 3, 3, 3) instead of (32, 3, 3, 3)" in message
    assert "unexpected" not in message or "unexpected: " in message
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
