"""A service that answers graphs over HTTP: loads a program once, runs requests that wait as one batch.

    pip install './app/engine[serve]'
    python examples/serve.py served/ --port 8000

POST /predict  {"x": [[...]], "edge_index": [[...], [...]], "edge_weight": [...]} -> {"logits": [[...]]}
GET  /health   what is served
GET  /metrics  counters in the text format of Prometheus

What a client did wrong is answered by 4xx and {"error": "one sentence"}; a full queue by 503. The service on SIGTERM
or SIGINT takes no more requests, answers those it has, and ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import signal
import socket
import sys
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NamedTuple, NoReturn

import numpy as np

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # while it starts: process 1 of a container has no default
try:
    import uvicorn
    from degree_quant_engine import Executable, Graph, load_program
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse, PlainTextResponse
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect
except ModuleNotFoundError as missing:
    print(f"package {missing.name!r} is not installed: pip install './app/engine[serve]'", file=sys.stderr)
    sys.exit(2)

FIELDS = {"x", "edge_index", "edge_weight"}
TOO_LARGE, UNREADABLE, SLOW, WRONG, FULL, FAILED = 413, 400, 408, 422, 503, 500
MOST_SECONDS = 10  # until all of a request is there


class RequestError(HTTPException):
    """A request that is answered by a status and a sentence."""


class Job(NamedTuple):
    """A request that has been read, and where its result goes."""

    x: np.ndarray
    edges: np.ndarray
    weights: np.ndarray | None
    result: asyncio.Future[np.ndarray]


def matrix(rows: Any) -> np.ndarray:
    """Returns rows of numbers as float32."""
    try:
        array = np.asarray(rows)
    except ValueError:  # rows of different lengths
        array = np.empty(0, object)
    if array.dtype.kind not in "fiu":
        raise RequestError(WRONG, "x: expected rows of numbers, all equally long")
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns the fields of a JSON object; of one that is given twice, JSON would keep the last in silence."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise RequestError(WRONG, "a field of the object is given twice")
    return fields


class Service:
    """Reads requests, and runs those that wait together.

    Args:
        program: what is served; its limits hold for a batch as for a request.
        most_nodes: of a batch of several requests.
        most_waiting: further requests are refused.
        most_bytes: of a request.
    """

    def __init__(self, program: Executable, *, most_nodes: int, most_waiting: int, most_bytes: int) -> None:
        self.program, self.most_waiting, self.most_bytes = program, most_waiting, most_bytes
        self.most_nodes = most_nodes if program.keeps_graphs_apart else 0
        self.counts: defaultdict[str, float] = defaultdict(float)
        self._jobs: deque[Job] = deque()
        self._woken, self._ends = asyncio.Event(), False

    async def predict(self, request: Request) -> np.ndarray:
        """Returns the logits that a request asks for."""
        try:
            x, edges, weights = self.read(await asyncio.wait_for(self._body(request), MOST_SECONDS))
        except asyncio.TimeoutError:  # another one than Python's before 3.11
            raise RequestError(SLOW, f"the request is not whole after {MOST_SECONDS} seconds") from None
        if len(self._jobs) >= self.most_waiting or self._ends:
            raise RequestError(FULL, "too many requests are waiting, try again later")
        job = Job(x, edges, weights, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        self._woken.set()
        return await job.result

    async def _body(self, request: Request) -> bytes:
        body = bytearray()
        try:
            async for part in request.stream():
                body += part
                if len(body) > self.most_bytes:
                    raise RequestError(TOO_LARGE, f"the request is larger than {self.most_bytes} bytes")
        except ClientDisconnect:
            raise RequestError(UNREADABLE, "the request ends early") from None
        return bytes(body)

    def read(self, body: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Returns features, edges and weights of a request, all checked."""
        try:
            fields = json.loads(body, object_pairs_hook=unique)
        except (ValueError, RecursionError):
            raise RequestError(UNREADABLE, "the request is not JSON") from None
        if not isinstance(fields, dict) or not {"x", "edge_index"} <= fields.keys() <= FIELDS:
            raise RequestError(WRONG, "expected an object with x, edge_index and, if the program reads it, edge_weight")
        x = matrix(fields["x"])
        wide = self.program.in_features
        if x.ndim != 2 or x.shape[1] != wide or not len(x):
            raise RequestError(WRONG, f"x: expected shape [N, {wide}] with N of at least 1, got {list(x.shape)}")
        if not np.isfinite(x).all():
            raise RequestError(WRONG, "x: holds a value that is NaN or not finite in float32")
        try:
            graph = Graph(fields["edge_index"], len(x), edge_weight=fields.get("edge_weight"))
            self.program.check(graph)
        except ValueError as error:
            raise RequestError(WRONG, str(error)) from None
        weights = None if graph.weights is None else np.asarray(fields["edge_weight"], np.float32)
        return x, np.asarray(fields["edge_index"], np.int64).reshape(2, -1), weights

    async def work(self) -> None:
        """Runs batches until `end` was called and no request waits."""
        while self._jobs or not self._ends:
            if not self._jobs:
                self._woken.clear()
                await self._woken.wait()
                continue
            jobs = self._take()
            results: Sequence[np.ndarray | RequestError]
            try:
                results = await asyncio.to_thread(self.run, jobs)
            except Exception as error:  # such as want of memory: the service goes on
                results = [RequestError(FAILED, f"the program could not be run: {type(error).__name__}")] * len(jobs)
            for job, result in zip(jobs, results, strict=True):
                if job.result.cancelled():  # its client has gone
                    continue
                if isinstance(result, Exception):
                    job.result.set_exception(result)
                else:
                    job.result.set_result(result)

    def end(self) -> None:
        """Makes `work` end when no request waits any more."""
        self._ends = True
        self._woken.set()

    def _take(self) -> list[Job]:
        """Returns the requests that wait: the first, and those behind it that make no batch of too many nodes."""
        jobs = [self._jobs.popleft()]
        nodes = len(jobs[0].x)
        while self._jobs and nodes + len(self._jobs[0].x) <= self.most_nodes:
            jobs.append(self._jobs.popleft())
            nodes += len(jobs[-1].x)
        return jobs

    def run(self, jobs: Sequence[Job]) -> Sequence[np.ndarray | RequestError]:
        """Returns the logits of every request; a batch that is refused is run one by one."""
        sizes = [len(job.x) for job in jobs]
        starts = np.cumsum([0, *sizes])
        try:
            logits = self.program.run(
                np.concatenate([job.x for job in jobs]),
                np.concatenate([job.edges + start for job, start in zip(jobs, starts, strict=False)], axis=1),
                np.repeat(np.arange(len(jobs)), sizes) if len(jobs) > 1 else None,
                edge_weight=np.concatenate([job.weights for job in jobs]) if self.program.reads_edge_weights else None,
            )
        except ValueError as error:
            return [RequestError(WRONG, str(error))] if len(jobs) == 1 else [self.run([job])[0] for job in jobs]
        self.counts["batches"] += 1
        self.counts["graphs"] += len(jobs)
        return np.split(logits, starts[1:-1] if len(logits) == starts[-1] else range(1, len(jobs)))

    def metrics(self) -> str:
        """Returns counters in the text format of Prometheus."""
        lines = [f"engine_{name}_total {number:g}" for name, number in sorted(self.counts.items())]
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return "\n".join([*lines, f"engine_waiting {len(self._jobs)}", f"process_peak_memory_bytes {memory}", ""])


def application(service: Service) -> FastAPI:
    """Returns the web application of a service."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        working = asyncio.create_task(service.work())
        yield
        service.end()
        await working

    app = FastAPI(title="Integer programs of graph neural networks", lifespan=lifespan)

    def answer(status: int, content: dict[str, Any]) -> JSONResponse:
        service.counts[f"answers_{status}"] += 1
        return JSONResponse(content, status)

    @app.post("/predict")
    async def predict(request: Request) -> JSONResponse:
        started = time.perf_counter()
        try:
            logits = await service.predict(request)
        except asyncio.CancelledError:  # the service ends, and --grace is over
            return answer(FULL, {"error": "the service ends, try again later"})
        service.counts["seconds"] += time.perf_counter() - started
        return answer(200, {"logits": logits.tolist()})

    @app.get("/health")
    async def health() -> dict[str, Any]:
        program = service.program
        return {"status": "ok", "in_features": program.in_features, "out_features": program.out_features}

    @app.get("/metrics")
    async def metrics() -> PlainTextResponse:
        return PlainTextResponse(service.metrics())

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        asked = "" if isinstance(error, RequestError) else f"{request.method} {request.url.path}: "
        return answer(error.status_code, {"error": asked + error.detail})

    return app


class Parser(argparse.ArgumentParser):
    """A command line whose faults are one sentence."""

    def error(self, message: str) -> NoReturn:
        """Ends the process."""
        self.exit(2, f"error: {message}\n")


def whole(text: str, *, least: int = 1, most: int = 2**31 - 1) -> int:
    """Returns the whole number that an option gives."""
    if not text.isdecimal() or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"expected a whole number from {least} to {most}, got {text!r}")
    return int(text)


def listening(parser: Parser, host: str, port: int) -> socket.socket:
    """Returns a socket that takes connections, and says its address; ends the process where it cannot be had."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, UnicodeError) as error:
        parser.error(f"cannot listen on --host {host} --port {port}: {getattr(error, 'strerror', None) or error}")
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else every answer waits 40 ms for an ACK
    shown = f"[{host}]" if ":" in host else host
    print(f"listening on http://{shown}:{listener.getsockname()[1]}", flush=True)
    return listener


def main() -> None:
    """Serves the program that the command line names."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("program", help="folder of a program")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=partial(whole, least=0, most=65535), default=8000, help="0: any that is free")
    parser.add_argument("--threads", type=whole, default=1, help="of a batch (default: 1)")
    parser.add_argument("--max-nodes", type=whole, default=100_000, help="of a request, and of a batch")
    parser.add_argument("--max-edges", type=whole, default=1_000_000, help="of a request, and of a batch")
    parser.add_argument("--batch-nodes", type=whole, default=2_000, help="of requests that run together")
    parser.add_argument("--max-waiting", type=whole, default=256, help="requests that wait")
    parser.add_argument("--max-bytes", type=whole, default=16 << 20, help="of a request")
    parser.add_argument("--grace", type=whole, default=30, help="seconds in which an end that is asked for comes")
    options = parser.parse_args()
    try:
        limits = {"max_nodes": options.max_nodes, "max_edges": options.max_edges}
        program = load_program(options.program, threads=options.threads, **limits)
    except ValueError as error:
        parser.error(str(error))
    sizes = {"most_nodes": options.batch_nodes, "most_waiting": options.max_waiting, "most_bytes": options.max_bytes}
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, lambda *_: None)  # uvicorn raises it once more when all is done
    listener = listening(parser, options.host, options.port)
    app, grace = application(Service(program, **sizes)), options.grace
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=grace))
    server.run(sockets=[listener])


if __name__ == "__main__":
    main()
