"""Measured latency: the time of one forward pass on this machine's CPU, by ONNX Runtime or torch."""

from __future__ import annotations

import copy
import gc
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from archwright.core.arch import Value
from archwright.core.catalog import listed
from archwright.core.decisions import Rows
from archwright.core.errors import InvalidValueError
from archwright.costs.base import Cost
from archwright.costs.tables.latencies import SpaceTable
from archwright.costs.tables.scopes import Probabilities
from archwright.export.folding import fold_batch_norms
from archwright.export.onnx import export_onnx, onnx_session
from archwright.nn.inputs import Form, Inputs, Signature, call, example_inputs, one_input, tensors_of
from archwright.spaces.base import Space

if TYPE_CHECKING:
    import onnxruntime

Backend = Literal["onnxruntime", "torch"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)
WARMUP, REPEATS = 10, 50
Use = Callable[[nn.Module, Inputs], Any]
"""How a network is used once; see `Space.use`."""


@dataclass(frozen=True)
class Latency:
    """Time of one forward pass in milliseconds.

    Attributes:
        median: Of all timed passes.
        p90: What nine in ten stay below.
        threads: Inside an operation.
        repeats: Passes timed.
        backend: What ran the network.
        spread: Distance of the quartiles of the timed passes as a share of their median.
    """

    median: float
    p90: float
    threads: int
    repeats: int
    backend: Backend
    spread: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As in result.json."""
        return {"median": self.median, "p90": self.p90, "threads": self.threads, "repeats": self.repeats}


def measure_latency(
    network: nn.Module,
    input_shape: Form,
    *,
    backend: Backend = "onnxruntime",
    batch: int = 1,
    threads: int = 1,
    warmup: int = WARMUP,
    repeats: int = REPEATS,
    use: Use = call,
) -> Latency:
    """Time a network's forward pass in float32 on the CPU, batch norms folded as the ONNX export does.

    The network stays as it is; torch's number of threads is put back.

    Args:
        network: Any network.
        input_shape: Shape of one input without the batch, or a signature.
        backend: "onnxruntime" exports it to a temporary file first.
        batch: Inputs a pass.
        threads: Inside an operation.
        warmup: Passes before the timed ones.
        repeats: Timed passes.
        use: What one pass is, of torch: a space's `use`, where networks are run several times for an answer.

    Raises:
        InvalidValueError: If a number is out of range or there is no such backend.
        RunError: If the network cannot be exported.
    """
    _check(backend, batch=batch, threads=threads, repeats=repeats, warmup=warmup + 1)
    if backend == "onnxruntime":
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            export_onnx(network, input_shape, path)
            return time_onnx(path, input_shape, batch=batch, threads=threads, warmup=warmup, repeats=repeats)
    plain = copy.deepcopy(network).eval().requires_grad_(False).to("cpu", torch.float32)
    plain = plain.to(memory_format=torch.contiguous_format)
    fold_batch_norms(plain)
    inputs = example_inputs(plain, input_shape, batch, rng=np.random.default_rng(0))
    with _threads(threads), torch.inference_mode():
        times = _timed(lambda: use(plain, inputs), warmup, repeats)
    return _latency(times, threads, backend)


def time_onnx(
    path: Path | str,
    input_shape: Form,
    *,
    batch: int = 1,
    threads: int = 1,
    warmup: int = WARMUP,
    repeats: int = REPEATS,
) -> Latency:
    """Time an ONNX file in ONNX Runtime on the CPU.

    Args:
        path: The file.
        input_shape: Shape of one input without the batch, or a signature.
        batch: Inputs in one pass.
        threads: Threads inside an operation.
        warmup: Passes before the timed ones.
        repeats: Timed passes.

    Raises:
        InvalidValueError: If a number is out of range.
        RunFolderError: If the file cannot be loaded.
    """
    _check("onnxruntime", batch=batch, threads=threads, repeats=repeats, warmup=warmup + 1)
    session = onnx_session(path, threads)
    feed = _inputs(session, batch, input_shape)
    return _latency(_timed(lambda: session.run(None, feed), warmup, repeats), threads, "onnxruntime")


def latency_of(space: Space, arch: Mapping[str, Value], table: SpaceTable | None = None) -> dict[str, dict[str, Any]]:
    """Latency of one architecture's network, by backend: measured now, on one thread, or predicted by a table.

    Args:
        space: Its space; ONNX Runtime is left out where one use of its networks is more than a forward pass.
        arch: A member of it.
        table: Of this space; without it the network is measured.

    Returns:
        `Latency.to_json` of each backend; with a table "predicted", "threads" and "machine" of its backend.

    Raises:
        UsageError: If the arch is no member, or the table is of another space.
        RunError: If the network cannot be exported.
    """
    if table is not None:
        predicted = float(table.cost_rows(space, space.row(arch)[None])[0])
        return {table.backend: {"predicted": predicted, "threads": table.threads, "machine": dict(table.machine or {})}}
    with torch.random.fork_rng(devices=[]):
        network = space.build(arch)
    backends = BACKENDS if space.runs_once else ("torch",)
    return {b: measure_latency(network, space.signature, backend=b, use=space.use).to_json() for b in backends}


def check_backend(space: Space, backend: Backend) -> None:
    """Refuse a backend that cannot run a space's networks as they are used.

    Raises:
        InvalidValueError: If one use of a network is more than a forward pass, which is all ONNX Runtime is given.
    """
    if backend == "onnxruntime" and not space.runs_once:
        raise InvalidValueError(
            f"networks of space {space.name!r} are run several times for one answer, and ONNX Runtime would be timed "
            "on a single pass; use latency_ms.torch (backend torch), which times the whole use"
        )


def _check(backend: str, **numbers: int) -> None:
    if backend not in BACKENDS:
        raise InvalidValueError(f"backend is {backend!r}; choose one of {', '.join(BACKENDS)}")
    for name, number in numbers.items():
        if number < 1:
            least = 0 if name == "warmup" else 1
            raise InvalidValueError(f"{name} is {number - (1 - least)}; give at least {least}")


def _inputs(session: onnxruntime.InferenceSession, batch: int, form: Form) -> dict[str, NDArray[Any]]:
    """Inputs by name, as of torch; of a shape, tokens are all 0, the one that every vocabulary has."""
    takes_tokens = session.get_inputs()[0].type == "tensor(int64)"
    signature = form if isinstance(form, Signature) else one_input(form, 1 if takes_tokens else None)
    drawn = tensors_of(signature.example(batch, rng=np.random.default_rng(0)))
    return {each.name: tensor.numpy() for each, tensor in zip(session.get_inputs(), drawn, strict=True)}


def _timed(call: Callable[[], object], warmup: int, repeats: int) -> NDArray[np.float64]:
    """Milliseconds of each of the timed calls."""
    for _ in range(warmup):
        call()
    times = np.empty(repeats)
    was_enabled = gc.isenabled()
    gc.disable()  # a collection in between would be taken for the network's time
    try:
        for i in range(repeats):
            started = time.perf_counter()
            call()
            times[i] = time.perf_counter() - started
    finally:
        if was_enabled:
            gc.enable()
    return 1e3 * times


def _latency(times: NDArray[np.float64], threads: int, backend: Backend) -> Latency:
    low, median, high, p90 = np.percentile(times, [25, 50, 75, 90]).tolist()
    return Latency(median, p90, threads, len(times), backend, (high - low) / median if median else 0.0)


@contextmanager
def _threads(n: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class MeasuredLatency(Cost):
    """Median latency: a network is measured, the archs of a space are looked up.

    What is measured of a network alone is one forward pass; of a space's networks, what its `use` does.

    Args:
        table: Of the space that is searched, measured with the same backend; without it `cost_rows` fails.
    """

    unit = "ms"
    backend: ClassVar[Backend]

    def __init__(self, table: SpaceTable | None = None) -> None:
        if table is not None and table.backend != self.backend:
            raise InvalidValueError(
                f"{table.name} was measured with {table.backend}, but {self.name} is a latency of {self.backend}; "
                f"measure another: archwright profile {table.space} --backend {self.backend} -o FILE"
            )
        self.table = table

    def cost_module(self, module: nn.Module, input_shape: Form) -> float:
        return measure_latency(module, input_shape, backend=self.backend).median

    def check_fits(self, space: Space) -> None:
        """Refuse a space whose networks run several times for one answer, where only a single pass can be timed.

        Raises:
            InvalidValueError: Names the latency that is known of it.
        """
        check_backend(space, self.backend)

    def cost_rows(self, space: Space, rows: Rows) -> NDArray[np.float64]:
        return self._table(space).cost_rows(space, rows)

    def expected(self, space: Space, probabilities: Probabilities) -> Tensor:
        return self._table(space).expected(space, probabilities)

    @property
    def is_timed_here(self) -> bool:
        """Whether a limit on it is judged by timing the finished network; not by a table of another machine."""
        return self.table is None or not self.table.is_from_elsewhere

    def _table(self, space: Space) -> SpaceTable:
        self.check_fits(space)
        if self.table is None:
            raise InvalidValueError(
                f"{self.name} of many architectures needs a table: archwright profile {space.name} "
                f"--backend {self.backend} -o FILE, then --set latency_table=FILE"
            )
        return self.table


@listed("cost", "latency-ms", summary="milliseconds in ONNX Runtime, batch 1, one thread, median; searched by a table")
class OnnxLatency(MeasuredLatency):
    """Median latency in ONNX Runtime on the CPU, batch 1, one thread."""

    name = "latency_ms"
    backend = "onnxruntime"


@listed("cost", "latency-ms.torch", summary="milliseconds in torch, batch 1, one thread, median; searched by a table")
class TorchLatency(MeasuredLatency):
    """Median latency in torch on the CPU, batch 1, one thread."""

    name = "latency_ms.torch"
    backend = "torch"
