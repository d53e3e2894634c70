import MartletCore
import MartletNet
import NIOCore

/// Waits for a client's first words: what begins as HTTP/2 does is handed on, all else is closed. Nothing is sent before that, because TLS
/// may still have to begin.
final class GRPCStart: ChannelInboundHandler, RemovableChannelHandler, Connection, Swept {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let setup: GRPCSetup
    private let state: LoopState
    private let peer: Peer
    private let deadline: NIODeadline
    private var context: ChannelHandlerContext?
    private var input = ByteBuffer()
    private var isHandedOver = false

    init(_ connection: NewConnection, setup: GRPCSetup) throws {
        // Before anything is counted.
        _ = try setup.loop(connection.state)
        self.setup = setup
        self.state = connection.state
        self.peer = connection.peer
        self.deadline = .now() + .seconds(Int64(setup.services.limits.headSeconds))
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.state.opened(self)
        self.state.watch(self)
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.ended() }

    func channelInactive(context: ChannelHandlerContext) {
        self.ended()
        context.fireChannelInactive()
    }

    private func ended() {
        guard self.context != nil else { return }
        self.context = nil
        self.state.closed(self)
        self.state.unwatch(self)
        if !self.isHandedOver { self.peer.leave() }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !self.isHandedOver else { return context.fireChannelRead(data) }
        var bytes = self.unwrapInboundIn(data)
        self.input.writeBuffer(&bytes)
        switch HTTP2Profile.beginsWithPreface(self.input) {
        case nil: break
        case false?: context.close(promise: nil)
        case true?: self.handOver(context)
        }
    }

    private func handOver(_ context: ChannelHandlerContext) {
        self.isHandedOver = true
        let input = self.input
        self.input = ByteBuffer()
        do {
            _ = try self.setup.install(on: context.channel, after: self, state: self.state, peer: self.peer)
            context.fireChannelRead(self.wrapInboundOut(input))
            context.fireChannelReadComplete()
        } catch {
            self.isHandedOver = false
            context.close(promise: nil)
        }
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func sweep(now: NIODeadline) { if now > self.deadline { self.context?.close(promise: nil) } }

    func quiesce() { self.context?.close(promise: nil) }

    func abort() { self.context?.close(promise: nil) }
}
