"""A worker process: makes an evaluator from its blueprint and answers what it is asked, until its pool is gone.

    python -m archwright.runners.worker

The first line on standard input says what to be; each further one holds candidates. Answers leave by standard
output, which nothing else in this process can write to.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from typing import Any, BinaryIO

from archwright.core.blueprint import Blueprint
from archwright.core.errors import UsageError, error_text
from archwright.runners import wire
from archwright.runners.assessing import assess
from archwright.runs import nondeterminism


def main() -> None:
    """Serve until standard input ends."""
    answers = _own_output()
    requests: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_read, args=(sys.stdin.buffer, requests), daemon=True).start()
    try:
        evaluator = _begin(requests.get())
    except UsageError as error:
        _say(answers, wire.line(stop=str(error)))
        return
    except Exception as error:
        _say(answers, wire.line(stop=f"a worker cannot begin: {error_text(error)}"))
        return
    _say(answers, wire.line(ready=True))
    noted: dict[str, None] = {}
    nondeterminism.subscribe(lambda operation: noted.update({operation: None}))
    while True:
        candidates = wire.candidates_from_json(requests.get()["evaluate"])
        try:
            outcomes = wire.outcomes_to_json(assess(evaluator, candidates))
            answer = wire.line(outcomes=outcomes, nondeterministic=list(noted))
        except UsageError as error:
            answer = wire.line(stop=str(error))
        _say(answers, answer)


def _begin(orders: dict[str, Any]) -> Any:
    """The evaluator, in a process set up as its pool's is."""
    import torch

    from archwright.training.device import make_deterministic, set_threads

    sys.path[:] = orders["path"]
    if orders["memory_limit_bytes"] is not None:
        _limit_memory(orders["memory_limit_bytes"])
    set_threads(orders["threads"])
    evaluator = Blueprint.from_json(orders["blueprint"]).build()
    device = getattr(evaluator, "device", None)
    if isinstance(device, torch.device):
        make_deterministic(device)
    return evaluator


def _limit_memory(n_bytes: int) -> None:
    import resource

    # private writable memory, not address space: torch maps gigabytes of libraries that take no memory
    resource.setrlimit(resource.RLIMIT_DATA, (n_bytes, n_bytes))


def _own_output() -> BinaryIO:
    """The pool's end of standard output; what evaluators print goes to standard error from now on."""
    sys.stdout.flush()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _read(stream: BinaryIO, requests: queue.Queue[dict[str, Any]]) -> None:
    for line in stream:
        requests.put(wire.message(line))
    os._exit(0)  # the pool has closed its end, or died: whatever is under way is of no use to anyone


def _say(answers: BinaryIO, line: bytes) -> None:
    answers.write(line)
    answers.flush()


if __name__ == "__main__":
    main()
