import NIOCore

/// One keep-alive connection that publishes, one request at a time.
final class PublishConnection: ChannelInboundHandler, PacedConnection {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private static let maxAnswer = 1 << 20

    private let pacer: Pacer
    private var context: ChannelHandlerContext?
    private var answer: [UInt8] = []
    /// When the message under way was published; nil if none is.
    private var sent: UInt64?
    private var isOver = false

    init(pacer: Pacer) { self.pacer = pacer }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func ready() -> EventLoopFuture<Void> { self.pacer.loop.makeSucceededVoidFuture() }

    /// Sends a whole request.
    func send(_ request: [UInt8], stamped: UInt64) {
        guard let context = self.context else { return }
        self.sent = stamped
        context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(bytes: request)), promise: nil)
    }

    func close() { self.context?.close(promise: nil) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.answer.append(contentsOf: self.unwrapInboundIn(data).readableBytesView)
        guard let sent = self.sent, let status = self.wholeStatus() else {
            if self.answer.count > Self.maxAnswer { context.close(promise: nil) }
            return
        }
        self.sent = nil
        let problem = (200..<300).contains(status) ? nil : "a publish was answered \(status): \(self.body().prefix(300))"
        self.answer.removeAll(keepingCapacity: true)
        self.pacer.answered(self, sent: sent, problem: problem)
    }

    func channelInactive(context: ChannelHandlerContext) {
        guard !self.isOver else { return }
        self.isOver = true
        self.pacer.lost(self, unanswered: self.sent == nil ? 0 : 1)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    /// The status of an answer that is whole; nil if it is not.
    private func wholeStatus() -> Int? {
        guard let head = self.headEnd() else { return nil }
        let text = String(decoding: self.answer[..<head], as: UTF8.self).lowercased()
        guard let status = Int(text.dropFirst(9).prefix(3)) else { return nil }
        for line in text.split(separator: "\r\n") {
            if line.hasPrefix("content-length:") {
                let length = Int(line.dropFirst("content-length:".count).filter { $0 != " " }) ?? 0
                return self.answer.count >= head + length ? status : nil
            }
            if line.hasPrefix("transfer-encoding:") {
                return self.answer.suffix(5).elementsEqual("0\r\n\r\n".utf8) ? status : nil
            }
        }
        return status
    }

    private func headEnd() -> Int? {
        guard self.answer.count >= 4 else { return nil }
        for index in 3..<self.answer.count where self.answer[index] == 0x0a {
            if self.answer[index - 1] == 0x0d, self.answer[index - 2] == 0x0a, self.answer[index - 3] == 0x0d { return index + 1 }
        }
        return nil
    }

    private func body() -> String {
        guard let head = self.headEnd() else { return "" }
        return String(decoding: self.answer[head...], as: UTF8.self).filter { $0 != "\n" && $0 != "\r" }
    }
}
