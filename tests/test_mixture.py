"""D(p_cot): the right share of long demonstrations, all of them correct, drawn from (seed, step) alone."""

import numpy as np
import pytest
from scipy.stats import binom

from ntprl.mixture import Mixture
from ntprl.seeds import STREAMS, numpy_rng, torch_rng
from ntprl.tasks.parity import Parity

TASK = Parity(6, 3)


@pytest.mark.parametrize("p_cot", [0, 0.01, 0.25, 1 / 3, 0.5, 0.9, 1])
def test_share_of_long_demonstrations(p_cot):
    """Within the exact binomial bounds of one in a million; at 0 and 1 the bounds meet."""
    n = 5000
    long, short = Mixture(TASK, p_cot).draw(n, numpy_rng(0, "data"))
    assert len(long.prompts) + len(short.prompts) == n
    low, high = binom.ppf([5e-7, 1 - 5e-7], n, p_cot)
    assert low <= len(long.prompts) <= high


def test_number_of_long_demonstrations_varies_like_independent_draws():
    """Its variance over many batches is n p (1 - p), to a fifth."""
    n, p = 40, 0.25
    counts = [len(Mixture(TASK, p).draw(n, numpy_rng(0, "data", step))[0].prompts) for step in range(1000)]
    assert np.var(counts) == pytest.approx(n * p * (1 - p), rel=0.2)


def test_length_is_drawn_independently_of_the_prompt():
    long, short = Mixture(TASK, 0.5).draw(20_000, numpy_rng(1, "data"))
    share = [(rows.prompts[:, 0] == 0).mean() for rows in (long, short)]
    assert abs(share[0] - share[1]) < 5 * (2 * (1 / 3) * (2 / 3) / 10_000) ** 0.5


def test_all_demonstrations_are_right():
    long, short = Mixture(TASK, 0.3).draw(500, numpy_rng(2, "data"))
    for prompts, answers in (long, short):
        assert len(prompts) == len(answers) > 0
        assert TASK.r_cot(prompts, answers).all()
    assert long.answers.shape[1] == TASK.d + 1
    assert short.answers.shape[1] == 2


def test_no_demonstrations_is_a_draw_too():
    for prompts, answers in Mixture(TASK, 0.5).draw(0, numpy_rng(0, "data")):
        assert prompts.shape == (0, TASK.prompt_length)
        assert len(answers) == 0


def drawn(seed: int, step: int, stream: str = "data") -> list[list]:
    return [rows.tolist() for part in Mixture(TASK).draw(20, numpy_rng(seed, stream, step)) for rows in part]


def test_a_draw_depends_on_seed_stream_and_step():
    assert drawn(0, 5) == drawn(0, 5)
    others = [drawn(0, 6), drawn(1, 5), drawn(5, 0), drawn(0, 5, "evaluation")]
    assert all(other != drawn(0, 5) for other in others)


def test_generators_of_all_seeds_streams_and_steps_differ():
    keys = [(seed, stream, step) for seed in range(5) for stream in STREAMS for step in range(5)]
    assert len({numpy_rng(*key).integers(2**62) for key in keys}) == len(keys)
    assert len({torch_rng(*key).initial_seed() for key in keys}) == len(keys)
    assert torch_rng(3, "sampling", 4).initial_seed() == torch_rng(3, "sampling", 4).initial_seed()


def test_bad_p_cot_is_refused(refused):
    with refused("p_cot = 1.1", "[0, 1]"):
        Mixture(TASK, 1.1)
