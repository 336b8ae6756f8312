"""Training state in one safetensors file: weights, optimiser moments, step and configuration."""

import hashlib
import json
import os
import socket
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ntprl.errors import InputError, json_object, require_integer, shown, writing
from ntprl.transformer import Transformer, TransformerConfig

Tensors = dict[str, torch.Tensor]
MOMENTS = {"step", "exp_avg", "exp_avg_sq"}  # what AdamW keeps of each parameter
PARTS = ("facts", "model", "optimizer")  # of the metadata, each JSON


def _checksum(tensors: Tensors, metadata: dict[str, str]) -> str:
    """SHA-256 of everything that a checkpoint holds: names, types, shapes and bytes of tensors, and the facts."""
    digest = hashlib.sha256(json.dumps([metadata.get(part) for part in PARTS]).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save(path: Path, model: Transformer, optimizer: torch.optim.Optimizer | None = None, **facts) -> None:
    """Write atomically: a killed run leaves the last whole checkpoint. `facts` must be JSON values."""
    path = Path(path)
    tensors = {f"model.{name}": tensor.detach().cpu().contiguous() for name, tensor in model.named_parameters()}
    if optimizer is not None:
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value.detach().cpu() for name, value in state.items()}
    facts |= {"file": path.name}
    metadata = {"facts": json.dumps(facts, default=lambda number: number.item())}  # NumPy's numbers
    metadata |= {"model": json.dumps(asdict(model.config)), "optimizer": json.dumps(optimizer is not None)}
    metadata["sha256"] = _checksum(tensors, metadata)
    temporary = path.with_name(f"{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")  # two jobs may share a start
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            save_file(tensors, temporary, metadata=metadata)
            os.replace(temporary, path)
        except SafetensorError as error:  # how it reports a full disk
            raise OSError(" ".join(str(error).split())) from None
        finally:
            temporary.unlink(missing_ok=True)


def _read(path: Path) -> tuple[Tensors, dict, dict, bool]:
    """(tensors, facts, shape of the model, is there an optimiser?) of a whole checkpoint."""
    if not Path(path).is_file():
        raise InputError(f"checkpoint {path} does not exist")
    try:
        with safe_open(path, framework="pt") as file:
            tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"checkpoint {path} cannot be read, it may be cut off ({reason})") from None
    if not metadata or not {"facts", "model"} <= metadata.keys():
        raise InputError(f"checkpoint {path} was not written by ntprl: it has no configuration")
    if metadata.get("sha256") != _checksum(tensors, metadata):
        raise InputError(
            f"checkpoint {path} is damaged, or of an earlier version: its checksum is not that of what it holds. "
            "Delete it, and what needs it starts anew"
        )
    # Whole, so what follows finds only what was never written by `save`.
    facts, model = (json_object(metadata[part], f"{part} of checkpoint {path}") for part in ("facts", "model"))
    require_integer(f"step of checkpoint {path}", facts.get("step", 0), low=0)
    log = facts.get("log", [])
    if not isinstance(log, list) or not all(isinstance(row, dict) for row in log):
        raise InputError(f"log of checkpoint {path} holds {shown(log)}, no list of rows")
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise InputError(f"checkpoint {path} holds numbers in {name} that are not finite: delete it")
    return tensors, facts, model, metadata.get("optimizer") == "true"


def _require_alike(path: Path, name: str, found: torch.Tensor | None, wanted: torch.Tensor) -> None:
    """Refuse a tensor that is missing or would change its shape or type to fit."""
    if found is None:
        raise InputError(f"checkpoint {path} has no weights for {name}")
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        raise InputError(
            f"checkpoint {path} has {name} of shape {list(found.shape)} and type {found.dtype}, "
            f"not {list(wanted.shape)} and {wanted.dtype}"
        )


def _moments(path: Path, tensors: Tensors, model: Transformer) -> dict[int, Tensors]:
    """The optimiser's state of each parameter by its index: of all of them, or of none before the first step."""
    parameters = list(model.parameters())
    state: dict[int, Tensors] = {}
    for key, value in tensors.items():
        _, index, name = (*key.split(".", 2), "", "")[:3]
        if not index.isdecimal() or int(index) >= len(parameters):
            raise InputError(f"checkpoint {path} holds {shown(key)}, which is no part of this optimiser")
        parameter = parameters[int(index)]
        _require_alike(path, key, value, torch.zeros(()) if name == "step" else parameter)
        state.setdefault(int(index), {})[name] = value
    trained = sum(parameter.requires_grad for parameter in parameters)
    if any(set(each) != MOMENTS for each in state.values()) or len(state) not in (0, trained):
        raise InputError(f"checkpoint {path} lacks a part of the optimiser's state: training cannot go on from it")
    return state


def restore(
    path: Path, model: Transformer, optimizer: torch.optim.Optimizer | None = None, identity: dict | None = None
) -> dict:
    """Load a checkpoint into model and optimizer in place; return the facts saved with it, less `identity`.

    Raises InputError, and changes nothing, if the file is missing, damaged, of another model, without the
    optimiser asked for, or if the facts named in `identity` differ from it, or the name that it was saved under from
    its name now: then it belongs to another run.
    """
    tensors, facts, stored, has_optimizer = _read(path)
    saved_as = facts.pop("file", None)
    if identity is not None and saved_as != Path(path).name:
        raise InputError(f"checkpoint {path} belongs to another run: it was saved as {shown(saved_as)}")
    for name, value in (identity or {}).items():
        found = facts.pop(name, None)
        if found != value:
            raise InputError(f"checkpoint {path} belongs to another run: its {name} is {found}, not {value}")
    for field, value in asdict(model.config).items():
        if stored.get(field) != value:
            raise InputError(
                f"checkpoint {path} has {field} = {stored.get(field)!r}, the model has {field} = {value!r}"
            )
    weights = {f"model.{name}": parameter for name, parameter in model.named_parameters()}
    for name, parameter in weights.items():
        _require_alike(path, name.removeprefix("model."), tensors.get(name), parameter)
    moments = {name: tensor for name, tensor in tensors.items() if name not in weights}
    if others := [name for name in moments if not name.startswith("optimizer.")]:
        raise InputError(f"checkpoint {path} holds {shown(others[0])}, which is no part of this model")
    if optimizer is not None and not has_optimizer:
        raise InputError(f"checkpoint {path} holds no optimiser state: training cannot go on from it")
    state = {} if optimizer is None else _moments(path, moments, model)
    with torch.no_grad():
        for name, parameter in weights.items():
            parameter.copy_(tensors[name])
    if optimizer is not None:
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return facts


def load_model(path: Path, device: str = "cpu") -> Transformer:
    """The model stored in a checkpoint, ready to sample from."""
    stored = _read(path)[2]
    try:
        model = Transformer(TransformerConfig(**stored))
    except TypeError:
        raise InputError(f"checkpoint {path} holds no transformer of ntprl: {shown(stored)}") from None
    restore(path, model)
    return model.to(device)
