"""Memory and hours of a run on parity in words by published weights: by estimate, and as recorded."""

from dataclasses import replace

import pandas as pd

from ntprl.book import store
from ntprl.llama.config import LlamaConfig
from ntprl.llama.resources import CPU_CORE, SHAPES, hours, memory
from ntprl.studies.coin.runs import CoinRun
from ntprl.studies.coin.tables import TABLES


def estimated(run: CoinRun) -> pd.DataFrame:
    """One row a phase, as `resources.estimate` has it, on one core.

    What differs from TRL: the vocabulary is that of the task, a prompt is read once for all its answers, equal answers
    are read once (three different long ones stand in memory for each prompt), and RL keeps and reads the start too.
    Half of all answers are taken to be long there, from a quarter at first to nearly all.
    """
    task, first, second = run.task, run.pretraining, run.rl
    shape = replace(SHAPES[run.model.source], vocabulary=task.vocab_size)
    length = task.prompt_length + run.p_cot * task.long_length + (1 - run.p_cot) * task.short_length
    settings = LlamaConfig(
        model=run.model.source,
        p_cot=run.p_cot,
        sft_steps=first.steps,
        sft_batch=first.batch,
        sft_length=round(length),
        rl_steps=second.rounds,
        prompts=second.prompts,
        group=second.group,
        completion_length=task.long_length + 1,
        micro=first.batch,
        n_eval=run.evaluation.n_eval,
        eval_batch=run.evaluation.n_eval,
        sft_every=max(1, first.steps // run.evaluation.n_points),
        rl_every=second.eval_every,
        dtype="float32",
        checkpointing=False,
        gpus=0,
    )
    lengths = dict(prompt_tokens=task.prompt_length, long_tokens=task.long_length, short_tokens=task.short_length)
    tuning = replace(CPU_CORE, **lengths)
    kept = replace(settings, beta=1.0, micro=3 * second.prompts, n_eval=second.n_eval_rl, eval_batch=second.n_eval_rl)
    drawing = replace(tuning, prompt_tokens=task.prompt_length / second.group, long_tokens=task.long_length / 2)
    rows = []
    for phase, config, a in (("sft", settings, tuning), ("rl", kept, drawing)):
        rows.append({"phase": phase, "gpus": 0} | memory(config, shape, a, phase) | hours(config, shape, a, phase))
    return pd.DataFrame(rows)


def measured(name: str) -> str:
    """What the runs of a table took, in words: hours of a run without a start that was there, and memory at most."""
    found = next(each for each in TABLES if each.name == name)
    if not store.is_recorded(found):
        return "not yet run"
    spent = [fact["wall_s"] / 3600 for fact in store.run_facts(found)]
    text, rows = f"{min(spent):.2f} to {max(spent):.2f} hours", store.load(found)
    return text + (f", {rows['peak_gb'].max():.1f} GB at most" if "peak_gb" in rows else "")
