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


# phase -> the table whose runs are that phase alone: their starts were there, or they have no second phase
TIMED = {"fine-tuning": "coin_published_thresholds", "RL": "coin_published"}
# memory was not yet written down when `coin_published` was made; these runs hold as much
WEIGHED = {"RL": "coin_published_controls"}


def compared(run: CoinRun) -> pd.DataFrame:
    """Hours and GB of one run by estimate and as recorded, and how many times too high the estimate is.

    A row for each phase (fine-tuning, RL) that is recorded, indexed by it. Measured hours are the mean over the runs
    of a table, on its machine, which other programs may have used too; measured GB the most that a process held, left
    out where no run says it.
    """
    tables, rows = {each.name: each for each in TABLES}, {}
    estimates = dict(zip(TIMED, estimated(run).to_dict("records"), strict=True))
    for phase, name in TIMED.items():
        if not store.is_recorded(tables[name]):
            continue
        hours_taken = [fact["wall_s"] / 3600 for fact in store.run_facts(tables[name])]
        row = {"hours, estimate": estimates[phase]["hours"], "hours, measured": sum(hours_taken) / len(hours_taken)}
        row["times too high"] = row["hours, estimate"] / row["hours, measured"]
        asked = [tables[each] for each in (name, WEIGHED.get(phase)) if each is not None]
        found = [store.load(each) for each in asked if store.is_recorded(each)]
        peaks = [each["peak_gb"].max() for each in found if "peak_gb" in each]
        if peaks:
            row |= {"GB, estimate": estimates[phase]["total_gb"], "GB, measured": max(peaks)}
        rows[phase] = row
    return pd.DataFrame(rows).T
