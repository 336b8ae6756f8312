"""Rows that tests make up: of an ideal model after pre-training, of an ideal run of both phases; with changes."""

MEASURES = dict(chain_accuracy=1.0, greedy_accuracy=0.5, greedy_long=0.0, sampled_long=0.25)
MEASURES |= dict(greedy_median_length=1.0, mean_length=13.0)


def run(name: str, rounds: int = 20, start: dict | None = None, end: dict | None = None, **setting) -> list[dict]:
    """A run that jumps in its middle from a start to an end; by default to an ideal recovery."""
    before = MEASURES | dict(n_eval=512, long_probability=0.25) | (start or {})
    after = before | dict(greedy_accuracy=1.0, greedy_long=1.0, greedy_median_length=50.0, mean_length=50.0)
    after |= dict(sampled_long=1.0) | (end or {})
    rows = [before if step < rounds / 2 else after for step in range(rounds + 1)]
    pretraining = {"run": name, "phase": "pretraining", "step": 600, "greedy_accuracy": 0.5} | setting
    return [pretraining, *({"run": name, "phase": "rl", "step": i} | row | setting for i, row in enumerate(rows))]


def measured(p_cot: float, seed: int, step: int = 1000, switch: float = 1 / 3, **changed) -> dict:
    """A row as an ideal calibrated model with a sharp switch would give it; its greedy answers are measured."""
    goes_on = float(p_cot > switch)
    row = dict(p_cot=p_cot, seed=seed, step=step, n_eval=1024, n_layer=2, width=64, chain_accuracy=1.0)
    row |= dict(greedy_long=goes_on, greedy_accuracy=0.5 + goes_on / 2, greedy_median_length=1 + 49 * goes_on)
    row |= dict(sampled_long=p_cot, sampled_accuracy=(1 + p_cot) / 2, sampled_short_accuracy=0.5)
    return row | dict(greedy_first_bit=1 - goes_on) | changed
