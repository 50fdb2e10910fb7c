"""A local HTTP server that serves, cuts, ignores and lies as a test tells it."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Script:
    """What the server holds and does; what it was asked for."""

    def __init__(self, files):
        self.files = files
        self.cut_after = []  # bytes of the body after which a request's connection ends, in turn
        self.statuses = []  # answered first, in turn, without a body
        self.ranges = True
        self.length = True
        self.headers = {}
        self.asked = []  # (name, Range header)


@contextmanager
def serving(files):
    """Yield a script and the address of its folder."""
    script = Script(files)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            answer(self, script)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield script, f"http://127.0.0.1:{server.server_port}/mirror"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answer(request, script):
    name = request.path.split("?")[0].rsplit("/", 1)[1]
    wanted = request.headers.get("Range")
    script.asked.append((name, wanted))
    request.close_connection = True
    if script.statuses or name not in script.files:
        status = script.statuses.pop(0) if script.statuses else 404
        request.send_response(status)
        request.send_header("Content-Length", "0")
        request.end_headers()
        return
    content = script.files[name]
    start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and script.ranges else 0
    if start and start >= len(content):  # as servers do
        request.send_response(416)
        request.send_header("Content-Length", "0")
        request.end_headers()
        return
    body = content[start:]
    request.send_response(206 if start else 200)
    if start:
        request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    if script.length:
        request.send_header("Content-Length", str(len(body)))
    for key, value in script.headers.items():
        request.send_header(key, value)
    # Before the client knows of an answer: it may ask again while this thread still sleeps.
    cut = script.cut_after.pop(0) if script.cut_after else None
    request.end_headers()
    request.wfile.write(body[:cut])
