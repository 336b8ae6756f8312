"""Chapters as papermill runs them: parameters are used, bad ones end in one line."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from IPython.display import display

from ntprl.errors import InputError
from ntprl.llama.weights import byte_tokenizer, tiny_model

ROOT = Path(__file__).resolve().parent.parent
slow = pytest.mark.slow  # a kernel starts


def run(tmp_path: Path, chapter: str, *parameters: str) -> tuple[int, str, str]:
    """(exit code, all text output of the chapter, last line of papermill's messages)."""
    out = tmp_path / "out.ipynb"
    command = [sys.executable, "-m", "papermill", f"chapters/{chapter}.ipynb", str(out), "--no-progress-bar"]
    pairs = [part for pair in parameters for part in ("-p", *pair.split("="))]
    done = subprocess.run([*command, *pairs], cwd=ROOT, capture_output=True, text=True)
    cells = nbformat.read(out, as_version=4).cells if out.exists() else []
    outputs = [output.get("text", "") for cell in cells for output in cell.get("outputs", [])]
    return done.returncode, "\n".join(outputs), done.stderr.strip().splitlines()[-1] if done.stderr.strip() else ""


@slow
def test_changed_parameters_show_in_the_output(tmp_path):
    code, text, _ = run(tmp_path, "02_pretraining_threshold", "profile=smoke", "d=12", "p_cot=0.5")
    assert code == 0
    assert "d = 12, p_cot = 0.5, seed 0, profile smoke" in text


@slow
def test_recovery_takes_its_parameters(tmp_path):
    parameters = (
        "profile=smoke",
        "d=10",
        "p_cot=0.05",
        "algorithm=star",
        "reward=r_cot",
        "rounds=2",
        "temperature=1.5",
        "kl=0.05",
    )
    code, text, _ = run(tmp_path, "04_rl_recovery", *parameters)
    assert code == 0
    assert "d = 10, p_cot = 0.05, seed 0, profile smoke" in text
    assert "star with r_cot at temperature 1.5: 2 rounds" in text


@slow
def test_the_linear_chain_takes_its_parameters(tmp_path):
    code, text, _ = run(tmp_path, "03_linear_chain", "profile=smoke", "d=12", "p_cot=0.4", "n_samples=40000")
    assert code == 0
    assert "d = 12, p_cot = 0.4, seed 0, profile smoke" in text
    assert "40,000 demonstrations; 256 inputs measured" in text
    assert "greedy answers: the right chain" in text


@slow
def test_multiplication_takes_its_parameters(tmp_path):
    code, text, _ = run(tmp_path, "06_multiplication", "profile=smoke", "k=3", "p_cot=0.5", "algorithm=star")
    assert code == 0
    assert "k = 3, p_cot = 0.5, seed 0, profile smoke" in text
    assert "2 rounds of star" in text


@slow
def test_parity_in_words_takes_its_parameters(tmp_path):
    code, text, _ = run(tmp_path, "07_llama", "profile=smoke", "p_cot=0.5", "steps=10")
    assert code == 0
    assert "3 people, p_cot = 0.5, seed 0, profile smoke" in text
    assert "10 steps of 16 demonstrations" in text


@slow
def test_a_dry_run_goes_through_both_phases_by_trl(tmp_path):
    pytest.importorskip("trl")
    tokenizer = byte_tokenizer()
    for part in (tokenizer, tiny_model(tokenizer)):
        part.save_pretrained(tmp_path / "model")
    rows = [
        {"question": f"What is {n} and 1?", "answer": f"<<{n}+1={n + 1}>>It is {n + 1}.\n#### {n + 1}"}
        for n in range(60)
    ]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, text, _ = run(tmp_path, "07_llama", f"model={tmp_path / 'model'}", f"dataset={tmp_path}", "dry_run=True")
    assert code == 0
    assert "sft: 1 step" in text and "rl: 1 step" in text and "dry run done" in text
    assert "people, p_cot" not in text  # instead of the rest of the page


@slow
@pytest.mark.parametrize("chapter", ["01_data_mixture", "09_scorecard"])
def test_the_smoke_profile_runs(tmp_path, chapter):
    assert run(tmp_path, chapter, "profile=smoke", "seed=3")[0] == 0


NOT_ALLOWED = "InputError: {} is not allowed: {} must be {}"
AT_LEAST_1 = "a whole number of at least 1"
ALGORITHMS = "one of grpo, grpo_published, reinforce, star"


BAD = [
    ("01_data_mixture", "p_cot=1.5", NOT_ALLOWED.format("p_cot = 1.5", "p_cot", "a number in [0, 1]")),
    ("01_data_mixture", "p_cot=many", NOT_ALLOWED.format("p_cot = 'many'", "p_cot", "a number")),
    ("01_data_mixture", "d=2.5", NOT_ALLOWED.format("d = 2.5", "d", "a whole number")),
    (
        "01_data_mixture",
        "pcot=0.1",
        "InputError: parameter pcot = 0.1 is unknown: known are profile, seed, device, d, p_cot",
    ),
    (
        "06_multiplication",
        "k=10",
        "InputError: k = 10 is not allowed: k must be at most 9: the product has 2k digits and 63 bits",
    ),
    (
        "07_llama",
        "preset=llama-4",
        NOT_ALLOWED.format(
            "preset = 'llama-4'",
            "preset",
            "one of llama-3.1-8b, llama-3.1-8b-instruct, llama-3.2-3b, llama-3.2-3b-instruct, smollm2",
        ),
    ),
    (
        "07_llama",
        "model=/no/such/folder",
        "InputError: model = '/no/such/folder' is no existing folder, no name on the hub (owner/name) "
        "and not 'smollm2'",
    ),
    ("07_llama", "dataset=coin", NOT_ALLOWED.format("model = ''", "model", "'smollm2' where dataset = 'coin'")),
    ("03_linear_chain", "d=2", NOT_ALLOWED.format("d = 2", "d", "a whole number of at least 3")),
    ("03_linear_chain", "p_cot=1.0", NOT_ALLOWED.format("p_cot = 1.0", "p_cot", "a number above 0 and below 1")),
    (
        "03_linear_chain",
        "n_samples=-5",
        NOT_ALLOWED.format("n_samples = -5", "n_samples", "a whole number of at least 1"),
    ),
    ("04_rl_recovery", "algorithm=ppo", NOT_ALLOWED.format("algorithm = 'ppo'", "algorithm", ALGORITHMS)),
    ("04_rl_recovery", "reward=length", NOT_ALLOWED.format("reward = 'length'", "reward", "one of coin, r_cot, r_e2e")),
    ("04_rl_recovery", "temperature=0", NOT_ALLOWED.format("temperature = 0", "temperature", "a number above 0")),
    ("04_rl_recovery", "temperature=hot", NOT_ALLOWED.format("temperature = 'hot'", "temperature", "a number")),
    ("04_rl_recovery", "rounds=-1", NOT_ALLOWED.format("rounds = -1", "rounds", "a whole number of at least 0")),
    ("04_rl_recovery", "kl=-1", NOT_ALLOWED.format("kl = -1", "kl", "a finite number of at least 0")),
    ("04_rl_recovery", "kl=much", NOT_ALLOWED.format("kl = 'much'", "kl", "a number")),
]


def begin(chapter: str, name: str, value: object) -> None:
    """What papermill's kernel does first: the parameters, the one that is given, the chapter's first cell of code."""
    cells = [cell for cell in nbformat.read(ROOT / "chapters" / f"{chapter}.ipynb", as_version=4).cells]
    bootstrap, parameters, first, *_ = (cell.source for cell in cells if cell.cell_type == "code")
    namespace = {"__name__": "__main__", "display": display}
    exec(compile(parameters, "parameters", "exec"), namespace)
    namespace[name] = value
    exec(compile(first, "first cell", "exec"), namespace)


@pytest.mark.parametrize(("chapter", "parameter", "line"), BAD)
def test_a_bad_parameter_is_refused_in_one_line(chapter, parameter, line):
    name, _, text = parameter.partition("=")
    if name == "model":
        pytest.importorskip("trl")  # which is asked for before the machine is looked at
    with pytest.raises(InputError) as caught:
        begin(chapter, name, yaml.safe_load(text))  # papermill reads values as YAML
    assert f"InputError: {caught.value}" == line


@pytest.mark.parametrize("chapter", sorted(path.stem for path in (ROOT / "chapters").glob("*.ipynb")))
def test_the_parameters_as_they_stand_are_not_refused(chapter):
    begin(chapter, "seed", 1)


@pytest.mark.parametrize("name", ["PAPERMILL_INPUT_PATH", "PAPERMILL_OUTPUT_PATH"])
def test_what_papermill_injects_is_no_parameter(name):
    """With --inject-paths, --inject-input-path or --inject-output-path."""
    begin("01_data_mixture", name, "somewhere/out.ipynb")


@pytest.mark.parametrize("name, value", [("PAPERMILL_INPUT", "a.ipynb"), ("sizes", {"d": 3})])
def test_no_other_name_passes(name, value):
    with pytest.raises(InputError, match=f"parameter {name} = .* is unknown"):
        begin("01_data_mixture", name, value)


@slow
@pytest.mark.parametrize(("chapter", "parameter", "line"), [BAD[3], BAD[-1]])
def test_papermill_ends_with_that_line(tmp_path, chapter, parameter, line):
    code, _, last = run(tmp_path, chapter, parameter)
    assert code != 0
    assert last == line
