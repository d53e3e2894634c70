import NIOCore

/// What a stream's messages are for. Confined to the stream's loop.
protocol GRPCCall: AnyObject {
    /// Bytes that the client's next message may have.
    var messageBytes: Int { get }
    /// Whether it takes a message now; if not, ``GRPCStream/readOn()`` is called once it does.
    var takesMessages: Bool { get }
    /// Whether who calls was checked.
    var isSigned: Bool { get }

    /// Bytes of messages that it keeps until the client has said all.
    var keptBytes: Int { get }

    func received(_ message: ByteBuffer)

    /// The client sends no more.
    func requestEnded()

    /// The call is over: the client reset it, the connection is gone, or it was answered.
    func over()

    /// The server goes down.
    func quiesce()
}

extension GRPCCall {
    var keptBytes: Int { 0 }
    func over() {}
    func quiesce() {}
}
