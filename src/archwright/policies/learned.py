"""The contract of a policy that learns: parameters, log-probabilities, and a state that only its space takes up."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from archwright.core.decisions import Rows
from archwright.core.errors import InvalidValueError, RunError, RunFolderError, UsageError
from archwright.nn.choice.selection import Weights
from archwright.policies.base import Policy
from archwright.runs.files import read_tensors, write_tensors
from archwright.spaces.base import Space

N_HASH = 12


class LearnedPolicy(Policy, nn.Module):
    """A distribution over the archs of a space whose parameters are trained.

    It is a module, so that an optimizer takes its parameters, and it can be kept in checkpoints (`tensors`, `state`)
    or in a file of its own (`save`, `restore`).

    Args:
        space: Where archs come from.

    Attributes:
        space: See above.
        decisions: Those of the space.
    """

    has_state: ClassVar[bool] = True

    def __init__(self, space: Space) -> None:
        nn.Module.__init__(self)
        self.space, self.decisions = space, space.decisions

    @abstractmethod
    def log_prob(self, rows: Rows) -> Tensor:
        """The logarithm of the probability (n,) of each row, differentiable; only active decisions count."""

    @abstractmethod
    def entropy(self, rows: Rows) -> Tensor:
        """Entropy (n,) of the distributions that each row's active decisions are drawn from, summed; differentiable.

        In nats. Its mean over drawn rows is the entropy of the policy.
        """

    @abstractmethod
    def best_row(self) -> Rows:
        """The row (n_decisions,) of the likeliest value of each decision, decided one after the other."""

    def probabilities(self) -> dict[str, Tensor]:
        """By decision, the probability of each of its values where it is active; differentiable.

        What `Cost.expected` takes. Only a policy that draws every decision on its own has them.

        Raises:
            UsageError: If this one has not.
        """
        raise UsageError(
            f"policy {type(self).__name__} draws decisions in dependence of each other; "
            "it has no probabilities of their own, draw archs from it"
        )

    def mixture(self, rng: np.random.Generator, progress: float = 0.0) -> Mapping[str, Weights]:
        """Weights of values for `Selection.relax` that carry gradients to the parameters; numbers have none.

        Args:
            rng: What is random in them.
            progress: How far the training is, in [0, 1), as a temperature may follow it.

        Raises:
            UsageError: If the policy has no mixture.
        """
        raise UsageError(f"policy {type(self).__name__} has no mixture of archs; draw single ones from it")

    def begin_step(self, progress: float) -> None:
        """Called before each step of a training; by default nothing.

        Args:
            progress: How far the training is, in [0, 1).
        """

    def regularizer(self) -> Tensor | None:
        """What a training adds to the loss of the parameters, a scalar; by default nothing."""
        return None

    def updated(self) -> None:
        """Called after each update of the parameters; by default nothing."""

    def values_of(self, rows: Rows, device: torch.device) -> tuple[Tensor, Tensor]:
        """Value indices (n_decisions, n), with 0 at inactive decisions, and whether each decision is active.

        Args:
            rows: Archs of the policy's space (n, n_decisions).
            device: Where both go.

        Raises:
            InvalidValueError: If they are rows of another space.
        """
        n_values = self.decisions.n_values
        is_own = rows.ndim == 2 and rows.shape[1] == len(n_values) and bool(((rows >= -1) & (rows < n_values)).all())
        if not is_own:
            raise InvalidValueError(
                f"rows of shape {rows.shape} are no archs of space {self.space.name!r}, which has {len(n_values)} "
                f"decisions of {', '.join(map(str, n_values[:5]))}{', …' if len(n_values) > 5 else ''} values; "
                "give its own rows"
            )
        columns = torch.from_numpy(np.ascontiguousarray(rows.T).astype(np.int64)).to(device)
        return columns.clamp(min=0), columns >= 0

    def check_finite(self) -> None:
        """Refuse to draw by parameters that a training has ruined.

        Raises:
            RunError: Names the parameter.
        """
        for name, parameter in self.named_parameters():
            if not bool(parameter.isfinite().all()):
                raise RunError(
                    f"{name} of policy {type(self).__name__} is not finite; lower its learning_rate or set clip_norm"
                )

    # ── state ─────────────────────────────────────────────────────────────────────────────────────

    def tensors(self) -> dict[str, Tensor]:
        """Parameters and buffers by name; not copied."""
        return dict(self.state_dict())

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy in what `tensors` gave; parameters stay the same objects.

        Raises:
            RunFolderError: If names or shapes are not those of this policy.
        """
        own = self.tensors()
        shapes = [{name: tuple(tensor.shape) for name, tensor in each.items()} for each in (own, tensors)]
        if shapes[0] != shapes[1]:
            name = min(name for name in own.keys() | tensors.keys() if shapes[0].get(name) != shapes[1].get(name))
            raise RunFolderError(
                f"the stored policy is another one than {self._described()}: {name} has shape {shapes[1].get(name)} "
                f"there and {shapes[0].get(name)} here; restore it with the space and settings it was trained with"
            )
        for name, tensor in own.items():
            tensor.copy_(tensors[name])

    def state(self) -> dict[str, Any]:
        """The kind of policy and the decisions that the tensors belong to, as JSON."""
        return {
            "policy": type(self).__name__,
            "space": self.space.name,
            "decisions": self.decisions.fingerprint,
        }

    def load_state(self, state: Any) -> None:
        """Check that a stored state belongs to a policy of this kind over these decisions.

        Raises:
            RunFolderError: If it does not; names both.
        """
        own, state = self.state(), state if isinstance(state, dict) else {}
        if (state.get("policy"), state.get("decisions")) != (own["policy"], own["decisions"]):
            stored = f"{state.get('policy')} over space {state.get('space')!r}"
            raise RunFolderError(
                f"the stored policy is {stored} (decisions {str(state.get('decisions'))[:N_HASH]}), "
                f"this one is {self._described()}; restore it with the space and settings it was trained with"
            )

    def save(self, path: Path | str) -> None:
        """Write tensors and state as one safetensors file."""
        write_tensors(path, self.tensors(), self.state())

    def restore(self, path: Path | str) -> None:
        """Restore what `save` wrote.

        Raises:
            RunFolderError: If the file is damaged, or of another policy or space; names both.
        """
        tensors, state = read_tensors(path)
        self.load_state(state)
        self.load(tensors)

    def _described(self) -> str:
        own = self.state()
        return f"{own['policy']} over space {own['space']!r} (decisions {own['decisions'][:N_HASH]})"
