"""README.md of a winner's folder, for whoever gets it: what the network is, and how each file is used.

Text from outside (names of data, spaces, classes, reasons) stands in code spans and indented code, where Markdown
interprets nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from archwright.core.text import beginning, printable
from archwright.export.introductions import kind_of
from archwright.finish.readme_usage import MODES, onnx_usage, python_usage
from archwright.finish.result import README, network_lines
from archwright.nn.inputs import Signature
from archwright.reports.next_steps import longer, predict, tuning
from archwright.runs.files import write_text
from archwright.runs.run import Run
from archwright.spaces.base import Space
from archwright.tasks.base import Task

N_NAMES, MAX_NAME = 20, 100
"""Most class names that are listed, and most letters of one."""

_FILES = {
    "arch.json": "the architecture alone, for `archwright train`, `cost` and `draw`",
    "model.int8.onnx": "the same in 8-bit integers: smaller, often faster, nearly as good",
    "model.onnx": "network and weights for ONNX Runtime, compared with torch when it was written",
    "model.py": "the network as PyTorch source that imports torch only",
    "model.safetensors": "its trained weights, for `model.py` and for fine-tuning",
}
_WEIGHTS = {
    "scratch": "trained from fresh ones, on the training and the validation part together",
    "fine-tuned": "trained on from given ones, on the training and the validation part together",
    "inherited": "as they were when the search scored the network",
}


def write_readmes(run: Run, record: Mapping[str, Any], space: Space, task: Task) -> None:
    """Write README.md into the folder of each winner; one that is there stays, since people add to such files.

    Args:
        run: The run; it has a folder.
        record: What result.json holds.
        space: The space of stand-alone networks.
        task: The data.
    """
    for one in record["selected"]:
        winner = {**record, **one}
        place = winner.get("folder", "best")
        path = run.path(f"{place}/{README}")
        if not path.exists():
            files = ["arch.json", *sorted(file.name for file in run.path(place).glob("model.*") if file.is_file())]
            write_text(path, readme_text(winner, space.signature, task.class_names, task.preprocessing, files))


def input_kind(signature: Signature, class_names: Sequence[str], preprocessing: Mapping[str, Any]) -> str:
    """What the inputs are: "images" made as `preprocessing` says, other "numbers", "text", or several "tensors".

    Args:
        signature: What the network takes and gives.
        class_names: Names of its outputs; empty where there are no classes.
        preprocessing: Of the task.
    """
    kind = kind_of(signature, class_names, preprocessing)
    shape = signature.inputs[0].shape
    is_image = len(shape) == 3 and shape[0] in MODES and {"mean", "std", "scale"} <= preprocessing.keys()
    return "numbers" if kind == "images" and not is_image else kind


def readme_text(
    winner: Mapping[str, Any],
    signature: Signature,
    class_names: Sequence[str],
    preprocessing: Mapping[str, Any],
    files: Sequence[str],
) -> str:
    """The text: a function of what is known of the winner; no clock enters, and no place.

    Args:
        winner: The run's record, with this winner's own entries in the place of the first one's.
        signature: What the network takes and gives.
        class_names: Names of its outputs; empty where there are no classes.
        preprocessing: Of the task.
        files: Names of the files beside it.
    """
    kind = str(winner["input_kind"])
    blocks = [
        f"# A trained network for {span(winner['dataset'])}",
        _facts(winner, class_names),
        "The commands and programs below run in this folder.",
        _section("Files", "\n".join(f"- `{name}`: {_described(name)}" for name in files)),
        *_predict(winner),
        *python_usage(kind, files, has_classes=bool(class_names)),
        *onnx_usage(kind, files, signature, preprocessing, has_classes=bool(class_names)),
        _section("What goes in", "\n\n".join(_inputs(kind, signature, preprocessing))),
        *_classes(kind, class_names),
        _section("Scores", _scores(winner)),
        _section("Train it longer, or on your own data", _training(winner)),
    ]
    return "\n\n".join(blocks) + "\n"


def span(text: object) -> str:
    """A text as a code span of one line, whatever it holds."""
    said = printable(" ".join(str(text).split()))
    fence = "`" * (max((len(run) for run in re.findall("`+", said)), default=0) + 1)
    pad = " " if not said or said[0] == "`" or said[-1] == "`" else ""
    return f"{fence}{pad}{said}{pad}{fence}"


def indented(lines: Sequence[str]) -> str:
    """Lines as a code block that no text in them can end."""
    return "\n".join(f"    {printable(line)}" for line in lines)


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}"


def _described(name: str) -> str:
    return _FILES.get(name, "the same network in another form")


def _facts(winner: Mapping[str, Any], class_names: Sequence[str]) -> str:
    word = "higher" if winner["direction"] == "max" else "lower"
    made = f"found by archwright's method {span(winner['recipe'])}"
    if winner["recipe"] == "train":
        made = "one given architecture, trained by archwright"
    classes = f", {len(class_names):,} classes" if class_names else ""
    rows = [
        f"- **Network**: {made}; a member of the search space {span(winner['space'])}, code {span(winner['code'])}",
        f"- **Size**: {winner['params']:,} parameters, {winner['macs']:,} multiply-accumulates an input",
        f"- **Data**: {span(winner['dataset'])}{classes}",
        f"- **Test score**: {winner['metric']} {winner['test']:.4f} ({word} is better), on examples that it met once, "
        "after all choices were made",
        f"- **Weights**: {_WEIGHTS[winner.get('provenance', 'scratch')]}{_augmented(winner)}",
    ]
    return "\n".join(rows)


def _augmented(winner: Mapping[str, Any]) -> str:
    """What changed training images; not those it is used on."""
    names = winner.get("augment", "none")
    return "" if names == "none" else f"; in training, images were changed at random ({span(names)})"


def _predict(winner: Mapping[str, Any]) -> list[str]:
    command = predict(winner, "")
    if not command:
        return []
    said = {"IMAGE": "the likeliest classes of image files (with Pillow)", "TEXT": "what may follow a text"}
    what = next((text for word, text in said.items() if command.endswith(word)), "the shapes of its outputs")
    return [_section("Ask it", f"```bash\n{command}\n```\n\nprints {what}; it needs torch.")]


def _inputs(kind: str, signature: Signature, preprocessing: Mapping[str, Any]) -> list[str]:
    """The preprocessing in words and numbers."""
    specs = [
        f"- `{re.sub(r'[^A-Za-z0-9_]', '_', spec.name)}`: {spec.dtype}, N x {' x '.join(map(str, spec.shape))}"
        + ("" if spec.n_tokens is None else f", token numbers from 0 to {spec.n_tokens - 1}")
        for spec in signature.inputs
    ]
    taken = "The network takes, for any number N of inputs:\n\n" + "\n".join(specs)
    if kind == "text":
        level = "characters" if preprocessing.get("level") == "character" else "words"
        return [taken, f"A text is cut into {level}; each becomes its number, an unknown one that of `<unk>`."]
    if kind != "images":
        return [taken, "Inputs are used as they are."]
    return [taken, *_image_steps(signature, preprocessing)]


def _image_steps(signature: Signature, preprocessing: Mapping[str, Any]) -> list[str]:
    channels, height, width = signature.inputs[0].shape
    colour = {1: "grey", 3: "RGB"}.get(channels, f"{channels} channels")
    to_height, to_width = preprocessing.get("resize", (height, width))
    steps = [
        f"1. The image, {colour}, is scaled (bilinear, aspect kept) until it just covers {to_height} x {to_width} "
        f"pixels (height x width), and {height} x {width} are cut from its middle.",
        f"2. Each value, 0 to 255, is multiplied by {preprocessing['scale']:.9g}.",
        "3. The channel's mean is subtracted, and the result divided by its deviation:",
    ]
    pairs = zip(preprocessing["mean"], preprocessing["std"], strict=True)
    steps += [f"   - channel {i}: mean {mean:.9g}, deviation {std:.9g}" for i, (mean, std) in enumerate(pairs)]
    return ["\n".join(steps)]


def _classes(kind: str, class_names: Sequence[str]) -> list[str]:
    if not class_names:
        return []
    more = [f"… ({len(class_names):,} in all)"] if len(class_names) > N_NAMES else []
    lines = [f"{i:>4}  {beginning(name, MAX_NAME)}" for i, name in enumerate(class_names[:N_NAMES])]
    return [_section("Classes" if kind == "images" else "Tokens", indented([*lines, *more]))]


def _scores(winner: Mapping[str, Any]) -> str:
    """What the run printed at its end, without what a clock said."""
    return indented(network_lines(_timeless(winner)))


def _timeless(document: Any) -> Any:
    if isinstance(document, Mapping):
        return {key: _timeless(value) for key, value in document.items() if key != "latency_ms"}
    return [_timeless(item) for item in document] if isinstance(document, list) else document


def _training(winner: Mapping[str, Any]) -> str:
    those = f"those of this run were {span(winner['dataset'])}, your own images are `folder:PATH`"
    space = ""
    if ":" in str(winner["space"]):
        space = f"\n\nThe search space {span(winner['space'])} is code of its own, which has to lie where that says."
    return (
        "This needs archwright. The same architecture from fresh weights, for longer:\n\n"
        f"```bash\narchwright train . --data DATA{longer(winner)} --out RUN\n```\n\n"
        "Fine-tuned on other data, from these weights; the classifier begins anew where the classes are others:\n\n"
        f"```bash\narchwright train . --data DATA --weights model.safetensors{tuning(winner)} --out RUN\n```\n\n"
        f"`DATA` names data ({those}), `RUN` a new folder; `archwright train --help` has the other options.{space}"
    )
