"""Training state in one safetensors file: weights, optimiser moments, step and configuration."""

import json
import os
import socket
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ntprl.errors import InputError
from ntprl.transformer import Transformer, TransformerConfig


def save(path: Path, model: Transformer, optimizer: torch.optim.Optimizer | None = None, **facts) -> None:
    """Write atomically: a killed run leaves the last whole checkpoint. `facts` must be JSON values."""
    tensors = {f"model.{name}": tensor.detach().cpu().contiguous() for name, tensor in model.named_parameters()}
    if optimizer is not None:
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value.detach().cpu() for name, value in state.items()}
    metadata = {"facts": json.dumps(facts, default=lambda number: number.item())}  # NumPy's numbers
    metadata |= {"model": json.dumps(asdict(model.config)), "optimizer": json.dumps(optimizer is not None)}
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")  # two jobs may share a start
    save_file(tensors, temporary, metadata=metadata)
    os.replace(temporary, path)


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    if not Path(path).is_file():
        raise InputError(f"checkpoint {path} does not exist")
    try:
        with safe_open(path, framework="pt") as file:
            tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    except SafetensorError as error:
        raise InputError(f"checkpoint {path} cannot be read, it may be cut off ({error})") from None
    if not metadata or not {"facts", "model"} <= metadata.keys():
        raise InputError(f"checkpoint {path} was not written by ntprl: it has no configuration")
    return tensors, metadata


def restore(
    path: Path, model: Transformer, optimizer: torch.optim.Optimizer | None = None, identity: dict | None = None
) -> dict:
    """Load a checkpoint into model and optimizer in place; return the facts saved with it, less `identity`.

    Raises InputError, and changes nothing, if the file is missing, damaged, of another model, without the
    optimiser asked for, or if the facts named in `identity` differ from it: then it belongs to another run.
    """
    tensors, metadata = _read(path)
    facts = json.loads(metadata["facts"])
    for name, value in (identity or {}).items():
        if facts.pop(name, None) != value:
            found = json.loads(metadata["facts"]).get(name)
            raise InputError(f"checkpoint {path} belongs to another run: its {name} is {found}, not {value}")
    stored, wanted = json.loads(metadata["model"]), asdict(model.config)
    for field, value in wanted.items():
        if stored.get(field) != value:
            raise InputError(
                f"checkpoint {path} has {field} = {stored.get(field)!r}, the model has {field} = {value!r}"
            )
    missing = [name for name, _ in model.named_parameters() if f"model.{name}" not in tensors]
    if missing:
        raise InputError(f"checkpoint {path} has no weights for {missing[0]}")
    if optimizer is not None and not json.loads(metadata.get("optimizer", "false")):
        raise InputError(f"checkpoint {path} holds no optimiser state: training cannot go on from it")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[f"model.{name}"])
    if optimizer is not None:
        state: dict[int, dict[str, torch.Tensor]] = {}  # stays empty before the first step
        for key, value in tensors.items():
            if key.startswith("optimizer."):
                _, index, name = key.split(".", 2)
                state.setdefault(int(index), {})[name] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return facts


def load_model(path: Path, device: str = "cpu") -> Transformer:
    """The model stored in a checkpoint, ready to sample from."""
    _, metadata = _read(path)
    model = Transformer(TransformerConfig(**json.loads(metadata["model"])))
    restore(path, model)
    return model.to(device)
