"""The example service, in a process of its own, asked by HTTP clients."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from app.engine import load_program
from app.engine.program.io import save_program
from app.engine.program.model import INPUT
from tests.app.engine.programs import Draft, gin, graph_gin

ROOT = Path(__file__).parents[2]
WIDTH = 6

pytestmark = pytest.mark.skipif(
    not (find_spec("fastapi") and find_spec("uvicorn")), reason="fastapi or uvicorn is not installed"
)


def loaded(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """A folder in which the engine is the package that its distribution installs."""
    folder = tmp_path_factory.mktemp("packages")
    (folder / "degree_quant_engine").symlink_to(ROOT / "app" / "engine", target_is_directory=True)
    return folder


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return save_program(graph_gin(Draft(0, WIDTH), 5, 3), tmp_path_factory.mktemp("program"))


def started(packages, program, *words):
    """A service that listens, and where."""
    command = [sys.executable, str(ROOT / "examples" / "serve.py"), str(program), "--port", "0", *words]
    process = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(packages)}, stdout=subprocess.PIPE, text=True
    )
    said = process.stdout.readline()
    assert said.startswith("listening on http://127.0.0.1:")
    return process, int(said.rpartition(":")[2])


@pytest.fixture(scope="module")
def service(packages, program):
    process, port = started(packages, program, "--max-nodes", "50", "--max-bytes", "100000")
    yield port
    process.terminate()
    assert process.wait(30) == 0


@pytest.fixture
def client(service):
    return loaded("load_test").Client("127.0.0.1", service)


def requests(number, seed=0):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 20, number)
    return [
        {"x": rng.normal(size=(n, WIDTH)).tolist(), "edge_index": rng.integers(0, n, (2, 2 * n)).tolist()}
        for n in sizes
    ]


def test_every_client_gets_what_the_program_computes_for_its_graph(service, program):
    executable, asked = load_program(program), requests(200)

    def answer(request):
        return loaded("load_test").Client("127.0.0.1", service).post(json.dumps(request).encode())

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(answer, asked))
    for request, (status, content) in zip(asked, answers, strict=True):
        assert status == 200
        expected = executable.run(np.array(request["x"]), np.array(request["edge_index"]))
        np.testing.assert_array_equal(np.float32(json.loads(content)["logits"]), expected)


def test_wrong_requests_are_one_sentence_and_change_nothing(client):
    tools, (good, *_) = loaded("load_test"), requests(1)
    before = client.post(json.dumps(good).encode())
    for body in tools.wrong_requests(good):
        assert tools.is_sentence(*client.post(body)), body[:80]
    assert client.post(json.dumps(good).encode()) == before


def test_requests_beyond_a_bound_are_refused(client):
    many = {"x": [[0] * WIDTH] * 51, "edge_index": [[0], [1]]}
    status, content = client.post(json.dumps(many).encode())
    assert (status, json.loads(content)) == (422, {"error": "51 nodes are more than max_nodes, 50"})
    status, content = client.post(b" " * 100_001)
    assert (status, json.loads(content)) == (413, {"error": "the request is larger than 100000 bytes"})


def test_unknown_paths_are_one_sentence(client):
    assert json.loads(client.get("/predict"))["error"] == "GET /predict: Method Not Allowed"
    assert json.loads(client.get("/other"))["error"] == "GET /other: Not Found"


def test_metrics_count_answers(client):
    def count():
        return int(client.get("/metrics").split(b"engine_answers_200_total ")[1].split()[0])

    client.post(json.dumps(requests(1)[0]).encode())
    before = count()
    client.post(json.dumps(requests(1)[0]).encode())
    assert count() == before + 1


def test_what_has_been_asked_is_answered_before_the_end(packages, program):
    process, port = started(packages, program)
    asked = [json.dumps(request).encode() for request in requests(12)]
    clients = [loaded("load_test").Client("127.0.0.1", port) for _ in asked]
    for one in clients:
        one.get("/health")
    with ThreadPoolExecutor(len(asked)) as pool:
        waiting = [pool.submit(one.post, body) for one, body in zip(clients, asked, strict=True)]
        next(iter(waiting)).result()
        process.send_signal(signal.SIGTERM)
        ended = [one.exception() or one.result()[0] for one in waiting]
    assert process.wait(30) == 0
    assert ended[0] == 200
    assert all(one == 200 or isinstance(one, OSError) for one in ended), (
        ended
    )  # refused before it was read, or answered


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_request_that_never_becomes_whole_does_not_keep_the_service_from_its_end(packages, program, stop):
    process, port = started(packages, program, "--grace", "1")
    with socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\n{")
        loaded("load_test").Client("127.0.0.1", port).get("/health")  # so that it has been read
        process.send_signal(stop)
        try:
            assert process.wait(20) == 0
        finally:
            process.kill()
        assert slow.makefile("rb").read().endswith(b'{"error":"the service ends, try again later"}')


@pytest.fixture
def serve(packages, monkeypatch):
    monkeypatch.syspath_prepend(str(packages))
    return loaded("serve")


def test_a_request_that_is_refused_spoils_no_other(serve, tmp_path):
    """Ids are only known to be wrong when a batch runs."""
    draft = Draft(0, 1)
    grid = draft._grid(0.1)
    x = draft.emit("embedding", INPUT, width=8, grid=grid, tensors={"table": (draft.maker.constant(grid, 9, 8), 8)})
    save_program(draft.finish(draft.emit("sum", x)), tmp_path)
    program = load_program(tmp_path)
    bounds = {"most_nodes": 100, "most_waiting": 9, "most_bytes": 10_000}

    async def answers(ids):
        service = serve.Service(program, **bounds)
        bodies = [json.dumps({"x": [[i], [0]], "edge_index": [[0], [1]]}).encode() for i in ids]
        jobs = [serve.Job(*service.read(body), asyncio.get_running_loop().create_future()) for body in bodies]
        return service.run(jobs)

    first, wrong, last = asyncio.run(answers([3, 9, 4]))
    assert (wrong.status_code, wrong.detail) == (422, "x: expected whole numbers from 0 to 8, got 9")
    for i, logits in ((3, first), (4, last)):
        np.testing.assert_array_equal(logits, program.run([[i], [0]], [[0], [1]]))


def test_rows_of_nodes_go_to_the_request_that_they_are_of(serve, tmp_path):
    program = load_program(save_program(gin(Draft(0, WIDTH), 5, 3), tmp_path))

    async def answers(asked):
        service = serve.Service(program, most_nodes=1000, most_waiting=9, most_bytes=10_000)
        jobs = [
            serve.Job(*service.read(json.dumps(one).encode()), asyncio.get_running_loop().create_future())
            for one in asked
        ]
        return service.run(jobs)

    asked = requests(5)
    for request, logits in zip(asked, asyncio.run(answers(asked)), strict=True):
        np.testing.assert_array_equal(logits, program.run(np.array(request["x"]), np.array(request["edge_index"])))


def test_answers_do_not_wait_for_the_client_to_acknowledge(serve):
    """Else each takes 40 ms: asyncio leaves the listener as it is, and what it accepts inherits that."""
    with serve.listening(serve.Parser(), "127.0.0.1", 0) as listener, socket.socket() as client:
        client.connect(listener.getsockname())
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_full_queue_is_told(serve, program):
    async def ask():
        service = serve.Service(load_program(program), most_nodes=100, most_waiting=2, most_bytes=10_000)

        class Request:
            async def stream(self):
                yield json.dumps(requests(1)[0]).encode()

        tasks = [asyncio.create_task(service.predict(Request())) for _ in range(3)]
        done, _ = await asyncio.wait(tasks, timeout=20, return_when=asyncio.FIRST_COMPLETED)
        (refused,) = done
        working = asyncio.create_task(service.work())
        service.end()
        await working
        return refused.exception(), [task.result() for task in tasks if task is not refused]

    error, answered = asyncio.run(ask())
    assert (error.status_code, error.detail) == (503, "too many requests are waiting, try again later")
    assert len(answered) == 2


def test_a_client_that_goes_amid_its_request_is_no_failure_of_the_service(serve, program):
    async def ask():
        class Request:
            async def stream(self):
                yield b"{"
                raise serve.ClientDisconnect

        service = serve.Service(load_program(program), most_nodes=100, most_waiting=2, most_bytes=10_000)
        with pytest.raises(serve.RequestError, match="the request ends early"):
            await service.predict(Request())

    asyncio.run(ask())


def test_a_request_that_does_not_become_whole_is_given_up(serve, program, monkeypatch):
    async def ask():
        class Request:
            async def stream(self):
                yield b"{"
                await asyncio.sleep(20)

        service = serve.Service(load_program(program), most_nodes=100, most_waiting=2, most_bytes=10_000)
        with pytest.raises(serve.RequestError, match=r"the request is not whole after 0\.1 seconds") as refused:
            await service.predict(Request())
        assert refused.value.status_code == 408

    monkeypatch.setattr(serve, "MOST_SECONDS", 0.1, raising=False)
    asyncio.run(ask())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["missing"], "missing: manifest.json: cannot be read"),
        (["missing", "--port", "65536"], "argument --port: expected a whole number from 0 to 65535, got '65536'"),
        (["missing", "--max-waiting", "0"], "argument --max-waiting: expected a whole number from 1 to "),
        ([], "the following arguments are required: program"),
    ],
)
def test_a_wrong_command_line_is_one_sentence(serve, monkeypatch, capsys, words, sentence):
    monkeypatch.setattr(sys, "argv", ["serve.py", *words])
    with pytest.raises(SystemExit) as ended:
        serve.main()
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert told.startswith(f"error: {sentence}")
    assert told.count("\n") == 1


@pytest.mark.parametrize("words", [("--host", "no host"), ("--host", "203.0.113.1"), ("--port", "{taken}")])
def test_an_address_that_cannot_be_had_is_one_sentence(serve, program, monkeypatch, capsys, words):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words = [word.format(taken=taken.getsockname()[1]) for word in words]
        monkeypatch.setattr(sys, "argv", ["serve.py", str(program), *words])
        with pytest.raises(SystemExit) as ended:
            serve.main()
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert told.startswith("error: cannot listen on --host ")
    assert " ".join(words) in told
    assert told.count("\n") == 1
