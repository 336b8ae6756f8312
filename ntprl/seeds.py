"""Random generators derived from (seed, stream, step).

A resumed run draws what the uninterrupted run would have drawn, and changing how much one stream
draws leaves the others as they were.
"""

import numpy as np
import torch

STREAMS = {"init": 0, "data": 1, "sampling": 2, "evaluation": 3, "rollouts": 4}


def _sequence(seed: int, stream: str, step: int) -> np.random.SeedSequence:
    return np.random.SeedSequence([seed, STREAMS[stream], step])


def numpy_rng(seed: int, stream: str, step: int = 0) -> np.random.Generator:
    """NumPy generator of one stream at one step."""
    return np.random.default_rng(_sequence(seed, stream, step))


def torch_rng(seed: int, stream: str, step: int = 0, device: str = "cpu") -> torch.Generator:
    """PyTorch generator of one stream at one step, on the device that will draw."""
    state = int(_sequence(seed, stream, step).generate_state(1, np.uint64)[0] >> np.uint64(1))
    return torch.Generator(device=device).manual_seed(state)
