"""Start a Llama run on several GPUs; chapters and single GPUs need no command line but papermill.

    accelerate launch --config_file FSDP -m ntprl.llama.launch llama-3.1-8b runs/llama p_cot=0.1 seed=1

where FSDP is the path of fsdp.yaml beside this file (`resources.launch_command` writes the whole line). On fewer GPUs,
say four: `--num_processes 4` before `-m` and `gpus=4` at the end.
"""

import json
import sys
from contextlib import suppress

from ntprl.errors import InputError
from ntprl.llama.config import preset
from ntprl.llama.run import run


def parse(arguments: list[str]) -> tuple[str, str, dict]:
    """(preset, folder, overrides): a value is JSON if it reads as such, else text."""
    words = [word for word in arguments if "=" not in word]
    if len(words) != 2:
        raise InputError(f"arguments = {arguments} are not allowed: PRESET FOLDER [field=value ...]")
    overrides: dict = {}
    for word in arguments:
        name, equals, value = word.partition("=")
        if equals:
            overrides[name] = value
            with suppress(json.JSONDecodeError):
                overrides[name] = json.loads(value)
    return words[0], words[1], overrides


def main(arguments: list[str]) -> int:
    """Exit code 0, or 1 with one line that says what is wrong."""
    try:
        name, folder, overrides = parse(arguments)
        run(preset(name, **overrides), folder)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
