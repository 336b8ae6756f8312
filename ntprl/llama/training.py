"""The Llama experiments: fine-tuning on a mixture of worked solutions and bare answers, then GRPO, both by TRL.

What is TRL's: tokenising, the loss, rollouts, the optimiser, checkpoints. What is ours: the mixture, the reward
(is the final answer right?) and the measures. TRL's GRPO is that of `weightings.grpo` if it is told so here:

    loss_type "dapo"                  every token of a round counts alike ("grpo" would be `grpo_published`)
    scale_rewards "group"             advantages are divided by the group's standard deviation + 1e-4
    num_iterations 1                  one optimiser step on each round of rollouts
    use_bias_correction_kl False      the published penalty, if beta > 0; TRL's default is another

Choices of ours, as the paper's are not known: constant learning rates after a warm-up, so that a run that is stopped
early is the start of a longer one; no weight decay; gradients clipped at norm 1. The first token of a completion
carries its space (" ####"), so that prompt and completion do not merge across their border.
"""

import gc
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ntprl.book.store import write_atomically
from ntprl.errors import InputError, require, require_integer
from ntprl.llama.config import LlamaConfig
from ntprl.llama.evaluation import CHAT, messages, prompt_ids
from ntprl.llama.hub import needed, quiet
from ntprl.tasks.rows import Row, completion, long_ones, prompt

MeasureCallback = Callable[[int, Any], None]  # (optimiser steps done, model); called in the middle of training

# --- data ---


def require_unmarked(rows: Sequence[Row], mark: str) -> None:
    """The mark must announce the answer alone."""
    for index, row in enumerate(rows):
        if mark in row.solution or mark in row.answer:
            raise InputError(f"mark = {mark!r} is not allowed: it stands in row {index}, {row.question[:40]!r}")


def fitting(tokenizer: Any, rows: Sequence[Row], length: int, mark: str) -> list[Row]:
    """The rows whose worked solution fits into `length` tokens, whatever their kind, so that p_cot stays what it is.

    TRL cuts what is longer at the end: the answer and the end token would be lost.
    """
    prompts = prompt_ids(tokenizer, [row.question for row in rows])
    solutions = tokenizer([completion(row, True, mark) for row in rows], add_special_tokens=False)["input_ids"]
    margin = 2  # the end token, and a border that is cut otherwise
    kept = [row for row, p, s in zip(rows, prompts, solutions, strict=True) if len(p) + len(s) + margin <= length]
    if not kept:
        raise InputError(f"sft_length = {length} is not allowed: no worked solution of the {len(rows)} rows fits")
    return kept


def demonstrations(tokenizer: Any, rows: Sequence[Row], config: LlamaConfig) -> Any:
    """TRL's prompt-completion format; of conversations if the tokenizer has a chat template."""
    require_unmarked(rows, config.mark)
    rows = fitting(tokenizer, rows, config.sft_length, config.mark)
    examples = []
    for row, long in zip(rows, long_ones(rows, config.p_cot, config.draw), strict=True):
        text = completion(row, long, config.mark)
        if tokenizer.chat_template:
            answer = [{"role": "assistant", "content": text.strip()}]
            examples.append({"prompt": messages(row.question), "completion": answer, "chat_template_kwargs": CHAT})
        else:
            examples.append({"prompt": prompt(row.question), "completion": text})
    return needed("datasets").Dataset.from_list(examples)


def rollout_prompts(tokenizer: Any, rows: Sequence[Row]) -> Any:
    """What GRPO draws from: prompts, and the answer that the reward is told."""
    form = messages if tokenizer.chat_template else prompt
    return needed("datasets").Dataset.from_list([{"prompt": form(row.question), "truth": row.answer} for row in rows])


def reward(mark: str) -> Callable[..., list[float]]:
    """1 for a completion whose final answer is right, else 0, as TRL asks for it."""
    from ntprl.tasks.answers import rewards

    def right(completions: list, truth: list[str], **_: Any) -> list[float]:
        texts = [text if isinstance(text, str) else text[-1]["content"] for text in completions]
        return rewards(texts, truth, mark)

    return right


# --- training ---


def batches(total: int, micro: int, name: str) -> tuple[int, int]:
    """(sequences that a process trains on at a time, how often before each optimiser step)."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    require(total % processes == 0, name, total, f"a multiple of the {processes} processes")
    micro = min(micro, total // processes)
    require(total % (micro * processes) == 0, name, total, f"a multiple of micro x processes = {micro * processes}")
    return micro, total // (micro * processes)


def common(config: LlamaConfig, folder: Path, steps: int, every: int, lr: float, batch: tuple[int, int]) -> dict:
    """Settings that both trainers share; each is written out, since their defaults differ from version to version."""
    require_integer("steps", steps, low=1)  # the trainers would take 0 for three epochs
    on_gpu = config.gpus > 0 and torch.cuda.is_available()
    return dict(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=batch[0],
        gradient_accumulation_steps=batch[1],
        learning_rate=lr,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=config.warmup,
        weight_decay=0.0,
        max_grad_norm=1.0,
        optim="adamw_torch",
        seed=config.seed,
        data_seed=config.seed,
        bf16=config.dtype == "bfloat16",
        gradient_checkpointing=config.checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        save_strategy="steps",
        save_steps=every,
        save_total_limit=1,
        logging_strategy="steps",
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
        use_cpu=not on_gpu,
        dataloader_pin_memory=on_gpu,
    )


def sft_settings(config: LlamaConfig, folder: Path) -> dict:
    """The fields of TRL's SFTConfig."""
    batch = batches(config.sft_batch, config.micro, "sft_batch")
    return common(config, folder, config.sft_steps, config.sft_every, config.sft_lr, batch) | dict(
        max_length=config.sft_length, completion_only_loss=True, packing=False
    )


def grpo_settings(config: LlamaConfig, folder: Path) -> dict:
    """The fields of TRL's GRPOConfig."""
    batch = batches(config.rollouts, config.micro, "prompts x group")
    settings = common(config, folder, config.rl_steps, config.rl_every, config.rl_lr, batch) | dict(
        num_generations=config.group,
        max_completion_length=config.completion_length,
        temperature=config.temperature,
        top_p=1.0,
        top_k=0,
        beta=config.beta,
        loss_type="dapo",
        scale_rewards="group",
        epsilon=0.2,
        num_iterations=1,
        mask_truncated_completions=False,
        use_bias_correction_kl=False,
        remove_unused_columns=False,  # the reward needs the answer
        shuffle_dataset=True,
        chat_template_kwargs=CHAT,
        use_vllm=config.vllm,
    )
    if config.vllm:
        needed("vllm")
        settings |= dict(vllm_mode="colocate", vllm_max_model_length=config.sft_length + config.completion_length)
    return settings


def adapters(config: LlamaConfig) -> Any:
    """peft's settings for adapters of rank `lora` at every linear map but the last; None to train every weight."""
    if not config.lora:
        return None
    return needed("peft").LoraConfig(
        task_type="CAUSAL_LM", r=config.lora, lora_alpha=2 * config.lora, lora_dropout=0.0, target_modules="all-linear"
    )


def calls(callback: MeasureCallback, every: int) -> Any:
    """The callback as the trainers want it: before the first step, every so many steps and after the last."""

    class Calls(needed("transformers").TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            if state.global_step == 0:  # else the run goes on from a checkpoint
                callback(0, model)

        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            if state.global_step % every == 0 or state.global_step == state.max_steps:
                callback(state.global_step, model)

    return Calls()


def last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint: the file that is written last is there."""
    found = [path.parent for path in Path(folder).glob("checkpoint-*/trainer_state.json")]
    return max(found, key=lambda path: int(path.name.split("-")[1]), default=None)


def _finish(trainer: Any, tokenizer: Any, folder: Path, resume: bool) -> Any:
    """Train, write log.csv and model/, remove the checkpoints; returns the model as it was given, but trained."""
    checkpoint = last_checkpoint(folder) if resume else None
    for noisy in (needed("transformers").PrinterCallback, needed("transformers").ProgressCallback):
        trainer.remove_callback(noisy)
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    log, partial = pd.DataFrame(trainer.state.log_history), folder / "model.partial"
    model = trainer.accelerator.unwrap_model(trainer.model)
    if hasattr(model, "merge_and_unload"):  # the next phase starts from plain weights, with new adapters
        model = model.merge_and_unload()
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
    else:
        trainer.save_model(str(partial))  # every process takes part
    if trainer.accelerator.is_main_process:
        (partial / "training_args.bin").unlink(missing_ok=True)  # a pickle, which nothing here reads
        write_atomically(folder / "log.csv", log.to_csv(index=False))
        shutil.rmtree(folder / "model", ignore_errors=True)
        os.replace(partial, folder / "model")
        for path in folder.glob("checkpoint-*"):
            shutil.rmtree(path)
    trainer.accelerator.wait_for_everyone()
    for wrapper in ("forward", "_original_forward"):  # what the trainers put over the model's own
        model.__dict__.pop(wrapper, None)
    return model


def trl_sft(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Row],
    config: LlamaConfig,
    folder: Path,
    callback: MeasureCallback | None = None,
    resume: bool = False,
) -> Any:
    """Fine-tune a loaded model on demonstrations of the rows, a share p_cot of them long; returns the trained model.

    The loss is the mean over the tokens of the completions of a batch, their end token included. Writes
    folder/model (safetensors and tokenizer) and folder/log.csv. With `resume`, goes on from the last checkpoint there.
    """
    trl, folder = needed("trl"), Path(folder)
    with quiet():
        trainer = trl.SFTTrainer(
            model=model,
            args=trl.SFTConfig(**sft_settings(config, folder)),
            train_dataset=demonstrations(tokenizer, rows, config),
            processing_class=tokenizer,
            callbacks=[calls(callback, config.sft_every)] if callback else None,
            peft_config=adapters(config),
        )
        return _finish(trainer, tokenizer, folder, resume)


def trl_grpo(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Row],
    config: LlamaConfig,
    folder: Path,
    callback: MeasureCallback | None = None,
    resume: bool = False,
    reference: Path | None = None,
) -> Any:
    """Reinforce a loaded model by GRPO on the questions of the rows; returns the trained model. See `trl_reinforce`."""
    prompts, judge = rollout_prompts(tokenizer, rows), reward(config.mark)
    return trl_reinforce(model, tokenizer, prompts, judge, config, folder, callback, resume, reference)


def trl_reinforce(
    model: Any,
    tokenizer: Any,
    prompts: Any,
    judge: Callable[..., list[float]],
    config: LlamaConfig,
    folder: Path,
    callback: MeasureCallback | None = None,
    resume: bool = False,
    reference: Path | None = None,
) -> Any:
    """Reinforce a loaded model by GRPO on prompts, a data set with the column `prompt`, by any reward of TRL's kind.

    Returns the trained model. Writes what `trl_sft` writes. The model that beta > 0 keeps near is loaded by TRL from
    where the given model says it came from, which may not be the weights it has now: so they are saved first, unless
    `reference` is a folder of them.
    """
    trl, folder = needed("trl"), Path(folder)
    with quiet():
        if config.beta and not config.lora:
            if reference is None:
                reference, processes = folder / "reference", needed("accelerate").PartialState()
                if processes.is_main_process:
                    model.save_pretrained(reference)
                processes.wait_for_everyone()
            model.config._name_or_path = str(reference)
        trainer = trl.GRPOTrainer(
            model=model,
            reward_funcs=judge,
            args=trl.GRPOConfig(**grpo_settings(config, folder)),
            train_dataset=prompts,
            processing_class=tokenizer,
            callbacks=[calls(callback, config.rl_every)] if callback else None,
            peft_config=adapters(config),
        )
        return _finish(trainer, tokenizer, folder, resume)


def release() -> None:
    """Give memory back between phases: trainers and models hold each other."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
