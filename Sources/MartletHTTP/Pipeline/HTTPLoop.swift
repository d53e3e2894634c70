import MartletNet

/// What the connections of one event loop share that speak HTTP. Confined to it.
final class HTTPLoop: @unchecked Sendable {
    let state: LoopState
    var date = HTTPDate()
    /// Made by the first WebSocket that asks for compression.
    var deflate: LoopDeflate?

    init(_ state: LoopState) { self.state = state }
}
