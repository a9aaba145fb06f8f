"""A module → the expression that makes it again; what has none is named."""

from __future__ import annotations

import math
from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn

from archwright.core.errors import ExportError
from archwright.export.expressions import NetworkWriter
from archwright.nn import Conv2d, Supernet, source_template
from archwright.nn.ops.residual import ResidualBlock
from archwright.testing import ElasticSpace


def text(module: nn.Module) -> str:
    return NetworkWriter().expression(module).text


@pytest.mark.parametrize(
    "expected",
    [
        "nn.Conv2d(3, 16, 3)",
        'nn.Conv2d(4, 8, (3, 1), padding="same", dilation=(1, 2), groups=4, bias=False)',
        'nn.Conv2d(4, 4, 3, stride=(2, 1), padding=1, padding_mode="reflect")',
        "nn.Conv1d(3, 4, 5)",
        "nn.ConvTranspose2d(4, 2, 3, stride=2, output_padding=1)",
        "nn.Linear(3, 4, bias=False)",
        "nn.BatchNorm2d(8, eps=0.001, momentum=None, affine=False)",
        "nn.BatchNorm1d(8, track_running_stats=False)",
        "nn.GroupNorm(2, 8)",
        "nn.LayerNorm((4, 4), eps=1e-06)",
        "nn.InstanceNorm2d(3, affine=True)",
        "nn.MaxPool2d(3)",
        "nn.MaxPool2d(3, stride=2, padding=1)",
        "nn.AvgPool2d(2, count_include_pad=False)",
        "nn.AdaptiveAvgPool2d((1, None))",
        "nn.ReLU()",
        "nn.ReLU6(inplace=True)",
        "nn.Hardswish()",
        "nn.LeakyReLU(negative_slope=0.2)",
        "nn.PReLU(num_parameters=3)",
        'nn.GELU(approximate="tanh")',
        "nn.Softmax(dim=1)",
        "nn.Sigmoid()",
        "nn.Dropout(p=0.25)",
        "nn.Dropout2d(p=0.0)",
        "nn.Flatten()",
        "nn.Unflatten(1, (2, 2))",
        "nn.Identity()",
        'nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=True)',
        "nn.PixelShuffle(2)",
        "nn.ChannelShuffle(2)",
        "nn.ZeroPad2d((1, 1, 0, 0))",
        "nn.Embedding(10, 4, padding_idx=0)",
        "nn.MultiheadAttention(8, 2, batch_first=True)",
        "nn.MultiheadAttention(8, 2, bias=False, add_bias_kv=True, kdim=4)",
        "nn.LSTM(3, 4, num_layers=2, bidirectional=True)",
        "nn.GRU(3, 4, bias=False)",
        'nn.RNN(3, 4, nonlinearity="relu")',
        "nn.Sequential()",
        "nn.Sequential(nn.ReLU(), nn.Sequential(nn.Tanh()))",
        "nn.Sequential(OrderedDict(stem=nn.ReLU(), head=nn.Tanh()))",
        'nn.Sequential(OrderedDict({"a-b": nn.ReLU(), "class": nn.Tanh()}))',
        'nn.Sequential(OrderedDict({"1": nn.ReLU(), "0": nn.Tanh()}))',
        "nn.ModuleList([nn.ReLU(), nn.Tanh()])",
        'nn.ModuleDict({"3x3": nn.ReLU(), "\N{GREEK SMALL LETTER ALPHA}": nn.Tanh()})',
    ],
)
def test_expression_is_what_a_person_writes(expected: str) -> None:
    """Read from the module that the expression makes: only arguments that are no defaults."""
    module = eval(expected, {"nn": nn, "OrderedDict": OrderedDict})
    assert text(module) == expected


def test_arguments_that_say_the_default_are_left_out() -> None:
    """Sides of one length are one number."""
    module = nn.Conv2d(3, 4, (5, 5), stride=(1, 1), padding=(2, 2), bias=True)
    assert text(module) == "nn.Conv2d(3, 4, 5, padding=2)"
    assert text(nn.MaxPool2d(2, stride=2)) == "nn.MaxPool2d(2)"
    assert text(nn.Hardtanh(-math.inf, 2.0)) == 'nn.Hardtanh(min_val=float("-inf"), max_val=2.0)'


def test_elastic_factory_of_plain_sizes_is_torch_s_layer() -> None:
    """Half the kernel is its padding."""
    assert text(Conv2d(3, 4, 5, stride=2)) == "nn.Conv2d(3, 4, 5, stride=2, padding=2)"


def test_changed_attributes_are_expressed() -> None:
    """What counts is how the layer is now."""
    norm = nn.BatchNorm2d(3)
    norm.momentum = 0.5
    assert text(norm) == "nn.BatchNorm2d(3, momentum=0.5)"


# ── templates ─────────────────────────────────────────────────────────────────────────────────────


@source_template("""
    def twice(x: Tensor) -> Tensor:
        return 2 * x


    class Scaled(nn.Module):
        def __init__(self, bodies: Sequence[nn.Module], n: int, sides: tuple = (1, 2), label=None) -> None:
            super().__init__()
            self.bodies = nn.ModuleList(bodies)
            self.scale = nn.Parameter(torch.ones(n))

        def forward(self, x: Tensor) -> Tensor:
            return twice(sum(body(x) for body in self.bodies)) * self.scale
""")
class Scaled(nn.Module):
    """Children in a list, a parameter of its own, an option."""

    def __init__(self, bodies: list[nn.Module], n: int, sides: tuple[int, ...] = (1, 2)) -> None:
        super().__init__()
        self.bodies = nn.ModuleList(bodies)
        self.scale = nn.Parameter(torch.ones(n))
        self.n, self.sides, self.label = n, sides, None


def test_template_is_called_with_its_arguments() -> None:
    """Children and numbers by keyword; what equals the default is left out."""
    assert text(Scaled([nn.ReLU()], 4)) == "Scaled(bodies=nn.ModuleList([nn.ReLU()]), n=4)"
    assert text(Scaled([], 4, (3,))) == "Scaled(bodies=nn.ModuleList([]), n=4, sides=(3,))"


def test_definitions_are_collected_once() -> None:
    """In order of first use."""
    writer = NetworkWriter()
    writer.expression(nn.Sequential(ResidualBlock(2), Scaled([], 1), Scaled([], 2)))
    assert list(writer.definitions) == ["ResidualBlock", "twice", "Scaled"]


def test_taken_names_are_numbered() -> None:
    """A user's class of the same name, with its helpers; and names that the file uses itself."""
    other = type("Other", (nn.Module,), {})
    source_template("""
        def twice(x):
            return x + x


        class Scaled(nn.Module):
            def forward(self, x):
                return twice(x)
    """)(other)
    writer = NetworkWriter(frozenset({"ResidualBlock"}))
    node = writer.expression(nn.Sequential(Scaled([], 1), other(), ResidualBlock(2), other()))
    assert list(writer.definitions) == ["twice", "Scaled", "twice2", "Scaled2", "ResidualBlock2"]
    assert "Scaled2(), ResidualBlock2(main=" in node.text
    assert "return twice2(x)" in writer.definitions["Scaled2"]
    assert writer.definitions["twice2"].startswith("def twice2(x)")


@source_template()
class UsesHelper(nn.Module):
    """What its file does not have."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(text(x))  # type: ignore[arg-type]


def test_class_that_is_no_template_of_its_own() -> None:
    """An error of this file, with the place, as of a class without a template."""
    with pytest.raises(
        ExportError, match=r"1 is a .*UsesHelper, which is no source template as it is: UsesHelper uses"
    ):
        text(nn.Sequential(nn.ReLU(), UsesHelper()))


# ── what cannot be expressed ──────────────────────────────────────────────────────────────────────


class Unknown(nn.Module):
    """Has no template."""


class Louder(nn.ReLU):
    """A subclass of torch's."""


def _hooked() -> nn.Module:
    layer = nn.ReLU()
    layer.register_forward_hook(lambda module, inputs, output: output + 1)
    return layer


def _patched() -> nn.Module:
    layer = nn.ReLU()
    layer.forward = lambda x: x + 1  # type: ignore[method-assign]
    return layer


def _odd() -> nn.Module:
    layer = nn.Conv2d(2, 2, 1)
    layer.extra = 3  # type: ignore[assignment]
    return layer


def _half() -> nn.Module:
    return nn.Linear(2, 2).half()


def _reshaped() -> nn.Module:
    layer = nn.Linear(2, 2)
    layer.weight = nn.Parameter(torch.zeros(3, 2))
    return layer


def _without(attribute: str) -> nn.Module:
    module = Scaled([], 1)
    delattr(module, attribute)
    return module


def _with_object() -> nn.Module:
    module = Scaled([], 1)
    module.label = object()  # type: ignore[assignment]
    return module


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Unknown(), r"body\.0 is a .*\.Unknown, which has no source template; give its class one with archwright\.nn"),
        (Louder(), r"body\.0 is a .*\.Louder, which has no source template"),
        (_hooked(), r"body\.0 is a .*\.ReLU, which has hooks; remove them first"),
        (_patched(), r"body\.0 is a .*\.ReLU, whose forward was replaced"),
        (_odd(), r"body\.0 is a .*\.Conv2d, which nn\.Conv2d\(2, 2, 1\) does not give again"),
        (_half(), r"body\.0 is a .*\.Linear, which nn\.Linear\(2, 2\) does not give again"),
        (_reshaped(), r"body\.0 is a .*\.Linear, which nn\.Linear\(2, 2\) does not give again"),
        (nn.TransformerEncoderLayer(4, 2), r"body\.0 is a .*TransformerEncoderLayer, which does not say its 'd_model'"),
        (nn.ParameterList([torch.zeros(1)]), r"body\.0 is a .*ParameterList"),
        (_without("n"), r"body\.0 is a .*\.Scaled, whose source template finds no arguments \(AttributeError"),
        (_with_object(), r"body\.0 is a .*\.Scaled, whose source template cannot be filled: <object"),
        (nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), r"body\.0 is a .*ParametrizedLinear"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_what_cannot_be_expressed_is_named(module: nn.Module, message: str) -> None:
    """Place, class and what to do, in one line."""
    network = nn.Sequential(OrderedDict(stem=nn.ReLU(), body=nn.Sequential(module)))
    with pytest.raises(ExportError, match=message) as caught:
        text(network)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": 1}, "whose source template gets no argument 'body'"),
        ({"body": 1, "x": 1}, "whose source template takes no argument 'x'"),
    ],
)
def test_arguments_must_fit_the_template(arguments: dict[str, int], message: str) -> None:
    """Too few and too many are named."""
    cls = type("Wrong", (nn.Module,), {})
    body = "class Wrong(nn.Module):\n    def __init__(self, body):\n        super().__init__()"
    source_template(body, arguments=lambda module: arguments)(cls)
    with pytest.raises(ExportError, match=rf"it is a .*\.Wrong, {message}"):
        text(cls())


def test_searched_parts_are_refused() -> None:
    """A supernet is no network of one arch; the first searched part is named."""
    supernet = ElasticSpace().network(Supernet())
    with pytest.raises(ExportError, match=r"stem\.0 is a .*ElasticConv2d, a searched part; extract the network"):
        text(supernet)
    with pytest.raises(ExportError, match=r"body is a .*RepeatChoice, a searched part"):
        text(nn.ModuleDict({"body": supernet.body}))
