"""Models and tokenizers: loaded from safetensors alone, without code from elsewhere; and tiny random ones."""

import re
from pathlib import Path
from typing import Any

from ntprl.errors import InputError, existing_path, shown
from ntprl.llama.hub import NO_CODE, explain, needed, quiet
from ntprl.llama.published import SMOLLM2, smollm2_folder

# As the hub names things: letters, digits, dashes, underscores and dots; up to 96 of them.
HUB_NAME = re.compile(r"(?!.{97})[A-Za-z0-9][\w.-]*/[A-Za-z0-9_][\w.-]*", re.ASCII)
LARGEST_TINY = 50_000_000  # parameters up to which a dry run uses a local model itself
# How a conversation is written for a byte-level tokenizer; closed turns end in the end token, as Llama's do.
CHAT_TEMPLATE = (
    "{% for message in messages %}[{{ message['role'] }}] {{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% else %}{{ '\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


def local_folder(name: str) -> Path | None:
    """The folder that `name` is the path of, or of the packaged weights of that name; None if it looks like a name on
    the hub (owner/name); else InputError."""
    if name == SMOLLM2:
        return smollm2_folder()
    path = existing_path("model", name)
    if path is not None and path.is_dir():
        if not (path / "config.json").is_file():
            raise InputError(f"model = {shown(name)} is a folder without a config.json: no model was saved there")
        return path
    if path is not None or not HUB_NAME.fullmatch(name) or ".." in name or "--" in name:
        raise InputError(
            f"model = {shown(name)} is no existing folder, no name on the hub (owner/name) and not {SMOLLM2!r}"
        )
    return None


def require_safetensors(folder: Path) -> None:
    """Refuse a folder whose weights would have to be read with pickle, which can run any code."""
    if any(folder.glob("*.safetensors")):
        return
    pickled = sorted(file.name for pattern in ("*.bin", "*.pt", "*.pth") for file in folder.glob(pattern))
    if pickled:
        raise InputError(
            f"{folder} holds its weights in {pickled[0]} alone, which is read with pickle and refused: "
            "save them again with save_pretrained, which writes safetensors"
        )
    raise InputError(f"{folder} holds no weights: there is no .safetensors file")


def load_weights(name: str, revision: str | None = None, dtype: str = "float32") -> Any:
    """A causal language model from a folder or from the hub, on the CPU."""
    transformers, torch = needed("transformers"), needed("torch")
    folder = local_folder(name)
    if folder is not None:
        require_safetensors(folder)
    try:
        with quiet():
            options = dict(dtype=getattr(torch, dtype), use_safetensors=True) | NO_CODE
            return transformers.AutoModelForCausalLM.from_pretrained(
                folder or name, revision=revision or "main", **options
            )
    except Exception as error:  # the libraries' errors share no class
        raise explain(error, "weights", name) from None


def load_tokenizer(name: str, revision: str | None = None, offline: bool = False) -> Any:
    """The tokenizer of a model; padding is filled with the end token if it has none of its own."""
    transformers = needed("transformers")
    folder = local_folder(name)
    try:
        with quiet():
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                folder or name, revision=revision or "main", local_files_only=offline, **NO_CODE
            )
    except Exception as error:  # the libraries' errors share no class
        raise explain(error, "tokenizer", name) from None
    if tokenizer.eos_token is None:
        raise InputError(f"the tokenizer of {name} has no end token: answers could not end")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token  # padding is masked, so it may look like an end
    return tokenizer


def byte_tokenizer(chat: bool = False) -> Any:
    """A tokenizer built here: each byte of the text is a token, besides a start, an end and a padding token."""
    transformers, tokenizers = needed("transformers"), needed("tokenizers")
    special = ["<start>", "<end>", "<pad>"]
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(special + letters)}
    inner = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = tokenizers.decoders.ByteLevel()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token=special[0], eos_token=special[1], pad_token=special[2]
    )
    if chat:
        tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def tiny_model(tokenizer: Any, seed: int = 0) -> Any:
    """A Llama of two narrow layers with random weights for any tokenizer."""
    transformers, torch = needed("transformers"), needed("torch")
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return transformers.LlamaForCausalLM(config)


def rehearsal(name: str, seed: int = 0) -> tuple[Any, Any, str]:
    """(model, tokenizer, what they are) for a dry run of `name`, without a network.

    A local model of at most LARGEST_TINY parameters is used as it is. Else the model is tiny and random, with the
    real tokenizer if this machine has it, or with one of bytes.
    """
    folder = local_folder(name)
    if folder is not None:
        tokenizer = load_tokenizer(name)
        size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        if size <= 4 * LARGEST_TINY:
            return load_weights(name), tokenizer, f"the model in {name}"
        return tiny_model(tokenizer, seed), tokenizer, f"a tiny random Llama with the tokenizer in {name}"
    try:
        tokenizer = load_tokenizer(name, offline=True)
    except InputError:
        tokenizer = byte_tokenizer(chat=name.endswith("-Instruct"))
        made = f"a tokenizer of bytes (that of {name} is not on this machine)"
        return tiny_model(tokenizer, seed), tokenizer, f"a tiny random Llama with {made}"
    return tiny_model(tokenizer, seed), tokenizer, f"a tiny random Llama with the tokenizer of {name}"
