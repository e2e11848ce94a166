"""The programs of a control plane on loopback, in a folder that goes with them."""

from __future__ import annotations

import json
import random
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.children import ending, start
from tests.k8s import tools
from tests.k8s.live import nodes
from tests.k8s.live.client import Client

READY_SECONDS = 300.0
STOP_SECONDS = 20.0
LAST_LINES = 30
LOWEST_PORT = 20000
RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok", "kubectl")


class Died(Exception):
    """A program of the control plane ended by itself. Says its last lines."""


@dataclass
class ControlPlane:
    """What runs, and how it is reached."""

    folder: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ready_seconds: float = 0.0

    @property
    def client(self) -> Client:
        return Client(self.folder / "kubeconfig", self.living)

    def living(self) -> None:
        for name, process in self.processes.items():
            if (code := process.poll()) is not None:
                lines = (self.folder / f"{name}.log").read_text(errors="replace").splitlines()[-LAST_LINES:]
                raise Died(f"{name} died ({ending(code)}):\n" + "\n".join(lines))

    def start(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = start([tools.path(name), *arguments], log=log, stop_signal=signal.SIGKILL)

    def stop(self) -> None:
        """The last to be started first; what does not end in time is killed."""
        for process in reversed(self.processes.values()):
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def memory(self) -> dict[str, int]:
        """The most that each had resident, in MB."""
        return {name: _peak(process.pid) for name, process in self.processes.items() if process.poll() is None}


@contextmanager
def running() -> Iterator[ControlPlane]:
    """Raises Died with a program's words, Missing where one was not built."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="viox-k8s-")))
        plane = ControlPlane(folder)
        stack.callback(plane.stop)
        began = time.monotonic()
        _start(plane, _free_ports(6))
        _wait(plane)
        plane.ready_seconds = time.monotonic() - began
        yield plane


def _start(plane: ControlPlane, ports: list[int]) -> None:
    etcd, peers, api, controllers, scheduler, kwok = ports
    files = _files(plane.folder, api)
    plane.start("etcd", *_etcd(plane.folder, etcd, peers))
    plane.start("kube-apiserver", *_api_server(plane.folder, etcd, api))
    _wait(plane)  # it writes the certificate that the others trust
    common = ("--kubeconfig", files, "--leader-elect=false", "--bind-address", "127.0.0.1")
    plane.start(
        "kube-controller-manager",
        *common,
        *("--secure-port", str(controllers), "--use-service-account-credentials"),
        *("--service-account-private-key-file", str(plane.folder / "sa.key")),
        *("--root-ca-file", str(plane.folder / "certificates" / "apiserver.crt")),
    )
    plane.start("kube-scheduler", *common, "--secure-port", str(scheduler))
    plane.start("kwok", "--kubeconfig", files, *nodes.options(plane.folder, kwok))


def _etcd(folder: Path, clients: int, peers: int) -> list[str]:
    at, to = f"http://127.0.0.1:{clients}", f"http://127.0.0.1:{peers}"
    return [
        *("--name", "one", "--data-dir", str(folder / "etcd"), "--unsafe-no-fsync"),
        *("--listen-client-urls", at, "--advertise-client-urls", at),
        *("--listen-peer-urls", to, "--initial-advertise-peer-urls", to, "--initial-cluster", f"one={to}"),
    ]


def _api_server(folder: Path, etcd: int, port: int) -> list[str]:
    key = str(folder / "sa.key")
    return [
        *("--etcd-servers", f"http://127.0.0.1:{etcd}", "--cert-dir", str(folder / "certificates")),
        *("--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1", "--secure-port", str(port)),
        *("--service-account-issuer", "https://kubernetes.default.svc", "--service-cluster-ip-range", "10.0.0.0/24"),
        *("--service-account-key-file", key, "--service-account-signing-key-file", key),
        *("--authorization-mode", "Node,RBAC", "--token-auth-file", str(folder / "tokens.csv")),
        "--endpoint-reconciler-type=none",
        "--allow-privileged=true",  # without it Pod Security is never asked about a privileged pod
    ]


def _files(folder: Path, port: int) -> str:
    """Keys, and a kubeconfig whose user may do everything."""
    token = secrets.token_hex(16)
    (folder / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n')
    subprocess.run(["openssl", "genrsa", "-out", folder / "sa.key", "2048"], check=True, capture_output=True)
    trusted = str(folder / "certificates" / "apiserver.crt")
    server = {"server": f"https://127.0.0.1:{port}", "certificate-authority": trusted}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": server}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "admin"}}],
        "current-context": "here",
    }
    (folder / "kubeconfig").write_text(json.dumps(config))
    return str(folder / "kubeconfig")


def _wait(plane: ControlPlane) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while plane.client.ask("get", "--raw", "/readyz").code:
        plane.living()
        if time.monotonic() > deadline:
            raise Died(f"the API server was not ready after {READY_SECONDS:.0f} s")
        time.sleep(0.2)


def _free_ports(count: int) -> list[int]:
    """Below those that outgoing connections take, which would get in the way now and then."""
    above = int(RANGE.read_text().split()[0]) if RANGE.exists() else 32768
    candidates = random.sample(range(LOWEST_PORT, max(above, LOWEST_PORT + 2000)), 200)
    return [port for port in candidates if _free(port)][:count]


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _peak(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM:")), 0)
