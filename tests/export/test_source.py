"""`model.py`: read by people, run by a Python that has torch and nothing of ours."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from archwright import testing
from archwright.core.errors import ExportError, InvalidValueError
from archwright.export.preprocessing import input_metadata
from archwright.export.preprocessing import preprocess as preprocess_by_numpy
from archwright.export.source import network_source, verify_source, write_source
from archwright.export.weights import save_weights
from archwright.nn import MBConv, ResidualBlock, source_template
from archwright.spaces import NasBench201, NasBench201Size, Space, SposSpace

PREPROCESSING = {"layout": "CHW", "scale": 1 / 255, "mean": [0.5, 0.25, 0.125], "std": [0.25, 0.5, 1.0]}
SPACES: dict[str, Space] = {
    **{
        name: getattr(testing, name)()
        for name in (
            *("BranchSpace", "ElasticSpace", "LooseEndsSpace", "MBConvSpace"),
            *("NumberSpace", "StagesSpace", "StrideSpace"),
        )
    },
    "spos 28": SposSpace(input_shape=(3, 28, 28), n_classes=10),
    "spos 224": SposSpace(),
    "nasbench201": NasBench201(channels=4, cells=2),
    "nasbench201 search form": NasBench201(channels=4, cells=1).search_form(),
    "nasbench201-size": NasBench201Size(),
}

BARE = """
import importlib.util, json, sys
from pathlib import Path

sys.path[:0] = json.loads(sys.argv[1])

class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"archwright", "safetensors", "onnx", "PIL", "sklearn"}:
            raise ImportError(f"{name} is refused")

sys.meta_path.insert(0, Refusing())
import torch

torch.set_num_threads(1)
found = {}
for folder in map(Path, sys.argv[2:]):
    spec = importlib.util.spec_from_file_location("model", folder / "model.py")
    model = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(model)
    network = model.load(folder / "model.safetensors")
    wanted = model.read_safetensors(folder / "wanted.safetensors")
    with torch.inference_mode():
        found[folder.name] = {
            "difference": float((network(wanted["inputs"]) - wanted["logits"]).abs().max()),
            "keys": list(network.state_dict()),
            "training": network.training,
        }
print(json.dumps(found))
"""


def source(network: nn.Module, input_shape: tuple[int, ...] = (3, 8, 8), names: list[str] | None = None) -> str:
    return network_source(
        network, input_shape=input_shape, class_names=names or ["a", "b"], preprocessing=PREPROCESSING
    )


def run(text: str, path: Path = Path("model.py")) -> SimpleNamespace:
    """The names a file defines."""
    names: dict[str, Any] = {"__name__": "model", "__file__": str(path)}
    exec(compile(text, "model.py", "exec"), names)
    return SimpleNamespace(**names)


def randomize(network: nn.Module) -> nn.Module:
    """Weights, affine parameters and statistics that are nowhere zero or one."""
    torch.manual_seed(0)
    for tensor in network.state_dict().values():
        if tensor.dim() > 1:
            tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5)
        elif tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
    return network.eval()


@pytest.fixture(scope="module")
def networks() -> dict[str, tuple[Space, nn.Module]]:
    """Two archs of each space."""
    rng = np.random.default_rng(0)
    return {
        f"{name}-{i}": (space, randomize(space.build(arch)))
        for name, space in SPACES.items()
        for i, arch in enumerate(space.sample(2, rng))
    }


@pytest.fixture(scope="module")
def bare(
    networks: dict[str, tuple[Space, nn.Module]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """What a bare interpreter makes of the files of all networks."""
    folders = []
    for name, (space, network) in networks.items():
        folder = tmp_path_factory.mktemp("bare") / name
        folder.mkdir()
        metadata = input_metadata([f"class {i}" for i in range(space.n_classes)], PREPROCESSING)
        write_source(network, folder / "model.py", input_shape=space.input_shape, metadata=metadata)
        save_weights(network, folder / "model.safetensors", metadata=metadata)
        inputs = torch.randn(3, *space.input_shape, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            wanted = {"inputs": inputs, "logits": network(inputs)}
        holder = nn.Module()
        for key, tensor in wanted.items():
            holder.register_buffer(key, tensor)
        save_weights(holder, folder / "wanted.safetensors")
        folders.append(folder)
    paths = json.dumps([str(Path(torch.__file__).parents[1])])
    command = [sys.executable, "-I", "-S", "-c", BARE, paths, *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", [f"{name}-{i}" for name in SPACES for i in range(2)])
def test_bare_interpreter_gives_the_same_logits(
    name: str, networks: dict[str, tuple[Space, nn.Module]], bare: dict[str, dict[str, Any]]
) -> None:
    """Without archwright and safetensors: strict loading, the same names, logits within 1e-6 of the largest."""
    space, network = networks[name]
    with torch.inference_mode():
        inputs = torch.randn(3, *space.input_shape, generator=torch.Generator().manual_seed(1))
        largest = float(network(inputs).abs().max())
    assert bare[name]["difference"] <= 1e-6 * max(1.0, largest)
    assert bare[name]["keys"] == list(network.state_dict())
    assert bare[name]["training"] is False


def _layouts(networks: dict[str, tuple[Space, nn.Module]]) -> Iterator[tuple[str, str]]:
    names = ['it\'s "so"', "tab\t\\", "Z\u00fcrich", *(f"class number {i}" for i in range(20))]
    for name, (space, network) in networks.items():
        yield name, source(network, space.input_shape, names)


def test_files_are_laid_out_and_clean(networks: dict[str, tuple[Space, nn.Module]], tmp_path: Path) -> None:
    """As ruff would write them, at 120 columns, with the rules of this project."""
    ruff = Path(sys.executable).with_name("ruff")
    if not ruff.exists():
        pytest.skip("ruff is not installed beside this Python")
    for name, text in _layouts(networks):
        (tmp_path / f"{name.replace(' ', '_')}.py").write_text(text, "utf-8")
    shared = ["--isolated", "--no-cache", "--line-length", "120", "--target-version", "py311", str(tmp_path)]
    layout = subprocess.run([str(ruff), "format", "--diff", *shared], capture_output=True, text=True, check=False)
    assert layout.returncode == 0, layout.stdout
    rules = ["--select", "E,F,I,UP,B,SIM,C4,RUF,PT", "--ignore", "RUF001,RUF002,RUF003"]
    lint = subprocess.run([str(ruff), "check", *rules, *shared], capture_output=True, text=True, check=False)
    assert lint.returncode == 0, lint.stdout


def test_text_depends_on_the_structure_alone(networks: dict[str, tuple[Space, nn.Module]]) -> None:
    """Not on weights, device, layout or mode."""
    space, network = networks["ElasticSpace-0"]
    again = space.build(space.sample(2, np.random.default_rng(0))[0])
    first = source(network)
    assert source(network) == first
    assert source(randomize(again).train().to(memory_format=torch.channels_last)) == source(again)


def test_only_torch_and_the_standard_library_are_imported(networks: dict[str, tuple[Space, nn.Module]]) -> None:
    """And no more of it than the file uses."""
    lines = {line for _, text in _layouts(networks) for line in text.splitlines() if re.match("(from|import) ", line)}
    standard = {"__future__", "json", "math", "sys", "collections", "collections.abc", "pathlib"}
    allowed = {*standard, "torch", "torch.nn.functional"}
    assert {line.split()[1] for line in lines} <= allowed


# ── repetition ────────────────────────────────────────────────────────────────────────────────────


def test_what_occurs_several_times_is_a_function() -> None:
    """Three like blocks and one other: the text of the like ones stands once, with the places it is used at."""
    network = nn.Sequential(
        OrderedDict(
            a=MBConv(8, 8, kernel=3, expand=2),
            b=MBConv(8, 8, kernel=5, expand=2),
            c=MBConv(8, 8, kernel=3, expand=2),
            d=MBConv(8, 8, kernel=3, expand=2),
        )
    )
    text = source(network)
    assert text.count("padding=1, groups=16") == 1
    assert 'def make_a() -> nn.Module:\n    """a, c, d."""\n    return MBConv(' in text
    assert re.search(r"a=make_a\(\),\n +b=MBConv\((.|\n)*c=make_a\(\),\n +d=make_a\(\),", text)
    assert verify_source(text, randomize(network), (8, 6, 6)) == 0


def test_size_of_the_file_does_not_grow_with_repetition() -> None:
    """Thirty-two like cells of like blocks take one line each; like parts within a cell are found too."""

    def cell() -> nn.Module:
        return nn.Sequential(ResidualBlock(4), nn.Sequential(ResidualBlock(4), nn.ReLU()), ResidualBlock(4))

    few = source(nn.Sequential(*(cell() for _ in range(2))))
    network = nn.Sequential(*(cell() for _ in range(32)))
    many = source(network)
    assert many.count("ResidualBlock(\n") == few.count("ResidualBlock(\n") == 1
    assert len(many.splitlines()) - len(few.splitlines()) <= 33
    assert '"""0, 1, 2, 3, 4, 5 and 26 more."""' in many
    assert verify_source(many, randomize(network), (4, 4, 4)) == 0


def test_functions_of_like_places_have_names_of_their_own() -> None:
    """Paths that differ only in what a name cannot hold."""
    blocks = {"a-b": ResidualBlock(4), "a_b": ResidualBlock(8), "1": ResidualBlock(4), "2": ResidualBlock(8)}
    text = source(nn.ModuleDict(blocks))
    assert re.findall(r"^def (make_\w+)", text, re.MULTILINE) == ["make_a_b", "make_a_b_2"]


# ── tensors in several places ─────────────────────────────────────────────────────────────────────


@source_template("""
    class Pair(nn.Module):
        def __init__(self, encode: nn.Module, decode: nn.Module) -> None:
            super().__init__()
            self.encode, self.decode = encode, decode

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.decode(F.relu(self.encode(x))))
""")
class Pair(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode = nn.Linear(4, 4), nn.Linear(4, 4)
        self.decode.weight = self.encode.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.decode(torch.relu(self.encode(x))))


def test_tied_tensors_are_tied_again() -> None:
    """One parameter of two layers, and a layer that stands in two places."""
    shared = nn.BatchNorm1d(4)
    network = nn.Sequential(shared, Pair(), shared, nn.Linear(4, 2))
    text = source(network, (4,))
    assert verify_source(text, randomize(network), (4,)) == 0
    built = run(text).build()
    assert built[1].decode.weight is built[1].encode.weight
    assert built[2].weight is built[0].weight
    assert built[2].running_mean is built[0].running_mean
    assert len(list(built.parameters())) == len(list(network.parameters()))
    assert "import torch.nn.functional as F" in text


# ── what goes wrong ───────────────────────────────────────────────────────────────────────────────


class Liar(nn.Module):
    """A class whose templates below do not say what it does."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((1,), 3.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1) * self.scale


@pytest.mark.parametrize(
    ("forward", "parameter", "message"),
    [
        ("x.flatten(1) + self.scale", "scale", r"logits of the network and of its source differ by .*; at most 1e-05"),
        ("x.flatten(2) * self.scale", "scale", r"differ by inf"),
        ("x.flatten(1) * self.scale", "factor", r"does not work \(RuntimeError: .*Missing key.*\"?factor"),
        ("numpy.ravel(x)", "scale", r"does not work \(NameError: name 'numpy' is not defined\); mend the source"),
    ],
)
def test_wrong_template_is_found_out(tmp_path: Path, forward: str, parameter: str, message: str) -> None:
    """The text is run before it is written: other logits, other shapes, other names, no code."""
    source_template(f"""
        class Liar(nn.Module):
            def __init__(self):
                super().__init__()
                self.{parameter} = nn.Parameter(torch.ones(1))

            def forward(self, x):
                return {forward}
    """)(Liar)
    metadata = input_metadata(["a"], PREPROCESSING)
    with pytest.raises(ExportError, match=message) as caught:
        write_source(Liar(), tmp_path / "model.py", input_shape=(3, 2, 2), metadata=metadata)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_file_needs_names_and_preprocessing(tmp_path: Path) -> None:
    """Weights of other origin carry neither."""
    with pytest.raises(
        InvalidValueError, match=r"nothing tells the network's class_names, which model\.py has to state"
    ):
        write_source(nn.Linear(2, 2), tmp_path / "model.py", input_shape=(2,), metadata={})


def test_global_random_state_is_left_alone() -> None:
    """Building the network to check it draws weights."""
    network = nn.Linear(4, 2)
    before = torch.get_rng_state()
    verify_source(source(network, (4,)), network, (4,))
    assert torch.equal(torch.get_rng_state(), before)


# ── what the file does ────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_any_class_name_travels(names: list[str]) -> None:
    """Quotes, backslashes, line breaks, control characters, any script."""
    text = source(nn.Identity(), names=names)
    found = run(text).CLASS_NAMES
    assert found == names
    assert text.encode("utf-8").decode("utf-8") == text


def test_constants_are_those_given() -> None:
    """Shape, preprocessing; names that only count are counted."""
    model = run(source(nn.Identity(), names=["0", "1", "2"]))
    assert (model.INPUT_SHAPE, model.CLASS_NAMES) == ((3, 8, 8), ["0", "1", "2"])
    assert model.PREPROCESSING == PREPROCESSING
    assert "range(3)" in source(nn.Identity(), names=["0", "1", "2"])


@pytest.mark.parametrize("channels", [1, 3])
def test_preprocessing_is_that_of_the_export(channels: int, rng: np.random.Generator) -> None:
    """Bit for bit what `archwright.export.preprocessing` computes."""
    document = {"layout": "CHW", "scale": 1 / 255, "mean": [0.3] * channels, "std": [0.7] * channels}
    text = network_source(nn.Identity(), input_shape=(channels, 5, 4), class_names=["a"], preprocessing=document)
    images = rng.integers(0, 256, (2, 5, 4, channels), dtype=np.uint8)
    found = run(text).preprocess(torch.from_numpy(images))
    assert np.array_equal(found.numpy(), preprocess_by_numpy(images, document))
    if channels == 1:
        assert torch.equal(run(text).preprocess(torch.from_numpy(images[..., 0])), found)


def test_wrong_images_are_refused() -> None:
    """Other types and sizes would give nonsense."""
    model = run(source(nn.Identity()))
    with pytest.raises(ValueError, match=r"images are torch\.float32; give uint8"):
        model.preprocess(torch.zeros(1, 8, 8, 3))
    with pytest.raises(ValueError, match=r"images are \(3, 8, 9\) in channels-first order; give \(3, 8, 8\)"):
        model.preprocess(torch.zeros(1, 8, 9, 3, dtype=torch.uint8))


def test_command_line_names_the_classes_of_an_image(
    tmp_path: Path, run_python: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """An image in the colour of the class; without one, noise and the weights beside the file."""
    from PIL import Image

    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3, bias=False))
    network[2].weight.data = 10 * torch.eye(3)
    metadata = input_metadata(["red", "green", "blue"], {**PREPROCESSING, "mean": [0.0] * 3, "std": [1.0] * 3})
    write_source(network, tmp_path / "model.py", input_shape=(3, 8, 8), metadata=metadata)
    save_weights(network, tmp_path / "model.safetensors")
    Image.new("RGB", (30, 20), "blue").save(tmp_path / "sea.png")
    done = run_python("-W", "error", "model.py", "model.safetensors", "sea.png")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == ["sea.png:", "  99.99%  blue"]
    run((tmp_path / "model.py").read_text("utf-8"), tmp_path / "model.py").main([])
    noise = capsys.readouterr().out.splitlines()
    assert noise[0] == "no image given; this is the answer to random noise:"
    assert len(noise) == 4


def test_image_is_framed_as_the_data_were(tmp_path: Path) -> None:
    """Scaled until it covers the size that the preprocessing names, then the middle: here a quarter of it."""
    from PIL import Image

    colours = {"outside": (255, 0, 0), "middle": (0, 0, 255)}
    image = Image.new("RGB", (64, 32), colours["outside"])
    image.paste(Image.new("RGB", (20, 20), colours["middle"]), (22, 6))
    image.save(tmp_path / "image.png")
    document = {**PREPROCESSING, "resize": [16, 16], "crop": [8, 8], "interpolation": "bilinear"}
    text = network_source(nn.Identity(), input_shape=(3, 8, 8), class_names=["a"], preprocessing=document)
    found = run(text).read_image(tmp_path / "image.png")
    assert (found.shape, found.dtype) == ((1, 8, 8, 3), torch.uint8)
    assert found.reshape(-1, 3).unique(dim=0).tolist() == [[0, 0, 255]]
    plain = run(source(nn.Identity())).read_image(tmp_path / "image.png")
    assert plain[0, 0].unique(dim=0).tolist() == [[255, 0, 0]]
