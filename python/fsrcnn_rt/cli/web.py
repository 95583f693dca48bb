"""``fsrcnn-rt web``: the page that upscales in a browser, served to this machine alone."""

import socket
import threading
import webbrowser
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from fsrcnn_rt.cli.arguments import ArgumentParser, tell
from fsrcnn_rt.errors import CommandError

_HOST = "127.0.0.1"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".ts": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".safetensors": "application/octet-stream",
}
# Nothing but what is served here, and nobody who frames it.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    "connect-src 'self'; style-src 'self'; img-src data:; media-src blob:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def main(argv: Sequence[str]) -> int:
    """Run ``fsrcnn-rt web`` until it is interrupted.

    Raises ``CommandError`` where there is no page, ``ValueError`` for wrong usage, ``OSError`` for a port
    that cannot be had.
    """
    options = parser().parse_args(argv)
    server = make_server(options.folder or _find_page(), options.port)
    url = f"http://{_HOST}:{server.server_address[1]}/"
    tell(f"{url} (Ctrl-C ends it)")
    if options.open:
        # Some browsers return when they are closed.
        threading.Thread(target=webbrowser.open, args=[url], daemon=True).start()
    with server:
        server.serve_forever()
    return 0


def parser() -> ArgumentParser:
    """Make the parser of ``fsrcnn-rt web``."""
    parser = ArgumentParser(
        prog="fsrcnn-rt web",
        description="Serve the page that upscales in a browser, to this machine alone. "
        "Pictures stay in the browser.",
    )
    add = parser.add_argument
    add(
        "folder",
        nargs="?",
        metavar="FOLDER",
        type=Path,
        help="what web/build.sh has made (default: build/web)",
    )
    add(
        "--port",
        type=int,
        default=0,
        metavar="N",
        help="of 127.0.0.1, 0 to 65535 (default: any that is free)",
    )
    add("--open", action="store_true", help="open it in the browser")
    return parser


def make_server(folder: Path, port: int) -> ThreadingHTTPServer:
    """Make a server of the page on the loopback interface; its files are read now, and no others are served.

    Raises ``CommandError`` for a folder without the page, ``ValueError`` for a port that is none, ``OSError``
    for one that cannot be had.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"--port={port} is not 0 to 65535")
    if not (folder / "fsrcnn.wasm").is_file():
        raise CommandError(f"{folder}: the page is not here; sh web/build.sh FOLDER makes it")
    files = {
        f"/{path.relative_to(folder).as_posix()}": (_TYPES[path.suffix], path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.suffix in _TYPES and path.is_file()
    }
    files["/"] = files["/index.html"]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def _answer(self, *, body: bool) -> None:
            found = files.get(self.path.partition("?")[0])
            kind, content = found or ("text/plain; charset=utf-8", b"There is no such file.\n")
            self.send_response(200 if found else 404)
            for name, value in {
                **_HEADERS,
                "Content-Type": kind,
                "Content-Length": str(len(content)),
            }.items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET
        daemon_threads = True

    return Server((_HOST, port), Handler)


def _find_page() -> Path:
    """Find the page beside the package, or in the checkout that the package is used from."""
    import fsrcnn_rt

    places = [Path(entry).resolve() for entry in fsrcnn_rt.__path__]
    folders = [place / "web" for place in places] + [place.parents[1] / "build" / "web" for place in places]
    found = next((folder for folder in folders if (folder / "fsrcnn.wasm").is_file()), None)
    if found is None:
        raise CommandError("the page is not made yet: sh web/build.sh FOLDER makes it, in a checkout")
    return found
