"""Session: one `make test`, from what the machine has to the verdict."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue

from tests.servers import ServerError, command, packages
from tests.servers.packages import Need
from tests.servers.running import STATE, named_by_the_user, running

from .environments import Environment, corners, matrix
from .interpreters import Interpreter, find
from .report import Console, Report, Step, heading
from .tools import WORK, Tools

LANES = 3  # environments at a time: two leave a fifth of the two cores idle that the smallest machine of CI has


class Session:
    """Says what will be run and with what, prepares it, runs it and reports."""

    def __init__(self, choose: Callable[[Sequence[Environment]], list[Environment]] = corners) -> None:
        everything = matrix()
        factors = list(dict.fromkeys(environment.python for environment in everything))
        self.interpreters = find(factors)
        self.usable = [environment for environment in everything if environment.python in self.interpreters]
        if not self.usable:
            raise ServerError(f"none of the supported interpreters runs here: {', '.join(map(_named, factors))}")
        self.chosen = choose(self.usable)
        self.report = Report()
        heading("Interpreters")
        for factor in factors:
            found = self.interpreters.get(factor)
            lost = sum(environment.python == factor for environment in everything)
            absent = f"not found: its {lost} environments of the matrix cannot be run here"
            print(f"{_named(factor):14} {f'{found} at {found.path}' if found else absent}")

    def test(self) -> int:
        """Run the chosen environments, the linter and the type checker; print coverage; return the exit status."""
        heading(f"To be run: {len(self.chosen)} of the {len(self.usable)} environments that can be run here")
        for environment in self.chosen:
            python = self.interpreters[environment.python]
            print(f"{self._corner(environment):7} {environment!s:18} {python}, {environment.plan}")
        tools = self._prepare([*map(str, self.chosen), "lint", "types", "coverage"])
        heading("Run with exactly")
        for environment in self.chosen:
            print(f"{self._corner(environment):7} {environment!s:18} {tools.versions(environment)}")
        shutil.rmtree(WORK / "coverage", ignore_errors=True)
        (WORK / "coverage").mkdir()
        # Servers that the user named are shared by all, and some tests look at a whole server: then one after the other.
        lanes = 1 if named_by_the_user() else LANES
        with ExitStack() as stack:
            servers = [stack.enter_context(running()) for _ in range(lanes)]
            heading("Servers")
            for kind, server in json.loads(Path(servers[0][STATE]).read_text()).items():
                print(f"{kind:10} {server['version'] if server else 'named by the environment'}")
            self._run(tools, ["lint", "types", *map(str, self.chosen)], servers)
        # Nothing is measured where there is only the interpreter of the oldest corner; elsewhere it is an error if nothing was.
        if any("sa21" in environment.name for environment in self.chosen):
            self._run(tools, ["coverage"])
        return self.report.end()

    def quick(self, words: Sequence[str]) -> int:
        """Run pytest with these words in the newest corner, flavour a, and nothing else; return its status."""
        environment = next(each for each in self.chosen if each.flavour == "a")
        tools = self._prepare([environment.name])
        print(f"{environment} (only this corner): {tools.versions(environment)}", flush=True)
        (WORK / "coverage").mkdir(exist_ok=True)
        with running() as urls:
            return tools.run(environment.name, None, urls, words)

    def soak(self, words: Sequence[str]) -> int:
        """Run the soak with these words in the newest corner, in each flavour; return the worst status."""
        chosen = [environment for environment in self.chosen if environment.age == self.usable[-1].age]
        tools = self._prepare([*map(str, chosen)])
        statuses = []
        for environment in chosen:
            heading(f"{environment}: {tools.versions(environment)}")
            statuses.append(command.run([str(tools.python(environment)), "-m", "tests.faults.soak", *words], os.environ))
        return max(statuses)

    def lint(self) -> int:
        """Run the linter and the type checker; return the exit status."""
        tools = self._prepare(["lint", "types"], with_servers=False)
        self._run(tools, ["lint", "types"])
        return self.report.end()

    def _prepare(self, names: list[str], with_servers: bool = True) -> Tools:
        needs = list(_python_needs(self.interpreters, self.chosen))
        if with_servers:
            named_by_the_user()  # now rather than in a minute, when the environments are made
            needs += [*packages.server_needs(), *packages.build_needs()]
        packages.provide(needs)
        WORK.mkdir(exist_ok=True)
        tools = Tools(self.interpreters)
        heading("Making the environments")
        if tools.make(names, lambda line: print(line, end="", flush=True)):
            raise ServerError("the environments could not be made; tox said above why")
        return tools

    def _run(self, tools: Tools, names: Sequence[str], servers: Sequence[dict[str, str]] = ({},)) -> None:
        """Run these environments, in this order, as many at a time as there are servers; each has them for itself."""
        steps = [Step(name) for name in names]
        self.report.steps += steps
        console, free = Console(), SimpleQueue[dict[str, str]]()
        for urls in servers:
            free.put(urls)

        def run(step: Step) -> None:
            urls, begun = free.get(), time.monotonic()
            console.begin(step)
            try:
                step.status = tools.run(step.name, lambda line: console.say(step, line), urls, ())
            finally:
                step.seconds = time.monotonic() - begun
                console.end(step)
                free.put(urls)

        with ThreadPoolExecutor(len(servers)) as threads:
            try:
                list(threads.map(run, steps))
            except BaseException as error:
                threads.shutdown(wait=False, cancel_futures=True)
                command.end_all(error.signum if isinstance(error, command.Stopped) else signal.SIGTERM)
                raise

    def _corner(self, environment: Environment) -> str:
        places = {self.usable[-1].age: "newest", self.usable[0].age: "oldest"}
        return places.get(environment.age, "")


def _python_needs(interpreters: dict[str, Interpreter], chosen: Iterable[Environment]) -> Iterator[Need]:
    newest = max(interpreters.values())
    words = [newest.path, "-c", "import ensurepip, venv"]
    yield Need(
        f"venv for {newest}",
        lambda: subprocess.run(words, capture_output=True, check=False).returncode == 0,
        (f"python{_dotted(newest.factor)}-venv",),
    )
    for factor in sorted({environment.python for environment in chosen if environment.flavour == "a"}):
        python = interpreters[factor]
        yield Need(
            f"C headers of {python} ({python.path})",
            lambda python=python: python.has_headers,  # type: ignore[misc]
            (f"python{_dotted(factor)}-dev",),
        )


def _dotted(factor: str) -> str:
    return f"{factor[2]}.{factor[3:]}"


def _named(factor: str) -> str:
    return f"CPython {_dotted(factor)}"
