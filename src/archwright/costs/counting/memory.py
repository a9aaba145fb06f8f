"""Memory access and activation peak of a forward pass, from the operations it performs.

The tensors of a forward pass are followed by their storage, so that a view is the tensor it looks at and costs
nothing. What a tensor holds is a `Content`: an operation reads contents and makes new ones; one that writes in
place makes a new content as well, so that `ReLU` and `ReLU(inplace=True)` are the same network.

*Memory access.* A leaf is one call of a module together with the operations it performs itself, without those
of the modules it calls. It moves each content it reads and did not make (what is seen of it, once), and each
content it makes that leaves it: is returned, is read by another module, or is read by nobody. What a leaf makes
and uses up itself counts as never written. The sum a residual block takes is such a leaf of two inputs and an
output; a module that only passes on or reshapes is none. Parameters count as far as they are read, running
statistics do not.

*Activation peak.* A content lives from the operation that makes it to the last one that reads it, what the network
returns to the end, its input until it is read last. An operation's inputs and its results are alive together,
even where it works in place. Parameters, buffers, and what is computed from them alone are no activations.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from archwright.nn.inputs import Inputs

BYTES_PER_NUMBER = 4
"""Memory access is stated for 32-bit numbers, whatever the type of the module."""


@dataclass(eq=False)
class Content:
    """What a tensor holds between two writes.

    Attributes:
        n: How many numbers.
        n_bytes: Their size in memory.
        maker: The call that made it; None for inputs, parameters and buffers.
        is_activation: Whether it depends on more than parameters and buffers.
        is_weight: Whether it is a parameter.
        is_main: Whether it is its operation's first result; others (indices, statistics) count when they are used.
        born: Number of the operation that made it.
        read_last: Number of the last operation that read it, `born` if none did.
        used_inside: Whether the call that made it reads it too.
        used_outside: Whether another call reads it, or its call or the network returns it.
    """

    n: int
    n_bytes: int
    maker: Call | None = None
    is_activation: bool = True
    is_weight: bool = False
    is_main: bool = True
    born: int = 0
    read_last: int = 0
    used_inside: bool = False
    used_outside: bool = False

    @property
    def counts(self) -> bool:
        """Whether it counts as an activation; by-products that nothing reads do not."""
        return self.is_activation and (self.is_main or self.used_inside or self.used_outside)

    @property
    def is_written(self) -> bool:
        """Whether it leaves the call that made it."""
        return self.counts and (self.used_outside or not self.used_inside)


@dataclass(eq=False)
class Call:
    """One call of a module.

    Attributes:
        path: The module's path.
        views: What its own operations see of each content they did not make: numbers by place.
    """

    path: str
    views: dict[Content, dict[Any, int]] = field(default_factory=dict)

    def n_read(self) -> int:
        """Numbers read, of each content at most all."""
        return sum(min(content.n, sum(seen.values())) for content, seen in self.views.items())


class MemoryAccount:
    """Follows the tensors of one forward pass.

    Args:
        inputs: What the network is given: one tensor or several.
        parameters: Its parameters.
        buffers: Its buffers.
    """

    def __init__(self, inputs: Inputs, parameters: Iterable[Tensor], buffers: Iterable[Tensor]) -> None:
        self._contents: dict[int, Content] = {}
        self._alive: list[Tensor] = []  # a storage that is freed could give its address to another
        self._calls: list[Call] = []
        self._stack: list[Call] = []
        self._made: list[Content] = []
        self._step = 0
        for tensor in parameters:
            self._put(tensor, Content(tensor.numel(), 0, is_activation=False, is_weight=True))
        for tensor in buffers:
            self._put(tensor, Content(tensor.numel(), 0, is_activation=False))
        self._inputs = {self._new(tensor) for tensor in tensors_in(inputs)}

    def enter(self, path: str) -> None:
        """Note that a module is called."""
        self._stack.append(Call(path))
        self._calls.append(self._stack[-1])

    def leave(self, result: Any) -> None:
        """Note that the module called last returns."""
        call = self._stack.pop()
        for tensor in tensors_in(result):
            content = self._contents.get(_key(tensor))
            if content is not None and content.maker is call:
                content.used_outside = True

    def note(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], out: Any) -> None:
        """Note an operation of the module called last.

        Args:
            func: The operation, as torch's dispatcher names it.
            args: What it was given by position.
            kwargs: What it was given by name.
            out: Its result: tensors, and containers of them.
        """
        read, results = list(tensors_in((args, kwargs))), list(tensors_in(out))
        written = [argument for argument in _written(func, args, kwargs) if isinstance(argument, Tensor)]
        known = {_key(tensor) for tensor in read}
        if not written and results and all(_key(tensor) in known for tensor in results):
            return  # a view
        self._step += 1
        found = [self._read(tensor) for tensor in read]
        is_activation = not found or any(content.is_activation for content in found)
        for tensor in written:
            self._write(tensor, is_activation)
        known |= {_key(tensor) for tensor in written}
        for i, tensor in enumerate(results):
            if _key(tensor) not in known:
                self._new(tensor, is_activation=is_activation, is_main=i == 0)

    def finish(self, result: Any) -> None:
        """Note that the network returned."""
        for tensor in tensors_in(result):
            content = self._contents.get(_key(tensor))
            if content is not None:
                content.used_outside, content.read_last = True, self._step

    def accesses(self) -> Iterator[tuple[str, int, frozenset[str]]]:
        """Path of each call that moves anything, how many bytes, and the paths whose results it reads."""
        n_written: dict[Call, int] = {}
        for content in self._made:
            if content.maker is not None and content.is_written:
                n_written[content.maker] = n_written.get(content.maker, 0) + content.n
        for call in self._calls:
            n = call.n_read() + n_written.get(call, 0)
            if n:
                makers = frozenset(content.maker.path for content in call.views if content.maker is not None)
                yield call.path, n * BYTES_PER_NUMBER, makers

    def peak_bytes(self) -> int:
        """Largest sum of the activations alive at one operation."""
        change = [0] * (self._step + 2)
        for content in self._made:
            if content.counts or content in self._inputs:
                change[content.born] += content.n_bytes
                change[content.read_last + 1] -= content.n_bytes
        return max(itertools.accumulate(change))

    def _read(self, tensor: Tensor) -> Content:
        content = self._contents.get(_key(tensor))
        if content is None:  # a constant that the module holds without having registered it
            content = self._put(tensor, Content(tensor.numel(), 0, is_activation=False))
        content.read_last = self._step
        call = self._stack[-1]
        if content.maker is call:
            content.used_inside = True
        elif content.is_activation or content.is_weight:
            content.used_outside = True
            place = (tensor.storage_offset(), tuple(tensor.shape), tuple(tensor.stride()))
            call.views.setdefault(content, {})[place] = tensor.numel()
        return content

    def _write(self, tensor: Tensor, is_activation: bool) -> None:
        before = self._contents[_key(tensor)]
        # statistics stay statistics; writing to a part leaves the whole where it is
        if before.is_activation and tensor.numel() == before.n:
            self._new(tensor, is_activation=is_activation)

    def _new(self, tensor: Tensor, *, is_activation: bool = True, is_main: bool = True) -> Content:
        n = tensor.numel()
        content = Content(n, n * tensor.element_size(), self._stack[-1] if self._stack else None, is_activation)
        content.is_main, content.born, content.read_last = is_main, self._step, self._step
        self._made.append(content)
        return self._put(tensor, content)

    def _put(self, tensor: Tensor, content: Content) -> Content:
        self._alive.append(tensor)
        self._contents[_key(tensor)] = content
        return content


def tensors_in(thing: Any) -> Iterator[Tensor]:
    """The tensors in nested sequences and mappings."""
    if isinstance(thing, Tensor):
        if thing.layout == torch.strided:
            yield thing
    elif isinstance(thing, Mapping):
        yield from tensors_in(tuple(thing.values()))
    elif isinstance(thing, list | tuple):
        for item in thing:
            yield from tensors_in(item)


def _key(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _written(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Any]:
    """The arguments an operation writes to."""
    return [args[i] if i < len(args) else kwargs.get(name) for i, name in _write_places(func)]


@functools.cache
def _write_places(func: Any) -> tuple[tuple[int, str], ...]:
    arguments = enumerate(func._schema.arguments)
    return tuple((i, a.name) for i, a in arguments if a.alias_info is not None and a.alias_info.is_write)
