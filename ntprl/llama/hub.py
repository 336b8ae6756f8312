"""Optional libraries and the Hugging Face hub: what can go wrong with them, each in one line that says what to do."""

import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType

from ntprl.errors import InputError, install_command

LIVE = {"transformers", "tokenizers", "huggingface_hub"}  # of the extra llama; what else may be missing is of trl

# For everything that is loaded: None, the default, would ask on the terminal whether to run code that lies beside it.
NO_CODE = {"trust_remote_code": False}

# Names of exception classes, since the libraries move the classes themselves from version to version.
GATED = {"GatedRepoError"}
UNKNOWN = {"RepositoryNotFoundError", "DatasetNotFoundError"}
NO_REVISION = {"RevisionNotFoundError"}
UNREACHABLE = {
    "OfflineModeIsEnabled",
    "LocalEntryNotFoundError",
    "ConnectionError",
    "ConnectError",
    "ConnectTimeout",
    "TimeoutException",
}


def needed(module: str) -> ModuleType:
    """An optional library, imported now; an InputError if it is not installed."""
    try:
        with warnings.catch_warnings():  # a notebook without widgets is no fault
            warnings.filterwarnings("ignore", message="IProgress not found")
            return importlib.import_module(module)
    except ImportError as error:
        missing = (error.name or module).split(".")[0]
        if missing == "vllm":
            raise InputError("vllm = True needs the package vllm: pip install vllm, or set vllm = False") from None
        extra = "llama" if missing in LIVE else "trl"
        raise InputError(
            f"the Llama experiments need the package {missing} ({error}): {install_command(extra)}"
        ) from None


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and no notes about coming versions from the libraries: their errors still come through."""
    log = needed("transformers").utils.logging
    level, had_bars = log.get_verbosity(), log.is_progress_bar_enabled()
    datasets = needed("datasets") if find_spec("datasets") else None
    datasets_had_bars = datasets is not None and not datasets.are_progress_bars_disabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    if datasets_had_bars:
        datasets.disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        log.set_verbosity(level)
        if had_bars:
            log.enable_progress_bar()
        if datasets_had_bars:
            datasets.enable_progress_bars()


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what led to it, without end only if errors point at each other in a circle."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def explain(error: BaseException, kind: str, name: str) -> InputError:
    """One line for an error met while loading `name` (kind: weights, tokenizer or data set) from the hub."""
    classes = {cls.__name__ for link in _chain(error) for cls in type(link).__mro__}
    address = f"https://huggingface.co/{'datasets/' if kind == 'data set' else ''}{name}"
    if classes & GATED:
        return InputError(
            f"the {kind} of {name} is gated: accept its licence at {address}, then log in with `hf auth login`"
        )
    if classes & NO_REVISION:
        return InputError(f"the {kind} of {name} has no such revision: see {address}/commits/main")
    if classes & UNKNOWN:
        return InputError(
            f"there is no {kind} {name} on the hub, or it is private: check the name, or log in with `hf auth login`"
        )
    if classes & UNREACHABLE:
        return InputError(
            f"the {kind} {name} is not on this machine and the hub cannot be reached: "
            "connect to a network (and unset HF_HUB_OFFLINE), or give a local folder"
        )
    message = " ".join(str(error).split())[:300]
    return InputError(f"the {kind} {name} cannot be loaded ({type(error).__name__}: {message})")
