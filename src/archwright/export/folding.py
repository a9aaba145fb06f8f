"""Batch normalisation folded into the convolution before it, for inference."""

from __future__ import annotations

from collections import Counter

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norms(network: nn.Module) -> int:
    """Fold each batch norm into the convolution right before it in a plain `Sequential`, in place.

    Logits in eval mode stay the same up to rounding. Modules that are used in several places or have hooks, and batch
    norms without running statistics, stay as they are. The network must be in eval mode.

    Returns:
        How many batch norms were folded.
    """
    uses = Counter(id(child) for module in network.modules() for child in module._modules.values())
    n_folded = 0
    for module in list(network.modules()):
        # a subclass may run its children in another order
        if type(module) is not nn.Sequential:
            continue
        children = module._modules
        for first, second in zip(list(children), list(children)[1:], strict=False):
            conv, norm = children[first], children[second]
            if _is_pair(conv, norm) and uses[id(conv)] == uses[id(norm)] == 1:
                assert isinstance(conv, nn.Conv2d)
                assert isinstance(norm, nn.BatchNorm2d)
                children[first], children[second] = fuse_conv_bn_eval(conv, norm), nn.Identity()
                n_folded += 1
    return n_folded


def _is_pair(conv: nn.Module | None, norm: nn.Module | None) -> bool:
    # exact types: a subclass may compute something else
    if type(conv) is not nn.Conv2d or type(norm) is not nn.BatchNorm2d:
        return False
    has_hooks = any(m._forward_hooks or m._forward_pre_hooks for m in (conv, norm))
    return norm.running_mean is not None and not norm.training and not has_hooks
