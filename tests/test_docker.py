"""docker/, where no Docker is: the files are valid, agree with each other and with the servers that the tests start."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.servers import MariaDB, PostgreSQL

ROOT = Path(__file__).resolve().parents[1]
DOCKER = ROOT / "docker"
COMPOSE = DOCKER / "compose.yaml"
SERVICES = yaml.safe_load(COMPOSE.read_text())["services"]
BUILT = {name: service["build"] for name, service in SERVICES.items() if "build" in service}
SERVERS = {"postgresql": "POSTGRES", "mysql": "MYSQL", "mariadb": "MARIADB"}


def validate(path):
    """Hold a file against the Compose specification's own schema, which check-jsonschema carries."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_compose_file_is_valid():
    done = validate(COMPOSE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_compose_file_that_is_not_valid_is_noticed(tmp_path):
    services = {"site": {**SERVICES["site"], "helthcheck": {}}}
    (tmp_path / "compose.yaml").write_text(json.dumps({"services": services}))
    done = validate(tmp_path / "compose.yaml")
    assert done.returncode != 0
    assert "helthcheck" in done.stdout + done.stderr


def test_what_is_served():
    assert SERVICES.keys() == {"postgresql", "mysql", "mariadb", "pgbouncer", "site"}
    images = {name: resolved(service["image"]) for name, service in SERVICES.items() if "image" in service}
    repositories = {name: image.partition(":")[0] for name, image in images.items()}
    assert repositories == {"postgresql": "postgis/postgis", "mysql": "mysql", "mariadb": "mariadb"}
    assert images["mysql"] == "mysql:8.4"
    assert all(re.fullmatch(r"[^:]+:\d[\w.-]*", image) for image in images.values()), "an image without a version"


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_a_health_check_and_waits_for_those_of_others(name):
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries", "start_period"} <= check.keys()
    for other, how in SERVICES[name].get("depends_on", {}).items():
        assert other in SERVICES
        assert how == {"condition": "service_healthy"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_port_is_published_on_loopback_only(name):
    [port] = SERVICES[name]["ports"]
    address, outside, inside = resolved(port).split(":")
    assert address == "127.0.0.1"
    others = [resolved(service["ports"][0]).split(":")[1] for other, service in SERVICES.items() if other != name]
    assert outside not in others
    assert inside == {"postgresql": "5432", "pgbouncer": "6432", "site": "8000"}.get(name, "3306")


@pytest.mark.parametrize("name", SERVERS)
def test_the_servers_know_the_user_of_the_tests(name):
    environment = SERVICES[name]["environment"]
    assert environment[f"{SERVERS[name]}_USER"] == PostgreSQL.user == MariaDB.user
    # Without the zones CONVERT_TZ() gives NULL; both images load them unless told not to.
    assert not [key for key in environment if "SKIP_TZINFO" in key]
    if name != "postgresql":  # where the first user is a superuser
        assert f"'{MariaDB.user}'@'%' WITH GRANT OPTION" in (DOCKER / "grants.sql").read_text()
        assert SERVICES[name]["volumes"] == ["./grants.sql:/docker-entrypoint-initdb.d/grants.sql:ro"]


def test_postgresql_has_the_settings_of_the_one_that_the_tests_start():
    words = SERVICES["postgresql"]["command"]
    assert words[0] == "postgres"
    assert set(words[1::2]) == {"-c"}
    settings = dict(word.split("=") for word in words[2::2])
    assert settings.keys() >= {"max_connections", "timezone"}
    environment = SERVICES["postgresql"]["environment"]
    created = dict(word.lstrip("-").split("=") for word in environment["POSTGRES_INITDB_ARGS"].split())
    with PostgreSQL() as server:
        assert {name: server.sql(f"SHOW {name}").strip() for name in settings} == settings
        assert server.sql("SHOW server_encoding").strip() == created["encoding"]
        assert server.sql("SELECT datcollate FROM pg_database WHERE datname = 'postgres'").strip() == created["locale"]
        methods = server.sql("SELECT DISTINCT auth_method FROM pg_hba_file_rules WHERE type = 'host'").split()
        assert methods == [environment["POSTGRES_HOST_AUTH_METHOD"]]


def test_mysql_and_mariadb_have_the_settings_of_the_one_that_the_tests_start():
    assert SERVICES["mysql"]["command"] == SERVICES["mariadb"]["command"]
    settings = {}
    for word in SERVICES["mariadb"]["command"]:
        name, _, value = word.removeprefix("--").partition("=")
        settings[name.replace("-", "_")] = value or "1"
    assert settings.keys() == {"max_connections", "character_set_server", "skip_name_resolve"}
    with MariaDB() as server:
        assert {name: server.sql(f"SELECT @@{name}").strip() for name in settings} == settings


def test_the_site_and_pgbouncer_find_the_servers():
    accounts = set()
    for name, prefix in SERVERS.items():
        environment = SERVICES[name]["environment"]
        keys = ("USER", "PASSWORD", "DB" if prefix == "POSTGRES" else "DATABASE")
        accounts.add(tuple(environment[f"{prefix}_{key}"] for key in keys))
    [(user, password, database)] = accounts
    url = resolved(SERVICES["site"]["environment"]["DATABASE_URL"])
    assert url == f"postgres://{user}:{password}@postgresql:5432/{database}"
    config = configparser.ConfigParser()
    config.read(DOCKER / "pgbouncer" / "pgbouncer.ini")
    assert config["databases"]["*"] == "host=postgresql port=5432"
    assert config["pgbouncer"]["auth_type"] == SERVICES["postgresql"]["environment"]["POSTGRES_HOST_AUTH_METHOD"]
    assert (DOCKER / "pgbouncer" / "userlist.txt").read_text() == f'"{user}" "{password}"\n'
    service = SERVICES["pgbouncer"]
    assert service["environment"] == {"PGPASSWORD": password}
    assert {f"--port={config['pgbouncer']['listen_port']}", f"--username={user}", f"--dbname={database}"} <= set(
        service["healthcheck"]["test"]
    )


@pytest.mark.parametrize("name", BUILT)
def test_an_image_copies_only_what_there_is(name):
    context, dockerfile = build(name)
    ignored = Path(f"{dockerfile}.dockerignore")
    patterns = ignored.read_text().split("\n") if ignored.exists() else []
    for word, rest in instructions(dockerfile):
        if word in ("COPY", "ADD"):
            for source in rest.split()[:-1]:
                assert (context / source).exists(), f"{name}: COPY {source}"
                allowed = [f"!{place}" for place in (source, *map(str, Path(source).parents))]
                assert "*" not in patterns or set(allowed) & set(patterns), f"{name}: {source} is left out by {ignored.name}"


@pytest.mark.parametrize("name", BUILT)
def test_an_image_has_a_version_below_it_and_no_root_in_it(name):
    words = instructions(build(name)[1])
    assert re.fullmatch(r"\w+:\d[\w.-]+", dict(words)["FROM"])
    order = [word for word, _ in words]
    assert dict(words)["USER"] not in ("root", "0")
    assert order.index("USER") < order.index("CMD")
    # What is not a list runs under a shell, which keeps signals to itself.
    assert isinstance(json.loads(dict(words)["CMD"]), list)


def test_the_site_runs_on_gunicorn_at_its_port():
    words = dict(instructions(build("site")[1]))
    command = json.loads(words["CMD"])
    assert command[:2] == ["gunicorn", "config.wsgi"]
    assert f"--bind=0.0.0.0:{words['EXPOSE']}" in command
    assert (ROOT / "example_project" / "config" / "wsgi.py").exists()
    assert "127.0.0.1:8000" in SERVICES["site"]["healthcheck"]["test"][-1]
    assert (DOCKER / "entrypoint.sh").read_text().endswith('exec "$@"\n')


def resolved(text):
    """Put in the defaults where the environment would be asked."""
    return re.sub(r"\$\{\w+:-(.*?)\}", r"\1", text)


def build(name):
    """Return the folder and the Dockerfile from which a service's image is built."""
    how = BUILT[name] if isinstance(BUILT[name], dict) else {"context": BUILT[name]}
    context = (DOCKER / how["context"]).resolve()
    return context, context / how.get("dockerfile", "Dockerfile")


def instructions(dockerfile):
    """Return the instructions of a Dockerfile: pairs of a word and the rest."""
    lines = [line for line in dockerfile.read_text().splitlines() if line.strip() and not line.startswith("#")]
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in whole)]
