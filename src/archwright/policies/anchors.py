"""A controller that draws skip connections by attention between layers (NAS with RL; ENAS's macro space)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from archwright.core.catalog import listed
from archwright.core.decisions import Rows
from archwright.core.errors import InvalidValueError, UnknownNameError
from archwright.policies.controller import Controller, Take
from archwright.spaces.base import Space

Link = Literal["sigmoid", "softmax"]


@listed(
    "policy",
    "anchors",
    summary="LSTM controller whose skip connections are drawn by attention between the layers' anchor points",
    source="Zoph and Le, ICLR 2017, arXiv:1611.01578, Sec. 3.3; ENAS, Pham et al., ICML 2018, arXiv:1802.03268",
)
class AnchorController(Controller):
    """An LSTM over the layers' decisions; behind each layer it makes a further step, whose state is the anchor.

    Layer i reads layer j with the probability sigmoid(q), q = v . tanh(W_before a_j + W_here a_i) (Zoph & Le, 2017,
    Sec. 3.3). "softmax" takes the logits (-q, q) instead, so sigmoid(2 q), as ENAS's released code does. The next input
    is the sum of the chosen anchors divided by one more than their number, as there; the paper does not say.

    Args:
        space: With skip connections (`Space.anchors`).
        hidden: See `Controller`.
        layers: See `Controller`.
        temperature: See `Controller`.
        tanh_constant: See `Controller`; q is bounded likewise.
        spread: See `Controller`.
        seed: See `Controller`.
        link: "sigmoid" or "softmax".

    Raises:
        InvalidValueError: If the space has no skip connections, or decisions with conditions.
    """

    def __init__(
        self,
        space: Space,
        *,
        hidden: int = 100,
        layers: int = 1,
        temperature: float = 1.0,
        tanh_constant: float | None = None,
        spread: float = 0.1,
        seed: int = 0,
        link: Link = "sigmoid",
    ) -> None:
        super().__init__(
            space,
            hidden=hidden,
            layers=layers,
            temperature=temperature,
            tanh_constant=tanh_constant,
            spread=spread,
            seed=seed,
        )
        if link not in ("sigmoid", "softmax"):
            raise UnknownNameError("link", link, ("sigmoid", "softmax"))
        self.link, self._anchors = link, space.anchors()
        if not self._anchors.links:
            raise InvalidValueError(
                f"space {space.name!r} has no skip connections that a controller could draw by attention; take the "
                "policy controller"
            )
        if any(decision.when for decision in space.decisions):
            raise InvalidValueError(
                f"space {space.name!r} has decisions with conditions, which the policy anchors does not know; take the "
                "policy controller"
            )
        with torch.random.fork_rng(devices=[]):
            self.before, self.here = nn.Linear(hidden, hidden, bias=False), nn.Linear(hidden, hidden, bias=False)
            self.weigh = nn.Linear(hidden, 1, bias=False)
        generator = torch.Generator().manual_seed(seed + 1)
        with torch.no_grad():
            for parameter in (self.before.weight, self.here.weight, self.weigh.weight):
                parameter.uniform_(-spread, spread, generator=generator)

    def skip_chances(self, rows: Rows) -> Tensor:
        """(n, n_links): the probability of each skip connection of some archs, in the order of the decisions.

        Args:
            rows: (n, n_decisions) archs.
        """
        given, _ = self.values_of(rows, self.heads.weight.device)
        walk = self._walk(given.shape[1], lambda i, _: given[i])
        names = self.decisions.names
        return torch.stack(
            [logs[:, 1].exp() for name, (_, _, logs) in zip(names, walk, strict=True) if name in self._anchors.links], 1
        )

    def _walk(self, n: int, take: Take) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        like = self.heads.weight
        hidden = [like.new_zeros(n, cell.hidden_size) for cell in self._lstm()]
        carried = list(hidden)
        x = begin = self.embedding(torch.full((n,), self._first[-1], device=like.device))
        anchors: dict[int, Tensor] = {}  # of each layer
        active = torch.ones(n, dtype=torch.bool, device=like.device)
        chosen = n_chosen = like.new_zeros(())

        def step(given: Tensor) -> Tensor:
            for k, cell in enumerate(self._lstm()):
                given, carried[k] = cell(given, (hidden[k], carried[k]))
                hidden[k] = given
            return given

        for i, name in enumerate(self.decisions.names):
            link = self._anchors.links.get(name)
            if link is None:
                log_chances = self._logits(i, step(x)).log_softmax(1)
            else:
                layer, source = link
                log_chances = self._link_logits(anchors[source], anchors[layer]).log_softmax(1)
            value = take(i, log_chances)
            yield active, value, log_chances
            if link is not None:
                read = value.to(like.dtype)[:, None]
                chosen, n_chosen = chosen + read * anchors[link[1]], n_chosen + read
                x = chosen / (1 + n_chosen)
                continue
            x = self.embedding(self._first[i] + value)
            if name in self._anchors.ends:
                layer = self._anchors.ends[name]
                anchors[layer] = step(x)
                chosen, n_chosen = torch.zeros_like(anchors[layer]), like.new_zeros(n, 1)
                x = begin  # the first layer has no skip connection that would give the next input

    def _link_logits(self, source: Tensor, layer: Tensor) -> Tensor:
        """(n, 2): no, yes."""
        q = self._bounded(self.weigh(torch.tanh(self.before(source) + self.here(layer))))
        return torch.cat([-q if self.link == "softmax" else torch.zeros_like(q), q], 1)
