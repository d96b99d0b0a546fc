"""A process whose hub is ours: it imports what it needs once, then forks itself for every script that a test hands it.

    with client(hub, home) as run:
        run("print(MetaLearner.from_pretrained('tester/x').task_type)", work)

The imports take seconds and a fork none. What must be set before huggingface_hub is imported (the endpoint, the cache) is set for all
scripts of one client; a script finds `work`, `ask(path, **content)` to look at the hub and to tell it what to do wrong, everything of
tests/saving.py and what else the client was told to import. Long pauses between the real client's tries are made short.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
IMPORTS = "from saving import *; from learner.served import *; from hfmeta import *; import hfmeta.publishing"
STOCK = "import sys; sys.modules['hfmeta'] = None; import transformers, torch, peft, safetensors.torch"
LONGEST_PAUSE = 0.02
"""Seconds that a pause of more than that takes in a script."""

Run = Callable[..., "Done"]


class Done:
    """What became of a script: its exit status (0 or 1), what it printed and what it complained of."""

    def __init__(self, status: int, out: str, err: str):
        self.status, self.out, self.err = status, out, err


@contextmanager
def client(url: str, home: Path, imports: str = IMPORTS, **settings: str) -> Iterator[Run]:
    """Start a process whose hub is at `url`.

    Args:
        url: of the hub.
        home: of its cache.
        imports: what it imports before the first script.
        settings: of its environment.

    Yields:
        `run(script, work, ok=True)`: runs a script in a fork, and unless told otherwise asserts that it ended well.
    """
    environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    environment |= {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "OMP_NUM_THREADS": "1"}
    environment |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_TOKEN": "hf_SecretOfTheTester", **settings}
    command = [sys.executable, str(Path(__file__)), str(TESTS), imports]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:

        def run(script: str, work: Path | None = None, ok: bool = True, **values: Any) -> Done:
            assert process.stdin is not None
            assert process.stdout is not None
            task = {"script": script, "work": None if work is None else str(work), "values": values}
            process.stdin.write(json.dumps(task) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
            assert answer, "the process that runs the scripts died"
            done = Done(**json.loads(answer))
            assert not ok or done.status == 0, done.err[-3000:]
            return done

        yield run
        assert process.stdin is not None
        process.stdin.close()


def ask(path: str, /, **content: Any) -> Any:
    """Ask the hub something that no real hub answers: `fault` with the fields of a `Fault`, `files/<repository>`, `requests`."""
    body = json.dumps(content).encode()
    with urllib.request.urlopen(f"{os.environ['HF_ENDPOINT']}/tests/{path}", body) as answer:
        return json.loads(answer.read())


def _child(task: dict[str, Any], names: dict[str, Any]) -> int:
    import time
    import traceback

    pause = time.sleep
    time.sleep = lambda seconds: pause(min(seconds, LONGEST_PAUSE))
    names |= {"work": None if task["work"] is None else Path(task["work"]), **task["values"]}
    try:
        exec(compile(task["script"], "script", "exec"), names)
    except SystemExit as end:
        return int(bool(end.code))
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _main() -> None:
    sys.path.insert(0, sys.argv[1])
    answers = os.fdopen(os.dup(1), "w")
    names: dict[str, Any] = {"Path": Path, "json": json, "os": os, "ask": ask}
    exec("import warnings\n" + sys.argv[2], names)
    for line in sys.stdin:
        with tempfile.TemporaryFile("w+b") as out, tempfile.TemporaryFile("w+b") as err:
            child = os.fork()
            if child == 0:
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                status = _child(json.loads(line), names)
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode(errors="replace"))
        answers.write(json.dumps({"status": status, "out": texts[0], "err": texts[1]}) + "\n")
        answers.flush()


if __name__ == "__main__":
    _main()
