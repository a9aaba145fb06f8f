"""Once-for-all networks against torchvision's and timm's own: the same weights give the same logits."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from archwright.export.foreign import official_names
from archwright.export.weights import load_weights
from archwright.spaces import open_architecture
from archwright.spaces.mobile import round_width

SIDE = 96


def randomised(network: nn.Module) -> nn.Module:
    """In evaluation mode, with batch norms that do something."""
    generator = torch.Generator().manual_seed(1)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d) and part.running_mean is not None and part.running_var is not None:
            nn.init.normal_(part.weight, 1.0, 0.1, generator=generator)
            nn.init.normal_(part.bias, 0.0, 0.1, generator=generator)
            part.running_mean.normal_(0.0, 0.1, generator=generator)
            part.running_var.uniform_(0.8, 1.2, generator=generator)
    return network.eval()


def compare(theirs: nn.Module, ours: nn.Module) -> None:
    """Logits of two images."""
    x = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected, logits = theirs(x), ours.eval()(x)
    assert expected.std() > 1e-3
    assert (logits - expected).abs().max() < 1e-4 * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize("name", ["ofa-note8-lat-31ms-top1-72.8-finetune-25", "ofa-flops-389m-top1-79.1-finetune-75"])
def test_mobilenetv3_is_torchvision_s(name: str) -> None:
    """Its class takes any list of blocks; the layer behind the pooling has a bias there, here zero."""
    mobilenetv3 = pytest.importorskip("torchvision.models.mobilenetv3")
    found = open_architecture(name)
    space: Any = found.space
    layout = space._layout()
    config = mobilenetv3.InvertedResidualConfig
    blocks = [config(layout.stem, 3, layout.stem, layout.first, False, "RE", 1, 1, 1.0)]
    for s, stage in enumerate(layout.stages, start=1):
        for i in range(int(str(found.arch[f"stage{s}.depth"]))):
            n_in = stage.n_in if i == 0 else stage.n_out
            kernel, expand = (int(str(found.arch[f"stage{s}.block{i + 1}.{what}"])) for what in ("kernel", "expand"))
            act = "HS" if s > 2 else "RE"
            sizes = (n_in, kernel, n_in * expand, stage.n_out, s in (2, 4, 5), act, stage.stride if i == 0 else 1)
            blocks.append(config(*sizes, 1, 1.0))
    torch.manual_seed(0)
    norm = partial(nn.BatchNorm2d, eps=1e-5, momentum=0.1)
    theirs = randomised(mobilenetv3.MobileNetV3(blocks, layout.ends[1], norm_layer=norm))
    with torch.no_grad():
        theirs.classifier[0].bias.zero_()  # type: ignore[index, union-attr]
    state = {key: tensor for key, tensor in theirs.state_dict().items() if key != "classifier.0.bias"}
    ours = space.build(found.arch)
    ours.load_state_dict(in_our_order(state, ours.state_dict()))
    compare(theirs, ours)


def in_our_order(state: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Both networks list their layers in the order in which they run."""
    return dict(zip(ours, state.values(), strict=True))


def test_proxyless_is_timm_s(tmp_path: Path) -> None:
    """Its EfficientNet takes any chain of inverted residual blocks as text."""
    timm = pytest.importorskip("timm", reason="timm is not installed")
    from timm.models import _efficientnet_builder as builder

    found = open_architecture("ofa-cpu-lat-10ms-top1-71.1-finetune-25")
    space: Any = found.space
    layout = space._layout()
    stages = [[f"ds_r1_k3_s1_c{layout.first}"]]
    for s, stage in enumerate(layout.stages, start=1):
        depth = int(str(found.arch.get(f"stage{s}.depth", 1)))
        texts = []
        for i in range(depth):
            kernel, expand = (found.arch[f"stage{s}.block{i + 1}.{what}"] for what in ("kernel", "expand"))
            texts.append(f"ir_r1_k{kernel}_s{stage.stride if i == 0 else 1}_e{expand}_c{stage.n_out}")
        stages.append(texts)
    torch.manual_seed(0)
    theirs = timm.models.efficientnet.EfficientNet(
        block_args=builder.decode_arch_def(stages),
        num_features=layout.ends[0],
        stem_size=layout.stem,
        fix_stem=True,
        act_layer=nn.ReLU6,
        norm_layer=partial(nn.BatchNorm2d, eps=1e-3),
    )
    safetensors.torch.save_file(randomised(theirs).state_dict(), tmp_path / "w.safetensors")
    ours = space.build(found.arch)
    load_weights(ours, tmp_path / "w.safetensors")
    compare(theirs, ours)


# ── names of the official code ────────────────────────────────────────────────────────────────────


def official_state(net: Mapping[str, Any], make: Callable[..., Tensor]) -> dict[str, Tensor]:
    """Tensors under the names and in the shapes of the official code, from its own description of a network."""
    state: dict[str, Tensor] = {}

    def unit(path: str, n_out: int, *others: int) -> None:
        state[f"{path}.conv.weight"] = make(n_out, *others)
        for name in ("weight", "bias", "running_mean", "running_var"):
            state[f"{path}.bn.{name}"] = make(n_out)

    unit("first_conv", net["first_conv"]["out_channels"], 3, 3, 3)
    for i, block in enumerate(net["blocks"]):
        layer = block["mobile_inverted_conv"]
        path, n_in, k = f"blocks.{i}.mobile_inverted_conv", layer["in_channels"], layer["kernel_size"]
        middle = n_in * layer["expand_ratio"]
        if layer["expand_ratio"] > 1:
            unit(f"{path}.inverted_bottleneck", middle, n_in, 1, 1)
        unit(f"{path}.depth_conv", middle, 1, k, k)
        if layer["use_se"]:
            reduced = round_width(middle // 4)
            for name, n_out, given in (("reduce", reduced, middle), ("expand", middle, reduced)):
                state[f"{path}.depth_conv.se.fc.{name}.weight"] = make(n_out, given, 1, 1)
                state[f"{path}.depth_conv.se.fc.{name}.bias"] = make(n_out)
        unit(f"{path}.point_linear", layer["out_channels"], middle, 1, 1)
    mix = net["feature_mix_layer"]
    if "final_expand_layer" in net:
        wide = net["final_expand_layer"]
        unit("final_expand_layer", wide["out_channels"], wide["in_channels"], 1, 1)
        state["feature_mix_layer.conv.weight"] = make(mix["out_channels"], mix["in_channels"], 1, 1)
    else:
        unit("feature_mix_layer", mix["out_channels"], mix["in_channels"], 1, 1)
    state["classifier.linear.weight"] = make(1000, mix["out_channels"])
    state["classifier.linear.bias"] = make(1000)
    return state


@pytest.mark.parametrize("name", ["note8_lat-22ms_top1-70.4_finetune-25", "cpu_lat-10ms_top1-71.1_finetune-25"])
def test_official_weights_fill_published_networks(
    name: str, shared_data: Callable[[str], Path], tmp_path: Path
) -> None:
    """Every tensor has its place, as names and shapes of the released descriptions say."""
    packed = shared_data("arch_configs/ofa_specialized.json.gz").read_bytes()
    net = json.loads(gzip.decompress(packed))[name]["net"]
    generator = torch.Generator().manual_seed(0)
    state = official_state(net, lambda *shape: torch.rand(shape, generator=generator))
    torch.save({"state_dict": state}, tmp_path / "init.pt")
    found = open_architecture(f"ofa-{name}")
    network = found.space.build(found.arch)
    load_weights(network, tmp_path / "init.pt")
    assert torch.equal(network.get_parameter("stem.0.weight"), state["first_conv.conv.weight"])
    third = state["blocks.3.mobile_inverted_conv.point_linear.conv.weight"]  # the first of stage 2
    assert torch.equal(network.get_parameter("stage2.0.main.project.0.weight"), third)
    assert torch.equal(network.get_parameter("head.0.1.bias"), state[last_unit(net) + ".bn.bias"])


def last_unit(net: Mapping[str, Any]) -> str:
    """The layer before the pooling."""
    return "final_expand_layer" if "final_expand_layer" in net else "feature_mix_layer"


def test_official_names_of_a_supernet() -> None:
    """Layers in layers of the same name, and the matrices of kernels."""
    found = open_architecture("ofa-note8-lat-22ms-top1-70.4-finetune-25")
    with torch.device("meta"):
        ours = list(found.space.supernet().state_dict())
    depthwise = "blocks.6.mobile_inverted_conv.depth_conv"
    expected = {
        "first_conv.bn.weight": "stem.1.weight",
        f"{depthwise}.conv.conv.weight": "stage2.1.main.depthwise.0.weight",
        f"{depthwise}.conv.7to5_matrix": "stage2.1.main.depthwise.0.matrix_7to5",
        f"{depthwise}.conv.5to3_matrix": "stage2.1.main.depthwise.0.matrix_5to3",
        f"{depthwise}.bn.bn.running_mean": "stage2.1.main.depthwise.1.running_mean",
        f"{depthwise}.se.fc.expand.bias": "stage2.1.main.squeeze.restore.bias",
        "blocks.20.mobile_inverted_conv.point_linear.conv.conv.weight": "stage5.3.main.project.0.weight",
        "feature_mix_layer.conv.weight": "head.2.weight",
        "final_expand_layer.bn.weight": "head.0.1.weight",
        "classifier.linear.weight": "head.5.weight",
    }
    assert official_names(list(expected), ours) == expected
    assert set(expected.values()) <= set(ours)
