"""What a run needs: memory, tokens and hours, from parameter counts and stated assumptions.

P parameters, of which T are trained; g GPUs that share what is trained; c bytes of a number in the computation.

    every weight trained   4 P / g float32 weights + 4 P / g gradients + 8 P / g moments of AdamW
                           + c P copies for the computation (on several GPUs: of two layers and the embeddings alone)
    adapters alone         c P frozen weights + 16 T
    activations            with recomputation one vector a token and layer, and one layer in full
    KV cache               2 x layers x key/value heads x head size x c for each token of each answer being written
    training               6 P operations a token, 2 P more with recomputation, 2 P fewer for frozen weights
    writing                one step a token, as long as reading the weights takes, and never under a floor; or
                           2 P operations a token, if they take longer
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from ntprl.errors import InputError, existing_path, json_object, require
from ntprl.llama.config import DTYPES, LlamaConfig, preset
from ntprl.llama.published import SMOLLM2

GB = 1e9


@dataclass(frozen=True)
class Shape:
    """The sizes that a Llama's config.json states."""

    layers: int
    width: int  # of the residual stream
    heads: int  # attention heads
    kv_heads: int  # heads that keys and values are shared among
    head_size: int
    mlp: int  # width of the feed-forward layer
    vocabulary: int
    tied: bool  # does the output layer use the embeddings?

    @property
    def layer(self) -> int:
        """Parameters of one layer."""
        attention = self.width * self.head_size * (2 * self.heads + 2 * self.kv_heads)
        return attention + 3 * self.width * self.mlp + 2 * self.width

    @property
    def parameters(self) -> int:
        embeddings = self.vocabulary * self.width * (1 if self.tied else 2)
        return self.layers * self.layer + embeddings + self.width

    def adapters(self, rank: int) -> int:
        """Parameters of adapters at every linear map of every layer."""
        inner, shared = self.heads * self.head_size, self.kv_heads * self.head_size
        sides = 2 * (self.width + inner) + 2 * (self.width + shared) + 3 * (self.width + self.mlp)
        return self.layers * rank * sides

    def kv_bytes(self, number: int) -> int:
        """KV cache of one token."""
        return 2 * self.layers * self.kv_heads * self.head_size * number


LLAMA_3B = Shape(28, 3072, 24, 8, 128, 8192, 128_256, tied=True)
LLAMA_8B = Shape(32, 4096, 32, 8, 128, 14_336, 128_256, tied=False)
SHAPES = {
    SMOLLM2: Shape(30, 576, 9, 3, 64, 1536, 49_152, tied=True),
    "meta-llama/Llama-3.2-3B": LLAMA_3B,
    "meta-llama/Llama-3.2-3B-Instruct": LLAMA_3B,
    "meta-llama/Llama-3.1-8B": LLAMA_8B,
    "meta-llama/Llama-3.1-8B-Instruct": LLAMA_8B,
}


@dataclass(frozen=True)
class Assumptions:
    """The first three are NVIDIA's figures for an A100 of 80 GB; an H100 (SXM) has 989, 3350 and 80."""

    peak_tflops: float = 312  # dense bfloat16
    bandwidth_gb: float = 2039  # GB/s from memory
    gpu_gb: float = 80
    utilisation: float = 0.4  # share of the peak that training reaches
    bandwidth_share: float = 0.5  # share of the bandwidth that reading weights reaches
    link_gb: float = 200  # GB/s at which sharded weights are gathered
    step_floor_s: float = 0.03  # a token of generation takes no less with transformers
    vllm_floor_s: float = 0.01  # and with vLLM
    vllm_share: float = 0.3  # of a GPU's memory that vLLM takes (TRL's default)
    reserve_gb: float = 3  # CUDA itself and fragments
    prompt_tokens: float = 80  # mean; of GSM8K (235 characters)
    long_tokens: float = 100  # mean of a worked solution with its answer (248 characters)
    short_tokens: float = 6  # mean of an answer alone


# One core of a server (Intel, 2023) in float32: a large matrix product and a large copy, measured.
CPU_CORE = Assumptions(peak_tflops=0.08, bandwidth_gb=18, gpu_gb=16, utilisation=0.8, step_floor_s=0.02, reserve_gb=0.7)


def model_shape(model: str) -> Shape | None:
    """Of a known name, or of a local folder by its config.json; None for anything else."""
    folder = None if model in SHAPES else existing_path("model", model)
    if folder is None or not (folder / "config.json").is_file():
        return SHAPES.get(model)
    try:
        sizes = json_object(folder / "config.json", f"{folder}/config.json")
        heads = sizes["num_attention_heads"]
        return Shape(
            sizes["num_hidden_layers"],
            sizes["hidden_size"],
            heads,
            sizes.get("num_key_value_heads") or heads,
            sizes.get("head_dim") or sizes["hidden_size"] // heads,
            sizes["intermediate_size"],
            sizes["vocab_size"],
            bool(sizes.get("tie_word_embeddings", False)),
        )
    except (KeyError, TypeError, ValueError):
        return None


def memory(run: LlamaConfig, shape: Shape, a: Assumptions, phase: str) -> dict[str, float]:
    """GB on each GPU in one phase (sft or rl): each part, and the total at the worst moment."""
    g, c, parameters = max(run.gpus, 1), DTYPES[run.dtype], shape.parameters
    trained = shape.adapters(run.lora) if run.lora else parameters
    if run.lora:
        weights = c * parameters + 4 * trained
    else:
        at_once = parameters if g == 1 else 2 * shape.layer + 2 * shape.vocabulary * shape.width
        weights = 4 * parameters / g + (c * at_once if c < 4 or g > 1 else 0)
        if phase == "rl" and run.beta:
            weights += 4 * parameters / g  # the model that must not be left
    length = run.sft_length if phase == "sft" else a.prompt_tokens + run.completion_length
    tokens = run.micro * length
    one_layer = tokens * c * (12 * shape.width + 4 * shape.mlp)
    layers = tokens * c * shape.width * shape.layers + one_layer if run.checkpointing else one_layer * shape.layers
    logits = run.micro * length * shape.vocabulary * 8  # float32, and their gradient; newer TRL needs less
    written = run.eval_batch if phase == "sft" else max(run.eval_batch, run.rollouts / g)
    cache = written * (a.prompt_tokens + run.completion_length) * shape.kv_bytes(c)
    parts = {
        "weights_gb": weights / GB,
        "gradients_gb": 4 * trained / g / GB,
        "optimizer_gb": 8 * trained / g / GB,
        "activations_gb": (layers + logits) / GB,
        "kv_cache_gb": cache / GB,
    }
    steady = parts["weights_gb"] + parts["gradients_gb"] + parts["optimizer_gb"] + a.reserve_gb
    steady += a.vllm_share * a.gpu_gb if run.vllm and phase == "rl" else 0
    return parts | {"total_gb": steady + max(parts["activations_gb"], parts["kv_cache_gb"])}


def hours(run: LlamaConfig, shape: Shape, a: Assumptions, phase: str) -> dict[str, float]:
    """Tokens trained on, and hours of training, of writing rollouts and of evaluating."""
    g, c, parameters = max(run.gpus, 1), DTYPES[run.dtype], shape.parameters
    compute = a.peak_tflops * 1e12 * a.utilisation  # operations that a GPU does in a second
    if phase == "sft":
        steps, every = run.sft_steps, run.sft_every
        tokens = run.sft_batch * (a.prompt_tokens + run.p_cot * a.long_tokens + (1 - run.p_cot) * a.short_tokens)
    else:
        steps, every = run.rl_steps, run.rl_every
        tokens = run.rollouts * (a.prompt_tokens + a.long_tokens)  # as if every answer were long
    per_token = (6 - 2 * bool(run.lora) + 2 * run.checkpointing + 2 * (phase == "rl" and run.beta > 0)) * parameters
    train = steps * tokens * per_token / (g * compute)
    read = (c if run.lora else 4) * parameters / (a.bandwidth_gb * GB * a.bandwidth_share)
    gather = c * parameters * (g - 1) / g / (a.link_gb * GB)
    slow = max(a.step_floor_s, read / g + gather)
    fast = max(a.vllm_floor_s, c * parameters / (a.bandwidth_gb * GB * a.bandwidth_share))

    def writing(answers: float, step: float) -> float:
        """Seconds in which each GPU writes that many answers: a step a token, or as long as it computes."""
        return max(run.completion_length * step, 2 * parameters * answers * run.completion_length / compute)

    write = steps * writing(run.rollouts / g, fast if run.vllm else slow) if phase == "rl" else 0
    batches = -(-run.n_eval // (run.eval_batch * g))
    evaluate = (1 + -(-steps // every)) * 2 * batches * writing(run.eval_batch, slow)  # greedy and sampled
    parts = {"training_hours": train / 3600, "rollout_hours": write / 3600, "evaluation_hours": evaluate / 3600}
    total = sum(parts.values())
    return {"million_tokens": steps * tokens / 1e6} | parts | {"hours": total, "gpu_hours": g * total}


def estimate(run: LlamaConfig | str, assumptions: Assumptions | None = None) -> pd.DataFrame:
    """One row for each phase (sft, rl): memory on each GPU, tokens and hours. An estimate, not a measurement.

    run  a preset's name or a configuration whose model is known by name or is a local folder
    """
    run = preset(run) if isinstance(run, str) else run
    a = assumptions or (CPU_CORE if run.gpus == 0 else Assumptions())
    shape = model_shape(run.model)
    require(shape is not None, "model", run.model, f"one of {', '.join(SHAPES)}, or a local folder with a config.json")
    billions = {
        "parameters_billion": shape.parameters / 1e9,
        "trained_billion": (shape.adapters(run.lora) if run.lora else shape.parameters) / 1e9,
    }
    rows = [
        {"phase": phase, "gpus": run.gpus}
        | billions
        | memory(run, shape, a, phase)
        | {"gpu_gb": a.gpu_gb}
        | hours(run, shape, a, phase)
        for phase in ("sft", "rl")
    ]
    return pd.DataFrame(rows)


def free_memory() -> list[int]:
    """Free bytes on each GPU that this process sees."""
    import torch

    return [torch.cuda.mem_get_info(index)[0] for index in range(torch.cuda.device_count())]


def require_gpus(run: LlamaConfig, free: list[int] | None = None, processes: int | None = None) -> None:
    """Raise an InputError if this machine cannot hold the run.

    free       free bytes on each GPU; None asks the machine
    processes  how many share the run; None asks the launcher
    """
    if run.gpus == 0:
        return
    free = free_memory() if free is None else free
    processes = int(os.environ.get("WORLD_SIZE", "1")) if processes is None else processes
    if processes == 1 and len(free) > 1 and run.gpus == 1:  # transformers would split each batch among them
        raise InputError(
            f"{len(free)} GPUs are visible and gpus = 1: set CUDA_VISIBLE_DEVICES=0, or take a preset for several"
        )
    if len(free) < run.gpus:
        raise InputError(
            f"gpus = {run.gpus}, but this machine has {len(free)}: run it elsewhere, "
            "or try the path here with dry_run = True"
        )
    if run.gpus != processes:
        raise InputError(
            f"gpus = {run.gpus}, but {processes} process{'es' if processes > 1 else ''} share this run: start it with "
            f"{launch_command('llama-3.1-8b')} or set gpus = {processes}"
        )
    shape = model_shape(run.model)
    if shape is None:
        return
    smallest = min(free[: run.gpus]) / GB
    a = replace(Assumptions(), gpu_gb=smallest)
    total = max(memory(run, shape, a, phase)["total_gb"] for phase in ("sft", "rl"))
    if total > smallest:
        raise InputError(
            f"{run.model} needs about {total:.0f} GB on each of {run.gpus} GPUs by estimate, and {smallest:.0f} GB are "
            "free: lower micro, eval_batch or prompts, set lora = 16, or take more GPUs"
        )


def _said_by_linux(path: str, name: str) -> float | None:
    """A size from a file of /proc, in bytes; None where there is none."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def free_ram() -> float | None:
    """Bytes of main memory that are free or can be freed, where Linux says so; None elsewhere."""
    return _said_by_linux("/proc/meminfo", "MemAvailable")


def peak_ram() -> float | None:
    """The most bytes of main memory that this process has held so far, where Linux says so; None elsewhere."""
    return _said_by_linux("/proc/self/status", "VmHWM")


def require_ram(gb: float, what: str) -> None:
    """Raise an InputError if this machine has less main memory to give; nothing is known where it does not say."""
    free = free_ram()
    if free is not None and free < gb * GB:
        raise InputError(
            f"{what} needs about {gb:.0f} GB of memory, and {free / GB:.1f} GB are free: end other programs, "
            "or take a machine with more"
        )


def require_dtype(run: LlamaConfig) -> None:
    """Raise an InputError for bfloat16 on a GPU that has no arithmetic for it (a T4, say)."""
    import torch

    if run.gpus and run.dtype == "bfloat16" and torch.cuda.get_device_capability()[0] < 8:
        raise InputError(
            f"dtype = 'bfloat16' is not allowed on {torch.cuda.get_device_name()}: set dtype = 'float32', "
            "or take a GPU of compute capability 8 or more"
        )


def launch_command(preset_name: str, folder: str = "runs/llama") -> str:
    """How to start a run on several GPUs: one process for each, weights and optimiser sharded by FSDP."""
    config = Path(__file__).with_name("fsdp.yaml")
    return f"accelerate launch --config_file {config} -m ntprl.llama.launch {preset_name} {folder}"
