"""Configurations of Llama runs, what they are estimated to need, and what a machine without it is told."""

from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from ntprl.book.run import config_hash
from ntprl.llama.config import PRESETS, LlamaConfig, preset
from ntprl.llama.launch import main, parse
from ntprl.llama.published import SMOLLM2
from ntprl.llama.resources import (
    CPU_CORE,
    LLAMA_3B,
    LLAMA_8B,
    SHAPES,
    Assumptions,
    Shape,
    estimate,
    free_ram,
    hours,
    launch_command,
    memory,
    model_shape,
    peak_ram,
    require_gpus,
    require_ram,
)
from ntprl.llama.run import LlamaRun

TINY = Shape(2, 32, 4, 2, 8, 64, 259, tied=True)
PLENTY = [int(80e9)] * 8
presets = pytest.mark.parametrize("name", PRESETS)

# --- configurations ---


@presets
def test_presets_are_whole(name):
    run = preset(name)
    assert run.model in SHAPES
    assert run.model.endswith("-Instruct") == name.endswith("-instruct")
    assert run.model == SMOLLM2 or len(run.model_revision) == 40
    assert run.rollouts % (run.micro * max(run.gpus, 1)) == 0
    assert run.sft_batch % (run.micro * max(run.gpus, 1)) == 0
    assert config_hash(LlamaRun(**asdict(run))) != config_hash(LlamaRun(**asdict(replace(run, seed=1))))


def test_a_preset_with_other_fields():
    run = preset("llama-3.2-3b", p_cot=0.01, mark="@@")
    assert (run.p_cot, run.mark) == (0.01, "@@")
    assert preset("llama-3.2-3b", model="some/model").model_revision is None  # a commit of another model
    assert preset("llama-3.2-3b", model="meta-llama/Llama-3.2-3B") == preset("llama-3.2-3b")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("model", ""), ("mark", "# "), ("p_cot", 1.5), ("sft_lr", -1.0), ("temperature", 0), ("prompts", 0)],
        *[("n_eval", 0), ("sft_steps", -1), ("group", 1), ("draw", -1), ("dtype", "float16"), ("pcot", 0.1)],
    ],
)
def test_bad_values_are_refused(refused, field, value):
    with refused(f"{field} = {value!r}"):
        preset("llama-3.2-3b", **{field: value})


def test_what_no_preset_or_model_offers_is_refused(refused):
    with refused("preset = 'llama-4'", "llama-3.2-3b"):
        preset("llama-4")
    with refused("lora = 8", "0 on several GPUs"):
        preset("llama-3.1-8b", lora=8)
    with refused("model = 'some/model'", "config.json"):
        estimate(LlamaConfig(model="some/model"))


# --- sizes ---


@pytest.mark.parametrize(
    ("shape", "total"), [(SHAPES[SMOLLM2], 134_515_008), (LLAMA_3B, 3_212_749_824), (LLAMA_8B, 8_030_261_248)]
)
def test_parameters_are_those_of_the_published_models(shape, total):
    assert shape.parameters == total


def as_config(shape: Shape):
    sizes = dict(vocab_size=shape.vocabulary, hidden_size=shape.width, intermediate_size=shape.mlp)
    sizes |= dict(num_hidden_layers=shape.layers, num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads)
    rest = dict(head_dim=shape.head_size, tie_word_embeddings=shape.tied)
    return pytest.importorskip("transformers").LlamaConfig(**sizes, **rest)


@pytest.mark.parametrize("shape", [TINY, replace(TINY, tied=False, head_size=16), LLAMA_3B, LLAMA_8B])
def test_parameters_are_those_that_transformers_builds(shape):
    torch = pytest.importorskip("torch")
    with torch.device("meta"):
        model = pytest.importorskip("transformers").LlamaForCausalLM(as_config(shape))
    model.tie_weights()  # some versions forget it without memory
    assert shape.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert shape.layer == sum(parameter.numel() for parameter in model.model.layers[0].parameters())


def test_adapters_are_those_that_peft_builds():
    peft = pytest.importorskip("peft")
    from ntprl.llama.training import adapters

    model = pytest.importorskip("transformers").LlamaForCausalLM(as_config(TINY))
    wrapped = peft.get_peft_model(model, adapters(LlamaConfig(lora=3)))
    trained = sum(parameter.numel() for parameter in wrapped.parameters() if parameter.requires_grad)
    assert TINY.adapters(3) == trained


def test_the_cache_is_as_large_as_the_one_that_transformers_fills():
    torch = pytest.importorskip("torch")
    model = pytest.importorskip("transformers").LlamaForCausalLM(as_config(TINY))
    cache = model(torch.zeros(1, 7, dtype=torch.long), use_cache=True).past_key_values
    held = sum(tensor.numel() * 4 for layer in cache.layers for tensor in (layer.keys, layer.values))
    assert TINY.kv_bytes(4) * 7 == held


def test_the_shape_of_a_local_model(tmp_path):
    as_config(TINY).save_pretrained(tmp_path)
    assert model_shape(str(tmp_path)) == TINY
    assert model_shape("some/model") is None
    (tmp_path / "config.json").write_text("{}")
    assert model_shape(str(tmp_path)) is None


# --- estimates ---


def test_memory_by_hand():
    """One billion parameters, nothing else: 4 + 4 + 8 bytes each, and 2 for the copies that compute."""
    million = Shape(1, 1, 1, 1, 1, 1, 1_000_000_000, tied=True)
    a = Assumptions(reserve_gb=0, prompt_tokens=0)
    small = LlamaConfig(micro=1, sft_length=1, completion_length=1, eval_batch=1, prompts=1, group=2)
    parts = memory(small, million, a, "sft")
    assert parts["weights_gb"] == pytest.approx(6)
    assert parts["gradients_gb"] == pytest.approx(4)
    assert parts["optimizer_gb"] == pytest.approx(8)
    assert parts["activations_gb"] == pytest.approx(8)  # the logits of one token
    assert parts["total_gb"] == pytest.approx(26)
    exact = memory(replace(small, dtype="float32"), million, a, "sft")
    assert exact["weights_gb"] == pytest.approx(4)  # no copies
    assert memory(replace(small, beta=0.1), million, a, "rl")["weights_gb"] == pytest.approx(10)  # the reference
    assert memory(replace(small, vllm=True), million, a, "rl")["total_gb"] == pytest.approx(26 + 24)


@pytest.mark.parametrize("phase", ["sft", "rl"])
def test_what_costs_more_and_what_less(phase):
    a, run = Assumptions(), preset("llama-3.2-3b")
    total = memory(run, LLAMA_3B, a, phase)["total_gb"]
    assert memory(replace(run, lora=16), LLAMA_3B, a, phase)["total_gb"] < total / 2
    assert memory(replace(run, gpus=8), LLAMA_3B, a, phase)["total_gb"] < total / 2
    assert memory(replace(run, checkpointing=False), LLAMA_3B, a, phase)["activations_gb"] > 5
    assert memory(replace(run, micro=16), LLAMA_3B, a, phase)["total_gb"] > total
    slow = hours(run, LLAMA_3B, a, phase)
    assert hours(run, LLAMA_3B, replace(a, peak_tflops=624), phase)["training_hours"] == slow["training_hours"] / 2
    assert hours(run, LLAMA_8B, a, phase)["training_hours"] > 2.4 * slow["training_hours"]


def test_hours_by_hand():
    """One step on 100 sequences of 100 tokens at 8 operations a parameter, at 0.4 of 312 TFLOP/s."""
    run = preset("llama-3.2-3b", sft_steps=1, sft_batch=100, p_cot=1.0)
    a = Assumptions(prompt_tokens=40, long_tokens=60)
    found = hours(run, LLAMA_3B, a, "sft")
    assert found["million_tokens"] == pytest.approx(0.01)
    assert found["training_hours"] == pytest.approx(8 * 3_212_749_824 * 1e4 / (0.4 * 312e12) / 3600)


def test_writing_takes_a_step_a_token_or_as_long_as_it_computes():
    """Two operations a parameter for each token of each answer, where these take longer than reading the weights."""
    run = preset("llama-3.2-3b", rl_steps=1, completion_length=100)  # 16 prompts x 8 answers
    slow = replace(Assumptions(), peak_tflops=0.1, utilisation=0.5)
    seconds = 3600 * hours(run, LLAMA_3B, slow, "rl")["rollout_hours"]
    assert seconds == pytest.approx(128 * 100 * 2 * 3_212_749_824 / 0.05e12)
    floor = 3600 * hours(run, LLAMA_3B, replace(Assumptions(), step_floor_s=1.0), "rl")["rollout_hours"]
    assert floor == pytest.approx(100)
    assert estimate(preset("smollm2")).equals(estimate(preset("smollm2"), CPU_CORE))


@presets
def test_presets_fit_by_estimate(name):
    table = estimate(name)
    assert list(table["phase"]) == ["sft", "rl"]
    assert (table["total_gb"] < table["gpu_gb"]).all()
    assert (table["hours"] < 24).all()
    numbers = table.drop(columns="phase").to_numpy(float)
    assert np.isfinite(numbers).all()
    assert (numbers >= 0).all()


# --- machines ---


def test_enough_is_enough():
    require_gpus(preset("llama-3.2-3b"), free=PLENTY[:1], processes=1)
    require_gpus(preset("llama-3.1-8b"), free=PLENTY, processes=8)
    require_gpus(preset("llama-3.2-3b", lora=16), free=[int(24e9)], processes=1)  # not for all weights, see below
    require_gpus(LlamaConfig(gpus=0), free=[], processes=1)
    require_gpus(LlamaConfig(gpus=0), free=PLENTY, processes=2)


@pytest.mark.parametrize(
    ("name", "free", "processes", "words"),
    [
        ("llama-3.2-3b", [], 1, ["gpus = 1", "has 0", "dry_run = True"]),
        ("llama-3.1-8b", PLENTY[:2], 2, ["gpus = 8", "has 2"]),
        ("llama-3.1-8b", PLENTY, 1, ["1 process ", "accelerate launch --config_file"]),
        ("llama-3.2-3b", PLENTY[:2], 1, ["2 GPUs are visible", "CUDA_VISIBLE_DEVICES=0"]),
        ("llama-3.2-3b", [int(24e9)], 1, ["needs about 7", "24 GB are free", "lora = 16"]),
        ("llama-3.1-8b", [*PLENTY[:7], int(10e9)], 8, ["10 GB are free"]),  # the fullest one counts
    ],
)
def test_too_little_is_said_beforehand(refused, name, free, processes, words):
    with refused(*words):
        require_gpus(preset(name), free, processes)


def test_the_launch_command_names_a_file_that_accelerate_accepts():
    words = launch_command("llama-3.1-8b", "runs/x").split()
    assert words[:2] == ["accelerate", "launch"]
    assert words[-4:] == ["-m", "ntprl.llama.launch", "llama-3.1-8b", "runs/x"]
    path = words[words.index("--config_file") + 1]
    config_args = pytest.importorskip("accelerate.commands.config.config_args")
    config = config_args.load_config_from_file(path)  # refuses unknown keys
    assert config.num_processes == preset("llama-3.1-8b").gpus
    assert "FSDP" in str(config.distributed_type)
    plugin = pytest.importorskip("accelerate").utils.FullyShardedDataParallelPlugin
    names = {field.name for field in fields(plugin)}
    given = {key.removeprefix("fsdp_") for key in yaml.safe_load(Path(path).read_text())["fsdp_config"]}
    assert given - {"version", "offload_params"} <= names
    assert config.fsdp_config["fsdp_state_dict_type"] == "FULL_STATE_DICT"  # sharded ones are read with pickle


def test_arguments_of_a_launch():
    words = ["llama-3.1-8b", "runs/x", "p_cot=0.1", "mark=@@", "vllm=true", "model=some/a=b", "draw=null"]
    name, folder, overrides = parse(words)
    assert (name, folder) == ("llama-3.1-8b", "runs/x")
    assert overrides == {"p_cot": 0.1, "mark": "@@", "vllm": True, "model": "some/a=b", "draw": None}


@pytest.mark.parametrize(("words", "said"), [(["a"], "PRESET FOLDER"), (["llama-3.2-3b", "x", "p_cot=2"], "p_cot")])
def test_bad_arguments_end_in_one_line(capsys, words, said):
    assert main(words) == 1
    error = capsys.readouterr().err
    assert said in error and len(error.splitlines()) == 1


def test_main_memory_is_what_the_machine_says(refused, monkeypatch):
    resource = pytest.importorskip("resource")
    if (free := free_ram()) is None:
        pytest.skip("only Linux says")
    assert 1e8 < free < 1e14
    assert peak_ram() == pytest.approx(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, rel=0.05)
    require_ram(0.001, "a small thing")
    with refused("training smollm2 needs about 1000000 GB", "are free"):
        require_ram(1e6, "training smollm2")
    monkeypatch.setattr("ntprl.llama.resources._said_by_linux", lambda *names: None)
    require_ram(1e6, "where nothing is said")
