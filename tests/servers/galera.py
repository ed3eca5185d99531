"""Galera: three MariaDB servers that replicate to each other, and vote on who is still among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from . import machine
from .mariadb import MariaDB

PROVIDER = Path("/usr/lib/galera/libgalera_smm.so")  # of galera-4, which Debian's mariadb-server depends on

#: Two files that a cluster leaves behind when it loses power. All nodes claim to be at the same point of the same history, and
#: to have belonged together: so they find each other, none has to send the others its data, and all are there in 3 s.
HISTORY = "version: 2.1\nuuid: 11111111-1111-11f1-8111-111111111111\nseqno: 0\nsafe_to_bootstrap: 0\n"
MEMBERS = [f"{number}0000000-1111-11f1-8111-111111111111" for number in (1, 2, 3)]
VIEW = "\n".join([f"#vwbeg\nview_id: 3 {MEMBERS[0]} 1\nbootstrap: 0", *(f"member: {each} 0" for each in MEMBERS), "#vwend\n"])

#: A node that has not been heard of for 2 s is voted out; by default that takes 5 s.
TIMES = {
    "evs.keepalive_period": "PT0.3S",
    "evs.inactive_check_period": "PT0.2S",
    "evs.suspect_timeout": "PT2S",
    "evs.inactive_timeout": "PT4S",
    "evs.install_timeout": "PT4S",
}


class Template(MariaDB):
    """A server whose data the nodes begin with: without time zones, which take longer to load than all the rest."""

    def furnish(self) -> None:
        (self.home.path / "first.sql").unlink()


class Node(MariaDB):
    """One node. Its data are a copy of those of ``like``, which is stopped; the user and the password are the same."""

    def __init__(self, like: Template, number: int, ports: Sequence[int]) -> None:
        super().__init__()
        self._like = like
        self._number = number
        self.password = like.password
        listen = f"127.0.0.1:{ports[number]}"
        provider = {"gmcast.listen_addr": f"tcp://{listen}", "gcache.size": "8M", **TIMES}
        self.settings |= {
            "wsrep-on": "ON",
            "wsrep-provider": str(PROVIDER),
            "wsrep-provider-options": f'"{";".join(f"{name}={value}" for name, value in provider.items())}"',
            "wsrep-cluster-address": f"gcomm://{','.join(f'127.0.0.1:{port}' for port in ports)}",
            "wsrep-node-address": listen,
            "binlog-format": "ROW",
            "innodb-autoinc-lock-mode": "2",
        }

    def create(self) -> None:
        self.home.run("cp", "-r", self._like.data, self.data)
        self.home.write("data/grastate.dat", HISTORY)
        self.home.write("data/gvwstate.dat", f"my_uuid: {MEMBERS[self._number]}\n{VIEW}")

    def furnish(self) -> None:
        """Do nothing: the copy has what its users expect."""

    def set(self, **variables: str) -> None:
        """Set global variables of a running node."""
        self.sql("".join(f"SET GLOBAL {name} = {value};" for name, value in variables.items()))

    def isolate(self) -> None:
        """Cut the node off from the others. It stays up, and learns that it is alone after the time of TIMES."""
        self.set(wsrep_provider_options="'gmcast.isolate=1'")

    def is_ready(self) -> bool:
        """Tell whether the node is one of the majority, and serves its clients."""
        return self.sql("SHOW STATUS LIKE 'wsrep_ready'").split() == ["wsrep_ready", "ON"]


@contextmanager
def cluster(like: Template) -> Iterator[list[Node]]:
    """Run three nodes with the data of a stopped server, for as long as a block lasts."""
    with ExitStack() as stack:
        ports = [machine.free_port() for _ in MEMBERS]
        nodes = []
        for number in range(len(MEMBERS)):
            nodes.append(Node(like, number, ports))
            stack.callback(nodes[-1].remove)
        with ThreadPoolExecutor() as threads:
            # All at once: none of them is ready before it has found the others.
            for _ in threads.map(Node.start, nodes):
                continue
        yield nodes
