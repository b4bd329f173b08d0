"""The example service as a client sees it: answers, refusals, and a clean end under load."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from benchmarks._service_process import ROOT, Service, served
from exporters import LoadedBundle, load_bundle
from tests.exporters.bundles import build_bundle

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

TEXTS = ["I lost my card", "where is it", ""]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_bundle(tmp_path_factory.mktemp("service") / "bundle")


@pytest.fixture(scope="module")
def bundle(path: Path) -> LoadedBundle:
    return load_bundle(path)


@pytest.fixture(scope="module")
def service(path: Path) -> Iterator[Service]:
    with served(path) as found:
        yield found


def post(port: int, body: bytes, **headers: str) -> tuple[int, Any]:
    """Status and JSON of one request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        named = {"content-type": "application/json"} | headers
        connection.request("POST", "/predict", body, named)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def body_of(texts: list[str]) -> bytes:
    return json.dumps({"texts": texts}).encode()


def test_answers_are_the_bundles(service: Service, bundle: LoadedBundle) -> None:
    status, found = post(service.port, body_of(TEXTS))
    assert status == 200
    assert found == bundle.predict(TEXTS)
    assert [list(one) for one in found] == [list(one) for one in bundle.predict(TEXTS)]
    assert post(service.port, body_of([])) == (200, [])


def test_it_says_that_it_is_up(service: Service) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    connection.request("GET", "/health")
    response = connection.getresponse()
    assert json.loads(response.read()) == {"status": "ok", "target": "onnxruntime-fp32-1t"}
    connection.close()


def test_clients_at_once_get_their_own_answers(service: Service, bundle: LoadedBundle) -> None:
    asked = [[f"{'card ' * (k % 5)}{TEXTS[k % 3]}"] for k in range(120)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda texts: post(service.port, body_of(texts)), asked))
    for texts, (status, answers) in zip(asked, found, strict=True):
        assert status == 200
        assert answers == bundle.predict(texts)


def test_100000_characters_are_cut_as_the_bundle_does(
    service: Service, bundle: LoadedBundle
) -> None:
    text = ("my card " * 12_500)[:100_000]
    assert post(service.port, body_of([text])) == (200, bundle.predict([text]))


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        (b"", 422, "body"),
        (b"{", 422, "JSON decode error"),
        (b'{"texts": ["caf\xe9"]}', 400, "parsing the body"),
        (b'{"texts": ["\\ud800"]}', 422, "valid Unicode"),
        (b'{"texts": ["x"], "\\ud800": 1}', 422, "body"),
        (b'{"texts": ["x"], "colour": 1}', 422, "colour"),
        (b'{"texts": "one string"}', 422, "valid list"),
        (b'{"texts": [1]}', 422, "valid string"),
        (b'{"texts": ["x"], "seconds": ["y"]}', 422, "given single texts"),
        (body_of(["x"] * 65), 422, "at most 64"),
        (b"[" * 100_000, 400, "parsing the body"),
        (b'{"texts": [' + b"1" * 9000 + b"]}", 400, "parsing the body"),
    ],
    ids=range(12),
)
def test_a_bad_request_gets_one_sentence(
    service: Service, body: bytes, status: int, named: str
) -> None:
    found, answer = post(service.port, body)
    assert (found, list(answer)) == (status, ["detail"])
    assert named in answer["detail"]
    assert "\n" not in answer["detail"]
    assert post(service.port, body_of(TEXTS))[0] == 200  # it goes on


def test_a_bad_bundle_ends_with_its_exit_code_and_one_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "examples.service", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: A bundle's manifest.json must be")
    assert done.stderr.count("\n") == 1


def waiting(port: int, body: bytes) -> socket.socket:
    """A request that the service has begun: it has asked for the body, which is still here."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    head = (
        "POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        f"expect: 100-continue\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode())
    assert connection.recv(100).startswith(b"HTTP/1.1 100")
    return connection


def wait_until_closed(port: int) -> None:
    """Return when no new connection is taken any more."""
    for _ in range(6000):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=60).close()
        except OSError:
            return
        time.sleep(0.01)
    pytest.fail("the service still takes connections")


def test_sigterm_finishes_what_was_begun_and_exits_with_0(path: Path, bundle: LoadedBundle) -> None:
    body = body_of(TEXTS)
    with served(path) as service:
        begun = [waiting(service.port, body) for _ in range(4)]
        service.process.send_signal(signal.SIGTERM)
        wait_until_closed(service.port)
        for connection in begun:
            connection.sendall(body)
            response = http.client.HTTPResponse(connection)
            response.begin()
            assert response.status == 200
            assert json.loads(response.read()) == bundle.predict(TEXTS)
            response.close()
            connection.close()
        code, logged = service.end()
    assert code == 0
    assert "Traceback" not in logged


def test_sigterm_under_load_breaks_no_answer(path: Path, bundle: LoadedBundle) -> None:
    """Each client gets whole answers until it gets no connection; half of one raises here."""
    wanted, found = bundle.predict(TEXTS), []
    enough = threading.Event()

    def ask(port: int) -> None:
        while True:
            try:
                found.append(post(port, body_of(TEXTS)))
            except ConnectionError:  # where no new one is taken
                return
            if len(found) >= 60:
                enough.set()

    with served(path) as service:
        threads = [threading.Thread(target=ask, args=(service.port,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        assert enough.wait(120)
        code, logged = service.end()
        for thread in threads:
            thread.join()
    assert code == 0
    assert "Traceback" not in logged
    assert len(found) >= 60
    assert all(one == (200, wanted) for one in found)
