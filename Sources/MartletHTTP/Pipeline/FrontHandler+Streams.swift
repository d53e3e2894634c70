import MartletCore
import MartletNet
import MartletWire
import NIOCore
import NIOHTTP1

/// What makes a request a stream.
extension FrontHandler {
    /// Gives the connection to a streaming handler once it is known who is asking.
    func stream(_ request: FrontRequest, _ make: @escaping (Caller) throws(WireError) -> any Successor) {
        ClientAccess.caller(request, front: self) { result in
            self.stream { () throws(WireError) in try make(try result.get()) }
        }
    }

    /// Gives the connection to a streaming handler.
    func stream(_ make: () throws(WireError) -> any Successor) {
        do throws(WireError) {
            let handler = try make()
            self.services.metrics.answered(self.route, status: 200)
            self.handOver(to: handler)
        } catch {
            self.respond(error, headers: error.code == .upgradeRequired ? [("sec-websocket-version", "13"), ("upgrade", "websocket")] : [])
        }
    }

    /// Takes every HTTP handler off the connection, then lets the stream begin.
    private func handOver(to handler: any Successor) {
        guard let context = self.context else { return }
        self.phase = .handedOver
        if let quick = self.quick { return quick.handOver(to: handler) }
        // Not now: the decoder is still on the stack.
        context.eventLoop.assumeIsolated().execute {
            guard context.channel.isActive else { return }
            let operations = context.channel.pipeline.syncOperations
            do {
                try operations.addHandler(handler)
            } catch {
                context.close(promise: nil)
                return
            }
            // An interim answer may be waiting in NIO.
            if self.services.edge.tls == nil, StreamOutput.unread(context.channel) == 0 {
                handler.sendDirectly(to: DirectSocket(of: context.channel))
            }
            self.isHandedOver = true
            operations.removeHandler(self, promise: nil)
            // The decoder goes last: what it has read ahead belongs to the stream.
            for type in Self.removable {
                if let found = type(operations) { operations.removeHandler(context: found, promise: nil) }
            }
            handler.begin()
        }
    }

    private static let removable: [@Sendable (ChannelPipeline.SynchronousOperations) -> ChannelHandlerContext?] = [
        { try? $0.context(handlerType: HTTPServerPipelineHandler.self) },
        { try? $0.context(handlerType: HTTPResponseEncoder.self) },
        { try? $0.context(handlerType: ByteToMessageHandler<HTTPRequestDecoder>.self) },
        { try? $0.context(handlerType: ByteWatch.self) },
    ]
}
