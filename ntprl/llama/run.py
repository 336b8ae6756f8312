"""One call for a whole Llama experiment: rows, fine-tuning, GRPO and the table of what was measured on the way."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import pandas as pd

from ntprl.book.run import config_hash
from ntprl.book.store import runs_folder, write_atomically
from ntprl.errors import InputError, json_object, require
from ntprl.llama.config import LlamaConfig
from ntprl.llama.data import load_rows
from ntprl.llama.evaluation import evaluate
from ntprl.llama.hub import needed
from ntprl.llama.resources import require_dtype, require_gpus
from ntprl.llama.training import MeasureCallback, release, trl_grpo, trl_sft
from ntprl.llama.weights import load_tokenizer, load_weights, local_folder, rehearsal
from ntprl.seeds import numpy_rng
from ntprl.tasks.rows import Row, long_ones

Report = Callable[[str], None]
TABLE = "measures.csv"
KEY = ["phase", "step"]


class Measures:
    """The table of a run, whole on disk after every measurement."""

    def __init__(self, path: Path):
        self.path = path
        self.rows: list[dict] = []
        if path.is_file() and path.stat().st_size:
            try:
                self.rows = pd.read_csv(path).to_dict("records")
            except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
                reason = " ".join(str(error).split())
                raise InputError(f"{path} is damaged ({reason}): choose another folder") from None
        if any(key not in row for row in self.rows for key in KEY):
            raise InputError(f"{path} is damaged, it lacks one of {', '.join(KEY)}: choose another folder")

    def add(self, row: dict, is_writer: bool = True) -> None:
        """A run that was killed between a measurement and its checkpoint measures again: the new row counts."""
        self.rows = [old for old in self.rows if any(old[key] != row[key] for key in KEY)] + [row]
        if is_writer:
            write_atomically(self.path, self.table().to_csv(index=False))

    def table(self) -> pd.DataFrame:
        return pd.DataFrame(sorted(self.rows, key=lambda row: (row["phase"] != "sft", row["step"])))


def own_folder(folder: Path, config: LlamaConfig) -> None:
    """Write the configuration to folder/config.json, or refuse a folder that belongs to another one."""
    path, wanted = folder / "config.json", json.loads(json.dumps(asdict(config)))
    if path.is_file():
        found = json_object(path, str(path), remedy="choose another folder")
        for name, value in wanted.items():
            if found.get(name) != value:
                raise InputError(
                    f"{folder} holds a run with {name} = {found.get(name)!r}, not {value!r}: choose another folder"
                )
    else:
        write_atomically(path, json.dumps(wanted, indent=1) + "\n")


def measuring(
    phase: str,
    tokenizer: Any,
    held_out: Sequence[Row],
    config: LlamaConfig,
    measures: Measures,
    report: Report,
    is_writer: bool = True,
) -> MeasureCallback:
    """What is called in the middle of training: evaluate, add a row to the table, report it in a line."""

    def callback(step: int, model: Any) -> None:
        seed = int(numpy_rng(config.seed, "evaluation", step).integers(2**31))
        found = evaluate(
            model,
            tokenizer,
            held_out,
            config.mark,
            n=config.n_eval,
            max_new_tokens=config.completion_length,
            seed=seed,
            batch=config.eval_batch,
        )
        measures.add({"phase": phase, "step": step} | found, is_writer)
        if is_writer:
            report(
                f"{phase} step {step}: greedy accuracy {found['greedy_accuracy']:.3f}, "
                f"long {found['greedy_long']:.3f}; sampled {found['sampled_accuracy']:.3f}, "
                f"long {found['sampled_long']:.3f}; median length {found['greedy_median_length']:.0f}"
            )

    return callback


def run(config: LlamaConfig, folder: Path | str, report: Report = print) -> pd.DataFrame:
    """Fine-tuning on the mixture, then GRPO; one row for each measurement, as in the other chapters' tables.

    phase (sft or rl), step, then what `evaluate` finds: greedy_accuracy, sampled_accuracy, greedy_long,
    sampled_long, greedy_median_length, sampled_median_length and more, n_eval. A phase of 0 steps is left out.

    folder  gets config.json, measures.csv and, for each phase, model/ and log.csv. A killed run goes on there:
            from the last checkpoint of its phase, or from the fine-tuned model. Another configuration is refused.
            A dry run writes nothing there.

    Raises InputError in one line if a library, data, weights, GPUs or memory are missing.
    """
    for library in ("trl", "datasets", "transformers", "math_verify", *(["peft"] if config.lora else [])):
        needed(library)
    local_folder(config.model)  # refuses what can be no model before it asks for a machine
    if config.dry_run:
        return dry_run(config, report)
    require_gpus(config)
    require_dtype(config)
    folder = Path(folder)
    is_writer = needed("accelerate").PartialState().is_main_process
    if is_writer:
        own_folder(folder, config)
    train, held_out = (load_rows(config.dataset, split, config.dataset_revision) for split in ("train", "test"))
    tokenizer = load_tokenizer(config.model, config.model_revision)
    measures = Measures(folder / TABLE)

    def phase(name: str, train_phase: Callable, source: str, revision: str | None, **more: Any) -> None:
        if (folder / name / "model" / "config.json").is_file():
            return
        callback = measuring(name, tokenizer, held_out, config, measures, report, is_writer)
        model = load_weights(source, revision, dtype=config.dtype if config.lora else "float32")
        train_phase(model, tokenizer, train, config, folder / name, callback, resume=True, **more)

    source, revision, reference = config.model, config.model_revision, None
    if config.sft_steps:
        phase("sft", trl_sft, source, revision)
        release()
        reference = folder / "sft" / "model"
        source, revision = str(reference), None
    if config.rl_steps:
        phase("rl", trl_grpo, source, revision, reference=reference)
        release()
    return measures.table()


# --- dry run ---

FEW = 32  # rows that a dry run trains on


def dry_run(config: LlamaConfig, report: Report = print) -> pd.DataFrame:
    """The whole path in a minute on two CPU cores: real rows, a tiny random model, one step of each phase.

    Shows that data, mixture, tokenizer, both trainers, reward, measures and files fit together; what the tiny model
    answers means nothing. Needs no network if the data set is local, no GPU, and does not try vLLM.
    """
    clock = time.perf_counter()
    train, held_out = (load_rows(config.dataset, split, config.dataset_revision) for split in ("train", "test"))
    long = sum(long_ones(train, config.p_cot, config.draw))
    report(f"rows: {len(train)} to train on, {len(held_out)} held out, from {config.dataset}; {long} of them long")
    model, tokenizer, made = rehearsal(config.model, config.seed)
    report(f"model: {made}, {sum(p.numel() for p in model.parameters()):,} parameters")
    small = replace(
        config,
        dry_run=False,
        gpus=0,
        dtype="float32",
        vllm=False,
        lora=min(config.lora, 4),
        sft_steps=1,
        sft_batch=4,
        sft_length=4096,
        rl_steps=1,
        prompts=2,
        group=min(config.group, 4),
        micro=4,
        completion_length=16,
        n_eval=4,
        eval_batch=4,
    )
    with TemporaryDirectory() as name:
        measures = Measures(Path(name) / TABLE)
        for phase, train_phase in (("sft", trl_sft), ("rl", trl_grpo)):
            callback = measuring(phase, tokenizer, held_out, small, measures, lambda _: None)
            model = train_phase(model, tokenizer, train[:FEW], small, Path(name) / phase, callback)
            log = pd.read_csv(Path(name) / phase / "log.csv").iloc[0]
            shown = f"loss {log['loss']:.3f}" if phase == "sft" else f"mean reward {log['reward']:.2f}"
            report(f"{phase}: 1 step, {shown}; model saved as safetensors and measured on {small.n_eval} rows")
            model = load_weights(str(Path(name) / phase / "model"))  # as a real run does
        table = measures.table()
    report(f"dry run done in {time.perf_counter() - clock:.0f} s: the path works, the numbers mean nothing")
    return table


# --- as chapters and recordings ask for it ---


def in_runs_folder(config: LlamaConfig) -> pd.DataFrame:
    """`run` in a folder of its own below runs/."""
    return run(config, runs_folder() / f"llama-{config_hash(LlamaRun(**asdict(config)))}")


@dataclass(frozen=True)
class LlamaRun(LlamaConfig):
    """The same settings as a run that a recording can list and a sweep can make."""

    kind: ClassVar[str] = "LlamaRun"

    @property
    def start(self) -> None:
        """It starts from published weights."""
        return None

    def run(self, device: str = "cuda", folder: Path | None = None) -> pd.DataFrame:
        """The table of `run`, from a folder of its own in `folder`, where a killed run goes on.

        Where the run computes is `gpus`; with `device` cpu and gpus > 0 it is refused in one line.
        """
        allowed = "cuda for a run with gpus > 0 that is no dry run"
        require(self.gpus == 0 or self.dry_run or device != "cpu", "device", device, allowed)
        if folder is not None:
            return run(self, Path(folder) / config_hash(self))
        with TemporaryDirectory() as own:
            return run(self, own)
