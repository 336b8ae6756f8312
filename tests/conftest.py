"""What several test files share: refusals, small lively models, and a stand-in for a trained one."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import torch
from hypothesis import settings

from ntprl.errors import InputError
from ntprl.tasks.task import Task
from ntprl.transformer import Transformer, TransformerConfig

settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.load_profile("repeatable")
torch.set_num_threads(1)  # the tensors here are tiny


@pytest.fixture
def refused() -> Callable[..., AbstractContextManager]:
    """`with refused("d", "2.5"):` demands an InputError of one line that contains all these words."""

    @contextmanager
    def demand(*words: object) -> Iterator[None]:
        with pytest.raises(InputError) as caught:
            yield
        message = str(caught.value)
        assert len(message.splitlines()) == 1
        for word in words:
            assert str(word) in message

    return demand


@pytest.fixture
def lively_model() -> Callable[..., Transformer]:
    """A small transformer in which no weight, bias or gain has a special value."""

    def make(task: Task, style: str = "gpt2", seed: int = 0, scale: float = 0.3, **sizes) -> Transformer:
        sizes = {"n_layer": 2, "width": 16, "n_head": 2} | sizes
        config = TransformerConfig(task.vocab_size, task.prompt_length + task.long_length, style, **sizes)
        generator = torch.Generator().manual_seed(seed)
        model = Transformer(config, generator)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
        return model

    return make


class Memory:
    """Stands in for a Cache: remembers the tokens themselves."""

    def __init__(self, batch: int):
        self.tokens = torch.empty(batch, 0, dtype=torch.long)

    def keep_rows(self, rows: torch.Tensor) -> None:
        self.tokens = self.tokens[rows]


class StandIn:
    """Called like a Transformer, but follows a rule: all tokens so far -> probability of each next one."""

    def __init__(self, rule: Callable[[list[int]], list[float]]):
        self.rule = rule
        self.fed: list[torch.Tensor] = []  # the tokens of each call
        self.embed = torch.nn.Embedding(1, 1)

    def new_cache(self, batch: int) -> Memory:
        return Memory(batch)

    def __call__(self, tokens: torch.Tensor, n_out: int | None = None, cache: Memory | None = None):
        self.fed.append(tokens)
        so_far = tokens if cache is None else torch.cat((cache.tokens, tokens), dim=1)
        if cache is not None:
            cache.tokens = so_far
        ends = range(so_far.shape[1] - (n_out or tokens.shape[1]) + 1, so_far.shape[1] + 1)
        return torch.tensor([[self.rule(row[:end]) for end in ends] for row in so_far.tolist()]).log()


@pytest.fixture
def stand_in() -> type[StandIn]:
    return StandIn


@pytest.fixture
def calibrated(stand_in) -> Callable[[Task, float], StandIn]:
    """A model that knows D(p) on sums modulo K and every link of the chain, but not the sum itself."""

    def make(task: Task, p: float) -> StandIn:
        def rule(tokens: list[int]) -> list[float]:
            x, answer = tokens[: task.d], tokens[task.prompt_length :]
            weights = [1e-9] * task.vocab_size
            if not answer:
                for symbol in range(task.modulus):
                    weights[symbol] += (1 - p) / task.modulus
                weights[x[0]] += p
            elif len(answer) == task.d or answer[0] != x[0]:
                weights[task.eos] += 1
            else:
                stop = (1 - p) / task.modulus if len(answer) == 1 else 0.0
                weights[task.eos] += stop
                weights[(answer[-1] + x[len(answer)]) % task.modulus] += p or 1e-9
            total = sum(weights)
            return [weight / total for weight in weights]

        return stand_in(rule)

    return make
