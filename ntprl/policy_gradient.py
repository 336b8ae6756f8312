"""The policy-gradient loss on weighted answers, computed once for each distinct prompt and answer.

Shapes: B prompts, G answers each (a group), P and T tokens of a prompt and an answer, V vocabulary.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ntprl.tasks.task import PAD
from ntprl.transformer import Prefix, Transformer


class Part(NamedTuple):
    """Distinct answers of similar length, m of them, each with the summed weights of its copies."""

    rows: Tensor  # (m,) which prompt
    tokens: Tensor  # (m, T) ends in PAD
    up: Tensor  # (m,) sum of A / D over copies with A > 0
    down: Tensor  # (m,) sum of A / D over copies with A < 0
    inverse_d: Tensor  # (m,) sum of 1 / D
    copies: Tensor  # (m,) how many


class Pack(NamedTuple):
    """What a forward pass needs: each prompt once, each distinct answer once, short apart from long."""

    prompts: Tensor  # (b, P)
    parts: list[Part]


def pack(
    prompts: np.ndarray,
    answers: np.ndarray,
    advantage: np.ndarray,
    denominator: np.ndarray,
    device: torch.device | str,
    keep_all: bool = False,
) -> Pack:
    """Merge equal answers to a prompt and group the rest by length, padding each to less than twice its own.

    prompts (B, P), answers (B G, T), A and D (B, G). The loss is a sum over answers in which equal ones
    have equal ratios, so merging is exact. Answers with A = 0 add nothing and are left out unless `keep_all`.
    """
    keys = np.column_stack((np.repeat(np.arange(len(prompts)), len(answers) // len(prompts)), answers))
    weights = (advantage / denominator).ravel()
    keep = (weights != 0) | keep_all
    distinct, copy_of = np.unique(keys[keep], axis=0, return_inverse=True)
    columns = [np.maximum(weights, 0), np.minimum(weights, 0), 1 / denominator.ravel(), np.ones(len(weights))]
    columns = [np.bincount(copy_of.ravel(), column[keep], minlength=len(distinct)) for column in columns]
    used, rows = np.unique(distinct[:, 0], return_inverse=True)
    tokens = distinct[:, 1:]
    length = (tokens != PAD).sum(axis=1)
    bucket = np.ceil(np.log2(np.maximum(length, 1)))
    parts = []
    for size in np.unique(bucket):
        chosen = np.flatnonzero(bucket == size)
        fields = [rows[chosen], tokens[chosen, : length[chosen].max()]]
        fields += [column[chosen].astype(np.float32) for column in columns]
        parts.append(Part(*(torch.as_tensor(field, device=device) for field in fields)))
    return Pack(torch.as_tensor(prompts[used], device=device), parts)


def answer_logits(model: Transformer, batch: Pack) -> list[Tensor]:
    """Logits before each answer token, (m, T, V) for each part. The model reads each prompt once."""
    prefix = Prefix()
    first = model(batch.prompts, n_out=1, cache=prefix)  # (b, 1, V)
    logits = []
    for part in batch.parts:
        inputs = part.tokens[:, :-1].clamp(min=0)  # PAD is no token; nothing is read off behind it
        rest = [model(inputs, cache=prefix.expand(part.rows))] if inputs.shape[1] else []
        logits.append(torch.cat((first[part.rows], *rest), dim=1))
    return logits


def log_probabilities(logits: Tensor, tokens: Tensor, temperature: float) -> Tensor:
    """log pi(token), (m, T, V) and (m, T) -> (m, T); 0 behind the end."""
    logp = torch.log_softmax(logits / temperature, dim=-1).gather(2, tokens.clamp(min=0)[..., None])[..., 0]
    return logp.masked_fill(tokens == PAD, 0.0)


@torch.no_grad()
def score(model: Transformer, batch: Pack, temperature: float) -> list[Tensor]:
    """log pi of every token of a batch, one (m, T) for each part."""
    logits = answer_logits(model, batch)
    return [log_probabilities(x, part.tokens, temperature) for x, part in zip(logits, batch.parts, strict=True)]


def policy_loss(logp: Tensor, old: Tensor, reference: Tensor | None, part: Part, clip: float, kl: float) -> Tensor:
    """The loss of `weightings` for one part; logp, old and reference are log pi of its tokens, (m, T).

    min(A ratio, A clipped ratio) is A min(ratio, 1 + clip) for A > 0 and A max(ratio, 1 - clip) for A < 0.
    The penalty is kl x (q - log q - 1) with q = pi_reference / pi, never negative and right on average
    (Schulman, 2020; GRPO's own).
    """
    ratio = (logp - old).exp()
    gain = part.up[:, None] * ratio.clamp(max=1 + clip) + part.down[:, None] * ratio.clamp(min=1 - clip)
    loss = -gain[part.tokens != PAD].sum()
    if reference is not None:
        log_q = reference - logp  # 0 behind the end, where the penalty is 0 too
        loss = loss + kl * (part.inverse_d[:, None] * (log_q.exp() - log_q - 1)).sum()
    return loss


@torch.no_grad()
def distance(model: Transformer, start: Transformer, prompts: np.ndarray, answers: np.ndarray) -> dict[str, float]:
    """entropy: mean of -sum pi log pi over the tokens of the answers, in nats, at temperature 1.
    kl_from_start: mean over answers of the summed token-wise KL(pi || pi_start), in nats, at temperature 1.
    """
    ones = np.ones((len(prompts), len(answers) // len(prompts)))
    batch = pack(prompts, answers, ones, ones, model.embed.weight.device)
    entropy, kl, n_tokens = 0.0, 0.0, 0.0
    for now, then, part in zip(answer_logits(model, batch), answer_logits(start, batch), batch.parts, strict=True):
        now, then = now.log_softmax(-1), then.log_softmax(-1)
        weight = part.copies[:, None] * (part.tokens != PAD)  # (m, T)
        entropy -= float((weight * (now.exp() * now).sum(-1)).sum())
        kl += float((weight * (now.exp() * (now - then)).sum(-1)).sum())
        n_tokens += float(weight.sum())
    return {"entropy": entropy / n_tokens, "kl_from_start": kl / len(answers)}
