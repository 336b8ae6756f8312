"""How near to the machine's limit: operations and bytes counted, a large product and a large copy, shares of time.

Operations   2 for each multiply-add of the matrix products and of attention that torch ran; of attention only for the
             pairs of positions that its mask lets through (the kernel for CPUs; elsewhere all pairs).
Bytes        what an implementation must move that runs the same operators one after the other: each reads what it
             is given once (weights, activations) and writes its result once, by their shapes. A view moves nothing; a
             look-up reads the rows it takes; an expanded dimension counts once. Joining operators would need fewer
             bytes, and caches serve many of them, so that the share of the copy may exceed 1.
Limit        the larger of operations / (large product's rate) and bytes / (large copy's rate), as a share of the time.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from math import prod

import numpy as np
import pandas as pd
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

PRODUCT = 2048  # rows of the square matrices multiplied
COPY = 64 * 2**20  # numbers copied, far more than caches hold

ALLOCATIONS = {f"aten::{name}" for name in ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided")}
OVERWRITES = {f"aten::{name}_" for name in ("copy", "fill", "zero", "normal", "uniform", "exponential")}
LOOK_UPS = {f"aten::{name}" for name in ("embedding", "index_select", "gather", "index")}


def seen(q: torch.Tensor, k: torch.Tensor, is_causal: bool, mask: torch.Tensor | None) -> float:
    """Share of the pairs of positions that attention lets through."""
    n_query, n_key = q.shape[-2], k.shape[-2]
    if is_causal:
        return torch.ones(n_query, n_key).tril().double().mean().item()
    if mask is None:
        return 1.0
    return (mask if mask.dtype == torch.bool else mask > -torch.inf).double().mean().item()


def forward_flops(q, k, v, dropout_p=0.0, is_causal=False, *, attn_mask=None, **_) -> float:
    return sdpa_flop_count(q.shape, k.shape, v.shape) * seen(q, k, is_causal, attn_mask)


def backward_flops(grad, q, k, v, out, lse, dropout_p=0.0, is_causal=False, *, attn_mask=None, **_) -> float:
    return sdpa_backward_flop_count(grad.shape, q.shape, k.shape, v.shape) * seen(q, k, is_causal, attn_mask)


forward_flops._get_raw = backward_flops._get_raw = True  # torch's counter hands them tensors, not shapes
COUNTED = {  # operators that the counter does not know of its own
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: forward_flops,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: backward_flops,
}


def size(values: object) -> int:
    """Bytes of all tensors in it; a dimension that only repeats counts once."""
    tensors = [x for x in tree_leaves(values) if isinstance(x, torch.Tensor)]
    return sum(
        x.element_size() * prod(n for n, stride in zip(x.shape, x.stride(), strict=True) if stride or not n)
        for x in tensors
    )


def moved(func: torch._ops.OpOverload, args: tuple, kwargs: dict, result: object) -> int:
    """Bytes that this operator must read and write."""
    schema, name = func._schema, func._schema.name
    new = [value.alias_info is None for value in schema.returns]
    is_view = not any(new) and not any(value.alias_info.is_write for value in schema.returns)
    if name in ALLOCATIONS or (is_view and new):
        return 0
    results = result if len(new) > 1 else (result,)[: len(new)]
    total = size([value for value, is_new in zip(results, new, strict=True) if is_new])
    given = dict(zip((argument.name for argument in schema.arguments), args, strict=False)) | kwargs
    for i, argument in enumerate(schema.arguments):
        value, alias = given.get(argument.name), argument.alias_info
        is_written = alias is not None and alias.is_write
        is_read = not (is_written and (name in OVERWRITES or argument.is_out))
        read = min(size(value), size(result)) if name in LOOK_UPS and i == 0 else size(value)
        total += is_read * read + is_written * size(value)
    return total


class Traffic(TorchDispatchMode):
    """Adds up `moved` over all operators that run inside it."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(func, torch._ops.OpOverload):
            self.bytes += moved(func, args, kwargs or {}, result)
        return result


@contextmanager
def counting() -> Iterator[Callable[[], np.ndarray]]:
    """Inside it a function that tells [operations, bytes] so far."""
    with Traffic() as traffic, FlopCounterMode(display=False, custom_mapping=COUNTED) as counter:
        yield lambda: np.array([counter.get_total_flops(), traffic.bytes], dtype=float)


@cache
def ceilings(device: str = "cpu", dtype: torch.dtype = torch.float32) -> dict[str, object]:
    """What this machine reaches in a large matrix product and a large copy, with torch's threads; once a process."""
    n_threads = torch.get_num_threads()
    a, x = torch.randn(PRODUCT, PRODUCT, device=device, dtype=dtype), torch.zeros(COPY, device=device, dtype=dtype)
    spent = [
        Timer(statement, globals=values, num_threads=n_threads).blocked_autorange(min_run_time=1).median
        for statement, values in (("a @ a", {"a": a}), ("y.copy_(x)", {"x": x, "y": torch.zeros_like(x)}))
    ]
    return {
        "product_gflop_per_s": round(2 * PRODUCT**3 / spent[0] / 1e9, 1),
        "copy_gb_per_s": round(2 * COPY * x.element_size() / spent[1] / 1e9, 2),
        "what": f"{PRODUCT} x {PRODUCT} and {COPY * x.element_size() // 2**20} MiB of {x.dtype}, {n_threads} threads",
    }


def shares(work: Callable[[], object], device: str = "cpu") -> dict[str, float]:
    """Where the time of `work` goes, as shares of its wall time; the profiler's own cost is in them."""
    with torch.profiler.profile() as profiler:
        start = time.perf_counter()
        work()
        wall = 1e6 * (time.perf_counter() - start)  # microseconds, as the profiler counts
    spent = "self_cpu_time_total" if device == "cpu" else "self_device_time_total"
    share = pd.Series({e.key: getattr(e, spent) / wall for e in profiler.key_averages() if "aten::" in e.key})
    attention, products = share.filter(like="attention").sum(), share.filter(regex="mm$").sum()
    parts = {"matrix products": products, "attention": attention, "outside torch": 1 - share.sum()}
    parts["element-wise, norms, copies, optimiser"] = share.sum() - attention - products
    return {name: round(float(value), 3) for name, value in (parts | share.nlargest(8).to_dict()).items()}
