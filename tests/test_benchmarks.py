"""The benchmarks can be run: every experiment gives figures, and what is made of them is written. Nothing is timed."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import subprocess
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock
from xml.etree import ElementTree

import pytest

from benchmarks import tables
from benchmarks.arms import ARMS, CONNECTION_POOL, DJANGO_POOL, KEPT, OURS
from benchmarks.environments import Environment
from benchmarks.experiments import EXPERIMENTS, checkout, contention, http, request
from benchmarks.figures import Results, Spread, Target, number, percentile
from benchmarks.lab import Lab
from benchmarks.measured import load
from benchmarks.plots import draw
from benchmarks.svg import Axis
from benchmarks.worker import MeasurementFailed, Worker
from tests.support.aliases import ROOT


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """What a smoke run has written, and said."""
    folder = tmp_path_factory.mktemp("benchmarks")
    words = [sys.executable, "-m", "benchmarks", "--smoke", "--output", str(folder)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "said").write_text(done.stdout)
    return folder


@pytest.fixture(scope="module")
def results(output):
    return Results.load(output / "results.json")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_gives_finite_figures_of_ours(results, name):
    values = [value for series in results.series if series.experiment == name and series.arm == OURS for value in series.values]
    assert values, results.notes
    assert all(math.isfinite(value) for value in values)


def test_no_arm_failed(results):
    assert [note for note in results.notes if "failed" in note or "errors" in note] == []


def test_what_is_left_out_is_said(results):
    measured = {series.arm for series in results.series}
    assert measured >= {OURS, KEPT}
    for peer in {DJANGO_POOL, CONNECTION_POOL} - measured:
        assert any(note.startswith(f"{peer} was left out") for note in results.notes) or not ARMS[peer].needs


def test_a_race_that_failed_keeps_its_place_among_the_rounds(tmp_path):
    """A ratio is that of two samples of the same round."""
    seen = {"per_second": 100.0, "least": 1, "most": 1, "p50": 1.0, "p99": 1.0}
    ours, other = mock.Mock(), mock.Mock()
    ours.call.side_effect = [seen, MeasurementFailed("once"), {**seen, "per_second": 200.0}]
    other.call.side_effect = [seen, {**seen, "per_second": 50.0}, seen]
    lab = Lab(True, [], {"postgresql": {}}, None, tmp_path, Results(), mock.Mock())
    with mock.patch.object(lab, "workers", lambda *_: contextlib.nullcontext({OURS: ours, DJANGO_POOL: other})):
        contention.run(lab)
    group = lab.results.groups(contention.NAME)[1]
    assert [len(lab.results.get(contention.NAME, group, contention.RATE, arm).values) for arm in (OURS, DJANGO_POOL)] == [2, 2]
    assert lab.results.ratio(contention.NAME, group, contention.RATE, OURS, DJANGO_POOL).median == 2.0


@pytest.mark.parametrize("asked", [2, 5])  # after it is told to watch: for the requests that come first; for one that counts
def test_a_process_that_fails_has_no_value_in_that_round(asked, tmp_path):
    """A median of fewer requests than the others' would be that of an easier moment."""

    def process(fails):
        calls = iter(range(1, 1000))

        def call(*_, **arguments):
            if next(calls) == fails:
                raise MeasurementFailed("once")
            return 8.0 if "requests" in arguments else None

        return mock.Mock(call=call)

    lab = Lab(True, [], {"postgresql": {}}, None, tmp_path, Results(), mock.Mock())
    for fails in (asked, 0):
        processes = {OURS: process(fails), KEPT: process(0)}
        with mock.patch.object(lab, "workers", lambda *_, found=processes: contextlib.nullcontext(found)):
            request._measure_round(lab, "postgresql", 3, 5)
    values = {(series.group, series.arm): series.values for series in lab.results.series}
    whole = [arm_values for arm_values in values.values() if arm_values == [8.0, 8.0]]
    assert len(values) == 4 and len(whole) == 3
    (broken,) = [arm_values for (_, arm), arm_values in values.items() if arm == OURS and arm_values not in whole]
    assert math.isnan(broken[0]) and broken[1] == 8.0
    assert len(lab.results.notes) == 1


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_figure_is_in_a_table(results, output, name):
    module = EXPERIMENTS[name]
    said = (output / "said").read_text()
    document = (output / "plots" / "tables.rst").read_text()
    for comparison in module.comparisons(results):
        rows = comparison.rows(results)
        assert rows and all(len(row) == len(comparison.header()) for row in rows)
        assert tables.text(comparison, results) in said
        assert tables.rst(comparison, results) in document
    shown = {(c.group, metric) for c in module.comparisons(results) for metric in c.metrics}
    kept = {(s.group, s.metric) for s in results.series if s.experiment == name}
    # The latency of single requests is in results.json only: it says more of the machine than of the arms.
    assert {pair for pair in kept - shown if "latency" not in pair[1]} == set()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_target_has_a_verdict(results, name):
    for target in EXPERIMENTS[name].targets(results):
        assert target.verdict .removesuffix(", barely") in ("holds", "FAILS")


def test_the_plots_are_svg_with_the_machine_and_the_versions_below(results, output):
    paths = sorted((output / "plots").glob("*.svg"))
    assert {path.stem for path in paths} >= {"checkout", "http-cpu", "contention-rate", "contention-fairness", "growth"}
    for path in paths:
        words = " ".join(ElementTree.parse(path).getroot().itertext())
        assert results.about["machine"].split(",")[0] in words
        assert "Django" in words and "CPython" in words


# ------------------------------------------------------------------------------------------------------------ arithmetic


def made(**arms):
    """Results of one group with these samples."""
    results = Results({"when": "today"})
    for arm, values in arms.items():
        for value in values:
            results.add("checkout", "psycopg 3", checkout.CPU, "µs", arm, value)
    return results


def test_ratios_are_taken_within_a_round():
    # A machine that gets ten times slower in the last round, for everybody, changes no ratio.
    results = made(a=[1.0, 2.0, 20.0], b=[2.0, 4.0, 40.0])
    assert results.ratio("checkout", "psycopg 3", checkout.CPU, "a", "b") == Spread(0.5, 0.5, 0.5)


def test_a_spread_is_the_middle_half():
    assert Spread.of([5.0, 1.0, 4.0, 2.0, 1000.0]) == Spread(4.0, 2.0, 5.0)
    assert Spread.of([3.0]) == Spread(3.0, 3.0, 3.0)


def test_a_round_without_a_value_keeps_its_place():
    results = made(a=[1.0, math.nan, 30.0], b=[2.0, 4.0, 60.0], c=[math.nan, math.nan, math.nan])
    assert results.ratio("checkout", "psycopg 3", checkout.CPU, "a", "b") == Spread(0.5, 0.5, 0.5)
    assert results.ratio("checkout", "psycopg 3", checkout.CPU, "a", "c") is None
    assert results.get("checkout", "psycopg 3", checkout.CPU, "a").median == 15.5
    results.drop_empty()
    assert results.arms("checkout", "psycopg 3") == ["a", "b"]


def test_there_is_no_ratio_to_what_was_not_measured():
    assert made(a=[1.0]).ratio("checkout", "psycopg 3", checkout.CPU, "a", "b") is None


def test_results_survive_being_saved(tmp_path):
    results = made(a=[1.0, 2.0])
    results.note("something was left out")
    results.loads["checkout"] = ["0.1", "2.0"]
    results.save(tmp_path / "results.json")
    loaded = Results.load(tmp_path / "results.json")
    assert vars(loaded) == vars(results)


@pytest.mark.parametrize("fails", [[KEPT], [OURS, KEPT]])
def test_a_site_that_does_not_start_keeps_its_place_among_the_rounds(fails, tmp_path, monkeypatch):
    address = {"vendor": "postgresql", "NAME": "", "OPTIONS": {}}
    lab = Lab(True, [mock.Mock()], {"postgresql": address}, None, tmp_path, Results(), mock.Mock())
    failing = [lab.settings(ARMS[name], "postgresql", http.THREADS) for name in fails]

    @contextlib.contextmanager
    def served(*arguments):
        if arguments[-1] in failing:
            failing.remove(arguments[-1])  # in the first round alone
            raise MeasurementFailed("the site did not start")
        yield mock.Mock(load=lambda *_: {"requests": 1.0, "errors": 0.0, "cpu": 1.0, "per_second": 1.0, "p99": 1.0})

    monkeypatch.setattr(http, "_served", served)
    arms = [OURS, KEPT]
    for _ in range(2):
        http._measure_round(lab, mock.Mock(), http.SITES[0], "postgresql", arms, ["one"])
    for arm in arms:
        (values,) = [series.values for series in lab.results.series if (series.metric, series.arm) == (http.CPU, arm)]
        assert [math.isnan(value) for value in values] == [arm in fails, False]


def test_no_site_is_always_started_first(tmp_path, monkeypatch):
    lab = Lab(True, [mock.Mock()], {"postgresql": {"vendor": "postgresql"}}, None, tmp_path, Results(), mock.Mock())
    started = []

    @contextlib.contextmanager
    def served(lab, generator, site, settings):
        started.append(settings["ENGINE"])
        yield mock.Mock(load=lambda *_: {"requests": 1.0, "errors": 0.0, "cpu": 1.0, "per_second": 1.0, "p99": 1.0})

    monkeypatch.setattr(http, "_served", served)
    for _ in range(8):
        http._measure_round(lab, mock.Mock(), http.SITES[0], "postgresql", [OURS, KEPT], ["one"])
    assert {*started[::2]} == {*started}


def test_an_answer_that_comes_too_late_is_not_that_to_the_next_question(tmp_path, monkeypatch):
    slow = tmp_path / "python"
    slow.write_text("#!/bin/sh\nread first && read second && echo '{\"result\": \"to the first\"}'\n")
    slow.chmod(0o700)
    with Worker(Environment(slow, {}), {}, tmp_path / "log") as worker:
        monkeypatch.setattr("benchmarks.worker.CALL_SECONDS", 0.1)
        with pytest.raises(MeasurementFailed, match=r"no answer within 0\.1 s"):
            worker.call("checkout", "spent")
        monkeypatch.undo()
        with pytest.raises(MeasurementFailed, match="the worker has ended"):
            worker.call("checkout", "spent")


@pytest.mark.parametrize(("python", "kept"), [("3.13", ["http"]), ("3.14", [])])
def test_a_part_measured_again_keeps_the_rest_of_a_session_like_it(python, kept):
    earlier, later = Results({"when": "yesterday", "python": "3.13"}), Results({"when": "today", "python": python})
    for experiment in ("checkout", "http"):
        earlier.add(experiment, "a group", "a metric", "", OURS, 1.0)
        earlier.loads[experiment] = ["0.1", "0.2"]
        earlier.running = experiment
        earlier.note(f"{experiment} was disturbed")
        earlier.note("a peer was left out")
    later.adopt(earlier, without=["checkout"])
    assert [series.experiment for series in later.series] == list(later.loads) == kept
    assert later.notes == {f"{name} was disturbed": [name] for name in kept} | ({"a peer was left out": kept} if kept else {})


@pytest.mark.parametrize(
    ("spread", "is_most", "verdict"),
    [
        (Spread(1.0, 0.9, 1.05), True, "holds"),
        (Spread(1.0, 0.9, 1.06), True, "holds, barely"),
        (Spread(1.06, 0.9, 1.2), True, "FAILS, barely"),
        (Spread(1.1, 1.06, 1.2), True, "FAILS"),
        (Spread(1.2, 1.05, 1.3), False, "holds"),
        (Spread(1.2, 1.0, 1.3), False, "holds, barely"),
        (Spread(1.0, 0.9, 1.3), False, "FAILS, barely"),
    ],
)
def test_a_target_is_held_to_its_median(spread, is_most, verdict):
    assert Target("the pool", spread, 1.05, is_most).verdict == verdict


def test_numbers_have_three_digits_and_counts_are_whole():
    assert [number(value) for value in (0.01234, 1.234, 12.34, 1234.5, 15.0, 0.0)] == [
        "0.012",
        "1.23",
        "12.3",
        "1,234",
        "15",
        "0",
    ]


def test_a_percentile_is_one_of_the_values():
    assert percentile(range(1, 101), 0.5) == 50
    assert percentile(range(1, 101), 0.99) == 99
    assert percentile([7.0], 0.99) == 7.0
    assert percentile([], 0.5) == 0.0


def test_an_axis_of_unlike_values_is_logarithmic():
    assert not Axis.over([1.0, 20.0], 0, 100).is_logarithmic
    axis = Axis.over([1.0, 1000.0], 0, 100)
    assert axis.is_logarithmic
    assert axis.place(1.0) < axis.place(10.0) < axis.place(1000.0)
    assert {1.0, 10.0, 100.0, 1000.0} <= set(axis.ticks())


def test_nothing_measured_draws_nothing(tmp_path):
    assert draw(Results({}), tmp_path) == []


@pytest.fixture
def serve():
    """Serve, by HTTP, which worker has a connection: the first of some, or the last one in their place; count in ``seen``."""
    servers = []
    seen = Counter()

    def start(workers, status=200):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                self.worker = workers.pop(0) if len(workers) > 1 else workers[0]
                seen["connections"] += 1

            def do_GET(self):
                seen[self.path] += 1
                self.send_response(status)
                self.send_header("Content-Length", str(len(self.worker)))
                self.end_headers()
                self.wfile.write(self.worker)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = False  # so that they are waited for
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server.server_address[1]

    start.seen = seen
    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_each_worker_is_given_as_many_connections(serve):
    port = serve([*([b"one"] * 7), b"two"])
    clients = load.connect(port, 6, 2)
    found = Counter(client.ask_worker() for client in clients)
    for client in clients:
        client.close()
    assert found == {b"one": 3, b"two": 3}


def test_a_worker_that_accepts_nothing_is_an_error(serve, monkeypatch):
    monkeypatch.setattr(load, "SPREAD_SECONDS", 0.1)
    with pytest.raises(ConnectionError, match="4 connections can't be spread over 2 workers: 1 were met"):
        load.connect(serve([b"one"]), 4, 2)


def test_a_site_that_does_not_tell_its_worker_is_an_error(serve):
    with pytest.raises(ConnectionError, match="/worker was answered with 404"):
        load.connect(serve([b"one", b"two"], status=404), 4, 2)


def send(port):
    return load.send(port, "/one", connections=2, workers=1, seconds=0.05, pid=os.getpid())


def test_connections_are_kept_from_one_slice_to_the_next_and_its_warm_up_is_not_counted(serve):
    port = serve([b"one"])
    slices = [send(port) for _ in range(2)]
    load.forget(port)
    assert serve.seen["connections"] == 2
    assert [each["errors"] for each in slices] == [0, 0]
    for each in slices:
        assert each["requests"] > 0 < each["per_second"]
        assert 0 < each["cpu"] < 5
        assert 0 < each["p50"] <= each["p99"] < 5
    counted = sum(each["requests"] for each in slices)
    assert serve.seen["/one"] >= counted + 2 * 2 * load.WARM_UP


def test_a_site_that_answers_wrongly_is_asked_anew_and_not_for_ever(serve):
    port = serve([b"one"], status=500)
    seen = send(port)
    assert seen["requests"] == 0
    assert seen["errors"] == serve.seen["/one"] <= 10 * 2 + 2
    assert port not in load._clients


def test_a_site_that_is_gone_is_an_error_and_nothing_of_it_is_kept(serve, monkeypatch):
    port = serve([b"one"])
    send(port)
    for client in load._clients[port]:
        client.socket.shutdown(socket.SHUT_RDWR)
    monkeypatch.setattr(load.Client, "connect", mock.Mock(side_effect=ConnectionRefusedError))
    with pytest.raises(ConnectionRefusedError):
        send(port)
    assert port not in load._clients


def test_a_connection_that_the_site_has_closed_meanwhile_is_an_error_and_no_end(serve):
    port = serve([b"one"])
    assert send(port)["errors"] == 0
    for client in load._clients[port]:
        client.socket.shutdown(socket.SHUT_RDWR)
    assert send(port)["errors"] == 2
    assert send(port)["errors"] == 0
    load.forget(port)
