"""Source templates: what they may be, and that each says what its class does."""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from archwright.core.errors import InvalidValueError
from archwright.nn import ops, source
from archwright.nn.ops.residual import ResidualBlock
from archwright.nn.source import Parameter, source_template, template_of


class Toy(nn.Module):
    """Without a template of its own."""


class Child(ResidualBlock):
    """Could compute something else."""


def test_template_has_its_class_and_parameters() -> None:
    """Helpers stand before the class; defaults are kept as text; shared indentation goes."""
    cls = type("Own", (Toy,), {})
    text = """
        def double(x):
            return 2 * x


        @torch.no_grad
        class Final(nn.Module):
            def __init__(self, body, factor=2.5, *, name="a"):
                super().__init__()
    """
    assert source_template(text)(cls) is cls
    template = template_of(cls())
    assert template is not None
    assert template.name == "Final"
    assert list(template.definitions) == ["double", "Final"]
    assert template.definitions["double"] == "def double(x):\n    return 2 * x"
    assert template.definitions["Final"].startswith("@torch.no_grad\nclass Final")
    assert template.parameters == (Parameter("body", None), Parameter("factor", "2.5"), Parameter("name", "'a'"))


def test_subclass_needs_its_own() -> None:
    """It may override forward."""
    assert template_of(ResidualBlock(4)) is not None
    assert template_of(Child(4)) is None


def test_arguments_are_attributes_by_default() -> None:
    """Those the constructor names."""
    block = ResidualBlock(4)
    template = template_of(block)
    assert template is not None
    assert template.arguments(block) == {"main": block.main}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class A(nn.Module)\n    pass", "the source template of Toy is no Python: .*, line 1"),
        ("def f(x):\n    return x", "must hold functions and classes only, and end with a class"),
        ("import os\nclass A: ...", "must hold functions and classes only"),
        ("class A: ...\ndef f(): ...", "end with a class"),
        ("", "end with a class"),
    ],
)
def test_unusable_text_is_refused(text: str, message: str) -> None:
    """Where it is given, naming the class."""
    with pytest.raises(InvalidValueError, match=message):
        source_template(text)(Toy)
    assert template_of(Toy()) is None


# ── a class that is its own template ──────────────────────────────────────────────────────────────


@source_template()
class Scaled(nn.Module):
    """Twice, and a half on top.

    Args:
        factor: A number.
    """

    def __init__(self, factor: float = 2.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        scaled: Tensor = sum([x] * int(self.factor), math.pi * 0 * x)
        return scaled + torch.ones(1) / 2


def test_own_source_without_its_decorator() -> None:
    """As it stands here, docstring included; the text alone gives the same class."""
    template = template_of(Scaled())
    assert template is not None
    text = template.definitions["Scaled"]
    assert "@source_template()\n" + text + "\n" == inspect.getsource(Scaled)
    assert text.startswith('class Scaled(nn.Module):\n    """Twice, and a half on top.\n')
    assert (template.name, template.parameters) == ("Scaled", (Parameter("factor", "2.0"),))
    assert template.arguments(Scaled(3.0)) == {"factor": 3.0}
    names = {"nn": nn, "torch": torch, "math": math, "Tensor": Tensor}
    exec(text, names)
    built: nn.Module = names["Scaled"](3.0)  # type: ignore[operator]
    x = torch.randn(2, 3)
    assert torch.equal(built(x), Scaled(3.0)(x))


def test_all_of_ours_stand_alone() -> None:
    """Each class of `nn.ops` that is its own template can be one; modules are looked through, so none is forgotten."""
    modules = [importlib.import_module(found.name) for found in pkgutil.iter_modules(ops.__path__, f"{ops.__name__}.")]
    found = {cls for cls in source._own if cls.__module__ in {module.__name__ for module in modules}}
    assert len(found) >= 17
    for cls in found:
        template = template_of(cls.__new__(cls))
        assert template is not None
        assert template.name == cls.__name__


def test_own_source_within_a_function() -> None:
    """Its indentation goes; arguments may be given."""

    @source_template(arguments=lambda module: {"factor": 7})
    class Inner(nn.Module):
        def __init__(self, factor: int) -> None:
            super().__init__()

    template = template_of(Inner(1))
    assert template is not None
    assert template.definitions["Inner"].startswith("class Inner(nn.Module):\n    def __init__(self")
    assert template.arguments(Inner(1)) == {"factor": 7}


@source_template()
class _Derived(ResidualBlock):
    pass


@source_template()
class _UsesHelper(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return sum(helper(y) for y in [x])


@source_template()
class _TakesCallable(nn.Module):
    def __init__(self, make: Callable[[], nn.Module]) -> None:
        super().__init__()


def helper(x: Tensor) -> Tensor:
    return x


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (lambda: _Derived(4), "_Derived derives from ResidualBlock, which is none of torch's classes; give source_"),
        (_UsesHelper, "_UsesHelper uses 'helper', which a file of its own lacks; use torch, nn, F, Tensor, math, "),
        (lambda: _TakesCallable(nn.ReLU), "_TakesCallable uses 'Callable', which a file"),
    ],
)
def test_what_cannot_stand_alone(module: Callable[[], nn.Module], message: str) -> None:
    """One line that says why; asked for again, again."""
    for _ in range(2):
        with pytest.raises(InvalidValueError, match=message) as refused:
            template_of(module())
        assert "\n" not in str(refused.value)


def test_a_name_that_means_something_else_here() -> None:
    """In the generated file it would mean torch's."""
    space = {"__name__": "elsewhere", "nn": nn, "source_template": source_template}
    module = type(inspect)("elsewhere")
    module.__dict__.update(space, F=len)
    text = "class Other(nn.Module):\n    def forward(self, x):\n        return F(x)\n"
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(sys.modules, "elsewhere", module)
        exec(text, module.__dict__)
        patched.setattr(inspect, "getsource", lambda cls: text)
        source_template()(module.Other)
        with pytest.raises(InvalidValueError, match="Other uses 'F', which"):
            template_of(module.Other())


def test_source_that_is_not_there() -> None:
    """As in a package of compiled files alone."""
    names = {"nn": nn, "__name__": "compiled_only"}
    exec("class Hidden(nn.Module): pass", names)
    hidden = source_template()(names["Hidden"])
    with pytest.raises(
        InvalidValueError, match=r"the source of Hidden cannot be read \(.*\); give source_template a te"
    ):
        template_of(hidden())
