"""Write a network as `model.py`: plain Python source that needs only torch.

The file builds the network's modules under their own names, so that `load_state_dict(weights, strict=True)` accepts
the weights, and shows how to load, preprocess and predict. torch's own layers are written as calls with the arguments
that differ from the defaults, classes of this package and of users by their source templates (`archwright.nn.source`).
A part that occurs several times becomes a function.
"""

from __future__ import annotations

import ast
import itertools
import json
import re
import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import nn

from archwright.core.errors import ExportError, InvalidValueError, error_text
from archwright.export.expressions import NetworkWriter
from archwright.export.introductions import Kind, introduction, kind_of
from archwright.export.literals import Expression, Node, laid_out, literal, quoted
from archwright.export.reference import outputs_of, plain_copy, random_inputs, relative_difference, worst
from archwright.nn.inputs import Form, Signature, signature_for
from archwright.runs.files import write_text

TOLERANCE = 1e-5

_MARK = "# ── copied from here"
_FACTORED_LENGTH = 100  # shorter modules stay where they are, several to a line
_N_LISTED = 6

_IMPORTS = {
    "json": "import json",
    "math": "import math",
    "re": "import re",
    "sys": "import sys",
    "OrderedDict": "from collections import OrderedDict",
    "Mapping": "from collections.abc import Mapping",
    "Sequence": "from collections.abc import Sequence",
    "Path": "from pathlib import Path",
}
_RESERVED = frozenset(
    {*_IMPORTS, "torch", "nn", "F", "Tensor", "INPUT_SHAPE", "INPUTS", "CLASS_NAMES", "PREPROCESSING", "build"}
)


def network_source(
    network: nn.Module, *, input_shape: Form, class_names: Sequence[str], preprocessing: Mapping[str, Any]
) -> str:
    """The text of a Python file that builds the network and shows how to use it; the same for the same network.

    Args:
        network: A module without searched parts; its weights are not in the text.
        input_shape: Shape of its one input without the batch axis, e.g. (3, 32, 32), or its signature.
        class_names: One name for each output; none where there are no classes.
        preprocessing: How images become inputs, as in `archwright.export.preprocessing`, or how texts do, as in
            `archwright.tasks.text.language`; empty where the network's inputs are tensors of another meaning. The file
            then says which tensors the network takes.

    Raises:
        ExportError: If a module cannot be expressed; the message has its place and class.
    """
    signature = signature_for(network, input_shape)
    kind = kind_of(signature, class_names, preprocessing)
    usage = _usage("standalone") if kind == "images" else _other_usage(kind)
    writer = NetworkWriter(_RESERVED | _defined(usage))
    root = writer.expression(network)
    ties = _ties(network)
    functions = _functions(root, writer, "network = " if ties else "return ")
    functions[-1] += [*ties, "    return network"] if ties else []
    constants = _constants(kind, signature, list(class_names), preprocessing)
    blocks = [*writer.definitions.values(), *map("\n".join, functions)]
    body = "\n\n\n".join(["\n".join(constants), *blocks, usage])
    return f"{introduction(kind, signature)}\n\n{_imports(body)}\n\n{body}\n"


def _constants(kind: Kind, signature: Signature, names: list[str], preprocessing: Mapping[str, Any]) -> list[str]:
    if kind == "tensors":
        listed = [(spec.name, spec.shape, spec.dtype, spec.n_tokens) for spec in signature.inputs]
        return laid_out("INPUTS = ", literal(listed))
    is_numbered = names == [str(i) for i in range(len(names))]
    numbers = f"[str(number) for number in range({len(names)})]"
    return [
        *laid_out("INPUT_SHAPE = ", literal(signature.inputs[0].shape)),
        *laid_out("PREPROCESSING = ", literal(dict(preprocessing))),
        *laid_out("CLASS_NAMES = ", numbers if is_numbered else literal(names)),
    ]


def write_source(network: nn.Module, path: Path | str, *, input_shape: Form, metadata: Mapping[str, str]) -> None:
    """Write a network as a Python file, atomically, after checking that its text gives the network's own logits.

    Args:
        network: A module without searched parts.
        path: File to write; its folder exists.
        input_shape: Shape of its one input without the batch axis, or its signature.
        metadata: The texts of `archwright.export.preprocessing.input_metadata`.

    Raises:
        InvalidValueError: If the metadata lack class names or preprocessing.
        ExportError: If the network cannot be written as source, or the source computes something else.
    """
    missing = [key for key in ("class_names", "preprocessing") if key not in metadata]
    if missing:
        raise InvalidValueError(
            f"nothing tells the network's {missing[0]}, which {Path(path).name} has to state; export a finished run"
        )
    class_names, preprocessing = (json.loads(metadata[key]) for key in ("class_names", "preprocessing"))
    text = network_source(network, input_shape=input_shape, class_names=class_names, preprocessing=preprocessing)
    verify_source(text, network, input_shape)
    write_text(Path(path), text)


def verify_source(text: str, network: nn.Module, input_shape: Form, *, seed: int = 0) -> float:
    """Largest difference between the logits of the network a text builds and of the network itself (eval mode, CPU).

    Measured on random normal inputs, relative to max(1, max|logit|).

    Args:
        text: The source to check; it is executed.
        network: The network it was written from.
        input_shape: Shape of one input without the batch axis.
        seed: Seed of the inputs.

    Raises:
        ExportError: If the text does not run, its network takes other weights, or the logits differ by more than 1e-5.
    """
    reference = plain_copy(network)
    inputs = random_inputs(network, input_shape, 2, seed=seed, purpose="verify_source")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            built = _built(text)
            built.load_state_dict(reference.state_dict(), strict=True)
            found, expected = outputs_of(built.eval(), inputs), outputs_of(reference, inputs)
    except Exception as error:  # whatever the code of a template raises
        raise ExportError(
            f"the network's source does not work ({error_text(error)}); mend the source templates of its classes"
        ) from error
    difference = worst(relative_difference, found, expected)
    if not difference <= TOLERANCE:
        raise ExportError(
            f"logits of the network and of its source differ by {difference:.3g}; at most {TOLERANCE:g} is accepted, "
            "compare the source templates with their classes"
        )
    return difference


def _built(text: str) -> nn.Module:
    names: dict[str, Any] = {"__name__": "model"}
    exec(compile(text, "model.py", "exec"), names)
    with torch.random.fork_rng(devices=[]):
        network: nn.Module = names["build"]()
    return network


# ── the parts of the file ─────────────────────────────────────────────────────────────────────────


def _functions(root: Node, writer: NetworkWriter, before: str) -> list[list[str]]:
    """The lines of a function for each module that occurs several times, and of `build` with `before` its network."""
    uses: Counter[str] = Counter()
    distinct = {node.text: node for node in _distinct_modules(root, uses)}
    names: dict[str, str] = {}
    for text in distinct:
        if uses[text] > 1 and len(text) > _FACTORED_LENGTH:
            names[text] = _function_name(writer.paths[text][0], names.values())
    made = [
        [f"def {name}() -> nn.Module:", _listing(writer.paths[text]), *_body("return ", distinct[text], names)]
        for text, name in names.items()
    ]
    return [
        *made,
        ["def build() -> nn.Module:", '    """The network with fresh weights."""', *_body(before, root, names)],
    ]


def _function_name(path: str, taken: Collection[str]) -> str:
    base = "make_" + re.sub(r"[^a-z0-9]+", "_", path.lower()).strip("_")
    return next(name for n in itertools.count(1) if (name := base if n == 1 else f"{base}_{n}") not in taken)


def _listing(paths: Sequence[str]) -> str:
    """A docstring that says where a module occurs."""
    listed = ", ".join(re.sub(r"[^\w. -]", "?", path) for path in paths[:_N_LISTED])
    more = f" and {len(paths) - _N_LISTED} more" if len(paths) > _N_LISTED else ""
    return f'    """{listed}{more}."""'


def _body(before: str, node: Node, names: Mapping[str, str]) -> list[str]:
    return laid_out(before, _with_calls(node, names), indent=4)


def _distinct_modules(node: Node, uses: Counter[str], seen: set[str] | None = None) -> Iterator[Node]:
    """Every different module below a node; `uses` counts where each stands, a place inside repeated ones once."""
    seen = set() if seen is None else seen
    for _, item in node.items:
        if isinstance(item, Node):
            uses[item.text] += item.is_module
            if item.text not in seen:
                seen.add(item.text)
                if item.is_module:
                    yield item
                yield from _distinct_modules(item, uses, seen)


def _with_calls(node: Node, functions: Mapping[str, str]) -> Node:
    """The node with calls in the place of what has a function of its own."""
    items = tuple((before, _replaced(item, functions)) for before, item in node.items)
    return Node(node.opening, items, node.closing)


def _replaced(item: Expression, functions: Mapping[str, str]) -> Expression:
    if isinstance(item, str):
        return item
    return f"{functions[item.text]}()" if item.text in functions else _with_calls(item, functions)


def _ties(network: nn.Module) -> list[str]:
    """Lines that make one tensor again of those that the network uses in several places."""
    first: dict[int, str] = {}
    lines = []
    tensors = [*network.named_parameters(remove_duplicate=False), *network.named_buffers(remove_duplicate=False)]
    for path, tensor in tensors:
        place = first.setdefault(id(tensor), path)
        if place != path:
            lines.append(f"    {_attribute(path)} = {_attribute(place)}")
    return lines


def _attribute(path: str) -> str:
    owner, _, name = path.rpartition(".")
    return f"network.get_submodule({quoted(owner)}).{name}" if owner else f"network.{name}"


def _imports(body: str) -> str:
    """The import lines of the names a text uses."""
    used = {node.id for node in ast.walk(ast.parse(body)) if isinstance(node, ast.Name)}
    lines = [line for name, line in _IMPORTS.items() if name in used]
    collections = [line for line in lines if line.startswith("from collections.abc")]
    if len(collections) == 2:
        lines[lines.index(collections[0])] = "from collections.abc import Mapping, Sequence"
        lines.remove(collections[1])
    functional = ["import torch.nn.functional as F"] if "F" in used else []
    tail = ["", "import torch", *functional, "from torch import Tensor, nn"]
    return "\n".join(["from __future__ import annotations", "", *lines, *tail])


def _usage(module: str) -> str:
    text = resources.files("archwright.export").joinpath(f"{module}.py").read_text("utf-8")
    return text[text.index(_MARK) :].partition("\n")[2].strip()


def _other_usage(kind: Kind) -> str:
    """That of language models or of other tensors, behind what it shares with images."""
    shared = _usage("standalone")
    nodes = {node.name: node for node in ast.parse(shared).body if isinstance(node, ast.FunctionDef)}
    taken = [ast.get_source_segment(shared, nodes[name]) or "" for name in ("load", "read_safetensors")]
    return "\n\n\n".join([*taken, _usage(f"standalone_{kind}")])


def _defined(text: str) -> set[str]:
    return {node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
