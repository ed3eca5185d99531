"""The package as such: what importing it does, which way its imports run, and what a wheel of it holds."""

from __future__ import annotations

import ast
import email
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from django.db import connections

import django_sqla_pool
from tests.support.aliases import ROOT
from tests.support.wire import Proxy

PACKAGE = Path(django_sqla_pool.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# --------------------------------------------------------------------------------------------------- imports run one way


def name_of(path):
    """The module of the map that a file belongs to: its own name, or that of the folder it is in."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def in_type_checking(tree):
    """The nodes that only a type checker sees."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from (inner for statement in node.body for inner in ast.walk(statement))


def imported_by(path):
    """Yield (absolute name, is only for type checkers) of everything that a file imports, wherever it stands in it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    unseen = set(in_type_checking(tree))
    parts = ("django_sqla_pool", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name, node in unseen
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(parts[: len(parts) + 1 - node.level]) if node.level else ""
            origin = ".".join(filter(None, (package, node.module)))
            for name in node.names:
                yield f"{origin}.{name.name}", node in unseen


def own_imports():
    """Yield (module, module that it imports, is only for type checkers), by the names of the map."""
    for path in MODULES:
        for name, is_unseen in imported_by(path):
            if name.startswith("django_sqla_pool."):
                imported = name.split(".")[1]
                # "from django_sqla_pool import snapshots" is an import of where the name comes from
                imported = django_sqla_pool._MODULES.get(imported, imported)
                if imported != name_of(path):
                    yield name_of(path), imported, is_unseen


def names_on_the_map():
    """The modules in the package's docstring, from the ground up."""
    map_ = django_sqla_pool.__doc__.partition("from the ground up:")[2]
    lines = re.findall(r"^    (\w+(?:, \w+)*)  +\S", map_, re.MULTILINE)
    return [name for line in lines for name in line.split(", ")]


def test_the_map_names_every_module_and_no_other():
    assert sorted(names_on_the_map()) == sorted({name_of(path) for path in MODULES} - {"__init__"})


def test_imports_run_one_way():
    height = {name: number for number, name in enumerate(names_on_the_map())}
    edges = {(module, imported) for module, imported, is_unseen in own_imports() if module != "__init__" and not is_unseen}
    assert {("pool", "lease"), ("wrapper", "registry"), ("backends", "wrapper"), ("management", "registry")} <= edges
    assert {(module, imported) for module, imported in edges if height[imported] > height[module]} == set()


def test_sqlalchemy_stays_inside_the_pool():
    users = {True: set(), False: set()}
    for path in MODULES:
        for name, is_unseen in imported_by(path):
            if name.partition(".")[0] == "sqlalchemy":
                users[is_unseen].add(name_of(path))
    assert "connection_queue" in users[False] <= {"connection_queue", "pool"}
    assert users[True] <= {"lease", "physical", "pool"}, "not even their types"


def test_no_driver_is_imported_but_by_djangos_engines():
    drivers = {"psycopg", "psycopg2", "MySQLdb", "pymysql", "psycopg_pool"}
    found = {(name_of(path), name) for path in MODULES for name, _ in imported_by(path) if name.partition(".")[0] in drivers}
    assert found == set()


# ----------------------------------------------------------------------------------------------------- what importing does


def run(code, **environment):
    """Run Python code in a process of its own, without settings; return what it prints."""
    variables = {key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"}
    variables |= {"PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


LOADED = "import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"


def test_importing_the_package_imports_nothing_else():
    found = set(run(f"import django_sqla_pool; django_sqla_pool.__version__; {LOADED}").split())
    assert "django_sqla_pool" in found
    assert not found & {"sqlalchemy", "django", "psycopg", "psycopg2", "MySQLdb", "pymysql"}


def test_the_public_names_need_no_settings_and_no_driver():
    found = set(run(f"from django_sqla_pool import *; pooled, snapshots, dispose, PoolTimeout, Snapshot; {LOADED}").split())
    assert {"sqlalchemy", "django"} <= found
    assert not found & {"psycopg", "psycopg2", "MySQLdb", "pymysql"}


def test_before_any_engine_is_used_there_are_no_pools():
    assert run("from django_sqla_pool import *; dispose(); print(snapshots())") == "()\n"


def test_importing_starts_no_thread():
    code = "import threading; from django_sqla_pool import *; print(threading.active_count(), *threading.enumerate())"
    assert run(code).startswith("1 <_MainThread")


def test_importing_an_engine_accesses_no_database(alias):
    """The server is behind a proxy that counts; the engine is imported and a wrapper made, then used as a control."""
    settings = connections[alias].settings_dict
    engine = settings["ENGINE"].rpartition(".")[2]
    code = """
import django
django.setup()
from importlib import import_module
import_module("django_sqla_pool.backends.{engine}.base").DatabaseWrapper
from django.db import connections
connections[{alias!r}].find_pool()
"""
    use = "connections[{alias!r}].ensure_connection(); connections[{alias!r}].close()\n"
    variable = {"default": "TEST_POSTGRESQL_URL", "mysql": "TEST_MARIADB_URL"}[alias]
    with Proxy(settings["HOST"], settings["PORT"], connections[alias].vendor) as proxy:
        address = f"{proxy.host}:{proxy.port}"
        there = {
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            variable: re.sub(r"@[^/]+", f"@{address}", os.environ[variable]),
            "PGSSLMODE": "disable",
            "PGGSSENCMODE": "disable",
        }
        run(code.format(engine=engine, alias=alias), **there)
        assert proxy.settled().connections == 0
        run((code + use).format(engine=engine, alias=alias), **there)
        assert proxy.settled().connections == 1


# ------------------------------------------------------------------------------------------------------- public names


def test_the_public_names_resolve():
    assert sorted(django_sqla_pool.__all__) == ["PoolTimeout", "Snapshot", "dispose", "pooled", "snapshots"]
    for name in django_sqla_pool.__all__:
        found = getattr(django_sqla_pool, name)
        assert found.__name__ == name
        assert found.__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"^module 'django_sqla_pool' has no attribute 'pool_it'$"):
        _ = django_sqla_pool.pool_it
    assert not hasattr(django_sqla_pool, "__path_of_nothing__")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_says_what_it_is_and_offers_what_it_names(path):
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree) or not text, "code without a docstring"
    defined = {node.name for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    defined |= {ast.unparse(target) for node in tree.body if isinstance(node, ast.Assign) for target in node.targets}
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__" and path.name != "__init__.py":
            offered = ast.literal_eval(node.value)
            assert offered == sorted(offered)
            assert set(offered) <= defined


# -------------------------------------------------------------------------------------------------------------- a wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel, built by plain pip from a copy of the checkout: a build leaves folders behind."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.rst", "CHANGES.rst", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
    shutil.copytree(PACKAGE, source / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests", source / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir", str(folder), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as opened:
        yield opened


@pytest.fixture(scope="module")
def metadata(wheel):
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return email.message_from_bytes(wheel.read(name))


def test_a_wheel_has_all_of_the_package_and_nothing_else(wheel):
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    there = {path.relative_to(PACKAGE.parent).as_posix() for path in MODULES}
    assert shipped == there | {"django_sqla_pool/py.typed"}
    assert any(name.endswith("backends/mysql_gis/base.py") for name in shipped)
    assert any(name.endswith("management/commands/poolstatus.py") for name in shipped)


def test_a_wheel_has_the_licence(wheel, metadata):
    (name,) = [name for name in wheel.namelist() if name.endswith("LICENSE")]
    assert wheel.read(name) == (ROOT / "LICENSE").read_bytes()
    assert (metadata["License-Expression"] or metadata["License"]) == "BSD-3-Clause"


def test_a_wheel_needs_django_and_sqlalchemy_and_a_driver_of_ones_choice(metadata):
    assert metadata["Name"] == "django-sqla-pool"
    assert metadata["Version"] == django_sqla_pool.__version__
    assert metadata["Requires-Python"] == ">=3.10"
    assert sorted(metadata.get_all("Provides-Extra")) == ["mysql", "postgresql", "psycopg2", "pymysql"]
    lines = metadata.get_all("Requires-Dist")
    needed = {re.split(r"[ <>=;\[]", line)[0]: line.partition("extra == ")[2].strip("\"'") for line in lines}
    assert needed == {
        "Django": "",
        "SQLAlchemy": "",
        "psycopg": "postgresql",
        "psycopg2-binary": "psycopg2",
        "mysqlclient": "mysql",
        "PyMySQL": "pymysql",
    }
