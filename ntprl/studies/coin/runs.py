"""The runs of chapter 6 on parity in words: by a Llama from random weights, and by SmolLM2-135M-Instruct.

A chapter asks for `coin(profile, ...)` and calls `.recover()` or `.run()`.
"""

from dataclasses import dataclass
from pathlib import Path

from ntprl.book.run import ModelConfig, Reinforcement, Run, change, from_profile
from ntprl.errors import require, require_choice
from ntprl.llama.adapter import Llama, PublishedLlama, PublishedShape
from ntprl.llama.published import SMOLLM2
from ntprl.studies.words.runs import LlamaModel
from ntprl.tasks.coin import CoinProblems


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
        return PublishedShape(self.source, task.vocab_size, task.prompt_length + task.long_length)

    def build(self, run: Run, device: str, folder: Path | None) -> Llama:
        return PublishedLlama(self.shape(run.task), run.task.vocabulary).to(device)


FROM_RANDOM = Run(CoinProblems(), model=LlamaModel(), rl=Reinforcement(), kind="CoinRecovery")
PUBLISHED = Run(CoinProblems(), model=PublishedModel(), rl=Reinforcement(), kind="CoinPublished")
