"""The Python expression that builds a network again, and the classes that this expression needs."""

from __future__ import annotations

import ast
import inspect
import re
import warnings
from collections.abc import Mapping
from keyword import iskeyword
from typing import Any

import torch
from torch import nn

from archwright.core.errors import ExportError, InvalidValueError
from archwright.export.literals import Expression, Node, call, literal, mapping, sequence
from archwright.nn.choice.modules import ChoiceModule
from archwright.nn.elastic.layers import Elastic
from archwright.nn.source import SourceTemplate, template_of

_RECURRENT = {
    "input_size": inspect.Parameter.empty,
    "hidden_size": inspect.Parameter.empty,
    "num_layers": 1,
    "bias": True,
    "batch_first": False,
    "dropout": 0.0,
    "bidirectional": False,
}
# their constructors state no names
_HIDDEN_PARAMETERS: dict[type[nn.Module], dict[str, Any]] = {
    nn.RNN: {**_RECURRENT, "nonlinearity": "tanh"},
    nn.LSTM: {**_RECURRENT, "proj_size": 0},
    nn.GRU: _RECURRENT,
}


class NetworkWriter:
    """Collects what a network's source needs while its expression is made.

    Args:
        taken: Names that are in use, so that classes and functions of templates must not have them.

    Attributes:
        definitions: Text of each class and function that the expression uses, by name, in order of first use.
        paths: For the text that makes a module with children: the paths at which this module occurs.
    """

    def __init__(self, taken: frozenset[str] = frozenset()) -> None:
        self._taken = taken
        self._names: dict[int, str] = {}
        self.definitions: dict[str, str] = {}
        self.paths: dict[str, list[str]] = {}

    def expression(self, module: nn.Module, path: str = "") -> Node:
        """The expression that makes a module like this one.

        Args:
            module: A plain module, without searched parts.
            path: Its place in the network, for messages.

        Raises:
            ExportError: If it cannot be expressed; the message has the place and the class.
        """
        _refuse_what_no_source_shows(module, path)
        try:
            template = template_of(module)
        except InvalidValueError as error:
            raise inexpressible(module, path, f"which is no source template as it is: {error}") from None
        if template is not None:
            node = self._from_template(module, template, path)
        elif type(module) in (nn.Sequential, nn.ModuleList, nn.ModuleDict):
            node = self._container(module, path)
        elif is_torch_class(type(module)):
            return torch_layer(module, path)
        else:
            raise inexpressible(
                module, path, "which has no source template; give its class one with archwright.nn.source_template"
            )
        self.paths.setdefault(node.text, []).append(path)
        return node

    def _container(self, module: nn.Module, path: str) -> Node:
        # not named_children: it lists a shared module once
        present = {name: child for name, child in module._modules.items() if child is not None}
        children = {name: self._child(child, name, path) for name, child in present.items()}
        is_numbered = list(children) == [str(i) for i in range(len(children))]
        function = f"nn.{type(module).__name__}"
        if isinstance(module, nn.ModuleDict):
            return call(function, ("", mapping(children)), is_module=True)
        if isinstance(module, nn.ModuleList):
            return call(function, ("", sequence(list(children.values()))), is_module=True)
        if is_numbered:
            return call(function, *(("", child) for child in children.values()), is_module=True)
        if all(name.isidentifier() and name.isascii() and not iskeyword(name) for name in children):
            named = call("OrderedDict", *((f"{name}=", child) for name, child in children.items()))
        else:
            named = call("OrderedDict", ("", mapping(children)))
        return call(function, ("", named), is_module=True)

    def _from_template(self, module: nn.Module, template: SourceTemplate, path: str) -> Node:
        try:
            given = dict(template.arguments(module))
        except Exception as error:  # whatever a user's own function raises
            reason = f"whose source template finds no arguments ({type(error).__name__}: {error})"
            raise inexpressible(module, path, reason) from error
        names = {id(child): name for name, child in module.named_modules()}
        items = []
        for parameter in template.parameters:
            if parameter.name in given:
                value = given.pop(parameter.name)
                if parameter.default is None or not _is_default(value, parameter.default):
                    items.append((f"{parameter.name}=", self._argument(value, module, path, names)))
            elif parameter.default is None:
                raise inexpressible(module, path, f"whose source template gets no argument {parameter.name!r}")
        if given:
            raise inexpressible(module, path, f"whose source template takes no argument {next(iter(given))!r}")
        return call(self._class_name(template), *items, is_module=bool(names.keys() - {id(module)}))

    def _argument(self, value: Any, owner: nn.Module, path: str, names: Mapping[int, str]) -> Expression:
        """An argument of a template's class: a child, a plain value, or several."""
        if isinstance(value, nn.Module):
            return self._child(value, names.get(id(value), "?"), path)
        if isinstance(value, Mapping) and value:
            return mapping({str(key): self._argument(item, owner, path, names) for key, item in value.items()})
        if isinstance(value, list | tuple) and any(isinstance(item, nn.Module) for item in value):
            return sequence([self._argument(item, owner, path, names) for item in value])
        try:
            return literal(value)
        except TypeError as error:
            raise inexpressible(owner, path, f"whose source template cannot be filled: {error}") from None

    def _child(self, module: nn.Module, name: str, path: str) -> Node:
        return self.expression(module, f"{path}.{name}" if path else name)

    def _class_name(self, template: SourceTemplate) -> str:
        """The name of a template's class in the file; its definitions are added once, renamed where a name is taken."""
        if id(template) not in self._names:
            number = 1
            while not self._fits(renamed := _numbered(template.definitions, number)):
                number += 1
            self.definitions.update(renamed)
            self._names[id(template)] = list(renamed)[-1]
        return self._names[id(template)]

    def _fits(self, definitions: Mapping[str, str]) -> bool:
        """Whether their names are free, or stand for the very same text."""
        return not any(
            name in self._taken or self.definitions.get(name, text) != text for name, text in definitions.items()
        )


def _numbered(definitions: Mapping[str, str], number: int) -> dict[str, str]:
    """Definitions under names with a number behind, from 2 on."""
    if number == 1:
        return dict(definitions)
    renamed = {}
    for name, text in definitions.items():
        for old in definitions:
            text = re.sub(rf"\b{old}\b", f"{old}{number}", text)
        renamed[f"{name}{number}"] = text
    return renamed


def torch_layer(module: nn.Module, path: str) -> Node:
    """The expression that makes one of torch's own layers, with the arguments that differ from the defaults.

    Raises:
        ExportError: If it does not make an equal layer, e.g. because attributes of the layer were changed.
    """
    function = f"nn.{type(module).__name__}"
    required: list[tuple[str, Expression]] = []
    optional: list[tuple[str, Expression]] = []
    for name, default in _parameters(type(module)).items():
        value = _value(module, name, default)
        is_required = default is inspect.Parameter.empty
        if value is inspect.Parameter.empty and is_required:
            raise inexpressible(module, path, f"which does not say its {name!r}")
        if value is inspect.Parameter.empty or (type(value) is type(default) and value == default):
            continue
        try:
            (required if is_required else optional).append(("" if is_required else f"{name}=", literal(value)))
        except TypeError as error:
            raise inexpressible(module, path, f"made with {error}") from None
    portrait, node = _portrait(module), call(function, *required, *optional)
    if not _gives(node, portrait):
        raise inexpressible(module, path, f"which {node.text} does not give again")
    # an attribute may only repeat another one, under a name that older versions of torch do not take
    for argument in list(optional):
        others = [other for other in optional if other is not argument]
        if _gives(call(function, *required, *others), portrait):
            optional = others
    return call(function, *required, *optional)


def is_torch_class(cls: type[nn.Module]) -> bool:
    """Whether a class is torch.nn's own, not a subclass."""
    return getattr(nn, cls.__name__, None) is cls


def inexpressible(module: nn.Module, path: str, reason: str) -> ExportError:
    """The error for a module that cannot be written as source.

    Args:
        module: The module.
        path: Its place in the network; empty for the network itself.
        reason: Why it cannot be written, as the end of the sentence.
    """
    cls = type(module)
    return ExportError(
        f"the network cannot be written as source: {path or 'it'} is a {cls.__module__}.{cls.__qualname__}, {reason}"
    )


def _refuse_what_no_source_shows(module: nn.Module, path: str) -> None:
    if isinstance(module, ChoiceModule | Elastic):
        raise inexpressible(module, path, "a searched part; extract the network of one arch first")
    if module._forward_hooks or module._forward_pre_hooks:
        raise inexpressible(module, path, "which has hooks; remove them first")
    if "forward" in vars(module):
        raise inexpressible(module, path, "whose forward was replaced in this one object; write a class instead")


def _parameters(cls: type[nn.Module]) -> dict[str, Any]:
    """Names and defaults of what a torch class is made with."""
    if cls in _HIDDEN_PARAMETERS:
        return _HIDDEN_PARAMETERS[cls]
    found = list(inspect.signature(cls.__init__).parameters.values())[1:]
    named = [p for p in found if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and not p.name.startswith("_")]
    return {p.name: p.default for p in named if p.name not in ("device", "dtype")}


def _value(module: nn.Module, name: str, default: Any) -> Any:
    """What a layer was made with, as its attributes tell."""
    if isinstance(module, nn.MultiheadAttention) and name in ("bias", "add_bias_kv"):
        return (module.in_proj_bias if name == "bias" else module.bias_k) is not None
    value = getattr(module, name, inspect.Parameter.empty)
    if isinstance(default, bool) and (value is None or isinstance(value, torch.Tensor)):
        return value is not None
    if isinstance(module, nn.modules.conv._ConvNd) and isinstance(value, tuple) and len(set(value)) == 1:
        return value[0]
    return tuple(value) if isinstance(value, torch.Size) else value


def _gives(node: Node, portrait: list[Any]) -> bool:
    """Whether the call makes a layer with that portrait."""
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        try:
            made: nn.Module = eval(node.text, {"nn": nn, "__builtins__": {"float": float}})
        except Exception:  # whatever a constructor raises
            return False
    return _portrait(made) == portrait


def _portrait(module: nn.Module) -> list[Any]:
    """All that tells two layers apart but the values of their tensors."""
    found: list[Any] = [(name, tensor.shape, tensor.dtype) for name, tensor in module.state_dict().items()]
    for name, part in module.named_modules():
        plain = {key: value for key, value in vars(part).items() if key[0] != "_" and key != "training"}
        found.append((name, type(part), plain))
    return found


def _is_default(value: Any, default: str) -> bool:
    try:
        found = ast.literal_eval(default)
    except ValueError:  # a default that is computed
        return False
    return type(value) is type(found) and bool(value == found)
