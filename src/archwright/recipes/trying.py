"""Try a user's space before anything is trained: a few of its networks, for real, in the layout of trainings.

Built-in spaces are tried by this package's own tests. `archwright list`, `describe` and `cost` try nothing.
"""

from __future__ import annotations

import json
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn

from archwright.core.errors import SpaceError, error_text
from archwright.nn.inputs import Signature, call, tensors_of
from archwright.nn.meta import for_real
from archwright.spaces.base import Space
from archwright.spaces.covering import covering_rows
from archwright.training.device import place_inputs, use_layout

N_INPUTS = 2

_known: WeakKeyDictionary[type[Space], dict[str, tuple[bool, tuple[str, ...]]]] = WeakKeyDictionary()


def try_out(space: Space) -> tuple[str, ...]:
    """Find out whether networks of a user's space take the channels-last layout, and set `takes_channels_last`.

    Networks that have every value of each decision once are built and trained for a step. One that fails in
    channels-last layout is tried in the contiguous one, which the whole space then keeps.

    Args:
        space: The space; one of this package is not tried.

    Returns:
        What a user should know, in a line each.

    Raises:
        SpaceError: If a network fails in both layouts.
    """
    if space.is_built_in:
        return ()
    known = _known.setdefault(type(space), {})
    key = json.dumps([space.name, space.args(), space.decisions.fingerprint, space.takes_channels_last])
    if key not in known:
        takes, notes = space.takes_channels_last, []
        with for_real():
            for arch in space.decisions.archs(covering_rows(space.decisions)):
                network = space.build(arch)
                failure = _failure(network, space.signature, channels_last=takes)
                if failure is None:
                    continue
                broken = _failure(network, space.signature, channels_last=False) if takes else failure
                if broken is not None:
                    code = space.code(arch)
                    raise SpaceError(f"the network {code!r} of space {space.name!r} cannot be trained: {broken}")
                takes = False
                notes.append(
                    f"the networks of {space.name} are trained in the contiguous layout of images, which may take "
                    f"longer; in channels-last layout one fails ({failure})"
                )
        if not space.runs_on_meta:
            notes.append(
                f"the networks of {space.name} compute with values where they are built or run; costs are counted by "
                "running them, which takes longer"
            )
        known[key] = takes, tuple(notes)
    space.takes_channels_last, notes_of_it = known[key]
    return notes_of_it


def _failure(network: nn.Module, signature: Signature, *, channels_last: bool) -> str | None:
    """What goes wrong in a step of training and a pass without gradients, if anything does."""
    use_layout(network, channels_last)
    given = signature.example(N_INPUTS, rng=np.random.default_rng(0))
    inputs = place_inputs(given, torch.device("cpu"), channels_last)
    try:
        learned = [out for out in tensors_of(call(network.train(), inputs)) if out.requires_grad]
        if learned:
            torch.autograd.backward([out.float().mean() for out in learned])
        with torch.inference_mode():
            call(network.eval(), inputs)
    except Exception as error:  # whatever a user's module raises
        return error_text(error)
    finally:
        network.zero_grad(set_to_none=True)
    return None
