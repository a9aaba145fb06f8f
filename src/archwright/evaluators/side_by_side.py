"""Work side by side in threads of one process, each of which computes with one thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")


def side_by_side(work: Callable[[int], T], n: int) -> list[T]:
    """The results of `work(0)` to `work(n - 1)`, the first computed by the calling thread, the others beside it.

    Torch lets go of the interpreter within operations, so that they run at once. Meanwhile an operation is computed by
    one thread; afterwards the calling thread has as many as before.

    Args:
        work: Computes with torch; modes of torch, such as inference mode, it has to set itself.
        n: How often, at least once.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if n == 1:
            return [work(0)]
        with ThreadPoolExecutor(n - 1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            others = [pool.submit(work, number) for number in range(1, n)]
            return [work(0), *(other.result() for other in others)]
    finally:
        torch.set_num_threads(before)
