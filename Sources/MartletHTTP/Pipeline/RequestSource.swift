import NIOCore

/// Who reads a connection's requests for the front handler: ``QuickLane``, or NIO's HTTP handlers behind ``ByteWatch``.
protocol RequestSource: AnyObject {
    /// When the first byte came since the last request was complete; nil if none did.
    var beganAt: NIODeadline? { get }
    /// Called once when a body's framing takes far more bytes than the body.
    var onWaste: (() -> Void)? { get set }
    func bodyBegins()
    func bodyGrew(by count: Int)
    func requestEnds()
    /// From now on what comes is dropped.
    func drop()
    /// Answers where there is no request to answer, then closes the sending side: the client may still be sending.
    func answer(_ bytes: ByteBuffer)
}
