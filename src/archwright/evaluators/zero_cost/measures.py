"""The scores, each from its paper and with its own kind of input.

Larger is better in all. A score is a function of a network with fresh weights and of its inputs; what one forward or
backward pass gives to several scores is computed once (`gradients`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from archwright.evaluators.zero_cost.initial import positive, weighted, without_norms

RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.Hardswish)

Batch = tuple[Tensor, Tensor]
"""Images (N, C, H, W) and classes (N,)."""


# ── gradients of the loss ─────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Gradients:
    """Weights of the layers, and their gradients of the cross entropy on each of some batches.

    Attributes:
        weights: One tensor a layer.
        each: For each batch, one tensor a layer.
    """

    weights: Sequence[Tensor]
    each: Sequence[Sequence[Tensor]]


def gradients(network: nn.Module, batches: Sequence[Batch]) -> Gradients:
    """Gradients of the loss in training mode.

    Args:
        network: With fresh weights.
        batches: Real images and classes.
    """
    network.train()
    weights = [layer.weight for layer in weighted(network)]
    each = []
    for images, classes in batches:
        loss = F.cross_entropy(network(images), classes)
        found = torch.autograd.grad(loss, weights, allow_unused=True)
        each.append([_or_zeros(one, weight) for one, weight in zip(found, weights, strict=True)])
    return Gradients([weight.detach() for weight in weights], each)


def snip(found: Gradients) -> float:
    """Sum of |weight x gradient| on one batch (Lee et al., ICLR 2019, arXiv:1810.02340).

    Args:
        found: Of at least one batch.
    """
    pairs = zip(found.weights, found.each[0], strict=True)
    return float(sum((weight * gradient).abs().sum().double() for weight, gradient in pairs))


def gradient_norm(found: Gradients) -> float:
    """Sum over layers of the norm of the gradient on one batch (Abdelfattah et al., ICLR 2021, arXiv:2101.08134).

    Args:
        found: Of at least one batch.
    """
    return float(sum(gradient.norm().double() for gradient in found.each[0]))


def zico(found: Gradients) -> float:
    """Sum over layers of log(sum of mean |gradient| / its deviation over batches) (Li et al., ICLR 2023,
    arXiv:2301.11300).

    Args:
        found: Of at least two batches.
    """
    total = 0.0
    for layer in zip(*found.each, strict=True):
        stacked = torch.stack([one.flatten() for one in layer])
        deviation = stacked.std(dim=0, correction=0)
        varies = deviation > 0
        ratio = float((stacked.abs().mean(dim=0)[varies] / deviation[varies]).double().sum())
        total += math.log(ratio) if ratio > 0 else 0.0
    return total


def grasp(network: nn.Module, batch: Batch) -> float:
    """Minus the sum of weight x (Hessian x gradient) on one batch (Wang et al., ICLR 2020, arXiv:2002.07376).

    Args:
        network: With fresh weights.
        batch: Real images and classes.
    """
    network.train()
    weights = [layer.weight for layer in weighted(network)]
    images, classes = batch
    loss = F.cross_entropy(network(images), classes)
    first = torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True)
    inner = sum((gradient * gradient.detach()).sum() for gradient in first if gradient is not None)
    second = torch.autograd.grad(inner, weights, allow_unused=True)  # type: ignore[arg-type]
    products = (
        (weight.detach() * product).sum().double()
        for weight, product in zip(weights, second, strict=True)
        if product is not None
    )
    return -float(sum(products))


# ── without data ──────────────────────────────────────────────────────────────────────────────────


def synflow(network: nn.Module, ones: Tensor) -> float:
    """Logarithm of the sum of weight x gradient of the output's sum; all weights positive, without batch norms
    (Tanaka et al., NeurIPS 2020, arXiv:2006.05467).

    In double precision, and the logarithm of the paper's sum, which overflows float32 in deep networks.

    Args:
        network: With fresh weights.
        ones: One image of ones, float64.
    """
    network.double().eval()
    with positive(network), without_norms(network):
        weights = [layer.weight for layer in weighted(network)]
        found = torch.autograd.grad(network(ones).sum(), weights, allow_unused=True)
        pairs = zip(weights, found, strict=True)
        total = sum(float((w.detach() * g).abs().sum()) for w, g in pairs if g is not None)
    network.float()
    return math.log(total) if total > 0 else -math.inf


@torch.no_grad()
def naswot(network: nn.Module, images: Tensor) -> float:
    """Logarithm of the determinant of how many rectifiers agree on each pair of images (Mellor et al., ICML 2021,
    arXiv:2006.04647).

    Args:
        network: With fresh weights.
        images: (N, C, H, W).
    """
    n = len(images)
    kernel = torch.zeros(n, n, dtype=torch.float64, device=images.device)

    def note(_module: nn.Module, given: tuple[Tensor, ...]) -> None:
        signs = (given[0].flatten(1) > 0).to(given[0].dtype) * 2 - 1
        # of k units p agree and k - p differ: their product is 2p - k
        kernel.add_(((signs @ signs.T).double() + signs.shape[1]) / 2)

    parts = [module for module in network.modules() if isinstance(module, RECTIFIERS)]
    handles = [module.register_forward_pre_hook(note) for module in parts]
    network.train()
    try:
        network(images)
    finally:
        for handle in handles:
            handle.remove()
    sign, logarithm = np.linalg.slogdet(kernel.cpu().numpy())
    return float(logarithm) if sign > 0 else -math.inf


@torch.no_grad()
def zen(network: nn.Module, images: Tensor, others: Tensor, *, share: float = 0.01) -> float:
    """Logarithm of how far the last map moves when the input does, with the scale that batch norms took out (Lin et
    al., ICCV 2021, arXiv:2102.01063).

    Args:
        network: With weights from a standard normal distribution.
        images: (N, C, H, W) noise.
        others: As many others.
        share: How much of those is added.
    """
    network.train()
    one, other = (last_map(network, given) for given in (images, images + share * others))
    distance = float((one - other).abs().flatten(1).sum(dim=1).mean())
    scales = [
        float(module.running_var.mean().sqrt())
        for module in network.modules()
        if isinstance(module, _BatchNorm) and module.running_var is not None
    ]
    if distance <= 0 or min(scales, default=1.0) <= 0:
        return -math.inf
    return math.log(distance) + sum(math.log(scale) for scale in scales)


# ── AZ-NAS ────────────────────────────────────────────────────────────────────────────────────────


def stage_maps(network: nn.Module, images: Tensor) -> list[Tensor]:
    """Outputs (N, C, H, W) of the stages of a network, one behind the other, up to its head.

    Each begins its own graph: the gradient of a map leads to the map before it.

    Args:
        network: A sequence of stages.
        images: (N, C, H, W).
    """
    maps: list[Tensor] = []
    x = images
    for stage in network.children():
        x = stage(x)
        if x.dim() != images.dim() or min(x.shape[2:]) == 1:
            break
        maps.append(x)
    return maps


def last_map(network: nn.Module, images: Tensor) -> Tensor:
    """The last map (N, C, H, W) before a network pools.

    Args:
        network: A sequence of stages, or of parts in stages.
        images: (N, C, H, W).
    """
    x, last = images, images
    for part in _parts(network):
        x = part(x)
        if x.dim() != images.dim() or min(x.shape[2:]) == 1:
            break
        last = x
    return last


def _parts(network: nn.Module) -> list[nn.Module]:
    stages = list(network.children())
    head = stages[-1]
    return [*stages[:-1], *(head.children() if isinstance(head, nn.Sequential) else [head])]


def az_nas(network: nn.Module, images: Tensor, generator: torch.Generator) -> dict[str, float]:
    """Expressivity, progressivity and trainability (Lee & Ham, CVPR 2024, arXiv:2403.19232); the fourth part of the
    score, complexity, is the count of multiply-accumulates.

    Expressivity is the sum, progressivity the least increase from stage to stage, of the entropy of the eigenvalues of
    a map's covariance over channels. Trainability is the mean over stages of 2 - s - 1/s, s being the largest singular
    value of an estimate of the stage's Jacobian by random signs.

    Args:
        network: With fresh weights, a sequence of stages.
        images: (N, C, H, W) noise.
        generator: Draws the signs.

    Returns:
        The three figures by name; minus infinity where one is undefined, as for maps without any variation.
    """
    network.train()
    maps = [*_separate(network, images)]
    entropies = np.array([_entropy(found.detach()) for _, found in maps])
    steps = [_trainability(given, found, generator) for given, found in maps[1:]]
    return {
        "expressivity": _defined(entropies.sum()),
        "progressivity": _defined(np.diff(entropies).min(initial=math.inf)),
        "trainability": _defined(np.mean(steps)) if steps else -math.inf,
    }


def _separate(network: nn.Module, images: Tensor) -> list[tuple[Tensor, Tensor]]:
    """What each stage is given and gives; only inside a stage is there a graph."""
    found: list[tuple[Tensor, Tensor]] = []
    x = images
    for stage in network.children():
        given = x.detach().requires_grad_(bool(found))
        x = stage(given)
        if x.dim() != images.dim() or min(x.shape[2:]) == 1:
            break
        found.append((given, x))
    return found


def _entropy(found: Tensor) -> float:
    rows = found.permute(0, 2, 3, 1).reshape(-1, found.shape[1])
    rows = rows - rows.mean(dim=0, keepdim=True)
    values = torch.linalg.eigvalsh(rows.T @ rows / len(rows))
    shares = (values / values.sum()).clamp(min=0)  # rounding makes some of no variance negative
    return float((-shares * torch.log(shares + 1e-8)).sum())


def _trainability(given: Tensor, found: Tensor, generator: torch.Generator) -> float:
    signs = torch.randint(2, found.shape, generator=generator, device=found.device).to(found.dtype) * 2 - 1
    if not found.requires_grad:
        return -math.inf
    (back,) = torch.autograd.grad(found, given, signs, allow_unused=True)
    if back is None or (back.shape == signs.shape and bool((back == signs).all())):
        return -math.inf  # nothing flows, or nothing happens
    if back.shape[2:] != signs.shape[2:]:
        back = F.pixel_unshuffle(back, back.shape[2] // signs.shape[2])
    one, other = (each.permute(0, 2, 3, 1).reshape(-1, each.shape[1]) for each in (back, signs))
    largest = float(torch.linalg.matrix_norm(one.T @ other / len(other), 2))
    return -largest - 1 / (largest + 1e-6) + 2


def _defined(value: float | np.floating) -> float:
    return float(value) if math.isfinite(value) else -math.inf


def rank_aggregated(scores: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """(n,): the sum over scores of log(rank / n), the best having rank n (Lee & Ham, CVPR 2024, Eq. 11).

    One bad rank outweighs several good ones. Scores that are not a number have the worst rank; equal ones share theirs.

    Args:
        scores: (n,) each, larger is better.
    """
    total = np.zeros(len(scores[0]))
    for column in scores:
        given = np.where(np.isnan(column), -np.inf, column)
        ordered = np.sort(given)
        total += np.log(np.searchsorted(ordered, given, side="right") / len(given))
    return total


def _or_zeros(gradient: Tensor | None, weight: Tensor) -> Tensor:
    return torch.zeros_like(weight) if gradient is None else gradient.detach()
