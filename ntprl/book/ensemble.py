"""Many small models trained at once: a sweep over p_cot and seeds as one batched program.

    runs = grid(Run(Parity(16)), p_cot=(0.1, 0.25, 0.5), seed=range(4))
    tables = train_together(runs, device="cuda")        # what [run.run("cuda") for run in runs] would give

Shared by the members: shapes, number of steps, learning rates, the calls of operators. Each has its own:
initial weights, data stream (seed, data, step), split into long and short demonstrations, loss (the mean
over its own answer tokens), moments of AdamW, norm and clipping of its gradient, measurements.

The same results up to rounding: a batched product adds in another order. In float64 the weights agree to 1e-8
and better. In float32 AdamW turns rounding into whole steps where a gradient is nothing but
rounding (the biases of the keys, which change no output), so compare what the models do, not those weights.

Why: a small model waits for the calls of its operators, not for its arithmetic. M models in one call wait
once. It is meant for a GPU. On a CPU it can pay for the smallest models and batches only, since the members
compete for the cache; one process for each core (`sweep` with `local_executor`) is the first choice there.
benchmarks/ensemble.py compares them. Measurements (`run.measure`) are taken one model after the other.

What is computed for nothing: Z ~ Ber(p_cot) gives each member another number of long demonstrations, but all
must have the same shapes. The long part takes as many rows as the member with the most long ones needs; the
others fill it with short demonstrations of their own, padded. Nothing is dropped or repeated, and PAD has no
loss. The cost is (long - short length) tokens for each such row, none where all p_cot are alike but the
scatter of Z; `ensembles` puts neighbours in p_cot together to keep it low. Long chains of different lengths
are padded to the longest of the step, where `pretrain` would make parts of similar ones.

Nothing is written before the end: a killed ensemble starts again.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, library, nn
from torch.func import functional_call, stack_module_state
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from tqdm import tqdm

from ntprl.book.run import ModelConfig, Run, described, flat, require_device
from ntprl.errors import InputError, require_integer
from ntprl.mixture import Mixture
from ntprl.pretrain import PretrainConfig, learning_rate, make_optimizer
from ntprl.seeds import numpy_rng
from ntprl.tasks.task import PAD, Demonstrations
from ntprl.transformer import Transformer

# Shape legend: M members, n demonstrations, P prompt tokens, T answer tokens, V vocabulary; B, H, D of transformer.py.
StepCallback = Callable[[int, Sequence[Transformer], Tensor | None], None]  # (steps done, models, losses (M,) or None)

MAY_DIFFER = ("p_cot", "seed")


# --- attention of all members in one call of the fused kernel ---


@library.custom_op("ntprl::attention", mutates_args=())
def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """torch's fused attention, under a name of its own so that it can have a rule for vmap.

    On a CPU the kernel itself has none: vmap would call it once for each member.
    """
    return F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal)


@attention.register_vmap
def attention_of_all(info, in_dims, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool):
    """No weights inside, so members are rows: (M, B, H, T, D) -> (M B, H, T, D) and back. The mask is one for all."""
    q, k, v = (x.movedim(dim, 0).flatten(0, 1) for x, dim in zip((q, k, v), in_dims[:3], strict=True))
    y = F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal)  # not `attention`: this one has a gradient
    return y.unflatten(0, (info.batch_size, -1)), 0


class FusedAttention(TorchFunctionMode):
    """Inside this context `F.scaled_dot_product_attention` is `attention`."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return attention(*args, kwargs["attn_mask"], kwargs["is_causal"])
        return func(*args, **kwargs)


# --- one step ---


def equal_parts(drawn: Sequence[tuple[Demonstrations, Demonstrations]]) -> tuple[Demonstrations, Demonstrations]:
    """(long, short) of each of M members, n rows in all for each -> two parts, (M, n', P) and (M, n', T).

    The first part has as many rows as the most long demonstrations of a member; the second the rest.
    """
    width = max(part.answers.shape[1] for member in drawn for part in member)

    def padded(rows: np.ndarray) -> np.ndarray:
        return np.pad(rows, ((0, 0), (0, width - rows.shape[1])), constant_values=PAD)

    prompts = np.stack([np.concatenate([part.prompts for part in member]) for member in drawn])  # long ones first
    answers = np.stack([np.concatenate([padded(part.answers) for part in member]) for member in drawn])
    n_long = max(len(long.prompts) for long, _ in drawn)
    parts = []
    for rows in (slice(n_long), slice(n_long, None)):
        longest = int((answers[:, rows] != PAD).any(axis=(0, 1)).sum())
        parts.append(Demonstrations(prompts[:, rows], answers[:, rows, :longest]))
    return parts[0], parts[1]


def next_token_losses(
    model: Transformer, weights: dict[str, Tensor], parts: tuple[Demonstrations, Demonstrations]
) -> Tensor:
    """`next_token_loss` of each member, (M,); `weights` are stacked, of `model` only the function counts."""
    device = model.embed.weight.device
    total, n_tokens = 0, 0
    for prompts, answers in parts:
        if prompts.shape[1] == 0:
            continue
        n_tokens = n_tokens + torch.as_tensor((answers != PAD).sum(axis=(1, 2)), device=device)
        prompts, answers = (torch.as_tensor(rows, device=device) for rows in (prompts, answers))
        inputs = torch.cat((prompts, answers[..., :-1].clamp(min=0)), dim=2)  # PAD is no token; its loss is masked
        n_out = answers.shape[2]

        def logits_of(member: dict[str, Tensor], tokens: Tensor, n_out: int = n_out) -> Tensor:
            return functional_call(model, member, (tokens,), {"n_out": n_out})

        with FusedAttention():
            logits = torch.vmap(logits_of)(weights, inputs)  # (M, n, T, V)
        losses = F.cross_entropy(logits.flatten(0, 2), answers.flatten(), ignore_index=PAD, reduction="none")
        total = total + losses.unflatten(0, (len(answers), -1)).sum(dim=1)
    return total / n_tokens


@torch.no_grad()
def clip_each(gradients: Sequence[Tensor], limit: float = 1.0) -> Tensor:
    """Clip the gradient of each member at its own norm, in place; returns the norms before, (M,)."""
    norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients]).norm(dim=0)
    scale = (limit / (norms + 1e-6)).clamp(max=1.0)  # as torch's clip_grad_norm_
    for gradient in gradients:
        gradient.mul_(scale.view(-1, *[1] * (gradient.dim() - 1)))
    return norms


def pretrain_together(
    models: Sequence[Transformer],
    mixtures: Sequence[Mixture],
    seeds: Sequence[int],
    config: PretrainConfig,
    callback: StepCallback | None = None,
) -> None:
    """Train the models in place, each as `pretrain(model, mixture, config, seed)` would.

    From here on the weights of the models are slices of stacked tensors. The callback is asked before the first
    step and after each, as in `pretrain`. The models must have one shape, the mixtures answers of one length.
    """
    stacked, _ = stack_module_state(list(models))
    weights = {name: nn.Parameter(tensor) for name, tensor in stacked.items()}  # (M, ...)
    for i, model in enumerate(models):
        for name, parameter in model.named_parameters():
            parameter.data = weights[name].data[i]  # what the optimiser changes, the models show
    optimizer = make_optimizer(nn.ParameterList(weights.values()), config.lr, config.weight_decay)
    if callback is not None:
        callback(0, models, None)
    for step in tqdm(range(config.steps), disable=None):  # silent in notebooks
        pairs = zip(mixtures, seeds, strict=True)
        drawn = [mixture.draw(config.batch, numpy_rng(seed, "data", step)) for mixture, seed in pairs]
        losses = next_token_losses(models[0], weights, equal_parts(drawn))
        losses.sum().backward()  # a member's weights are in its own loss alone
        clip_each([weight.grad for weight in weights.values()])
        optimizer.param_groups[0]["lr"] = learning_rate(config, step)
        optimizer.step()
        optimizer.zero_grad()
        if callback is not None:
            callback(step + 1, models, losses.detach())


# --- runs ---


def common_fields(run: Run) -> dict[str, object]:
    """Everything that members of one ensemble have in common."""
    return {"kind": run.kind, **{name: value for name, value in flat(run).items() if name not in MAY_DIFFER}}


def can_join(run: object) -> bool:
    """Is it next-token prediction alone, of a `Transformer` from random weights?"""
    own = all(getattr(type(run), name, None) is getattr(Run, name) for name in ("train", "run"))
    return own and run.rl is None and type(run.model).build is ModelConfig.build


def require_alike(runs: Sequence[Run]) -> None:
    """Raise an InputError that names the first thing in which the runs differ, other than p_cot and seed."""
    for run in runs:
        if not can_join(run):
            raise InputError(
                f"{described(run)} cannot be trained with others: "
                "it is not next-token prediction alone, of a Transformer"
            )
        for name, value in common_fields(runs[0]).items():
            other = common_fields(run).get(name)
            if other != value:
                raise InputError(
                    f"runs with {name} = {value!r} and {name} = {other!r} cannot be trained together: "
                    f"only {' and '.join(MAY_DIFFER)} may differ"
                )


def ensembles(runs: Sequence[object], together: int) -> list[list]:
    """The runs in lists of at most `together` that can be trained at once, neighbours in p_cot; each run once."""
    require_integer("together", together, low=1)
    if together == 1:
        return [[run] for run in runs]  # in their order
    alike: dict[tuple, list] = {}
    alone = []
    for run in runs:
        if can_join(run):
            alike.setdefault(tuple(common_fields(run).values()), []).append(run)
        else:
            alone.append([run])
    groups = [sorted(group, key=lambda run: run.p_cot) for group in alike.values()]
    return [group[i : i + together] for group in groups for i in range(0, len(group), together)] + alone


def train_together(runs: Sequence[Run], device: str = "cpu") -> list[pd.DataFrame]:
    """For each run the table that `run.run(device)` gives, up to rounding; the runs differ in p_cot and seed alone.

    Raises InputError in one line for runs that cannot be trained together.
    """
    require_alike(runs)
    if not runs:
        return []
    models = [run.model.build(run, require_device(device), None) for run in runs]
    tables: list[list[dict]] = [[] for _ in runs]
    wanted = runs[0].measured_steps()

    def callback(done: int, models: Sequence[Transformer], losses: Tensor | None) -> None:
        if done in wanted:
            for run, model, rows in zip(runs, models, tables, strict=True):
                rows += [{"step": done, **row} for row in run.measure(done, model)]

    mixtures, seeds = [run.mixture for run in runs], [run.seed for run in runs]
    pretrain_together(models, mixtures, seeds, runs[0].pretraining, callback)
    return [pd.DataFrame(rows) for rows in tables]
