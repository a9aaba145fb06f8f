"""The blocks of any network as a strip for drawing: the blocks in order of execution, with their sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import torch
from torch import nn

from archwright.core.arch import Value
from archwright.core.decisions import Kind as DecisionKind
from archwright.core.drawing import Block, Strip, readable
from archwright.core.errors import UsageError
from archwright.nn.choice import Chooser, Fixed
from archwright.nn.choice.modules import Join, JoinedInputs, SummedInputs
from archwright.nn.inputs import Form, Signature, shape_text, signature_for, tensors_of
from archwright.nn.meta import ShapesOnly, for_real, on_meta
from archwright.spaces.looks import CHAINS, Call, block_of, has_work, is_silent

MAX_BLOCKS = 40
"""Most boxes in a strip; if there are more, equal blocks in a row become one box."""


def network_strip(
    network: Callable[[Chooser], nn.Module],
    arch: Mapping[str, Value],
    form: Form,
    *,
    title: str = "",
    merge: bool = False,
) -> Strip:
    """The stand-alone network of an arch as a strip, from one forward pass, on the meta device if that can be.

    A block is a module that a decision chooses or repeats, or a module of several layers; normalisation,
    activations and dropout belong to the block before. Blocks appear in the order in which they run.

    Args:
        network: Builds the network from a chooser, as `Space.network` does.
        arch: A member of the space.
        form: What it takes: its signature, or the shape of its one input without the batch.
        title: Text above the strip.
        merge: Draw equal blocks in a row as one box; with more than 40 blocks this is always done.
    """
    try:
        with on_meta():
            noting, signature, calls = _run(network, arch, form, "meta")
    except UsageError:
        raise
    except Exception:  # of a user's own modules, which may want values
        with for_real():
            noting, signature, calls = _run(network, arch, form, "cpu")
    built = calls[0].module
    units = _units(built, noting, calls)
    blocks = [_noted(call, noting.note_of(call.module)) for call in calls if call.module in units]
    blocks = blocks or [block_of(calls[0])]  # of a network that uses its parts in ways of its own, the whole
    if merge or len(blocks) > MAX_BLOCKS:
        blocks = merged(blocks)
    first, *others = signature.inputs
    said = shape_text(signature) if others else " × ".join(map(str, first.shape))
    return Strip(tuple(blocks), title, said)


def _run(
    network: Callable[[Chooser], nn.Module], arch: Mapping[str, Value], form: Form, device: str
) -> tuple[_Noting, Signature, list[Call]]:
    noting = _Noting(arch)
    built = network(noting)
    signature = signature_for(built, form)
    return noting, signature, _calls(built, signature, device)


def _noted(call: Call, note: _Note | None) -> Block:
    return block_of(call) if note is None else block_of(call, note.label, note.decisions)


def merged(blocks: Sequence[Block]) -> list[Block]:
    """The blocks, with each row of equal-looking ones as a single block that says how many it stands for."""
    found = []
    for _, same in groupby(blocks, key=lambda block: replace(block, note="", repeats=1)):
        run = list(same)
        found.append(replace(run[0], repeats=sum(block.repeats for block in run)))
    return found


# ── what the network was asked while it was built ─────────────────────────────────────────────────


@dataclass
class _Note:
    """How a block came to be: its label, if a decision gives one, and the decisions made for it."""

    label: str
    decisions: list[str]


class _Noting(Fixed):
    """Builds the network of an arch and remembers which modules were chosen or repeated."""

    def __init__(self, arch: Mapping[str, Value]) -> None:
        super().__init__(arch)
        self.notes: dict[nn.Module, _Note] = {}
        self.chains: set[nn.Module] = set()
        self._open: list[list[str]] = []

    def op(self, name: str, candidates: Mapping[str, Callable[[], nn.Module]]) -> nn.Module:
        with self._listening() as heard:
            module = super().op(name, candidates)
        self.notes[module] = _Note(readable(str(self.arch[name])), heard)
        return module

    def repeat(self, name: str, counts: Sequence[int], make: Callable[[int], nn.Module]) -> nn.Module:
        def noted(i: int) -> nn.Module:
            with self._listening() as heard:
                block = make(i)
            self.notes.setdefault(block, _Note("", [])).decisions = heard
            return block

        chain = super().repeat(name, counts, noted)
        self.chains.add(chain)
        return chain

    def inputs(
        self, name: str, n: int, k: int | Sequence[int], make: Callable[[int], nn.Module], *, join: Join = "sum"
    ) -> SummedInputs | JoinedInputs:
        with self._listening() as heard:
            node = super().inputs(name, n, k, make, join=join)
        how = "from" if len(node.kept) == 1 else "sum of" if join == "sum" else "join of"
        self.notes[node] = _Note(f"{how} {', '.join(map(str, node.kept))}", heard)
        return node

    def note_of(self, module: nn.Module) -> _Note | None:
        """What is known of a module; one with a single chosen operation in it is called by that."""
        note = self.notes.get(module)
        if note is not None and note.label:
            return note
        inner = self.choices_in(module)
        if len(inner) == 1:
            return _Note(inner[0].label, inner[0].decisions if note is None else note.decisions)
        return note

    def choices_in(self, module: nn.Module) -> list[_Note]:
        """The notes of operations chosen inside a module, activations left out."""
        parts = [part for part in module.modules() if part is not module and part in self.notes]
        parts = [part for part in parts if not is_silent(part) or isinstance(part, nn.Identity)]
        return [self.notes[part] for part in parts if self.notes[part].label]

    @contextmanager
    def _listening(self) -> Iterator[list[str]]:
        heard: list[str] = []
        self._open.append(heard)
        try:
            yield heard
        finally:
            self._open.pop()

    def _value(self, kind: DecisionKind, name: str, values: tuple[Value, ...]) -> Value:
        chosen = super()._value(kind, name, values)
        for heard in self._open:
            heard.append(f"{name} = {chosen}")
        return chosen


# ── what it did in one pass ───────────────────────────────────────────────────────────────────────


def _calls(network: nn.Module, signature: Signature, device: str) -> list[Call]:
    """Every run of every module, in the order in which they begin."""
    calls: list[Call] = []
    running: list[Call] = []

    def enter(path: str, module: nn.Module, args: tuple[Any, ...]) -> None:
        calls.append(Call(path, module, args, running[-1] if running else None))
        running.append(calls[-1])

    for path, module in network.named_modules():
        module.register_forward_pre_hook(lambda part, args, path=path: enter(path, part, args))
        module.register_forward_hook(lambda _part, _args, out: setattr(running.pop(), "went_out", out))
    first, *others = signature.inputs
    if first.n_tokens is not None and not others:
        signature = Signature((replace(first, shape=(1,)),))  # every step of a sequence is the same
    with ShapesOnly(), torch.no_grad():
        network.eval()(*tensors_of(signature.example(1, device=device)))
    return calls


def _units(network: nn.Module, noting: _Noting, calls: Sequence[Call]) -> set[nn.Module]:
    """The modules that are a block each."""
    found: list[nn.Module] = []

    def visit(module: nn.Module) -> None:
        if module is not network and not _is_opened(module, noting, calls):
            if module in noting.notes or not is_silent(module):
                found.append(module)
            return
        for child in module.children():
            visit(child)

    visit(network)
    if len(found) == 1 and found[0] not in noting.notes and any(found[0].children()):  # a wrapper of the real network
        return _units(found[0], noting, calls)
    return set(found or [network])


def _is_opened(module: nn.Module, noting: _Noting, calls: Sequence[Call]) -> bool:
    """Whether a module only holds blocks, and is none itself."""
    if module in noting.chains or isinstance(module, nn.ModuleList | nn.ModuleDict):
        return True
    if module in noting.notes:
        is_several = not noting.notes[module].label and len(noting.choices_in(module)) > 1
        return is_several and isinstance(module, nn.Sequential)
    inner = [part for part in module.modules() if part is not module]
    holds_choices = any(part in noting.notes or part in noting.chains for part in inner)
    if isinstance(module, nn.Sequential):
        return holds_choices or any(_is_composite(part) for part in inner) or sum(map(has_work, inner)) > 1
    return holds_choices and _is_chain(module, calls)


def _is_composite(module: nn.Module) -> bool:
    return not isinstance(module, CHAINS) and any(module.children())


def _is_chain(module: nn.Module, calls: Sequence[Call]) -> bool:
    """Whether a module only hands one tensor from child to child: nothing branches off, is added or joined."""
    own = next((call for call in calls if call.module is module), None)
    if own is None or not own.came_in:
        return False
    value = own.came_in[0]
    inside = [call for call in calls if call.within is own]
    for call in inside:
        if not call.came_in or call.came_in[0] is not value:
            return False
        value = call.went_out
    return bool(inside) and value is own.went_out
