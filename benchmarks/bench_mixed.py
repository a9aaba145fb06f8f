"""Steps of mixtures: DARTS's search network beside quark0/darts, looking ahead, gates, and memory at 224 pixels.

usage: bench_mixed.py [CNN|-] [PART ...]     (CNN: the folder `cnn` of quark0/darts; without it that part is left out)

Parts: speed, memory, ahead, gates, curve; by default all.

DARTS's network (C = 8, 5 cells, batch 16, 32x32), one clipped step of SGD on the weights; in turn: the reference, ours
with edges that leave a state together, ours by plain sums. The reference's CUDA calls are made to do nothing. Peak
memory is that of a process of its own for each, beyond what the imports and the network take.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from archwright.nn.ops import two_inputs
from archwright.policies import BinaryGates, Categorical
from archwright.spaces import Darts, FBNet
from archwright.tasks.images.in_memory import ImageTask
from archwright.training.config import TrainingConfig
from archwright.weight_sharing import AlphaConfig, ByGradient, SupernetWeights
from common import THREADS, interleaved, machine, ratio, report

BLOCKS, BATCH = 12, 16
CHANNELS, CELLS = 8, 5
N_CANDIDATES = (1, 2, 4, 9)


def main() -> None:
    torch.set_num_threads(THREADS)
    cnn = None if len(sys.argv) < 2 or sys.argv[1] == "-" else sys.argv[1]
    if sys.argv[2:3] == ["alone"]:
        return alone(*sys.argv[3:])
    print(machine())
    steps = {"quark0/darts": lambda: reference(str(cnn))} if cnn is not None else {}
    steps |= {"together": lambda: ours(together=True), "plain sums": lambda: ours(together=False)}
    parts: dict[str, Callable[[], None]] = {
        "speed": lambda: speed({name: make() for name, make in steps.items()}),
        "memory": lambda: peaks(cnn or "-", list(steps)),
        "ahead": ahead,
        "gates": gates,
        "curve": curve,
    }
    for part in sys.argv[2:] or parts:
        parts[part]()


def speed(steps: dict[str, Callable[[], None]]) -> None:
    """A mixed step of each beside the first."""
    times = dict(zip(steps, interleaved(list(steps.values()), BLOCKS), strict=True))
    first = next(iter(times))
    for name in list(times)[1:]:
        middle, low, high = ratio(times[name], times[first])
        figure = f"{middle:.3f} ({low:.3f} to {high:.3f})"
        said = f"mixed step, {name} / {first} ({1e3 * float(np.median(times[first])):.0f} ms)"
        report(said, figure, "at most 0.4, aim 0.25" if name == "together" else "")


def peaks(cnn: str, names: list[str]) -> None:
    """Memory of a mixed step of each."""
    for name in names:
        report(f"peak memory of that step, {name}", f"{memory(cnn, name):.0f} MB")


def curve() -> None:
    """Memory by the number of candidates."""
    for n in N_CANDIDATES:
        figures = ", ".join(f"{memory('-', kind, str(n)):.0f}" for kind in ("mixture", "gates", "path"))
        report(
            f"peak memory of a step at 224 pixels, {n} candidates a layer: mixture, two gates, path", f"{figures} MB"
        )


def alone(kind: str, n: str = "0") -> None:
    """In a process of its own: prints the megabytes that a step takes at most."""
    step = {
        "quark0/darts": lambda: reference(sys.argv[1]),
        "together": lambda: ours(together=True),
        "plain sums": lambda: ours(together=False),
        **{name: lambda name=name: chain(name, int(n)) for name in ("mixture", "gates", "path")},
    }[kind]()
    before, peak, is_over = resident_mb(), [0.0], threading.Event()

    def watch() -> None:
        while not is_over.wait(0.001):
            peak[0] = max(peak[0], resident_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    step()
    is_over.set()
    watcher.join()
    print(max(0.0, peak[0] - before))


def resident_mb() -> float:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def memory(*arguments: str) -> float:
    """What `alone` prints."""
    first, *others = arguments
    done = subprocess.run(
        [sys.executable, __file__, first, "alone", *others], check=True, capture_output=True, text=True
    )
    return float(done.stdout.split()[-1])


def step_of(network: nn.Module, parameters: Any, x: torch.Tensor, write: Callable[[], None]) -> Callable[[], None]:
    """One step of SGD with clipped gradients."""
    optimizer = torch.optim.SGD(parameters, 0.025, momentum=0.9, weight_decay=3e-4)
    targets, criterion = torch.randint(10, (len(x),)), nn.CrossEntropyLoss()

    def step() -> None:
        write()
        optimizer.zero_grad()
        criterion(network(x), targets).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()

    return step


def reference(cnn: str) -> Callable[[], None]:
    sys.path.insert(0, cnn)
    torch.Tensor.cuda = lambda self, *_, **__: self  # type: ignore[method-assign]
    nn.Module.cuda = lambda self, *_, **__: self  # type: ignore[method-assign]
    import model_search  # type: ignore[import-not-found]

    network = model_search.Network(CHANNELS, 10, CELLS, nn.CrossEntropyLoss()).train()
    return step_of(network, network.parameters(), torch.randn(BATCH, 3, 32, 32), lambda: None)


def channels_last(network: nn.Module) -> nn.Module:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
    return network


def ours(*, together: bool) -> Callable[[], None]:
    shared = SupernetWeights.build(Darts(input_shape=(3, 32, 32), channels=CHANNELS, cells=CELLS), 0)
    network, policy = channels_last(shared.network.train()), Categorical(shared.space)
    x = torch.randn(BATCH, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    planned = two_inputs.is_planned

    def write() -> None:
        two_inputs.is_planned = planned if together else lambda _: False
        with torch.no_grad():
            shared.relax(policy.mixture(np.random.default_rng(0)))

    return step_of(network, network.parameters(), x, write)


def chain(kind: str, n: int) -> Callable[[], None]:
    """A step of FBNet's chain at 224 pixels, of which n candidates run, two behind gates, or one path."""
    space = FBNet(input_shape=(3, 224, 224))
    shared, policy = SupernetWeights.build(space, 0), BinaryGates(space)
    network = channels_last(shared.network.train())
    x = torch.randn(4, 3, 224, 224).contiguous(memory_format=torch.channels_last)

    def write() -> None:
        if kind == "path":
            shared.activate(np.full(len(space.decisions), n - 1))
        elif kind == "gates":
            shared.relax({name: each[: min(n, 2)] for name, each in policy.gates(np.random.default_rng(0)).items()})
        else:
            shared.relax({name: [(i, 1 / n) for i in range(n)] for name in space.decisions.names})

    return step_of(network, network.parameters(), x, write)


def random_task(shape: tuple[int, ...], n: int) -> ImageTask:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n, *shape)).astype(np.uint8)
    labels = np.arange(n) % 10
    return ImageTask("random", images, labels, images[:10], labels[:10])


def ahead() -> None:
    """A step of α that looks ahead beside a step of the weights: trainings with and without α's steps."""
    space = Darts(input_shape=(3, 32, 32), channels=CHANNELS, cells=CELLS)
    task = random_task((3, 32, 32), 400)
    training = TrainingConfig(steps=6, batch_size=BATCH, learning_rate=0.025, augment="none")

    def run(alpha: AlphaConfig) -> Callable[[], None]:
        def fit() -> None:
            shared, policy = SupernetWeights.build(space, 0), Categorical(space)
            ByGradient(training, alpha).fit(shared, policy, task, seed=0)

        return fit

    second = AlphaConfig(order="second")
    with_alpha, without = interleaved([run(second), run(replace(second, warmup=0.99))], 5)
    middle, low, high = ratio(with_alpha, without)
    report(
        "second-order step of α / step of the weights",
        f"{middle - 1:.2f} ({low - 1:.2f} to {high - 1:.2f})",
        "at most 4.5",
    )


def gates() -> None:
    """A step of the weights on the path of ProxylessNAS beside the stand-alone network's."""
    space = FBNet(input_shape=(3, 32, 32), n_classes=10)
    shared = SupernetWeights.build(space, 0)
    row = space.decisions.sample(1, np.random.default_rng(0))[0]
    x = torch.randn(64, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    network = channels_last(shared.network.train())
    single = channels_last(space.extract(network, space.decisions.arch(row)).train())
    runs = [
        step_of(network, network.parameters(), x, lambda: shared.activate(row)),
        step_of(single, single.parameters(), x, lambda: None),
    ]
    middle, low, high = ratio(*interleaved(runs, BLOCKS))
    report(
        "weight step of one gated path / the stand-alone network's", f"{middle:.3f} ({low:.3f} to {high:.3f})", "1.1"
    )


if __name__ == "__main__":
    main()
