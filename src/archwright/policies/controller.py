"""A recurrent network that decides one decision after the other (the controller of NAS with RL, NASNet, ENAS)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from archwright.core.catalog import listed
from archwright.core.config import check_range
from archwright.core.decisions import Rows
from archwright.policies.base import Progress
from archwright.policies.learned import LearnedPolicy
from archwright.spaces.base import Space

Take = Callable[[int, Tensor], Tensor]
"""Chooses a value index (n,) from the log-probabilities (n, n_values) of decision i."""


@listed(
    "policy",
    "controller",
    summary="LSTM controller: decision after decision, each in dependence of those before",
    source="Zoph and Le, ICLR 2017, arXiv:1611.01578; ENAS, Pham et al., ICML 2018, arXiv:1802.03268",
)
class Controller(LearnedPolicy):
    """An LSTM reads the value chosen last and gives the logits of the next decision, in the order of the space.

    A decision that is inactive in an arch is passed over there: neither state nor input change.

    Args:
        space: Where archs come from.
        hidden: Size of the LSTM, and of the embedding of values. 100 as in ENAS, Sec. 2.4 (35 in NAS with RL).
        layers: LSTM layers, one behind the other.
        temperature: Divides the logits; ENAS takes 5.
        tanh_constant: The logits become this times their tanh; None leaves them as they are. ENAS takes 2.5.
        spread: Weights begin uniform in [-spread, spread].
        seed: Of the weights.
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
    ) -> None:
        super().__init__(space)
        check_range("hidden", hidden, 1, 100_000)
        check_range("layers", layers, 1, 100)
        check_range("temperature", temperature, 1e-6, 1e6)
        check_range("spread", spread, 0, 1e6)
        self.temperature, self.tanh_constant = temperature, tanh_constant
        self._first = np.concatenate([[0], np.cumsum(self.decisions.n_values)]).tolist()  # of each decision's values
        n_values = self._first[-1]
        with torch.random.fork_rng(devices=[]):  # torch draws weights that are replaced below
            self.embedding = nn.Embedding(n_values + 1, hidden)  # the last one stands for the beginning
            self.cells = nn.ModuleList(nn.LSTMCell(hidden, hidden) for _ in range(layers))
            self.heads = nn.Linear(hidden, n_values)  # of all decisions, one after the other
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-spread, spread, generator=generator)

    @torch.no_grad()
    def draw(self, n: int, rng: np.random.Generator, progress: Progress | None = None) -> Rows:
        self.check_finite()

        def sampled(_: int, log_chances: Tensor) -> Tensor:
            odds = log_chances.double().exp().cumsum(1)
            drawn = torch.from_numpy(rng.random(n)).to(odds.device) * odds[:, -1]
            return torch.searchsorted(odds, drawn[:, None], right=True)[:, 0].clamp(max=odds.shape[1] - 1)

        return self._rows(n, sampled)

    def draw_scored(self, n: int, rng: np.random.Generator) -> tuple[Rows, Tensor, Tensor]:
        """Draw n archs: rows (n, n_decisions), their log-probability (n,) and entropy (n,), both differentiable."""
        rows = self.draw(n, rng)
        return rows, *self._scores(rows)

    def log_prob(self, rows: Rows) -> Tensor:
        return self._scores(rows)[0]

    def entropy(self, rows: Rows) -> Tensor:
        return self._scores(rows)[1]

    @torch.no_grad()
    def best_row(self) -> Rows:
        row: Rows = self._rows(1, lambda _, log_chances: log_chances.argmax(1))[0]
        return row

    def _rows(self, n: int, take: Take) -> Rows:
        columns = [torch.where(active, value, -1) for active, value, _ in self._walk(n, take)]
        rows: Rows = torch.stack(columns, 1).cpu().numpy().astype(np.int16)
        return rows

    def _scores(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Log-probability and entropy (n,) of rows."""
        given, _ = self.values_of(rows, self.heads.weight.device)
        log_prob = entropy = self.heads.weight.new_zeros(len(rows))
        for active, value, log_chances in self._walk(len(rows), lambda i, _: given[i]):
            log_prob = log_prob + torch.where(active, log_chances.gather(1, value[:, None])[:, 0], 0.0)
            entropy = entropy + torch.where(active, -(log_chances.exp() * log_chances).sum(1), 0.0)
        return log_prob, entropy

    def _walk(self, n: int, take: Take) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Of each decision: in which of n archs it is active, the value taken, and the log-probabilities."""
        device = self.heads.weight.device
        hidden = [self.heads.weight.new_zeros(n, cell.hidden_size) for cell in self._lstm()]
        carried = list(hidden)
        chosen = torch.full((n,), self._first[-1], device=device)  # the place of the value chosen last
        states = torch.zeros(n, dtype=torch.int64, device=device)  # of the space's dynamic program
        for i, layer in enumerate(self.decisions.layers):
            active = torch.from_numpy(layer.active).to(device)[states]
            x = self.embedding(chosen)
            for k, cell in enumerate(self._lstm()):
                x, c = cell(x, (hidden[k], carried[k]))
                hidden[k] = torch.where(active[:, None], x, hidden[k])
                carried[k] = torch.where(active[:, None], c, carried[k])
            log_chances = self._logits(i, x).log_softmax(1)
            value = take(i, log_chances)
            yield active, value, log_chances
            chosen = torch.where(active, self._first[i] + value, chosen)
            follow = torch.from_numpy(layer.follow.astype(np.int64)).to(device)
            states = follow[states, torch.where(active, value, -1)]

    def _logits(self, i: int, x: Tensor) -> Tensor:
        """(n, n_values) of decision i."""
        place = slice(self._first[i], self._first[i + 1])
        return self._bounded(nn.functional.linear(x, self.heads.weight[place], self.heads.bias[place]))

    def _bounded(self, logits: Tensor) -> Tensor:
        logits = logits / self.temperature
        return logits if self.tanh_constant is None else self.tanh_constant * logits.tanh()

    def _lstm(self) -> list[nn.LSTMCell]:
        return [cell for cell in self.cells if isinstance(cell, nn.LSTMCell)]
