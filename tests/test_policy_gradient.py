"""The loss on weighted answers: against exact gradients, torch's cross-entropy, TRL, and answers taken one by one."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_transformer import as_gpt2
from torch.nn import functional as F

from ntprl.policy_gradient import Part, answer_logits, distance, log_probabilities, pack, policy_loss, score
from ntprl.seeds import numpy_rng
from ntprl.tasks.parity import Parity
from ntprl.tasks.task import PAD, lengths
from ntprl.transformer import STYLES, Transformer
from ntprl.weightings import ALGORITHMS, reinforce

TASK = Parity(3)
both_styles = pytest.mark.parametrize("style", STYLES)


def plain_logits(model: Transformer, prompts: np.ndarray, answers: np.ndarray) -> torch.Tensor:
    """One whole text a row, nothing shared, nothing cached: logits before each token of the answers, (n, T, V)."""
    inputs = torch.as_tensor(np.concatenate((prompts, np.where(answers == PAD, 0, answers)), axis=1))
    return model(inputs[:, :-1])[:, prompts.shape[1] - 1 :]


def plain_logp(model: Transformer, prompts: np.ndarray, answers: np.ndarray, temperature: float) -> torch.Tensor:
    """log pi of each token, 0 for PAD, (n, T), by torch's cross-entropy."""
    logits = plain_logits(model, prompts, answers) / temperature
    return -F.cross_entropy(logits.mT, torch.as_tensor(answers), ignore_index=PAD, reduction="none")


def gradients(loss: torch.Tensor, model: Transformer) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, list(model.parameters())))


def loss_of(model, batch, temperature=1.0, old=None, reference=None, clip=0.2, kl=0.0) -> torch.Tensor:
    """The loss of a whole batch; `old` and `reference` are models, `old` None: the current policy."""
    olds = None if old is None else score(old, batch, temperature)
    references = None if reference is None else score(reference, batch, temperature)
    total = torch.zeros(())
    for i, (logits, part) in enumerate(zip(answer_logits(model, batch), batch.parts, strict=True)):
        logp = log_probabilities(logits, part.tokens, temperature)
        now = logp.detach() if olds is None else olds[i]
        total = total + policy_loss(logp, now, references and references[i], part, clip, kl)
    return total


def random_answers(n: int, width: int, seed: int, task: Parity = TASK) -> np.ndarray:
    """Answers of any length, some without EOS, some equal."""
    rng = np.random.default_rng(seed)
    answers = rng.integers(task.vocab_size, size=(n, width))
    answers[: n // 4] = [0, task.eos, *[0] * (width - 2)]  # copies
    ended = np.cumsum(answers == task.eos, axis=1) - (answers == task.eos) > 0
    answers[ended] = PAD
    return answers


def every_answer(task: Parity, max_new: int) -> np.ndarray:
    """All answers that sampling can give: those that end in EOS and those that are cut at max_new."""
    others = [token for token in range(task.vocab_size) if token != task.eos]
    rows = []
    for length in range(1, max_new + 1):
        last = range(task.vocab_size) if length == max_new else [task.eos]
        rows += [(*a, *[PAD] * (max_new - length)) for a in product(*[others] * (length - 1), last)]
    return np.array(rows)


# --- the forward pass ---


@both_styles
def test_shared_prompts_give_the_logits_and_gradients_of_whole_texts(lively_model, style):
    model = lively_model(TASK, style).double()
    prompts, answers = TASK.prompts(5, numpy_rng(0, "data")), random_answers(40, 4, seed=1)
    batch = pack(prompts, answers, np.ones((5, 8)), np.ones((5, 8)), "cpu")
    assert len(batch.parts) == 3  # one token, two, three to four
    shared, plain = [], []
    generator = torch.Generator().manual_seed(0)
    for logits, part in zip(answer_logits(model, batch), batch.parts, strict=True):
        expected = plain_logits(model, batch.prompts[part.rows].numpy(), part.tokens.numpy())
        torch.testing.assert_close(logits, expected, atol=1e-10, rtol=1e-10)
        weight = torch.randn(logits.shape, generator=generator, dtype=torch.double)
        shared.append((logits * weight).sum())
        plain.append((expected * weight).sum())
    torch.testing.assert_close(gradients(sum(shared), model), gradients(sum(plain), model), atol=1e-9, rtol=1e-9)


@both_styles
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_scores_are_log_probabilities_of_the_tempered_policy(lively_model, style, temperature):
    model = lively_model(TASK, style).double()
    prompts, answers = TASK.prompts(4, numpy_rng(0, "data")), random_answers(24, 4, seed=2)
    batch = pack(prompts, answers, np.ones((4, 6)), np.ones((4, 6)), "cpu")
    for scores, part in zip(score(model, batch, temperature), batch.parts, strict=True):
        expected = plain_logp(model, batch.prompts[part.rows].numpy(), part.tokens.numpy(), temperature)
        torch.testing.assert_close(scores, expected.detach(), atol=1e-10, rtol=1e-10)
        assert not scores.requires_grad


# --- packing ---


def one_by_one(model, prompts, answers, advantage, denominator, **options) -> torch.Tensor:
    """The same loss with each answer in a batch of its own: nothing merged, nothing padded, no prompt shared."""
    total = torch.zeros(())
    for i, answer in enumerate(answers):
        row = slice(i // advantage.shape[1], i // advantage.shape[1] + 1)
        a, d = ([[table.ravel()[i]]] for table in (advantage, denominator))
        alone = pack(prompts[row], answer[None, answer != PAD], np.array(a), np.array(d), "cpu", keep_all=True)
        total = total + loss_of(model, alone, **options)
    return total


@both_styles
@pytest.mark.parametrize("kl", [0.0, 0.7])
@pytest.mark.parametrize("clip", [0.0, 0.2])
def test_merging_equal_answers_is_exact(lively_model, style, kl, clip):
    """Random weights, so that equal answers pull in opposite directions; ratios that are clipped."""
    model, old, reference = (lively_model(TASK, style, scale=scale).double() for scale in (0.3, 0.34, 0.36))
    prompts, answers = TASK.prompts(4, numpy_rng(0, "data")), random_answers(24, 4, seed=3)
    rng = np.random.default_rng(0)
    advantage, denominator = rng.normal(size=(4, 6)), rng.uniform(1, 5, size=(4, 6))
    advantage[0, 3] = 0
    options = dict(temperature=1.3, old=old, reference=reference if kl else None, clip=clip, kl=kl)
    batch = pack(prompts, answers, advantage, denominator, "cpu", keep_all=kl > 0)
    assert sum(len(part.rows) for part in batch.parts) < 22
    assert any(((part.up > 0) & (part.down < 0)).any() for part in batch.parts)
    merged, alone = (
        loss_of(model, batch, **options),
        one_by_one(model, prompts, answers, advantage, denominator, **options),
    )
    torch.testing.assert_close(merged, alone, atol=1e-6, rtol=1e-6)  # weights are single precision
    torch.testing.assert_close(gradients(merged, model), gradients(alone, model), atol=1e-6, rtol=1e-5)


def test_a_pack_of_a_worked_batch():
    prompts = np.array([[0, 1, 1, 3], [1, 1, 1, 3], [0, 0, 0, 3]])
    answers = np.array([[0, 2, PAD], [0, 2, PAD], [1, 1, 2], [2, PAD, PAD], [0, 2, PAD], [0, 2, PAD]])
    advantage = np.array([[3.0, -1.0], [0.0, 0.0], [1.0, 0.0]])
    batch = pack(prompts, answers, advantage, np.full((3, 2), 2.0), "cpu")
    assert batch.prompts.tolist() == prompts[[0, 2]].tolist()  # nothing is said about the second
    [part] = batch.parts
    assert part.tokens.tolist() == [[0, 2], [0, 2]]  # the same answer to two prompts is two answers
    assert part.rows.tolist() == [0, 1]
    assert part.up.tolist() == [1.5, 0.5]
    assert part.down.tolist() == [-0.5, 0]
    assert part.inverse_d.tolist() == [1.0, 0.5]
    assert part.copies.tolist() == [2, 1]


def test_keep_all_keeps_answers_without_a_signal():
    prompts = np.array([[0, 1, 1, 3], [1, 1, 1, 3]])
    answers = np.array([[0, 2, PAD], [0, 2, PAD], [1, 1, 2], [2, PAD, PAD]])
    batch = pack(prompts, answers, np.zeros((2, 2)), np.full((2, 2), 4.0), "cpu", keep_all=True)
    assert batch.prompts.tolist() == prompts.tolist()
    assert sum(part.copies.sum().item() for part in batch.parts) == 4
    assert sum(part.inverse_d.sum().item() for part in batch.parts) == 1
    assert not any(part.up.any() or part.down.any() for part in batch.parts)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3)])
def test_no_signal_at_all_leaves_nothing_to_compute(lively_model, shape):
    prompts, answers = TASK.prompts(shape[0], numpy_rng(0, "data")), random_answers(shape[0] * shape[1], 4, seed=0)
    batch = pack(prompts, answers, np.zeros(shape), np.ones(shape), "cpu")
    assert batch.parts == []
    assert batch.prompts.shape == (0, 4)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_no_answer_is_padded_to_twice_its_length(all_lengths):
    answers = np.full((len(all_lengths), 40), PAD)
    for row, length in zip(answers, all_lengths, strict=True):
        row[:length] = 0
    ones = np.ones((1, len(all_lengths)))
    batch = pack(np.zeros((1, 4), int), answers, ones, ones, "cpu")
    seen = []
    for part in batch.parts:
        own = (part.tokens != PAD).sum(dim=1)
        assert part.tokens.shape[1] == own.max() < 2 * own.min()
        seen += np.repeat(own.numpy(), part.copies.int().numpy()).tolist()
    assert sorted(seen) == sorted(all_lengths)
    assert len(batch.parts) <= 7  # 1, 2, 3-4, 5-8, 9-16, 17-32, 33-40


# --- the loss ---


def one_token_part(up: float, down: float, n: int = 1) -> Part:
    one = torch.ones(n)
    return Part(torch.zeros(n, dtype=torch.long), torch.zeros(n, 1, dtype=torch.long), up * one, down * one, one, one)


@pytest.mark.parametrize(
    ("up", "down", "ratio", "loss", "slope"),
    [  # slope: of the loss in log pi
        (2, 0, 0.5, -1.0, -1.0),
        (2, 0, 1.0, -2.0, -2.0),
        (2, 0, 1.5, -2.4, 0.0),  # good and already likelier by more than clip: no more
        (0, -2, 0.5, 1.6, 0.0),  # bad and already less likely by more than clip
        (0, -2, 1.0, 2.0, 2.0),
        (0, -2, 1.5, 3.0, 3.0),
        (2, -1, 1.5, -2.4 + 1.5, 1.5),  # copies of one answer, judged differently
    ],
)
def test_clipping_of_a_worked_table(up, down, ratio, loss, slope):
    logp = torch.full((1, 1), -1.0, requires_grad=True)
    old = logp.detach() - np.log(ratio)
    value = policy_loss(logp, old, None, one_token_part(up, down), clip=0.2, kl=0)
    assert value.item() == pytest.approx(loss, rel=1e-6)
    assert torch.autograd.grad(value, logp)[0].item() == pytest.approx(slope, rel=1e-6)


def test_the_penalty_is_the_divergence_on_average():
    """Summed over all tokens with their probabilities: torch's own KL(pi || reference)."""
    logits = torch.randn(2, 6, generator=torch.Generator().manual_seed(0))
    now, reference = (torch.distributions.Categorical(logits=x) for x in logits)
    part = one_token_part(0, 0, 6)._replace(inverse_d=now.probs)
    logp, log_reference = now.logits[:, None], reference.logits[:, None]
    value = policy_loss(logp, logp, log_reference, part, clip=0.2, kl=3.0)
    assert value.item() == pytest.approx(3 * torch.distributions.kl_divergence(now, reference).item(), rel=1e-5)


# --- STaR and torch ---


@both_styles
def test_star_is_cross_entropy_on_what_is_kept(lively_model, style):
    """Mean over all tokens of all kept answers, copies included; loss up to a constant, gradient exactly."""
    model = lively_model(TASK, style).double()
    prompts, answers = TASK.prompts(6, numpy_rng(0, "data")), random_answers(48, 4, seed=4)
    rewards = np.random.default_rng(1).integers(2, size=(6, 8)).astype(float)
    rewards[2] = 0
    weights = ALGORITHMS["star"].weigh(rewards, (answers != PAD).sum(axis=1).reshape(6, 8))
    ours = gradients(loss_of(model, pack(prompts, answers, *weights, "cpu")), model)
    kept = rewards.ravel() > 0
    logits = plain_logits(model, prompts.repeat(8, axis=0)[kept], answers[kept])
    labels = torch.as_tensor(answers[kept])
    theirs = gradients(F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=PAD), model)
    assert sum(gradient.norm() for gradient in theirs) > 0.1
    for mine, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, expected, atol=1e-7, rtol=1e-6)


# --- REINFORCE and the exact gradient of the expected reward ---


@both_styles
@pytest.mark.parametrize("temperature", [0.6, 1.0, 2.5])
@pytest.mark.parametrize("baseline", [0.0, 0.4])
def test_reinforce_follows_the_gradient_of_the_expected_reward(lively_model, style, temperature, baseline):
    """All answers to each prompt, weighed by their probability: the expectation itself, no sampling noise."""
    model, task = lively_model(TASK, style).double(), TASK
    prompts, answers = task.prompts(3, numpy_rng(0, "data")), every_answer(task, 4)
    n = len(answers)
    asked, written = prompts.repeat(n, axis=0), np.tile(answers, (3, 1))
    rewards = task.r_e2e(asked, written) + np.random.default_rng(0).normal(size=3 * n)
    probability = plain_logp(model, asked, written, temperature).sum(dim=1).exp()
    assert probability.sum().item() == pytest.approx(3, rel=1e-9)
    exact = gradients((probability * torch.as_tensor(rewards)).sum(), model)
    advantage = (probability.detach().numpy() * (rewards - baseline)).reshape(3, n)
    ours = gradients(loss_of(model, pack(prompts, written, advantage, np.ones((3, n)), "cpu"), temperature), model)
    assert sum(gradient.norm() for gradient in exact) > 0.1
    for mine, expected in zip(ours, exact, strict=True):
        torch.testing.assert_close(mine, -expected, atol=1e-6, rtol=1e-5)  # weights are single precision


def test_a_reinforce_step_is_right_on_average_but_for_the_documented_factor(lively_model):
    """All pairs of answers to one prompt, weighed as `reinforce` does: 1 - 1/2 of the exact gradient."""
    task = Parity(2)
    model, prompt, answers = lively_model(task).double(), np.array([[0, 1, 3]]), every_answer(task, 2)
    n = len(answers)
    rewards = np.random.default_rng(0).normal(size=n)
    probability = plain_logp(model, prompt.repeat(n, axis=0), answers, 1.0).sum(dim=1).exp()
    exact = gradients((probability * torch.as_tensor(rewards)).sum(), model)
    p, pairs = probability.detach().numpy(), np.array(list(product(range(n), repeat=2)))
    advantage = [reinforce(rewards[None, pair], np.full((1, 2), 2)) for pair in pairs]
    chance = p[pairs].prod(axis=1)  # of drawing that pair
    weights = np.array([chance[i] * (a / d)[0] for i, (a, d) in enumerate(advantage)])
    batch = pack(prompt, answers[pairs.ravel()], weights.reshape(1, -1), np.ones((1, 2 * n * n)), "cpu")
    for mine, expected in zip(gradients(loss_of(model, batch), model), exact, strict=True):
        torch.testing.assert_close(mine, -0.5 * expected, atol=1e-6, rtol=1e-5)


# --- GRPO and TRL ---

GROUP, TEMPERATURE, CLIP = 4, 0.7, 0.2
TRL_PROMPTS = np.array([[0, 1, 1, 3], [1, 0, 1, 3], [0, 1, 1, 3]])
TRL_ANSWERS = [  # the third is cut
    *([0, 1, 2], [1, 2], [0, 0, 0, 1], [2]),
    *([1, 2], [1, 2], [0, 2], [1, 0, 1, 2]),
    *([0, 2], [0, 2], [0, 2], [1, 1, 0, 2]),
]
TRL_REWARDS = np.array([[1.0, 0, 0.5, 0], [1, 1, 1, 1], [0, 1, 0, 0]])  # equal answers may be judged differently


@pytest.fixture(scope="module")
def trl_trainer(tmp_path_factory):
    """TRL's trainer around a library model, given our answers and rewards: make(model, loss_type)."""
    pytest.importorskip("trl")
    from datasets import Dataset
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast
    from trl import GRPOConfig, GRPOTrainer

    words = Tokenizer(models.WordLevel({"0": 0, "1": 1, ".": 2, "|": 3, "?": 4}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token=".", pad_token=".")

    def given_answers(prompts, trainer):
        ids = TRL_PROMPTS.repeat(GROUP, axis=0).tolist()
        return {"prompt_ids": ids, "completion_ids": TRL_ANSWERS, "logprobs": None}

    def given_rewards(completions, **_):
        return TRL_REWARDS.ravel().tolist()

    def make(model: Transformer, loss_type: str) -> GRPOTrainer:
        settings = dict(beta=0.0, epsilon=CLIP, temperature=TEMPERATURE, num_generations=GROUP, max_completion_length=4)
        settings |= dict(per_device_train_batch_size=TRL_REWARDS.size, disable_dropout=True, use_cpu=True, bf16=False)
        folder = str(tmp_path_factory.mktemp("trl"))
        config = GRPOConfig(output_dir=folder, loss_type=loss_type, report_to=[], **settings)
        texts = Dataset.from_dict({"prompt": [TASK.text(prompt) for prompt in TRL_PROMPTS]})
        given = dict(args=config, train_dataset=texts, processing_class=tokenizer, rollout_func=given_answers)
        trainer = GRPOTrainer(as_gpt2(model), given_rewards, **given)
        trainer.model.train()
        trainer.current_gradient_accumulation_steps = 1  # set by `train`
        trainer.args.use_bias_correction_kl = False  # TRL's default is another penalty than GRPO's (DeepSeek-V3.2's)
        return trainer

    return make


@pytest.mark.filterwarnings("ignore")  # experimental and deprecated parts of the libraries
@pytest.mark.parametrize("beta", [0.0, 0.3])
@pytest.mark.parametrize(("name", "loss_type"), [("grpo", "dapo"), ("grpo", "bnpo"), ("grpo_published", "grpo")])
def test_grpo_is_that_of_trl(lively_model, trl_trainer, name, loss_type, beta):
    """From rewards to the gradient of every parameter, away from the policy that wrote the answers."""
    longer = Parity(4)  # the library model also reads the last token of an answer
    model, old, reference = (lively_model(longer, scale=scale) for scale in (0.3, 0.32, 0.35))
    prompts = TRL_PROMPTS.repeat(GROUP, axis=0)
    answers = np.array([row + [PAD] * (4 - len(row)) for row in TRL_ANSWERS])

    trainer = trl_trainer(model, loss_type)
    inputs = trainer._generate_and_score_completions([{"prompt": TASK.text(prompt)} for prompt in prompts])
    assert inputs["prompt_ids"].tolist() == prompts.tolist()
    assert inputs["completion_ids"].where(inputs["completion_mask"] == 1, PAD).tolist() == answers.tolist()
    with torch.no_grad():
        inputs["old_per_token_logps"] = plain_logp(old, prompts, answers, TEMPERATURE)
        inputs["ref_per_token_logps"] = plain_logp(reference, prompts, answers, TEMPERATURE)
    trainer.beta = beta
    theirs = trainer._compute_loss(trainer.model, inputs)
    theirs.backward()
    clipped = trainer._metrics["train"]
    assert 0 < clipped["clip_ratio/low_mean"][0] < 0.5
    assert 0 < clipped["clip_ratio/high_mean"][0] < 0.5

    n_tokens = (answers != PAD).sum(axis=1).reshape(3, GROUP)
    batch = pack(TRL_PROMPTS, answers, *ALGORITHMS[name].weigh(TRL_REWARDS, n_tokens), "cpu", keep_all=beta > 0)
    ours = loss_of(model, batch, TEMPERATURE, old, reference if beta else None, CLIP, beta)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-4, abs=1e-6)
    in_their_layout = lively_model(longer)
    with torch.no_grad():
        for parameter, gradient in zip(in_their_layout.parameters(), gradients(ours, model), strict=True):
            parameter.copy_(gradient)
    mine = dict(as_gpt2(in_their_layout).named_parameters())
    for parameter, expected in trainer.model.named_parameters():
        torch.testing.assert_close(mine[parameter], expected.grad, atol=1e-5, rtol=1e-4)


# --- how far a model has moved ---


@both_styles
@torch.no_grad()
def test_entropy_and_divergence_token_by_token(lively_model, style):
    """Each token of each answer, copies included, with torch's own distributions."""
    model, start = lively_model(TASK, style), lively_model(TASK, style, scale=0.4)
    prompts, answers = TASK.prompts(4, numpy_rng(0, "data")), random_answers(20, 4, seed=5)
    entropies, divergences = [], []
    for prompt, answer in zip(prompts.repeat(5, axis=0).tolist(), answers.tolist(), strict=True):
        total = 0.0
        for i in range(sum(token != PAD for token in answer)):
            text = torch.tensor([[*prompt, *answer[:i]]])
            now, then = (torch.distributions.Categorical(logits=m(text)[0, -1]) for m in (model, start))
            entropies.append(now.entropy().item())
            total += torch.distributions.kl_divergence(now, then).item()
        divergences.append(total)
    measured = distance(model, start, prompts, answers)
    assert measured["entropy"] == pytest.approx(np.mean(entropies), rel=1e-5)
    assert measured["kl_from_start"] == pytest.approx(np.mean(divergences), rel=1e-4)
    assert measured["kl_from_start"] > 0.01
    assert distance(model, model, prompts, answers)["kl_from_start"] == pytest.approx(0, abs=1e-6)


def test_helpers_make_what_they_say():
    answers = random_answers(40, 4, seed=0)
    assert set(lengths(answers, TASK.eos).tolist()) == {0, 1, 2, 3, 4}
    assert len(np.unique(answers, axis=0)) < 35
    assert len(every_answer(TASK, 2)) == 1 + 3 * 4
