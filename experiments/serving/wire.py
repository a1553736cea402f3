"""uvicorn with limits to what a client may hold: connections, time for a request's head, time to take an answer."""

import contextlib

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

CONNECTIONS = 500  # at once; more are closed unanswered
HEAD_SECONDS = 10.0  # from a connection's, or a request's, first byte to the end of its head
TAKE_SECONDS = 30.0  # that a client may take to read on, where it has read too little of an answer to be sent more
GRACE_SECONDS = 10.0  # from SIGTERM on, for requests that are being answered


class Protocol(HttpToolsProtocol):
    """HTTP/1.1 with a timer: a connection on which nothing is going on is closed."""

    _timer = None

    def connection_made(self, transport):
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            transport.abort()
        self._close_after(HEAD_SECONDS)

    def connection_lost(self, exc):
        self._close_after(None)
        super().connection_lost(exc)

    def data_received(self, data):
        if self.timeout_keep_alive_task and not self._timer:  # after an answer: of the next request, or of nothing
            self._close_after(HEAD_SECONDS)
        super().data_received(data)

    def on_message_begin(self):
        super().on_message_begin()
        self._close_after(HEAD_SECONDS)

    def on_headers_complete(self):
        self._close_after(None)
        super().on_headers_complete()

    def pause_writing(self):
        super().pause_writing()
        self._close_after(TAKE_SECONDS)

    def resume_writing(self):
        super().resume_writing()
        self._close_after(None)

    def _close_after(self, seconds: float | None) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = seconds and self.loop.call_later(seconds, self.transport.abort)


def run(app, host: str, port: int, certificate: str = "", key: str = "") -> int:
    """Serve until SIGTERM or SIGINT, and `GRACE_SECONDS` more where requests are open; return the exit status.

    HTTPS with a certificate and its key, files in PEM; HTTP without.
    """
    # uvicorn's access log would have the caller's address.
    how = {"access_log": False, "server_header": False, "http": Protocol, "ws": "none"}
    how |= {"timeout_graceful_shutdown": int(GRACE_SECONDS), "timeout_keep_alive": 5, "log_config": None}
    how |= {"ssl_certfile": certificate, "ssl_keyfile": key} if certificate else {}
    server = uvicorn.Server(uvicorn.Config(app, host, port, **how))
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it anew once all is done
        server.run()
    return 0 if server.started else 1
