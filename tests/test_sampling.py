"""Generation: greedy against a loop without cache, draws against enumerated probabilities."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from ntprl.sampling import greedy, sample
from ntprl.seeds import numpy_rng, torch_rng
from ntprl.tasks.parity import Parity
from ntprl.tasks.task import PAD, lengths
from ntprl.transformer import STYLES


@torch.no_grad()
def slow_greedy(model, prompt: list[int], eos: int, max_new: int) -> list[int]:
    """One prompt, everything computed again for every token."""
    answer: list[int] = []
    while len(answer) < max_new and eos not in answer:
        answer.append(int(model(torch.tensor([[*prompt, *answer]]))[0, -1].argmax()))
    return answer + [PAD] * (max_new - len(answer))


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("max_new", [1, 3, 6])
def test_greedy_equals_a_slow_loop_without_cache(lively_model, style, max_new):
    task = Parity(5, 3)
    model = lively_model(task, style, seed=5)
    prompts = task.prompts(60, numpy_rng(0, "evaluation"))
    answers = greedy(model, prompts, task.eos, max_new)
    slow = np.array([slow_greedy(model, prompt, task.eos, max_new) for prompt in prompts.tolist()])
    assert answers.tolist() == slow[:, : answers.shape[1]].tolist()
    assert (slow[:, answers.shape[1] :] == PAD).all()
    if max_new == 6:
        assert len(set(lengths(answers, task.eos))) >= 3  # rows ended at different times


@torch.no_grad()
def answer_probabilities(model, prompt: list[int], task: Parity, max_new: int, temperature: float) -> dict:
    """Probability of every answer, by teacher forcing: those that end in EOS and those cut at max_new."""
    table = {}
    for length in range(1, max_new + 1):
        others = [token for token in range(task.vocab_size) if token != task.eos]
        last = range(task.vocab_size) if length == max_new else [task.eos]
        for answer in product(*[others] * (length - 1), last):
            probability = 1.0
            for i, token in enumerate(answer):
                logits = model(torch.tensor([[*prompt, *answer[:i]]]))[0, -1].double()
                powers = logits.exp() ** (1 / temperature)
                probability *= float(powers[token] / powers.sum())
            table[answer + (PAD,) * (max_new - length)] = probability
    return table


def counts_of(answers: np.ndarray, table: dict) -> np.ndarray:
    """How often each answer of the table was drawn, in its order; nothing else was."""
    order = {answer: i for i, answer in enumerate(table)}
    return np.bincount([order[answer] for answer in map(tuple, answers.tolist())], minlength=len(order))


def chi_square(observed: np.ndarray, expected: np.ndarray) -> float:
    """p-value; cells of fewer than 5 expected draws are taken together."""
    rare = expected < 5
    cells = [np.append(x[~rare], x[rare].sum()) for x in (observed, expected)]
    return chisquare(*(cell[cells[1] > 0] for cell in cells)).pvalue


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_exact_distribution(lively_model, temperature, together):
    """Chi-square over all answers to each of two prompts, drawn in one batch, or those to a prompt together."""
    task, n, max_new = Parity(2), 8000, 3
    model = lively_model(task, width=8, scale=0.1)
    prompts = np.array([[0, 1, 3], [1, 1, 3]])
    asked, group = (prompts, n) if together else (prompts.repeat(n, axis=0), 1)
    answers = sample(model, asked, task.eos, max_new, temperature, torch_rng(0, "sampling"), group)
    assert answers.shape == (2 * n, max_new)
    for prompt, drawn in zip(prompts.tolist(), np.split(answers, 2), strict=True):
        table = answer_probabilities(model, prompt, task, max_new, temperature)
        assert sum(table.values()) == pytest.approx(1)
        assert chi_square(counts_of(drawn, table), n * np.array(list(table.values()))) > 1e-4


def scripted(task: Parity):
    """A rule that writes as many zeros as the prompt has ones, then EOS."""

    def rule(tokens: list[int]) -> list[float]:
        ones, written = sum(tokens[: task.d]), len(tokens) - task.prompt_length
        return [float(token == (0 if written < ones else task.eos)) for token in range(task.vocab_size)]

    return rule


def test_finished_rows_are_pad_and_leave_the_batch(stand_in):
    task = Parity(4)
    model = stand_in(scripted(task))
    prompts = np.array([(*x, task.separator) for x in product((0, 1), repeat=4)])
    ones = prompts[:, :4].sum(axis=1)
    answers = sample(model, prompts, task.eos, 5, 1.0, torch_rng(0, "sampling"))
    assert answers.tolist() == [[0] * k + [task.eos] + [PAD] * (4 - k) for k in ones.tolist()]
    assert [tuple(tokens.shape) for tokens in model.fed] == [(16, 5), (15, 1), (11, 1), (5, 1), (1, 1)]
    assert all((tokens != task.eos).all() and (tokens != PAD).all() for tokens in model.fed)


def test_max_new_cuts_and_early_ends_shorten(stand_in):
    task = Parity(4)
    prompts = np.array([[1, 1, 0, 1, 3], [1, 0, 0, 0, 3]])
    assert greedy(stand_in(scripted(task)), prompts, task.eos, 2).tolist() == [[0, 0], [0, 2]]
    assert greedy(stand_in(scripted(task)), prompts, task.eos, 9).shape == (2, 4)  # the longest, EOS included


def test_no_prompts_is_fine(lively_model):
    for group in (1, 5):
        assert sample(lively_model(Parity(3)), np.empty((0, 4), int), 2, 4, group=group).shape == (0, 4)


def test_answers_depend_on_the_generator_alone(lively_model):
    task = Parity(5)
    model, prompts = lively_model(task), task.prompts(50, numpy_rng(0, "evaluation"))

    def answers(global_seed: int, seed: int) -> list:
        torch.manual_seed(global_seed)
        return sample(model, prompts, task.eos, 6, 1.0, torch_rng(seed, "sampling")).tolist()

    assert answers(0, 3) == answers(1, 3)
    assert answers(0, 3) != answers(0, 4)


def test_a_low_temperature_is_nearly_greedy(lively_model):
    task = Parity(5)
    model, prompts = lively_model(task), task.prompts(50, numpy_rng(0, "evaluation"))
    cold = sample(model, prompts, task.eos, 6, 1e-5, torch_rng(0, "sampling"))
    assert cold.tolist() == greedy(model, prompts, task.eos, 6).tolist()


def test_answers_of_a_group_are_independent(lively_model):
    """The first and the second answer to a prompt: all pairs, chi-square against the product."""
    task, n, max_new = Parity(2), 12000, 2
    model = lively_model(task, width=8, scale=0.1)
    prompt = np.array([[0, 1, 3]])
    table = answer_probabilities(model, prompt[0].tolist(), task, max_new, 1.0)
    answers = sample(model, prompt.repeat(n, axis=0), task.eos, max_new, 1.0, torch_rng(0, "sampling"), group=2)
    order = {answer: i for i, answer in enumerate(table)}
    index = np.array([order[answer] for answer in map(tuple, answers.tolist())]).reshape(n, 2)
    observed = np.bincount(index @ [len(table), 1], minlength=len(table) ** 2)
    p = np.array(list(table.values()))
    expected = n * np.outer(p, p).ravel()
    assert (expected >= 5).sum() > 50
    assert chi_square(observed, expected) > 1e-4


@pytest.mark.parametrize("style", STYLES)
@torch.no_grad()
def test_a_group_is_drawn_token_by_token_as_from_whole_texts(lively_model, style):
    """The same generator, nothing shared and nothing cached: the same answers, those of a prompt side by side."""
    task = Parity(4, 3)
    model, prompts = lively_model(task, style, scale=0.1), task.prompts(20, numpy_rng(0, "evaluation"))
    answers = sample(model, prompts, task.eos, 5, 1.0, torch_rng(0, "sampling"), group=3)
    generator = torch_rng(0, "sampling")
    texts, slow = prompts.repeat(3, axis=0), np.full((60, 5), PAD)
    alive = np.arange(60)
    for t in range(5):
        so_far = np.concatenate((texts[alive], slow[alive, :t]), axis=1)
        probabilities = model(torch.as_tensor(so_far))[:, -1].softmax(dim=-1)
        slow[alive, t] = torch.multinomial(probabilities, 1, generator=generator)[:, 0]
        alive = alive[slow[alive, t] != task.eos]
    assert answers.tolist() == slow.tolist()
    assert 0 < len(alive) < 60
    alone = sample(model, prompts.repeat(3, axis=0), task.eos, 5, 1.0, torch_rng(0, "sampling"))
    assert alone.tolist() == slow.tolist()


@pytest.mark.parametrize("style", STYLES)
def test_a_greedy_group_is_copies_of_the_slow_answer(lively_model, style):
    task = Parity(5, 3)
    model, prompts = lively_model(task, style, seed=5), task.prompts(20, numpy_rng(0, "evaluation"))
    answers = sample(model, prompts, task.eos, 6, temperature=0, group=3).reshape(20, 3, -1)
    slow = np.array([slow_greedy(model, prompt, task.eos, 6) for prompt in prompts.tolist()])
    for copy in range(3):
        assert answers[:, copy].tolist() == slow[:, : answers.shape[2]].tolist()


def test_each_distinct_text_is_read_once(stand_in):
    """Four equal answers to each prompt cost no more than one."""
    task = Parity(4)
    one, four = stand_in(scripted(task)), stand_in(scripted(task))
    prompts = np.array([(*x, task.separator) for x in product((0, 1), repeat=4)])
    alone = sample(one, prompts, task.eos, 5, 1.0, torch_rng(0, "sampling"))
    together = sample(four, prompts, task.eos, 5, 1.0, torch_rng(0, "sampling"), group=4)
    assert together.tolist() == alone.repeat(4, axis=0).tolist()
    assert [tokens.tolist() for tokens in four.fed] == [tokens.tolist() for tokens in one.fed]


@pytest.mark.parametrize("min_length", [0, 1, 3, 6])
def test_no_answer_ends_before_its_least_length(lively_model, min_length):
    """And at temperature 0 it is the likeliest token but EOS that is written until then."""
    task = Parity(5)
    model, prompts = lively_model(task, seed=5), task.prompts(40, numpy_rng(0, "evaluation"))
    for temperature in (0, 1.0, 3.0):
        answers = sample(model, prompts, task.eos, 6, temperature, torch_rng(0, "sampling"), 2, min_length)
        assert (lengths(answers, task.eos) >= min_length).all()
        assert not (answers[:, :min_length] == task.eos).any()
    answers = sample(model, prompts, task.eos, 6, 0, min_length=min_length)
    for prompt, answer in zip(prompts.tolist(), answers.tolist(), strict=True):
        slow: list[int] = []
        while len(slow) < 6 and task.eos not in slow:
            with torch.no_grad():
                logits = model(torch.tensor([[*prompt, *slow]]))[0, -1].tolist()
            allowed = [t for t in range(task.vocab_size) if t != task.eos or len(slow) >= min_length]
            slow.append(max(allowed, key=lambda t: logits[t]))
        assert [token for token in answer if token != PAD] == slow


def test_forbidding_the_end_leaves_the_rest_in_proportion(lively_model):
    """Chi-square: the exact distribution given that the first token is not EOS."""
    task, n = Parity(2), 8000
    model, prompt = lively_model(task, width=8, scale=0.1), np.array([[0, 1, 3]])
    table = answer_probabilities(model, prompt[0].tolist(), task, 2, 1.0)
    table = {answer: p for answer, p in table.items() if answer[0] != task.eos}
    expected = n * np.array(list(table.values())) / sum(table.values())
    answers = sample(model, prompt, task.eos, 2, 1.0, torch_rng(0, "sampling"), n, min_length=1)
    assert chi_square(counts_of(answers, table), expected) > 1e-4


@pytest.mark.parametrize(("name", "value"), [("temperature", -0.5), ("max_new", 0), ("group", 0), ("min_length", -1)])
def test_bad_settings_are_refused(lively_model, refused, name, value):
    with refused(f"{name} = {value!r}"):
        sample(lively_model(Parity(3)), np.array([[0, 0, 0, 3]]), 2, **{"max_new": 4} | {name: value})
