"""Source templates: what they may be, and that each says what its class does."""

from __future__ import annotations

import pytest
from torch import nn

from archwright.core.errors import InvalidValueError
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
