"""Published tabular benchmarks, read from their tables, and a user's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from archwright.core.catalog import listed
from archwright.core.errors import DataError, UnknownNameError
from archwright.core.objective import Direction
from archwright.spaces.base import Space
from archwright.spaces.nasbench201.topology import NasBench201
from archwright.spaces.nasbench_macro import NasBenchMacro
from archwright.tabular.benchmark import Benchmark, Columns
from archwright.tabular.tables import Table, read_table

N_CLASSES = {"c10": 10, "c100": 100, "in16": 120}


@listed(
    "benchmark",
    "nasbench201",
    summary="NAS-Bench-201: 15,625 cells on CIFAR-10, CIFAR-100 and ImageNet16-120; signal after 12 epochs",
    source="Dong & Yang, ICLR 2020, arXiv:2001.00326",
)
def nasbench201(table: Table, dataset: str = "c10") -> Benchmark:
    """All cells of NAS-Bench-201, with a search's signal and the true score.

    The signal is the validation accuracy after 12 epochs (`val12_…`), or after 200 where the table, or one joined to
    it, has `val200_1seed_…`; the true score is the mean test accuracy after 200 epochs (`test200_…`), in percent.

    Args:
        table: With the columns `arch`, and `val12_D` and `test200_D` of the dataset D.
        dataset: "c10", "c100" or "in16".

    Raises:
        UnknownNameError: If there is no such dataset.
        DataError: If the table lacks a column or holds something else.
    """
    if dataset not in N_CLASSES:
        raise UnknownNameError("dataset", dataset, N_CLASSES)
    side = 16 if dataset == "in16" else 32
    space = NasBench201(input_shape=(3, side, side), n_classes=N_CLASSES[dataset])
    signals = {12: f"val12_{dataset}", 200: f"val200_1seed_{dataset}"}
    kept = {epochs: name for epochs, name in signals.items() if name in table.names or epochs == min(signals)}
    columns = Columns(kept, f"test200_{dataset}", not_measured={"val200_1seed_c10": -1.0})
    return Benchmark("nasbench201", space, table, columns, dataset=dataset)


@listed(
    "benchmark",
    "nasbench-macro",
    summary="NAS-Bench-Macro: 6,561 chains of MBConv blocks on CIFAR-10; the signal is one of three trainings",
    source="Su et al., CVPR 2021, arXiv:2103.11922",
)
def nasbench_macro(table: Table, dataset: str = "c10") -> Benchmark:
    """All members of NAS-Bench-Macro. Their accuracies are those of the test part alone: there is no validation.

    The signal is the first training's accuracy (`acc_s0`, 50 epochs), the true score the mean of the two others, so
    that the noise of the signal is not in the score.

    Args:
        table: With the columns `arch`, `acc_s0`, `acc_s1` and `acc_s2`.
        dataset: "c10".

    Raises:
        UnknownNameError: If there is no such dataset.
        DataError: If the table lacks a column or holds something else.
    """
    if dataset != "c10":
        raise UnknownNameError("dataset", dataset, ("c10",))
    others = (table.numbers("acc_s1") + table.numbers("acc_s2")) / 2
    joined = table.with_column("acc_other_seeds", [f"{value:.6g}" for value in others])
    return Benchmark(
        "nasbench-macro", NasBenchMacro(), joined, Columns({50: "acc_s0"}, "acc_other_seeds"), dataset=dataset
    )


def own_benchmark(
    space: Space,
    paths: Sequence[Path | str],
    *,
    signal: str,
    truth: str,
    direction: Direction = "max",
    key: str = "arch",
    name: str = "",
) -> Benchmark:
    """A user's own table of a space's members.

    Args:
        space: The space.
        paths: CSV or Parquet, a line a member; tables behind the first are joined to it by the members' codes.
        signal: Column of what a search sees.
        truth: Column of what a member is worth.
        direction: Whether larger or smaller values are better.
        key: Column of the members' codes.
        name: Of the benchmark; the first file's by default.

    Raises:
        DataError: If the table cannot be used.
    """
    if signal == truth:
        raise DataError(f"signal and truth are both the column {signal!r}; a search may not see the true score")
    table = read_table(paths[0])
    for other in paths[1:]:
        table = table.joined(read_table(other), key)
    columns = Columns({1: signal}, truth, metric="score", direction=direction)
    return Benchmark(name or Path(paths[0]).name, space, table, columns, key=key)
