"""Every way to receive, by the name that tests show."""

from clients import HTTPXSSE, LongPoll, Ramen, RawSSE, SSEClientPy, WebSocket
from grpc_push import GRPC, ProtoWebSocket
from streams import JSONP, Exchange, Iframe, Multipart, NDJSON

TRANSPORTS = {
    "sse": RawSSE,
    "httpx-sse": HTTPXSSE,
    "sseclient-py": SSEClientPy,
    "websocket": WebSocket,
    "ndjson": NDJSON,
    "multipart": Multipart,
    "iframe": Iframe,
    "long-poll": LongPoll,
    "jsonp": JSONP,
    "exchange": Exchange,
    "ramen": Ramen,
    "grpc": GRPC,
    "websocket-proto": ProtoWebSocket,
}
