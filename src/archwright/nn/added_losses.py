"""Losses that parts of a network add in training: penalties, auxiliary heads.

A module that adds something has a method `added_loss(loss_of)`. It is called once after each forward pass in training
mode, with the task's loss of outputs against the batch's targets; it returns a scalar, or None where its last pass adds
nothing (it did not run), and forgets what it kept of the pass.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

LossOf = Callable[[Tensor], Tensor]


class AddedLosses:
    """All modules of one network that add to the loss; found once, so that a network without any costs no time.

    Args:
        network: The network in training.
    """

    def __init__(self, network: nn.Module) -> None:
        # asked of the class: nn.Module takes long to say that an object has no such attribute
        self._modules = [part for part in network.modules() if callable(getattr(type(part), "added_loss", None))]

    def take(self, loss_of: LossOf) -> Tensor | None:
        """The sum of the losses that the last forward pass adds; None if it adds none.

        Args:
            loss_of: The task's loss of outputs of the kind the network gives, for the targets of the batch.
        """
        found: list[Tensor] = [term for part in self._modules if (term := part.added_loss(loss_of)) is not None]  # type: ignore[operator]
        return sum(found[1:], found[0]) if found else None
