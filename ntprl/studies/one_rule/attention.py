"""Does reinforcement change where a model looks, or what it does with what it sees?

look(model, tokens)              logits of the next token, and the attention of every layer on the way there
look(model, tokens, patterns)    the same with the attention of another model put in place of its own
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ntprl.seeds import numpy_rng
from ntprl.studies.one_rule.transformers import PartsRun
from ntprl.transformer import Transformer, rotate


@torch.inference_mode()
def look(model: Transformer, tokens: Tensor, patterns: list[Tensor] | None = None) -> tuple[Tensor, list[Tensor]]:
    """Logits behind the last token, (B, T) -> (B, V), and the attention of each layer, (B, H, T, T): how much the
    query of a row takes of the position of a column. Given patterns replace the model's own.
    """
    T = tokens.shape[1]
    x = model.embed(tokens)  # (B, T, W)
    if model.position is not None:
        x = x + model.position.weight[:T]
    is_later = torch.ones(T, T, dtype=torch.bool, device=tokens.device).triu(1)
    used = []
    for layer, block in enumerate(model.blocks):
        attention = block.attention
        q, k, v = map(attention.heads, attention.qkv(block.norm_1(x)).chunk(3, dim=-1))  # (B, H, T, D)
        if patterns is None:
            if model.position is None:
                q, k = (rotate(each, model.cos[:T], model.sin[:T]) for each in (q, k))
            scores = q @ k.transpose(2, 3) * q.shape[3] ** -0.5
            used.append(scores.masked_fill(is_later, -torch.inf).softmax(dim=-1))
        else:
            used.append(patterns[layer])
        x = x + attention.out((used[-1] @ v).transpose(1, 2).flatten(2))
        x = x + block.feed_forward(block.norm_2(x))
    return model.head(model.norm(x[:, -1])), used


def total_variation(first: list[Tensor], second: list[Tensor]) -> float:
    """Half the sum of absolute differences of the last query's attention: mean over layers, prompts and heads, 0..1."""
    pairs = zip(first, second, strict=True)
    return float(np.mean([(one[:, :, -1] - other[:, :, -1]).abs().sum(-1).mean().item() / 2 for one, other in pairs]))


@dataclass(frozen=True)
class AttentionRun(PartsRun):
    """Reinforcement of all weights, compared with its start where answers part, behind the right first token.

    Means over prompts; a gap is the logit of EOS less that of the right link, so that greedy decoding stops above 0:
    attention_moved   total variation between the attention of the start and of the model now
    start_gap         of the start, on the same prompts
    old_look_gap      of the model now, with the start's attention in all layers
    new_look_gap      of the start, with the attention of the model now
    """

    kind: str = "AttentionRun"

    def measuring(self, start: Transformer) -> Callable[[int, Transformer], dict]:
        start = copy.deepcopy(start)

        def measure(done: int, model: Transformer) -> dict:
            row = self.measure_round(done, model)
            return row | self.compared(done, start, model) if row else row

        return measure

    def compared(self, done: int, start: Transformer, model: Transformer) -> dict[str, float]:
        """The measures named above, on the prompts of round `done`."""
        task, device = self.task, model.embed.weight.device
        prompts = task.prompts(self.rl.n_eval_rl, numpy_rng(self.seed, "evaluation", done), test=True)
        chain = task.long(prompts)
        link = torch.as_tensor(chain[:, 1], device=device)[:, None]  # the right one behind the first token
        tokens = torch.as_tensor(np.concatenate((prompts, chain[:, :1]), axis=1), device=device)

        def gap(logits: Tensor) -> float:
            return (logits[:, task.eos] - logits.gather(1, link)[:, 0]).mean().item()

        before, old = look(start, tokens)
        _, new = look(model, tokens)
        return {
            "attention_moved": total_variation(old, new),
            "start_gap": gap(before),
            "old_look_gap": gap(look(model, tokens, old)[0]),
            "new_look_gap": gap(look(start, tokens, new)[0]),
        }
