"""The Llama path by TRL: what it is told, what it trains on, what is measured, how it goes on after a kill."""

import json
import shutil
import sys
from contextlib import suppress
from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from ntprl.errors import InputError
from ntprl.llama import evaluation, hub
from ntprl.llama.config import LlamaConfig, preset
from ntprl.llama.evaluation import evaluate, generate, judge, prompt_ids
from ntprl.llama.run import Measures, own_folder, run
from ntprl.llama.training import (
    adapters,
    batches,
    demonstrations,
    fitting,
    grpo_settings,
    last_checkpoint,
    reward,
    rollout_prompts,
    sft_settings,
    trl_grpo,
    trl_sft,
)
from ntprl.llama.weights import byte_tokenizer, load_tokenizer, load_weights, rehearsal, tiny_model
from ntprl.tasks.rows import Row, completion, long_ones, prompt

peft, trl = pytest.importorskip("peft"), pytest.importorskip("trl")

SUMS = [Row(f"What is {n} + 1?", f"It is {n} + 1 = {n + 1}.", str(n + 1)) for n in range(40)]
SIZES = dict(sft_steps=2, sft_batch=4, sft_length=128, sft_lr=1e-3, sft_every=1, warmup=1, n_eval=4, eval_batch=4)
SIZES |= dict(rl_steps=2, prompts=2, group=2, micro=2, completion_length=8, rl_every=1)
SMALL = LlamaConfig(model="tiny", dataset="rows", dtype="float32", gpus=0, **SIZES)
WORDS = ["<unk>", "<end>", "<pad>", "Question", ":", "Answer", "one", "two", "three", "7", "8", "####"]


@pytest.fixture(scope="module", autouse=True)
def no_network():
    """Nothing here may ask the hub, whatever was imported before."""
    import huggingface_hub

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        yield


@pytest.fixture(scope="module")
def plain():
    return byte_tokenizer()


@pytest.fixture(scope="module")
def chat():
    return byte_tokenizer(chat=True)


@pytest.fixture(scope="module")
def words():
    """A tokenizer of few words, to which all questions look the same."""
    inner = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<end>", pad_token="<pad>", unk_token="<unk>"
    )


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory, plain):
    """A saved tiny Llama and a data set of 200 rows."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny_model(plain).save_pretrained(folder / "model")
    plain.save_pretrained(folder / "model")
    records = [{"question": f"What is {n} + 1?", "answer": f"{n} + 1 = {n + 1}.\n#### {n + 1}"} for n in range(200)]
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, records)))
    return folder


# --- settings ---


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        (sft_settings(SMALL, "x"), trl.SFTConfig),
        (grpo_settings(replace(SMALL, beta=0.1), "x"), trl.GRPOConfig),
        (adapters(replace(SMALL, lora=4)).to_dict(), peft.LoraConfig),
    ],
    ids=["sft", "grpo", "lora"],
)
def test_the_libraries_know_every_field_that_is_set(settings, kind):
    assert settings.keys() <= {field.name for field in fields(kind)}


def test_vllm_is_asked_for_by_name_and_its_fields_are_known(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with refused("pip install vllm", "vllm = False"):
        grpo_settings(replace(SMALL, vllm=True), "x")
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace())
    settings = grpo_settings(replace(SMALL, vllm=True), "x")
    assert settings["use_vllm"] is True
    assert settings.keys() <= {field.name for field in fields(trl.GRPOConfig)}


def test_what_grpo_means_here(tmp_path):
    """Each of these is what test_policy_gradient.py compares `weightings.grpo` with."""
    args = trl.GRPOConfig(**grpo_settings(replace(SMALL, prompts=6, group=4, micro=8), str(tmp_path)))
    assert (args.loss_type, args.scale_rewards, args.num_iterations) == ("dapo", "group", 1)
    assert (args.top_p, args.top_k, args.temperature) == (1.0, 0, 1.0)
    assert args.use_bias_correction_kl is False
    assert args.generation_batch_size == 24  # one round of rollouts for each optimiser step
    assert args.per_device_train_batch_size * args.gradient_accumulation_steps == 24


def test_batches(refused, monkeypatch):
    assert batches(64, 8, "b") == (8, 8)
    assert batches(4, 8, "b") == (4, 1)
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert batches(64, 8, "b") == (8, 2)
    with refused("b = 6", "4 processes"):
        batches(6, 8, "b")
    with refused("b = 40", "micro x processes = 32"):
        batches(40, 8, "b")


# --- data ---


def test_rows_are_left_out_by_their_solution_whatever_their_kind(plain):
    wordy = Row("Why?", "because " * 40, "1")
    assert fitting(plain, [*SUMS, wordy], 128, "####") == SUMS
    assert len(demonstrations(plain, [*SUMS, wordy], replace(SMALL, p_cot=0))) == len(SUMS)


def test_what_cannot_be_trained_on_is_refused(refused, plain, tmp_path):
    with refused("sft_length = 16", "40 rows"):
        fitting(plain, SUMS, 16, "####")
    with refused("mark = '+'", "row 0"):
        demonstrations(plain, SUMS, replace(SMALL, mark="+"))
    with refused("steps = 0"):  # which would be three epochs to the trainers
        trl_sft(tiny_model(plain), plain, SUMS, replace(SMALL, sft_steps=0), tmp_path)


def sft_labels(tokenizer, rows, config, folder):
    """(all tokens, those with a loss) of each demonstration as TRL trains on it, as text."""
    args = trl.SFTConfig(**sft_settings(config, str(folder)))
    with hub.quiet():
        trainer = trl.SFTTrainer(
            tiny_model(tokenizer),
            args,
            train_dataset=demonstrations(tokenizer, rows, config),
            processing_class=tokenizer,
        )
    batch = trainer.data_collator([trainer.train_dataset[index] for index in range(len(rows))])
    for ids, mask, labels in zip(batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True):
        kept = ids[mask.bool()]
        yield tokenizer.decode(kept), tokenizer.decode(labels[labels != -100])


def test_the_loss_is_on_the_completion_and_its_end(plain, tmp_path):
    long_or_not = long_ones(SUMS[:6], 0.5)
    assert 0 < sum(long_or_not) < 6
    found = sft_labels(plain, SUMS[:6], replace(SMALL, p_cot=0.5, mark="@@"), tmp_path)
    for (text, learned), row, long in zip(found, SUMS[:6], long_or_not, strict=True):
        assert learned == completion(row, long, "@@") + "<end>"
        assert text == prompt(row.question) + learned


def test_the_loss_is_on_the_assistant_and_its_end(chat, tmp_path):
    (text, learned), *_ = sft_labels(chat, SUMS[:2], replace(SMALL, p_cot=1), tmp_path)
    assert learned == "It is 0 + 1 = 1.\n#### 1<end>"
    assert text == f"[user] What is 0 + 1?\n[assistant] {learned}"


def test_an_end_token_that_also_pads_is_still_learned(plain, tmp_path):
    """As with Llama, whose tokenizer has no padding token of its own."""
    tokenizer = byte_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    assert all(learned.endswith("<end>") for _, learned in sft_labels(tokenizer, SUMS[:4], SMALL, tmp_path))


@pytest.mark.parametrize("kind", ["plain", "chat"])
def test_rollouts_and_evaluation_read_what_was_trained_on(kind, request, tmp_path):
    tokenizer = request.getfixturevalue(kind)
    (text, learned), *_ = sft_labels(tokenizer, SUMS[:1], SMALL, tmp_path)
    read = tokenizer.decode(prompt_ids(tokenizer, [SUMS[0].question])[0])
    assert read + learned == text
    example = rollout_prompts(tokenizer, SUMS[:1])[0]
    assert example["truth"] == "1"
    assert example["prompt"] == demonstrations(tokenizer, SUMS[:1], SMALL)[0]["prompt"]


def test_every_prompt_has_the_same_date(tmp_path):
    """Llama's template writes today's date otherwise: another prompt every day."""
    tokenizer = byte_tokenizer(chat=True)
    tokenizer.chat_template = "{{ date_string | default('today') }}: " + tokenizer.chat_template
    (text, _), *_ = sft_labels(tokenizer, SUMS[:1], SMALL, tmp_path)
    read = tokenizer.decode(prompt_ids(tokenizer, [SUMS[0].question])[0])
    assert text.startswith(read)
    assert read.startswith("26 Jul 2024: [user]")
    assert grpo_settings(SMALL, tmp_path)["chat_template_kwargs"] == {"date_string": "26 Jul 2024"}


def test_the_reward_reads_texts_and_conversations():
    judged = reward("@@")
    texts = ["so 1 + 1 = 2.\n@@ 2", " @@ 3", "#### 2", ""]
    turns = [[{"role": "assistant", "content": text}] for text in texts]
    for completions in (texts, turns):
        assert judged(completions=completions, truth=["2"] * 4, prompts=None, trainer_state=None) == [1, 0, 0, 0]


# --- writing and measuring ---


def greedy_by_hand(model, ids: list[int], steps: int) -> list[int]:
    """Without cache, padding or batches."""
    new: list[int] = []
    for _ in range(steps):
        logits = model(torch.tensor([ids + new])).logits[0, -1]
        new.append(int(logits.argmax()))
    return new


def lively(tokenizer, seed: int = 0):
    """A tiny model whose likeliest token depends on what stands before."""
    model = tiny_model(tokenizer, seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)
    return model.eval()


def test_greedy_answers_in_batches_are_those_by_hand(plain):
    model = lively(plain)
    prompts = prompt_ids(plain, ["a", "What is 1 + 1?", "Hm? " * 5])
    by_hand = [greedy_by_hand(model, ids, 10) for ids in prompts]
    assert len({tuple(ids) for ids in by_hand}) == 3
    for batch in (1, 2, 3):
        assert [ids for ids, _ in generate(model, plain, prompts, 10, batch=batch)] == by_hand


def test_an_answer_ends_before_any_end_token(plain):
    model = lively(plain)
    ids = prompt_ids(plain, ["a"])
    whole = generate(model, plain, ids, 10)[0]
    assert whole == (greedy_by_hand(model, ids[0], 10), False)
    place = next(index for index in range(1, 10) if whole[0][index] not in whole[0][:index])
    model.generation_config.eos_token_id = [plain.eos_token_id, whole[0][place]]  # as instruct models have several
    assert generate(model, plain, ids, 10)[0] == (whole[0][:place], True)


def test_draws_come_from_the_whole_softmax_whatever_the_model_says(plain):
    """Llama's own settings are temperature .6 and top-p .9: measures at these would not be of the model."""
    model, n = lively(plain), 3000
    model.generation_config.update(temperature=0.01, top_p=0.1, top_k=1, do_sample=True)
    ids = prompt_ids(plain, ["a"])[0]
    expected = model(torch.tensor([ids])).logits[0, -1].softmax(-1).detach().numpy()
    first = [(row or [plain.eos_token_id])[0] for row, _ in generate(model, plain, [ids] * n, 1, 1.0, batch=n)]
    found = np.bincount(first, minlength=len(expected)) / n
    assert np.abs(found - expected).max() < 0.04
    assert (found > 0).sum() > 5


def test_writing_leaves_no_trace(plain):
    model = lively(plain).train()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    ids = prompt_ids(plain, ["a", "b"])
    first, again, other = (generate(model, plain, ids, 8, 1.0, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert model.training
    assert first == again != other


def test_measures_by_hand():
    answers = [
        ("It is 2.\n#### 2", "2", 6, True),
        ("It is 3.\n#### 3", "2", 8, True),
        ("#### 2", "2", 2, True),
        ("on and on", "2", 10, False),
    ]
    found = judge(answers, "####", "sampled")
    assert found.pop("sampled_long_accuracy") == pytest.approx(1 / 3)
    assert found == {
        "sampled_accuracy": 0.5,
        "sampled_long": 0.75,
        "sampled_short_accuracy": 1.0,
        "sampled_median_length": 7.0,
        "sampled_mean_length": 6.5,
        "sampled_cut": 0.25,
    }


def test_evaluate_has_the_columns_of_the_house(plain):
    found = evaluate(lively(plain), plain, SUMS, n=5, max_new_tokens=4)
    wanted = {f"{name}_{what}" for name in ("greedy", "sampled") for what in ("accuracy", "long", "median_length")}
    assert wanted | {"n_eval"} <= found.keys()
    assert found["n_eval"] == 5
    assert evaluate(lively(plain), plain, SUMS[:3], n=5, max_new_tokens=2)["n_eval"] == 3
    with pytest.raises(InputError, match="rows"):
        evaluate(None, plain, [])


@pytest.mark.parametrize("n", [1, 5, 6])
def test_several_processes_judge_each_row_once(monkeypatch, n):
    rows, parts = SUMS[:n], []
    for rank in range(3):
        fake = SimpleNamespace(is_initialized=lambda: True, get_rank=lambda rank=rank: rank, get_world_size=lambda: 3)
        monkeypatch.setattr(evaluation, "dist", fake)
        parts.append(evaluation._mine(rows))
    assert len({len(part) for part in parts}) == 1  # sharded models compute in step
    fake.all_gather_object = lambda found, values: found.__setitem__(slice(None), parts)
    assert evaluation._everyones(parts[0], n) == rows


# --- training ---


@pytest.mark.slow
def test_fine_tuning_is_calibrated_and_grpo_raises_the_reward(words, tmp_path):
    """The model sees no difference between questions and cannot know the answer, 7 or 8; then 7 is rewarded."""
    rows = [Row(f"q{n}", "one two three", "78"[n % 2]) for n in range(400)]
    sevens = [replace(row, answer="7") for row in rows]
    config = replace(SMALL, sft_steps=80, sft_every=80, sft_batch=64, sft_lr=5e-3, micro=64, warmup=5)
    config = replace(config, rl_steps=15, rl_every=15, prompts=16, group=8, rl_lr=3e-3, checkpointing=False)
    model, seen = tiny_model(words), []

    def measured(step, model):
        seen.append({"step": step} | evaluate(model, words, sevens, max_new_tokens=8, batch=400))

    model = trl_sft(model, words, rows, config, tmp_path / "sft", measured)
    trl_grpo(model, words, sevens, config, tmp_path / "rl", measured)
    assert [row["step"] for row in seen] == [0, 80, 0, 15]
    _, tuned, _, reinforced = seen
    assert np.mean(long_ones(rows, 0.25)) == pytest.approx(0.25, abs=0.05)
    assert tuned["sampled_long"] == pytest.approx(0.25, abs=0.1)
    assert tuned["greedy_long"] == 0
    assert tuned["sampled_accuracy"] == pytest.approx(0.5, abs=0.15)
    assert tuned["sampled_cut"] < 0.05  # it has learned to end
    assert reinforced["sampled_accuracy"] > tuned["sampled_accuracy"] + 0.25


def test_the_reference_of_grpo_is_the_model_it_starts_from(plain, tmp_path):
    """TRL loads it from where the model says it came from: here from nowhere, or from other weights."""
    start = lively(plain)
    copy = {name: tensor.clone() for name, tensor in start.state_dict().items()}
    start.config._name_or_path = "somewhere/else"
    trl_grpo(start, plain, SUMS, replace(SMALL, beta=0.1, rl_steps=1), tmp_path / "rl")
    saved = load_weights(str(tmp_path / "rl" / "reference")).state_dict()
    assert all(torch.equal(saved[name], tensor) for name, tensor in copy.items())
    log = pd.read_csv(tmp_path / "rl" / "log.csv")
    assert abs(log["kl"].iloc[0]) < 1e-6  # no distance before the first step


@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_adapters_are_merged(plain, tmp_path, beta):
    model = lively(plain)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    trained = trl_sft(model, plain, SUMS, replace(SMALL, lora=2, sft_lr=1e-2, sft_steps=3), tmp_path / "sft")
    assert type(trained).__name__ == "LlamaForCausalLM"
    saved = load_weights(str(tmp_path / "sft" / "model"))
    assert saved.state_dict().keys() == before.keys()
    changed = {name for name, tensor in saved.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all("proj" in name for name in changed)
    trl_grpo(saved, plain, SUMS, replace(SMALL, lora=2, beta=beta, rl_steps=1), tmp_path / "rl")
    assert load_weights(str(tmp_path / "rl" / "model")) is not None


def test_only_whole_checkpoints_count(tmp_path):
    assert last_checkpoint(tmp_path) is None
    for step in (9, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
    assert last_checkpoint(tmp_path) is None
    (tmp_path / "checkpoint-9" / "trainer_state.json").write_text("{}")
    assert last_checkpoint(tmp_path).name == "checkpoint-9"
    (tmp_path / "checkpoint-10" / "trainer_state.json").write_text("{}")
    assert last_checkpoint(tmp_path).name == "checkpoint-10"


class Killed(Exception):
    """Stands for the end of a process."""


@pytest.mark.slow
def test_a_killed_run_goes_on(tiny_folder, tmp_path):
    config = replace(SMALL, model=str(tiny_folder / "model"), dataset=str(tiny_folder), sft_steps=3, rl_lr=1e-3)
    whole = run(config, tmp_path / "whole", report=lambda line: None)
    lines: list[str] = []

    def killer(word):
        def report(line):
            lines.append(line)
            if line.startswith(word):
                raise Killed

        return report

    for word in ("sft step 2", "rl step 1"):  # in both cases measured, and no checkpoint of that step yet
        with pytest.raises(Killed):
            run(config, tmp_path / "killed", report=killer(word))
    table = run(config, tmp_path / "killed", report=lines.append)
    steps = [line.split(":")[0] for line in lines]
    assert steps[:5] == ["sft step 0", "sft step 1", "sft step 2", "sft step 2", "sft step 3"]
    assert steps[5:] == ["rl step 0", "rl step 1", "rl step 0", "rl step 1", "rl step 2"]
    pd.testing.assert_frame_equal(table, whole)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "killed" / "measures.csv"), whole, check_dtype=False)
    for phase in ("sft", "rl"):
        ours, theirs = (load_weights(str(tmp_path / name / phase / "model")) for name in ("killed", "whole"))
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
        files = [path.name for path in (tmp_path / "killed" / phase).rglob("*")]
        assert not [name for name in files if name.endswith((".bin", ".pt", ".pth"))]  # nothing pickled stays
    assert run(config, tmp_path / "killed", report=lines.append).equals(table)
    assert len(lines) == 10  # a finished run is only read


def test_a_phase_of_no_steps_is_left_out(tiny_folder, tmp_path):
    config = replace(SMALL, model=str(tiny_folder / "model"), dataset=str(tiny_folder), sft_steps=0, rl_steps=1)
    assert list(run(config, tmp_path / "x", report=lambda line: None)["phase"]) == ["rl", "rl"]


# --- files and errors ---


def test_a_folder_belongs_to_one_configuration(refused, tmp_path):
    own_folder(tmp_path, SMALL)
    own_folder(tmp_path, SMALL)
    with refused("p_cot = 0.25", "0.5", "choose another folder"):
        own_folder(tmp_path, replace(SMALL, p_cot=0.5))
    (tmp_path / "config.json").write_text("{")
    with refused(tmp_path / "config.json", "no JSON object"):
        own_folder(tmp_path, SMALL)


def test_a_measurement_made_again_replaces_the_old_one(tmp_path):
    path = tmp_path / "measures.csv"
    for phase, step, value in (("rl", 0, 1), ("sft", 0, 2), ("sft", 5, 3), ("sft", 5, 4)):
        Measures(path).add({"phase": phase, "step": step, "value": value})
    assert Measures(path).table()["value"].tolist() == [2, 4, 1]
    assert [file.name for file in tmp_path.iterdir()] == ["measures.csv"]


def test_weights_in_pickle_are_refused(refused, tiny_folder, tmp_path):
    folder = tmp_path / "pickled"
    shutil.copytree(tiny_folder / "model", folder)
    (folder / "model.safetensors").unlink()
    with refused("holds no weights", "safetensors"):
        load_weights(str(folder))
    torch.save({}, folder / "pytorch_model.bin")
    with refused("pytorch_model.bin", "pickle", "save_pretrained"):
        load_weights(str(folder))


def test_damaged_weights_end_in_one_line(refused, tiny_folder, tmp_path):
    shutil.copytree(tiny_folder / "model", tmp_path / "cut")
    whole = (tiny_folder / "model" / "model.safetensors").read_bytes()
    (tmp_path / "cut" / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with refused("weights", "cannot be loaded"):
        load_weights(str(tmp_path / "cut"))


def test_a_folder_that_is_missing_or_empty(refused, tmp_path):
    with refused("model = './nowhere'", "no existing folder, no name on the hub"):
        load_weights("./nowhere")
    with refused("config.json"):
        load_tokenizer(str(tmp_path))


NO_MODELS = [
    "-rf",
    "$(touch x)",
    "a\0b/c",
    "owner/na\nme",
    "../..",
    "--x/y",
    "owner/\0",
    "owner/na me",
    "o/" + "x" * 5000,
]


@pytest.mark.parametrize("name", NO_MODELS)
@pytest.mark.parametrize("dry", [True, False])
def test_what_can_be_no_model_is_refused_before_a_gpu_is_asked_for(refused, tmp_path, name, dry):
    with refused("model = "):
        run(preset("llama-3.2-3b", model=name, dataset="generated", dry_run=dry), tmp_path)


def test_code_in_a_folder_of_weights_is_never_run(refused, tmp_path, monkeypatch):
    """Nor is anybody asked on the terminal whether it may."""
    tiny_model(byte_tokenizer()).save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    evil = {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil", "AutoTokenizer": ["evil.Evil", "evil.Evil"]}
    for name in ("config.json", "tokenizer_config.json"):
        content = json.loads((tmp_path / name).read_text()) | {"auto_map": evil, "model_type": "evil"}
        content |= {"tokenizer_class": "Evil"} if "tokenizer" in name else {}
        (tmp_path / name).write_text(json.dumps(content))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("the user was asked"))
    for load in (load_weights, load_tokenizer):
        with suppress(InputError):  # what it can do without the code is fine
            load(str(tmp_path))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", ["[]", "null", "1", "{"])
def test_a_damaged_folder_of_a_run_is_refused(refused, tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with refused(tmp_path / "config.json", "choose another folder"):
        own_folder(tmp_path, preset("llama-3.2-3b"))
    for text in ("phase,step\na\nb,1,2,3\n", "a,b\n1,2\n"):
        (tmp_path / "measures.csv").write_text(text)
        with refused(tmp_path / "measures.csv", "choose another folder"):
            Measures(tmp_path / "measures.csv")


def test_weights_that_are_not_here_without_a_network(refused):
    for load, kind in ((load_weights, "weights"), (load_tokenizer, "tokenizer")):
        with refused(f"{kind} nobody/nothing", "cannot be reached", "local folder"):
            load("nobody/nothing")


def test_weights_are_asked_for_without_pickle_or_foreign_code(monkeypatch):
    asked = {}
    monkeypatch.setattr(
        transformers.AutoModelForCausalLM, "from_pretrained", lambda *_, **options: asked.update(options)
    )
    load_weights("meta-llama/Llama-3.2-3B", "abc")
    assert asked["use_safetensors"] is True
    assert asked["revision"] == "abc"
    assert asked["trust_remote_code"] is False  # None would ask on the terminal whether to run it


# --- dry run ---


def test_a_local_tiny_model_rehearses_itself(tiny_folder, plain):
    model, tokenizer, _ = rehearsal(str(tiny_folder / "model"))
    kept = load_weights(str(tiny_folder / "model")).state_dict()
    assert all(torch.equal(kept[name], tensor) for name, tensor in model.state_dict().items())
    assert tokenizer.get_vocab() == plain.get_vocab()
    assert rehearsal("nobody/nothing-Instruct")[1].chat_template
    assert not rehearsal("nobody/nothing")[1].chat_template


def test_dry_run(tiny_folder, tmp_path, capfd):
    """The whole path of a preset, as a chapter calls it: both trainers, all measures, and few words."""
    lines: list[str] = []
    settings = dict(model="nobody/nothing-Instruct", dataset=str(tiny_folder), dry_run=True, beta=0.1, vllm=True)
    table = run(preset("llama-3.2-3b-instruct", **settings), tmp_path / "x", report=lines.append)
    assert list(zip(table["phase"], table["step"], strict=True)) == [("sft", 0), ("sft", 1), ("rl", 0), ("rl", 1)]
    assert (table["n_eval"] == 4).all()
    assert len(lines) == 5
    assert not (tmp_path / "x").exists()
    assert capfd.readouterr() == ("", "")  # nothing else, so that a chapter shows these lines alone
