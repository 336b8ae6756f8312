"""Measures of a model: accuracy, length, calibration and links of the chain, with intervals of rates."""

from collections.abc import Iterable
from math import nan, sqrt

import numpy as np
import pandas as pd
import torch
from scipy.special import ndtri, stdtrit

from ntprl.sampling import greedy, sample
from ntprl.seeds import numpy_rng, torch_rng
from ntprl.tasks.task import PAD, Task, lengths
from ntprl.transformer import Transformer


def interval(rate: float, n: int) -> tuple[float, float]:
    """Wilson 95 % interval of a rate measured on n independent draws; (0, 1) if n is 0.

    (k + z^2/2 -+ z sqrt(k (n - k)/n + z^2/4)) / (n + z^2) with k = rate n. `scipy.stats` has it too, but importing
    that costs every worker most of a second.
    """
    if n == 0:
        return 0.0, 1.0
    k, z = round(rate * n), float(ndtri(0.975))
    half = z * sqrt(k * (n - k) / n + z**2 / 4)
    low, high = (k + z**2 / 2 - half) / (n + z**2), (k + z**2 / 2 + half) / (n + z**2)
    return (low if k > 0 else 0.0), (high if k < n else 1.0)


def share(mask: np.ndarray) -> float:
    """Mean of a boolean array, NaN if it is empty."""
    return float(np.mean(mask)) if len(mask) else float("nan")


@torch.inference_mode()
def chain_probabilities(model: Transformer, task: Task, prompts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How well the next link of the chain is known when all links before it are given (teacher forcing).

    Returns (probability of the right token, is it the likeliest), both (n, L + 1); the last column is EOS.
    Before the last column EOS is left out and the rest renormalised: whether to go on is another question.
    """
    device = model.embed.weight.device
    answers = task.long(prompts)
    inputs = np.concatenate((prompts, np.maximum(answers[:, :-1], 0)), axis=1)
    logits = model(torch.as_tensor(inputs, device=device), n_out=answers.shape[1]).float().cpu()  # (n, L + 1, V)
    target = torch.as_tensor(answers)
    inner = (target != task.eos) & (target != PAD)
    logits[..., task.eos] = logits[..., task.eos].masked_fill(inner, -torch.inf)
    right = logits.softmax(-1).gather(2, target.clamp(min=0)[..., None])[..., 0]
    hit = logits.argmax(-1) == target
    outside = target == PAD  # ragged chains: nothing to predict there
    return right.masked_fill(outside, torch.nan).numpy(), (hit | outside).numpy()


def answer_measures(task: Task, prompts: np.ndarray, answers: np.ndarray, name: str) -> dict[str, float]:
    """Rates of one set of answers, each key starting with `name` (greedy or sampled)."""
    right, length = task.r_e2e(prompts, answers), lengths(answers, task.eos)
    is_long = length > task.short_length
    return {
        f"{name}_accuracy": share(right),
        f"{name}_long": share(is_long),
        f"{name}_median_length": float(np.median(length)),
        f"{name}_long_accuracy": share(right[is_long]),
        f"{name}_short_accuracy": share(right[~is_long]),
    }


def measure(model: Transformer, task: Task, n: int, seed: int, step: int, temperature: float = 1.0) -> dict[str, float]:
    """Every measure of the book on n fresh prompts; the draws depend on (seed, evaluation, step) alone.

    greedy_*, sampled_*   accuracy by r_e2e, share of long answers, median length, accuracy of the long
                          and of the short answers (NaN if there are none)
    chain_accuracy        share of prompts whose chain is likeliest at every link after the first
    link_error            mean probability of a wrong link after the first
    """
    prompts = task.prompts(n, numpy_rng(seed, "evaluation", step), test=True)
    max_new = task.long_length + 1
    generator = torch_rng(seed, "evaluation", step, device=str(model.embed.weight.device))
    drawn = sample(model, prompts, task.eos, max_new, temperature, generator)
    right, hit = chain_probabilities(model, task, prompts)
    row = answer_measures(task, prompts, greedy(model, prompts, task.eos, max_new), "greedy")
    row |= answer_measures(task, prompts, drawn, "sampled")
    row |= {
        "chain_accuracy": share(hit[:, 1:].all(axis=1)),
        "link_error": float(1 - np.nanmean(right[:, 1:])),
        "n_eval": n,
    }
    return row


@torch.inference_mode()
def long_probability(model: Transformer, task: Task, prompts: np.ndarray, generator: torch.Generator) -> np.ndarray:
    """P(an answer at temperature 1 is longer than a short one) for each prompt, (n,).

    One draw of the first short_length tokens, then the exact probability that no EOS follows: right on
    average and never 0 where the truth is not, so that rates far below 1/n can be measured.
    """
    device = model.embed.weight.device
    starts = sample(model, prompts, task.eos, task.short_length, generator=generator)
    inputs = np.concatenate((prompts, np.maximum(starts, 0)), axis=1)
    logits = model(torch.as_tensor(inputs, device=device), n_out=1)[:, 0]
    go_on = 1 - logits.double().softmax(-1)[:, task.eos].cpu().numpy()
    return np.where((starts == task.eos).any(axis=1), 0.0, go_on)


def length_distribution(answers: np.ndarray, task: Task) -> np.ndarray:
    """Share of answers at each length 0..L+1, (L + 2,)."""
    counts = np.bincount(lengths(answers, task.eos), minlength=task.long_length + 2)
    return counts / max(1, len(answers))


def mean_interval(values: Iterable[float]) -> tuple[float, tuple[float, float]]:
    """(mean, its 95 % t interval) of independent values, one for each seed; no interval (NaN) of a single one.

    mean -+ t s / sqrt(n), t being the 97.5 % quantile of Student's law with n - 1 degrees of freedom.
    """
    found = np.asarray(list(values), dtype=float)
    mean = float(found.mean()) if len(found) else nan
    if len(found) < 2:
        return mean, (nan, nan)
    half = float(stdtrit(len(found) - 1, 0.975) * found.std(ddof=1) / sqrt(len(found)))
    return mean, (mean - half, mean + half)


def crossing(final: pd.DataFrame, column: str, level: float = 0.5) -> tuple[float, tuple[float, float]]:
    """(p_cot at which `column` first rises through `level`, mean over seeds; its 95 % t interval over seeds).

    Each seed has a curve of its own, linear between the measured values of p_cot. `final` has one row for each p_cot
    and seed. NaN where a seed never crosses the level.
    """
    values = final.pivot_table(index="seed", columns="p_cot", values=column)  # (seeds, p_cot)
    p = values.columns.to_numpy()
    return mean_interval(first_crossing(p, curve, level) for curve in values.to_numpy())


def first_crossing(x: np.ndarray, y: np.ndarray, level: float) -> float:
    """Where y, linear between the values of x, first rises through `level`; NaN if it never does."""
    above = np.flatnonzero((y[1:] >= level) & (y[:-1] < level))
    if len(above) == 0:
        return float("nan")
    i = above[0]
    return x[i] + (level - y[i]) / (y[i + 1] - y[i]) * (x[i + 1] - x[i])
