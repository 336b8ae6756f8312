"""The claim of chapter 1, which is checked on the spot."""

import numpy as np

from ntprl.book.verdict import DEFINITION, NOT_REPRODUCED, Verdict, claim, rate_text
from ntprl.measure import interval
from ntprl.mixture import Mixture
from ntprl.seeds import numpy_rng
from ntprl.tasks.parity import Parity


@claim("C1", "The data are a mixture of full chains (share p_cot) and bare answers", source="summary")
def mixture() -> Verdict:
    """A definition, which holds here if p_cot lies in the interval of the drawn share of long demonstrations, and every
    demonstration equals the products of +-1 bits worked out apart from the task's own code."""
    n, right, evidence = 20_000, True, []
    for p_cot in (0.01, 0.25):
        task = Parity(d=50)
        long, short = Mixture(task, p_cot).draw(n, numpy_rng(0, "data"))
        for prompts, answers, keep in ((*long, slice(None)), (*short, slice(-1, None))):
            products = np.cumprod(1 - 2 * prompts[:, :-1], axis=1)[:, keep]
            right &= bool((1 - 2 * answers[:, :-1] == products).all() and (answers[:, -1] == task.eos).all())
        share, (low, high) = len(long.prompts) / n, interval(len(long.prompts) / n, n)
        right &= low <= p_cot <= high
        evidence.append(f"share of long {rate_text(share, n)} at p_cot = {p_cot:g}")
    return Verdict(
        DEFINITION if right else NOT_REPRODUCED, "; ".join(evidence[::-1]) + ("; every chain exact" if right else "")
    )
