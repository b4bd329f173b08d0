"""A bundle of a classification behind HTTP: ``python -m examples.service path/to/bundle``.

``POST /predict`` with ``{"texts": ["I lost my card"]}`` (and ``"seconds"`` for pairs) gives the
probability of every label, the most probable first; ``GET /health`` answers while it is up. On
SIGTERM it takes no new connections, finishes what it has taken, and exits with 0.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio.to_thread
import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from exporters import LoadedBundle, load_bundle
from fleetfit import FleetfitError, InputError

TEXTS, BODY_BYTES = 64, 8 * 2**20
"""The most of one request."""


class Asked(BaseModel, extra="forbid"):
    """The body of a request."""

    texts: list[str] = Field(max_length=TEXTS)
    seconds: list[str] | None = Field(default=None, max_length=TEXTS)


def app_of(bundle: LoadedBundle) -> FastAPI:
    """The service; its errors are ``{"detail": "one sentence"}``."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # No more calls at once than there are cores for the threads of each; the rest wait.
        calls = (os.cpu_count() or 1) // bundle.manifest.target.threads
        anyio.to_thread.current_default_thread_limiter().total_tokens = max(1, calls)
        yield

    app = FastAPI(title="fleetfit bundle", lifespan=lifespan)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok", "target": str(bundle.manifest.target)}

    @app.post("/predict")
    def predict(asked: Asked) -> list[dict[str, float]]:  # in a thread, for it is no coroutine
        return bundle.predict(asked.texts, asked.seconds)

    @app.middleware("http")
    async def limit(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        length = request.headers.get("content-length")
        if request.method == "POST" and (length is None or int(length) > BODY_BYTES):
            return refusal(413, f"A body must say its length, at most {BODY_BYTES} bytes.")
        return await call_next(request)

    @app.exception_handler(FleetfitError)
    async def failed(request: Request, exc: FleetfitError) -> Response:
        return refusal(422 if isinstance(exc, InputError) else 503, str(exc))

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, exc: RequestValidationError) -> Response:
        first = exc.errors()[0]
        where = ".".join(map(ascii, first["loc"]))  # a name of the client's, whatever it holds
        return refusal(422, f"A body must be {{'texts': [...]}}, but {where}: {first['msg']}.")

    return app


def refusal(status: int, sentence: str) -> Response:
    """An error in the form of all of them."""
    return JSONResponse({"detail": sentence}, status_code=status)


def main() -> int:
    """Load, serve, and end well on SIGTERM."""
    parser = argparse.ArgumentParser(description="Serve a bundle over HTTP.")
    parser.add_argument("bundle")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0: any that is free")
    args = parser.parse_args()
    # uvicorn raises the signal once more when it has ended well: that is no failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        app = app_of(load_bundle(args.bundle))
    except FleetfitError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return exc.exit_code
    uvicorn.run(
        app,
        host=args.host,
        port=args.port,
        access_log=False,
        limit_concurrency=256,
        timeout_graceful_shutdown=60,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
