"""Real trainings without the imports: processes forked from one that has torch, rfdetr and mlflow loaded (tests only).

Importing them costs 20 CPU seconds in each of launcher, agent and rank. Here the launcher is a fork of the zygote, the
agent a fork of the launcher and each rank a fork of the agent, so the tree of processes, their signals and their ends
are those of a real run; what is skipped is ``exec`` and ``import``.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path

import run_wide
from mlflow_server import new_store

QUIET = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# What launcher, agent and rank import while they run, found by comparing their sys.modules with the zygote's.
_PRELOADED = (
    "alembic.autogenerate",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.tracking",
    "multiprocessing.popen_fork",
    "pycocotools.coco",
    "rfdetr.training",
    "rfdetr.utilities.io",
    "rfdetr_train.cli.training",
    "rfdetr_train.datasets",
    "rfdetr_train.launch.agent",
    "rfdetr_train.launch.training",
    "rfdetr_train.training.assembly",
    "rfdetr_train.training.configs",
    "rfdetr_train.training.data",
    "rfdetr_train.training.worker",
    "torch.distributed.elastic.rendezvous.c10d_rendezvous_backend",
    "torch.distributed.run",
    "torch.utils.serialization.config",
    "vernier",
)
Patch = Sequence[object]


class Launched:
    """A launcher that the zygote forked."""

    def __init__(self, connection: socket.socket) -> None:
        self._file = connection.makefile()
        self._connection = connection
        self._status: int | None = None
        self.pid = int(self._file.readline())

    def wait(self, timeout: float = 120) -> int:
        """Exit status; negative for a signal."""
        if self._status is None:
            self._connection.settimeout(timeout)
            self._status = os.waitstatus_to_exitcode(int(self._file.readline()))
        return self._status

    def send(self, number: int) -> None:
        """Send a signal to the launcher alone."""
        os.kill(self.pid, number)

    def ranks(self) -> list[int]:
        """The training processes, in the order of their ranks."""
        (agent,) = children(self.pid)
        return sorted(children(agent), key=lambda pid: Path(f"/proc/{pid}/comm").read_text())

    def descendants(self) -> list[int]:
        """Agent, ranks and data loading processes, parents first."""
        found = children(self.pid)
        for pid in found:
            found += children(pid)  # grows while it is gone through
        return found

    def kill_all(self) -> None:
        """Kill every process of the training at once, as the end of a pod does."""
        for pid in [self.pid, *self.descendants()]:
            kill(pid)


def children(pid: int) -> list[int]:
    """The children of a process; none when it has ended."""
    try:
        lists = [task / "children" for task in Path(f"/proc/{pid}/task").iterdir()]
        return sorted(int(child) for list_ in lists for child in list_.read_text().split())
    except (FileNotFoundError, ProcessLookupError):
        return []


def kill(pid: int) -> None:
    """Kill a process that may have ended already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    """Whether a process has not ended; one that nobody waited for has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def start() -> Path:
    """Start the zygote of all test processes.

    Returns:
        Its folder, which holds the socket.
    """
    return Path(run_wide.once("zygote", _start))


def _start(folder: Path) -> str:
    environment = {**os.environ, **QUIET, "PYTHONPATH": f"{Path(__file__).parent}"}
    command = [sys.executable, __file__, folder]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, start_new_session=True)
    run_wide.end_with_run(process.pid)
    assert process.stdout is not None
    if process.stdout.readline() != b"ready\n":
        raise RuntimeError("the zygote did not start")
    return str(folder)


def launch(
    arguments: list[str], *, cwd: Path, log: Path, env: dict[str, str] | None = None, patches: Sequence[Patch] = ()
) -> Launched:
    """Start ``rfdetr-train ARGUMENTS`` in a session of its own.

    Args:
        arguments: Of the command line.
        cwd: Working folder.
        log: File for its output.
        env: Variables to add.
        patches: Functions of ``zygote_patches`` that the launcher calls first, by name and arguments; agent and ranks
            are its forks.
    """
    request = {"arguments": arguments, "cwd": str(cwd), "env": env or {}, "patches": patches}
    with log.open("ab") as output:
        return _ask(request, output.fileno(), output.fileno())


class Agent:
    """Stands for the ``subprocess.Popen`` of the agent, in a test that is the launcher itself."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        request = {"agent": command, "cwd": str(Path.cwd()), "env": environment}
        sys.stdout.flush()
        self._launched = _ask(request, 1, 2)

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def wait(self) -> int:
        return self._launched.wait(timeout=240)

    def send_signal(self, number: int) -> None:
        self._launched.send(number)


def _ask(request: dict, output: int, errors: int) -> Launched:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(f"{start()}/socket")
    socket.send_fds(connection, [b"-"], [output, errors])
    connection.sendall(json.dumps(request).encode() + b"\n")
    return Launched(connection)


def _serve(folder: str) -> None:
    for module in _PRELOADED:
        importlib.import_module(module)
    from mlflow import MlflowClient

    MlflowClient(tracking_uri=new_store(Path(folder))).search_experiments()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{folder}/socket")
        server.listen()
        print("ready", flush=True)
        while True:
            connection, _ = server.accept()
            if os.fork() == 0:
                server.close()
                _supervise(connection)
            connection.close()


def _supervise(connection: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, (output, errors), *_ = socket.recv_fds(connection, 1, 2)
    request = json.loads(connection.makefile().readline())
    pid = os.fork()
    if pid == 0:
        connection.close()
        os.dup2(output, 1)
        os.dup2(errors, 2)
        _become(request)
    connection.sendall(b"%d\n" % pid)
    _, status = os.waitpid(pid, 0)
    connection.sendall(b"%d\n" % status)
    os._exit(0)


def _become(request: dict) -> None:
    os.setsid()
    os.chdir(request["cwd"])
    os.environ.update(request["env"])
    _run(lambda: _agent_of_a_test(request["agent"]) if "agent" in request else _launcher(request))


def _agent_of_a_test(command: list[str]) -> None:
    import tiny_encoder

    tiny_encoder.install()
    _agent(command)


def _launcher(request: dict) -> None:
    import tiny_encoder
    import zygote_patches

    from rfdetr_train.cli import main
    from rfdetr_train.launch import torchrun

    tiny_encoder.install()
    torchrun.start = ForkedAgent
    for name, *arguments in request["patches"]:
        getattr(zygote_patches, name)(*arguments)
    sys.argv = ["rfdetr-train", *request["arguments"]]
    main()


class ForkedAgent:
    """Stands for the ``subprocess.Popen`` of the agent."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            os.environ.update(environment)
            _run(lambda: _agent(command))

    def __enter__(self) -> ForkedAgent:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def wait(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


class ForkedRank(subprocess.Popen):
    """A ``subprocess.Popen`` whose process goes on as a rank: torchrun starts, watches and ends it as its own."""

    def _execute_child(self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *others) -> None:
        self._child_created = True
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            os.environ.update(env)
            _run(lambda: _rank(args[-1]))


def _agent(command: list[str]) -> None:
    from torch.distributed.elastic.multiprocessing.subprocess_handler import subprocess_handler

    from rfdetr_train.launch import agent, torchrun

    subprocess_handler.Popen = ForkedRank
    sys.argv = command[command.index(torchrun.AGENT) :]
    agent.main()


def _rank(job: str) -> None:
    from rfdetr_train.training.worker import main

    Path("/proc/self/comm").write_text(f"rank{os.environ['RANK']}")
    sys.argv = ["worker", job]
    main()


def _run(body) -> None:
    """Run a forked process to its end; never back into the code of the parent."""
    status = 1
    try:
        body()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()  # the end of an interpreter waits for its threads, os._exit does not
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _serve(sys.argv[1])
