"""Llamas as a part of a `Run`: from random weights, from a base that knows solutions, or published."""

from dataclasses import dataclass
from pathlib import Path

from ntprl.book.run import ModelConfig, Run, as_kind, change
from ntprl.errors import require, require_choice, require_integer
from ntprl.llama.adapter import Llama, LlamaShape, PublishedLlama, PublishedShape
from ntprl.llama.published import SMOLLM2
from ntprl.llama.resources import GB, require_ram
from ntprl.seeds import torch_rng
from ntprl.tasks.coin import CoinProblems
from ntprl.tasks.rows import MARK
from ntprl.tasks.task import Task
from ntprl.tasks.words import MARKS

TRAINED_BYTES = 40  # for each weight: itself, its gradient and moments, two older copies, and activations


@dataclass(frozen=True)
class LlamaModel(ModelConfig):
    """A Hugging Face Llama, from random weights or from a base that has seen worked solutions alone."""

    style: str = "llama"  # transformers' LlamaForCausalLM, the only one here
    n_layer: int = 3  # depth
    width: int = 128  # size of the residual stream
    base_steps: int = 0  # optimiser steps of the base; 0: random weights
    base_mark: str = MARK  # what announces the answer in the base's solutions

    def __post_init__(self) -> None:
        require_choice("style", self.style, ("llama",))
        require_integer("base_steps", self.base_steps, low=0)
        require_choice("base_mark", self.base_mark, MARKS)

    def shape(self, task: Task) -> LlamaShape:
        return LlamaShape(task.vocab_size, task.prompt_length + task.long_length, self.n_layer, self.width, self.n_head)

    def build(self, run: Run, device: str, folder: Path | None) -> Llama:
        base = base_of(run)
        if base is None:
            return Llama(self.shape(run.task), torch_rng(run.seed, "init")).to(device)
        return (base.train(device) if folder is None else base.trained(folder, device))[0]


def base_of(run: Run) -> Run | None:
    """The run on worked solutions that the weights come from, on other problems than `run`; None: they are random."""
    if run.model.base_steps == 0:
        return None
    solutions = dict(p_cot=1.0, steps=run.model.base_steps, mark=run.model.base_mark, n_points=1, seed=run.seed + 1000)
    return change(as_kind(run, Run, run.kind), rl=None, base_steps=0, base_mark=MARK, **solutions)


@dataclass(frozen=True)
class PublishedModel(ModelConfig):
    """A published Llama, cut down to the words of the task. Its sizes are its own."""

    style: str = "llama"  # transformers' LlamaForCausalLM, the only one here
    n_layer: int = 30  # depth
    width: int = 576  # size of the residual stream
    n_head: int = 9  # attention heads
    source: str = SMOLLM2  # where the weights come from

    def __post_init__(self) -> None:
        require_choice("source", self.source, (SMOLLM2,))
        for name, value in (("style", "llama"), ("n_layer", 30), ("width", 576), ("n_head", 9)):
            found = getattr(self, name)
            require(found == value, name, found, f"{value!r}, as published")

    def shape(self, task: CoinProblems) -> PublishedShape:
        """With the vocabulary and length of the task, which must be one in words that these weights know."""
        require(isinstance(task, CoinProblems), "task", task, "CoinProblems, whose words are tokens of these weights")
        return PublishedShape(self.source, task.vocab_size, task.prompt_length + task.long_length)

    def build(self, run: Run, device: str, folder: Path | None) -> Llama:
        model = PublishedLlama(self.shape(run.task), run.task.vocabulary)
        weights = sum(each.numel() for each in model.parameters())
        require_ram(TRAINED_BYTES * weights / GB, f"training {self.source}")
        return model.to(device)

    def rehearsed(self) -> LlamaModel:
        return LlamaModel()
