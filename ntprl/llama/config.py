"""The settings of one Llama run, frozen, and named ones for the paper's two models.

Known of the paper: Llama-3.2-3B and Llama-3.1-8B, GSM8K and MATH, fine-tuning on the mixture, then GRPO. Its
batches, learning rates, numbers of steps and of rollouts are not known; those below are ours, and untried at this size.
"""

from dataclasses import dataclass, fields

from ntprl.errors import InputError, require, require_choice, require_integer, require_number, require_seed, shown
from ntprl.tasks.rows import MARK

DTYPES = {"float32": 4, "bfloat16": 2}  # bytes of a number


@dataclass(frozen=True)
class LlamaConfig:
    model: str = "meta-llama/Llama-3.2-3B"  # name on the Hugging Face hub, or a local folder with safetensors
    model_revision: str | None = None  # commit of the model on the hub; None: the newest
    dataset: str = "openai/gsm8k"  # a name in data.SOURCES, generated, or a local file or folder
    dataset_revision: str | None = None  # commit of the data set on the hub; None: the one pinned in SOURCES
    p_cot: float = 0.25  # share of demonstrations that are worked solutions
    draw: int | None = None  # None: a row's kind depends on its question alone; a number deals the kinds anew
    mark: str = MARK  # announces the answer; one no model has seen, as @@, controls for contamination

    sft_steps: int = 350  # optimiser steps of fine-tuning
    sft_batch: int = 64  # demonstrations in a step
    sft_lr: float = 1e-5  # learning rate of AdamW after its warm-up, constant
    sft_length: int = 1024  # tokens; rows whose worked solution is longer are left out, whatever their kind

    rl_steps: int = 200  # rounds of GRPO, one optimiser step each
    prompts: int = 16  # B, questions in a round
    group: int = 8  # G, answers to each
    rl_lr: float = 1e-6  # learning rate of AdamW after its warm-up, constant
    temperature: float = 1.0  # of the rollouts
    beta: float = 0.0  # weight of the penalty for leaving the fine-tuned model
    completion_length: int = 384  # tokens after which a rollout or an evaluated answer is cut

    warmup: int = 20  # steps from 0 to the learning rate, in both phases
    micro: int = 8  # sequences that one GPU trains on at a time
    n_eval: int = 1319  # held-out questions for each measurement (all of GSM8K's test split)
    sft_every: int = 50  # fine-tuning steps from one measurement, and checkpoint, to the next
    rl_every: int = 20  # the same for rounds of GRPO
    eval_batch: int = 128  # questions that one GPU answers at a time

    lora: int = 0  # rank of the adapters; 0 trains every weight
    dtype: str = "bfloat16"  # of the computation; weights that are trained are kept in float32
    vllm: bool = False  # write rollouts with vLLM on the GPUs that train, instead of transformers
    checkpointing: bool = True  # recompute activations in the backward pass, to save memory
    gpus: int = 1  # GPUs that share the run; 0: the CPU computes, whatever GPUs there are
    seed: int = 0  # of data order, rollouts, evaluation and adapters
    dry_run: bool = False  # a tiny random model, real rows, one step of each phase

    def __post_init__(self) -> None:
        for name in ("model", "dataset", "mark"):
            value = getattr(self, name)
            require(isinstance(value, str) and value.strip() != "", name, value, "text, and not empty")
        require(self.mark == self.mark.strip() and "\n" not in self.mark, "mark", self.mark, "without space around it")
        require_number("p_cot", self.p_cot, low=0, high=1)
        for name in ("sft_lr", "rl_lr", "beta"):
            require_number(name, getattr(self, name), low=0)
        require_number("temperature", self.temperature, low=0)
        require(self.temperature > 0, "temperature", self.temperature, "a number above 0")
        for name in ("sft_batch", "sft_length", "prompts", "completion_length", "micro"):
            require_integer(name, getattr(self, name), low=1)
        for name in ("n_eval", "sft_every", "rl_every", "eval_batch"):
            require_integer(name, getattr(self, name), low=1)
        for name in ("sft_steps", "rl_steps", "warmup", "lora", "gpus"):
            require_integer(name, getattr(self, name), low=0)
        require_integer("seed", self.seed, low=0, high=2**32 - 1)  # what the trainers take
        require_integer("group", self.group, low=2)
        if self.draw is not None:
            require_seed(self.draw, "draw")
        require_choice("dtype", self.dtype, DTYPES)
        require(self.lora == 0 or self.gpus <= 1, "lora", self.lora, "0 on several GPUs, where every weight is trained")

    @property
    def rollouts(self) -> int:
        """B G, answers in a round."""
        return self.prompts * self.group


# Commits by which others cite these weights; the hub itself could not be asked.
THREE_B = dict(model="meta-llama/Llama-3.2-3B", model_revision="13afe5124825b4f3751f836b40dafda64c1ed062")
THREE_B_INSTRUCT = dict(
    model="meta-llama/Llama-3.2-3B-Instruct", model_revision="0cb88a4f764b7a12671c53f0838cd831a0843b95"
)
EIGHT_B = dict(model="meta-llama/Llama-3.1-8B", model_revision="d04e592bb4f6aa9cfee91e2e20afa771667e1d4b")
EIGHT_B_INSTRUCT = dict(
    model="meta-llama/Llama-3.1-8B-Instruct", model_revision="0e9e39f249a16976918f6564b8830bc894c89659"
)
ONE_GPU: dict = dict(gpus=1)  # 80 GB
EIGHT_GPUS: dict = dict(gpus=8, prompts=32, micro=4, eval_batch=64)  # 80 GB each, weights and optimiser sharded (FSDP)
# The weights that a package has, for some hours of a CPU.
ONE_CORE: dict = dict(gpus=0, dtype="float32", checkpointing=False, sft_steps=40, sft_batch=8, sft_lr=5e-5, prompts=2)
ONE_CORE |= dict(rl_steps=10, warmup=4, n_eval=32, eval_batch=32, sft_every=40, rl_every=10)
ONE_CORE |= dict(completion_length=200, sft_length=400)

PRESETS: dict[str, dict] = {
    "smollm2": dict(model="smollm2", model_revision=None) | ONE_CORE,
    "llama-3.2-3b": THREE_B | ONE_GPU,
    "llama-3.2-3b-instruct": THREE_B_INSTRUCT | ONE_GPU,
    "llama-3.1-8b": EIGHT_B | EIGHT_GPUS,
    "llama-3.1-8b-instruct": EIGHT_B_INSTRUCT | EIGHT_GPUS,
}


def preset(name: str, **overrides) -> LlamaConfig:
    """The run of one preset with some fields changed; unknown presets and fields are refused."""
    require_choice("preset", name, PRESETS)
    known = [field.name for field in fields(LlamaConfig)]
    for field, value in overrides.items():
        if field not in known:
            raise InputError(f"parameter {field} = {shown(value)} is unknown: known are {', '.join(known)}")
    settings = PRESETS[name] | overrides
    if settings["model"] != PRESETS[name]["model"] and "model_revision" not in overrides:
        settings["model_revision"] = None  # the preset's is a commit of another model
    return LlamaConfig(**settings)
