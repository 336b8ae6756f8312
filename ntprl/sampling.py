"""Batched generation with a KV cache."""

import numpy as np
import torch

from ntprl.errors import require_integer, require_number
from ntprl.task import PAD
from ntprl.transformer import Transformer


def choose(logits: torch.Tensor, temperature: float, generator: torch.Generator | None) -> torch.Tensor:
    """One token a row, (B, V) -> (B,): the likeliest at temperature 0, else from softmax(logits / temperature)."""
    if temperature == 0:
        return logits.argmax(dim=-1)
    probabilities = torch.softmax(logits / temperature, dim=-1)
    return torch.multinomial(probabilities, 1, generator=generator)[:, 0]


@torch.inference_mode()
def sample(
    model: Transformer,
    prompts: np.ndarray,
    eos: int,
    max_new: int,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> np.ndarray:
    """Answers to prompts, (n, P) -> (n, T) with T <= max_new: tokens up to EOS, then PAD.

    temperature 0 is greedy decoding. A row leaves the batch as soon as it has written EOS, so nothing
    is computed for finished answers. A row that writes no EOS in max_new tokens is cut there.
    """
    require_number("temperature", temperature, low=0)
    require_integer("max_new", max_new, low=1)
    n = len(prompts)
    answers = torch.full((n, max_new), PAD)
    if n == 0:
        return answers.numpy()
    device = model.embed.weight.device
    cache = model.new_cache(n)
    rows = torch.arange(n, device=device)  # which answer each row of the shrinking batch writes
    tokens = torch.as_tensor(prompts, device=device)
    for t in range(max_new):
        logits = model(tokens, n_out=1, cache=cache)[:, 0]  # (rows, V)
        chosen = choose(logits, temperature, generator)
        answers[rows.cpu(), t] = chosen.cpu()
        alive = (chosen != eos).nonzero()[:, 0]
        if len(alive) == 0:
            return answers[:, : t + 1].numpy()
        if len(alive) < len(rows):
            rows = rows[alive]
            cache.keep_rows(alive)
        tokens = chosen[alive, None]
    return answers.numpy()


def greedy(model: Transformer, prompts: np.ndarray, eos: int, max_new: int) -> np.ndarray:
    """The likeliest token at every position, (n, P) -> (n, T)."""
    return sample(model, prompts, eos, max_new, temperature=0)
