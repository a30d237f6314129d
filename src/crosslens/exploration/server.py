"""The page, served to this machine alone.

The server listens on the loopback address. A random token stands in the page's address and in
every request; requests from pages of another origin, and for another host name, are refused, so
that nothing but the page that was opened can drive the model.
"""

import json
import secrets
import socket
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Final

from jinja2 import Environment
from markupsafe import Markup

from ..model.encoder import CrossEncoder
from .answers import Answers


HOST: Final = "127.0.0.1"
LARGEST: Final = 2_000_000  # bytes of a request
POLICY: Final = (
    "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; script-src 'nonce-{nonce}'; "
    "style-src 'nonce-{nonce}'"
)


def application(model: CrossEncoder, port: int, token: str):
    """The web application (ASGI): the page at `/`, the answers at `/ask/KIND`.

    Raises:
        ImportError: starlette is not installed (`pip install "crosslens[explore]"`).
    """
    try:
        from starlette.applications import Starlette
        from starlette.requests import Request
        from starlette.responses import HTMLResponse, JSONResponse, Response
        from starlette.routing import Route
    except ImportError as error:
        raise ImportError('the page needs a server: pip install "crosslens[explore]"') from error

    answers = Answers(model)
    hosts = {f"{name}:{port}" for name in (HOST, "localhost")}
    origins = {f"http://{host}" for host in hosts}

    def refused(request: Request) -> str | None:
        given = request.headers.get("x-token") or request.query_params.get("token", "")
        if request.headers.get("host") not in hosts:
            return "this server answers on the loopback address alone"
        if request.headers.get("origin", f"http://{HOST}:{port}") not in origins:
            return "a page of another origin cannot ask"
        if not secrets.compare_digest(given.encode(), token.encode()):
            return "the token is missing or wrong: open the address that the command printed"
        return None

    def guarded(endpoint: Callable[[Request], Awaitable[Response]]):
        async def guard(request: Request) -> Response:
            why = refused(request)
            return await endpoint(request) if why is None else Response(why, status_code=403)

        return guard

    async def home(request: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        headers = {
            "Content-Security-Policy": POLICY.format(nonce=nonce),
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }
        return HTMLResponse(page(nonce), headers=headers)

    async def ask(request: Request) -> Response:
        body = await request.body()
        if len(body) > LARGEST:
            return JSONResponse({"error": "the request is too large"}, status_code=413)
        try:
            asked = json.loads(body)
            if not isinstance(asked, dict):
                raise ValueError("a question is a JSON object")
            # one question at a time: hooks of two would meet in one model
            return JSONResponse(answers(request.path_params["kind"], asked))
        except (ValueError, LookupError) as error:
            return JSONResponse({"error": str(error)}, status_code=400)

    return Starlette(
        routes=[
            Route("/", guarded(home)),
            Route("/ask/{kind}", guarded(ask), methods=["POST"]),
        ]
    )


def page(nonce: str) -> str:
    """The page, with everything that it needs inside."""
    here = files("crosslens") / "exploration"
    template = Environment(autoescape=True).from_string(
        (here / "page.html").read_text(encoding="utf-8")
    )
    return template.render(
        nonce=nonce,
        style=Markup((here / "explore.css").read_text(encoding="utf-8")),
        script=Markup((here / "explore.js").read_text(encoding="utf-8")),
    )


def serve(model: CrossEncoder, port: int, *, ready: Callable[[str], None]) -> None:
    """Serve until interrupted; `ready` is called with the address once the page can be opened.

    Port 0 is any that is free.

    Raises:
        ImportError: the server library is not installed.
        OSError: the port is taken.
    """
    token = secrets.token_urlsafe(24)
    with socket.create_server((HOST, port)) as bound:
        port = bound.getsockname()[1]
        app = application(model, port, token)
        import uvicorn

        class Server(uvicorn.Server):
            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                ready(f"http://{HOST}:{port}/?token={token}")

        Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[bound])
