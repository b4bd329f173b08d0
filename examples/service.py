"""A bundle of a classification behind HTTP: ``python -m examples.service path/to/bundle``.

``POST /predict`` with ``{"texts": ["I lost my card"]}`` (and ``"seconds"`` for pairs) gives the
probability of every label, the most probable first; ``GET /health`` answers while it is up. On
SIGTERM it takes no new connections, finishes what it has taken, and exits with 0.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from exporters import LoadedBundle, load_bundle
from fleetfit import FleetfitError, InputError


class Asked(BaseModel, extra="forbid"):
    """The body of a request."""

    texts: list[str] = Field(max_length=64)
    seconds: list[str] | None = Field(default=None, max_length=64)


def app_of(bundle: LoadedBundle) -> FastAPI:
    """The service; its errors are ``{"detail": "one sentence"}``."""
    app = FastAPI(title="fleetfit bundle")
    # No more calls at once than there are cores for the threads of each; the rest wait.
    pool = ThreadPoolExecutor(max(1, (os.cpu_count() or 1) // bundle.manifest.target.threads))

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok", "target": str(bundle.manifest.target)}

    @app.post("/predict")
    async def predict(asked: Asked) -> list[dict[str, float]]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(pool, bundle.predict, asked.texts, asked.seconds)

    @app.exception_handler(FleetfitError)
    async def failed(request: Request, exc: FleetfitError) -> JSONResponse:
        return JSONResponse({"detail": str(exc)}, 422 if isinstance(exc, InputError) else 503)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, exc: RequestValidationError) -> JSONResponse:
        where, why = exc.errors()[0]["loc"], exc.errors()[0]["msg"]  # names may hold anything
        return JSONResponse(
            {"detail": f"A body must be {{'texts': [...]}}, but at {where!a}: {why}."}, 422
        )

    return app


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
