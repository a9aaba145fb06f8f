"""Parameters, multiply–accumulates and memory of any module, counted by running it on meta tensors.

Every tensor operation the module really performs is seen, whether it comes from a layer or from plain
functional code. Each is counted by a rule, free by the stated convention, or named as uncounted: nothing is
silently zero.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from archwright.core.errors import UsageError
from archwright.costs.counting.memory import MemoryAccount
from archwright.nn.choice.extract import active_state
from archwright.nn.choice.modules import active_modules
from archwright.nn.inputs import Form, Inputs, call, example_inputs, in_type_of
from archwright.nn.meta import attributes_kept, described, for_real, shape_only
from archwright.nn.modes import eval_mode
from archwright.nn.sizes import current

FREE_BY_CONVENTION = (
    "batch and layer norms",
    "activations",
    "pooling",
    "additions and other element-wise operations",
    "reshaping and copying",
)


@dataclass
class Leaf:
    """Figures of one module without its children.

    Attributes:
        macs: Multiply–accumulates.
        bit_ops: Those of a layer with bit widths, times the bits of its weights and of its inputs.
        params: Learnable parameters.
        model_size_bytes: Parameters and buffers.
        memory_access_bytes: What its own operations move (see `costs.counting.memory`).
        reads_from: Paths of the modules whose results they read.
    """

    macs: int = 0
    bit_ops: int = 0
    params: int = 0
    model_size_bytes: int = 0
    memory_access_bytes: int = 0
    reads_from: frozenset[str] = frozenset()


@dataclass
class Count:
    """The cost of one forward pass with batch size 1.

    Attributes:
        leaves: By module path; only modules with a cost of their own.
        uncounted: Operations without a rule, each with how often it ran, e.g. "fft_fft2 (2 times)".
        activation_peak_bytes: Largest sum of the tensors alive at one operation (see `costs.counting.memory`); 0 where
            memory was not asked for.
    """

    leaves: dict[str, Leaf] = field(default_factory=lambda: defaultdict(Leaf))
    uncounted: list[str] = field(default_factory=list)
    activation_peak_bytes: int = 0

    @property
    def macs(self) -> int:
        """Multiply–accumulates of convolutions, linear layers and matrix products."""
        return sum(leaf.macs for leaf in self.leaves.values())

    @property
    def bit_ops(self) -> int:
        """Multiply–accumulates times bits of weights times bits of inputs, of the layers that state such bits.

        A layer states them by its attribute `operand_bits`, as `nn.ops.quantized.QuantizedConv2d` does.
        """
        return sum(leaf.bit_ops for leaf in self.leaves.values())

    @property
    def params(self) -> int:
        """Learnable parameters; one that is used twice counts once."""
        return sum(leaf.params for leaf in self.leaves.values())

    @property
    def model_size_bytes(self) -> int:
        """Parameters and buffers that are saved with the weights, each at the width of its type or its layer's bits."""
        return sum(leaf.model_size_bytes for leaf in self.leaves.values())

    @property
    def memory_access_bytes(self) -> int:
        """Inputs, outputs and weights of every leaf, four bytes a number (see `costs.counting.memory`)."""
        return sum(leaf.memory_access_bytes for leaf in self.leaves.values())


def count(module: nn.Module, input_shape: Form, *, transposed_by_input: bool = False, memory: bool = True) -> Count:
    """Count one forward pass of a module in eval mode; the module stays as it is.

    A supernet is counted as its active arch. A module that needs values, because it decides by them or keeps tensors of
    its own, is run for real instead.

    Args:
        module: Any module, on any device and of any number type.
        input_shape: Shape of one input without the batch, or a signature.
        transposed_by_input: Count transposed convolutions once an input pixel (the multiplications really
            needed) instead of once an output pixel (the usual convention).
        memory: Whether to follow tensors as well, for memory access and activation peak.
    """
    running = list(active_modules(module))
    parameters, buffers = _active_tensors(running)
    tensors = parameters | buffers
    named = parameters, buffers

    def on(device: str | torch.device, replaced: Mapping[str, Tensor]) -> Count:
        inputs = in_type_of(module, example_inputs(module, input_shape, 1, device=device))
        account: MemoryAccount | None = None
        if memory:
            weights, others = ([replaced.get(name, t) for name, t in one.items()] for one in named)
            account = MemoryAccount(inputs, weights, others)
        return _counted(module, running, inputs, replaced, transposed_by_input, account)

    try:
        return on("meta", {name: described(t) for name, t in tensors.items() if not t.is_meta})
    except UsageError:  # that is no fault of the device
        raise
    except Exception:
        if any(tensor.is_meta for tensor in tensors.values()):
            raise
    device = next((tensor.device for tensor in tensors.values()), torch.device("cpu"))
    with for_real():  # what the pass writes to are copies
        return on(device, {name: buffer.clone() for name, buffer in buffers.items()})


def _counted(
    module: nn.Module,
    running: Running,
    inputs: Inputs,
    replaced: Mapping[str, Tensor],
    transposed_by_input: bool,
    account: MemoryAccount | None,
) -> Count:
    """Count one forward pass for some inputs, with some tensors replaced."""
    result = Count()
    _count_state(running, result)
    counting = _Counting(result, transposed_by_input, account)
    modules = [part for _, part in running]
    with attributes_kept(modules), eval_mode(modules), torch.no_grad(), _tracked(running, counting), counting:
        # in a large supernet, finding the tensors to exchange takes longer than the pass
        outputs = functional_call(module, dict(replaced), inputs) if replaced else call(module, inputs)
    if account is not None:
        account.finish(outputs)
        _add_memory(result, account)
    _count_bit_ops(running, result)
    result.uncounted = [f"{name} ({times} times)" for name, times in sorted(counting.unknown.items())]
    return result


Running = Sequence[tuple[str, nn.Module]]
"""The modules that run, with their paths: in a supernet, those of the active arch."""


class _Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own
    """Adds every operation to the leaf whose module is running."""

    def __init__(self, result: Count, transposed_by_input: bool, account: MemoryAccount | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.result = result
        self.transposed_by_input = transposed_by_input
        self.account = account
        self.path: list[str] = [""]
        self.unknown: Counter[str] = Counter()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch would import its compiler (a second) only to keep it away from this method

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        out = None if kwargs else shape_only(name, args)
        if out is None or name in MACS:  # all other shortcuts are free by convention
            out = func(*args, **(kwargs or {})) if out is None else out
            self._count(func, name, args, out)
        if self.account is not None:
            self.account.note(func, args, kwargs or {}, out)
        return out

    def enter(self, path: str) -> None:
        """A module is called."""
        self.path.append(path)
        if self.account is not None:
            self.account.enter(path)

    def leave(self, result: Any) -> None:
        """The module called last returns."""
        self.path.pop()
        if self.account is not None:
            self.account.leave(result)

    def _count(self, func: Any, name: str, args: tuple[Any, ...], out: Any) -> None:
        if name == "convolution" and args[6]:
            self._add(_transposed_macs(args, out, self.transposed_by_input))
        elif name in MACS:
            self._add(MACS[name](args, out))
        elif not is_free(func):
            self.unknown[name] += 1

    def _add(self, macs: int) -> None:
        self.result.leaves[self.path[-1]].macs += macs


def _convolution(args: tuple[Any, ...], out: Tensor) -> int:
    weight: Tensor = args[1]
    return out.numel() * weight[0].numel()


def _transposed_macs(args: tuple[Any, ...], out: Tensor, by_input: bool) -> int:
    x, weight, groups = args[0], args[1], args[8]
    if by_input:
        return int(x.numel() * weight[0].numel())
    return int(out.numel() * (weight.shape[0] // groups) * math.prod(weight.shape[2:]))


def _trilinear(args: tuple[Any, ...], out: Tensor) -> int:
    """A bilinear form: every product of an element of each input and a weight, as its definition sums them."""
    factors, inserted = args[:3], args[3:6]
    sizes = []
    for factor, axes in zip(factors, inserted, strict=True):
        for axis in sorted(axes):
            factor = factor.unsqueeze(axis)
        sizes.append(factor.shape)
    return math.prod(max(along) for along in zip(*sizes, strict=True))


def _fft(args: tuple[Any, ...], out: Tensor) -> int:
    """A fast Fourier transform of n points: 5 n log2 n operations, half of them multiply-accumulates; real ones half.

    That is the convention by which programs for such transforms state their speed.
    """
    x, axes = args[0], args[1]
    whole = out if not out.is_complex() else x  # of a real transform, the one of real numbers has all points
    n = math.prod(whole.shape[axis] for axis in axes)
    share = 1.0 if x.is_complex() and out.is_complex() else 0.5
    return round(share * 2.5 * whole.numel() * math.log2(n)) if n > 1 else 0


def _product(left: int) -> Callable[[tuple[Any, ...], Tensor], int]:
    """Matrix products: every output element sums over the last axis of the left factor, argument number `left`."""
    return lambda args, out: out.numel() * int(args[left].shape[-1])


def _attention(args: tuple[Any, ...], out: Any) -> int:
    query, key, value = args[:3]
    return int(math.prod(query.shape[:-1]) * key.shape[-2] * (query.shape[-1] + value.shape[-1]))


MACS: dict[str, Callable[[tuple[Any, ...], Any], int]] = {
    "convolution": _convolution,
    "mm": _product(0),
    "bmm": _product(0),
    "mv": _product(0),
    "dot": lambda args, out: args[0].numel(),
    "linear": _product(0),
    "addmm": _product(1),
    "addmv": _product(1),
    "baddbmm": _product(1),
    "_trilinear": _trilinear,
    "deform_conv2d": _convolution,
    "_fft_c2c": _fft,
    "_fft_r2c": _fft,
    "_fft_c2r": _fft,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_flash_attention": _attention,
    "_scaled_dot_product_efficient_attention": _attention,
    "_scaled_dot_product_attention_math": _attention,
}

_FREE_NAMES = frozenset(
    """
    native_layer_norm native_group_norm _fused_rms_norm rms_norm linalg_vector_norm max_pool2d_with_indices
    max_pool2d avg_pool2d avg_pool1d avg_pool3d max_pool3d_with_indices adaptive_max_pool2d _adaptive_avg_pool2d
    adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool1d mean sum amax amin max min argmax cumsum prod
    var var_mean std _softmax _log_softmax _safe_softmax glu topk sort cat stack clone copy_ contiguous _to_copy
    _unsafe_view constant_pad_nd reflection_pad2d replication_pad2d index index_select gather scatter embedding
    repeat roll flip new_zeros new_empty new_full empty empty_like zeros ones full arange zeros_like ones_like
    full_like scalar_tensor eye linspace tril triu fill_ zero_ upsample_nearest2d upsample_bilinear2d
    upsample_bicubic2d native_dropout pixel_shuffle channel_shuffle _reshape_alias lift_fresh lift_fresh_copy
    bernoulli bernoulli_ rand randn randint randperm rand_like randn_like randint_like normal normal_ uniform_ random_
    exponential_ multinomial complex polar _local_scalar_dense _assert_async im2col col2im unfold
    hardswish _prelu_kernel rrelu_with_noise log_sigmoid_forward adaptive_max_pool3d reflection_pad1d reflection_pad3d
    replication_pad1d replication_pad3d pixel_unshuffle unsafe_split unsafe_split_with_sizes
    transpose_ squeeze_ unsqueeze_ t_ _upsample_bilinear2d_aa
    """.split()  # noqa: SIM905 - a list would take ninety lines
)


def is_free(func: Any) -> bool:
    """Whether an operation costs no multiply–accumulates by convention (see FREE_BY_CONVENTION)."""
    name = func.overloadpacket.__name__
    return func.is_view or torch.Tag.pointwise in func.tags or name in _FREE_NAMES or name.rstrip("_") in _FREE_NAMES


def _count_state(running: Running, result: Count) -> None:
    """Parameters and saved buffers by module path, each tensor once."""
    seen: set[int] = set()
    for path, part in running:
        own = {**part._parameters, **part._buffers}
        if not own:
            continue
        for name, tensor in active_state(part).items():
            if name in own and id(own[name]) not in seen:
                seen.add(id(own[name]))
                leaf = result.leaves[path]
                leaf.params += tensor.numel() if name in part._parameters else 0
                bits = _bits_of(part)[0] if name == "weight" and hasattr(part, "operand_bits") else None
                leaf.model_size_bytes += (
                    tensor.numel() * tensor.element_size() if bits is None else -(-tensor.numel() * bits // 8)
                )


def _count_bit_ops(running: Running, result: Count) -> None:
    for path, part in running:
        if hasattr(part, "operand_bits") and path in result.leaves:
            result.leaves[path].bit_ops += result.leaves[path].macs * math.prod(_bits_of(part))


def _bits_of(part: nn.Module) -> tuple[int, int]:
    """Bits of a layer's weights and of its inputs."""
    operands: Any = part.operand_bits
    weight, inputs = map(current, operands)
    return int(weight), int(inputs)


def _active_tensors(running: Running) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Parameters and buffers of the modules that run, each tensor once by path: a supernet has many times as many."""
    parameters: dict[str, Tensor] = {}
    buffers: dict[str, Tensor] = {}
    seen: set[int] = set()
    for path, part in running:
        for found, own in ((parameters, part._parameters), (buffers, part._buffers)):
            for name, tensor in own.items():
                if tensor is not None and id(tensor) not in seen:
                    seen.add(id(tensor))
                    found[f"{path}.{name}" if path else name] = tensor
    return parameters, buffers


def _add_memory(result: Count, account: MemoryAccount) -> None:
    result.activation_peak_bytes = account.peak_bytes()
    for path, n_bytes, makers in account.accesses():
        leaf = result.leaves[path]
        leaf.memory_access_bytes += n_bytes
        leaf.reads_from |= makers


@contextmanager
def _tracked(running: Running, counting: _Counting) -> Iterator[None]:
    """Follows which module is running."""
    paths: dict[nn.Module, str] = {}
    for name, part in running:
        paths.setdefault(part, name)

    def enter(module: nn.Module, _: Any) -> None:
        if module in paths:
            counting.enter(paths[module])

    def leave(module: nn.Module, _: Any, result: Any) -> None:
        if module in paths:
            counting.leave(result)

    # one hook for all modules: in a supernet, giving each its own takes as long as the pass
    handles = register_module_forward_pre_hook(enter), register_module_forward_hook(leave, always_call=True)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
