import MartletCore
import MartletWire
import NIOHTTP1

/// Connections that are SSE streams: `/v1/sse` and `/ramen/receive`.
extension OneWayConnection {
    static func sse(_ request: FrontRequest, _ caller: Caller, front: FrontHandler) throws(WireError) -> OneWayConnection {
        let parser = HelloParser(services: front.services, query: request.query, headers: request.head.headers)
        try request.query.allow(HelloParser.streaming + HelloParser.topics + ["cursor", "ack"])
        var hello = try parser.hello(caller, ackMode: .none)
        if let last = request.head.headers.first(name: "last-event-id"), !last.isEmpty {
            // The newer of the two: an EventSource repeats the URL it began with.
            hello.cursor = try Cursor(parsing: last)
            hello.automaticReconnect = true
        }
        return OneWayConnection(
            front: front, hello: hello,
            encoder: SSEEncoder(.events(seq: hello.ackMode == .explicit), visibleHeartbeat: try parser.visibleHeartbeat()),
            corsLines: front.services.origins.lines(request.head.headers))
    }

    static func ramen(_ request: FrontRequest, _ caller: Caller, front: FrontHandler) throws(WireError) -> OneWayConnection {
        let parser = HelloParser(services: front.services, query: request.query, headers: request.head.headers)
        try request.query.allow(HelloParser.streaming + ["seq"])
        _ = try caller.requiredDevice()
        var hello = try parser.hello(caller, ackMode: .none)
        hello.transport = .ramen
        hello.ackMode = .none
        hello.cursor = nil
        hello.ramenSeq = try parser.ramenSeq()
        hello.heartbeatMs = try parser.heartbeat(default: front.services.limits.ramenHeartbeatMs)
        return OneWayConnection(
            front: front, hello: hello,
            encoder: SSEEncoder(.ramen, visibleHeartbeat: try parser.visibleHeartbeat()),
            corsLines: front.services.origins.lines(request.head.headers))
    }
}
