"""Holds a real server to the OpenAPI document it serves.

Starts `tidegate serve` on an empty directory and a port of its own, lets schemathesis ask everything the document allows and much
that it does not, and stops the server. A 5xx, an undocumented status or content type, or a body that is not as described
fails the check, and so does a server that does not end well.

Not asked: whether everything that fits the document is taken (a cursor is a text that only the server writes, two fields may
exclude each other, an idempotency key may have come before), and whether everything that does not is refused as a whole (in a
list, each item is refused by itself).

    check.py PROGRAM [EXAMPLES [SEED]]
"""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
CHECKS = ",".join(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "unsupported_method",
        "allow_header_conformance",
    ]
)
START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 120


def own_port():
    """A port that is nobody else's as long as the socket is there: it is bound and never listened on, and a server that is told to
    can listen on it."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", 0))
    return bound


def wait_until_it_serves(url, server):
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=30):
                return
        except OSError:
            time.sleep(0.05)
    sys.exit("the server did not start")


def stop(server):
    """Asks the server to end, and kills it if it does not. Its exit code."""
    server.send_signal(signal.SIGTERM)
    try:
        return server.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        server.kill()
        return server.wait()


def ask(url, examples, seed, directory):
    """Runs schemathesis from the environment that this program runs in, in a directory for what it leaves behind."""
    command = [
        str(pathlib.Path(sys.executable).parent / "schemathesis"),
        "run",
        f"{url}/openapi.json",
        f"--checks={CHECKS}",
        f"--max-examples={examples}",
        f"--seed={seed}",
        "--phases=examples,coverage,fuzzing,stateful",
        "--continue-on-failure",
        "--request-timeout=60",
        "--generation-database=none",
        "--no-color",
        # Its answer does not end; the server's own tests hear it.
        "--exclude-operation-id=watch_pools",
        # How fast examples are made says something about the machine alone.
        "--suppress-health-check=all",
        "--warnings=off",
    ]
    settings = {"SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, env={**os.environ, **settings}, cwd=directory)


def main():
    program, examples, seed, *_ = [*sys.argv[1:], *["5", "1"][max(0, len(sys.argv) - 2) :]]
    with tempfile.TemporaryDirectory() as directory, own_port() as port:
        url = f"http://127.0.0.1:{port.getsockname()[1]}"
        serve = [program, "serve", "--listen", url.removeprefix("http://"), "--data", f"{directory}/data", "--log", "warn"]
        server = subprocess.Popen(serve)
        try:
            wait_until_it_serves(url, server)
            failed = ask(url, examples, seed, directory).returncode
        finally:
            ended = stop(server)
    if ended != 0:
        sys.exit(f"the server ended with {ended}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
