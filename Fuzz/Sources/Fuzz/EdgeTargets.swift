import MartletHTTP
import MartletNet
import NIOCore

/// The PROXY protocol: pieces say "more" until the header is there, and no byte after it changes what it says.
enum ProxyTarget {
    static func run(_ bytes: UnsafeRawBufferPointer) {
        let buffer = ByteBuffer(bytes: bytes)
        let whole = ProxyHeader.parse(buffer.readableBytesView)
        if case .header(let length, let address) = whole {
            check(length > 0 && length <= bytes.count, "a header of \(length) bytes in \(bytes.count)")
            if let address { check(ClientAddress(parsing: address.description) == address, "\(address) does not lead back") }
        }
        var before = ProxyHeader.Outcome.more
        // Longer than any header that counts.
        for count in 0...min(bytes.count, 16 + ProxyHeader.extraBytes) {
            let outcome = ProxyHeader.parse(buffer.getSlice(at: 0, length: count)?.readableBytesView ?? ByteBuffer().readableBytesView)
            if before != .more { check(outcome == before, "byte \(count) changes what was certain") }
            if case .header(let length, _) = outcome { check(length <= count, "a header that has not come") }
            before = outcome
        }
    }
}

/// Addresses and networks: what is read is written so that it leads back; a network holds its own address; nothing
/// that no trusted proxy said counts.
enum ForwardedTarget {
    static func run(_ bytes: UnsafeRawBufferPointer) {
        let text = String(decoding: bytes, as: UTF8.self)
        if let address = ClientAddress(parsing: text) {
            check(ClientAddress(parsing: address.description) == address, "\(text) reads as \(address), which does not")
            check(Network(parsing: text)?.contains(address) == true, "\(text) does not hold itself")
        }
        if let network = Network(parsing: text), let own = text.split(separator: "/").first.flatMap({ ClientAddress(parsing: $0) }) {
            check(network.contains(own), "\(text) does not hold its own address")
        }
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }
        let peer = ClientAddress(v4: 0x0a00_0001)
        check(ForwardedFor.client(lines, peer: peer, trusted: .none) == Self.last(lines, peer), "an untrusted hop was followed")
        if let trusted = try? TrustedProxies(["0.0.0.0/0", "::/0"]) { _ = ForwardedFor.client(lines, peer: peer, trusted: trusted) }
        if let trusted = try? TrustedProxies(["10.0.0.0/8"]) {
            let client = ForwardedFor.client(lines, peer: peer, trusted: trusted)
            check(client == peer || text.utf8.count >= 2, "a client out of nothing")
        }
    }

    /// Without a trusted proxy among the hops, the last one of the last line that can be read is the client.
    private static func last(_ lines: [String], _ peer: ClientAddress) -> ClientAddress {
        guard let hop = lines.last?.split(separator: ",", omittingEmptySubsequences: false).last else { return peer }
        return ForwardedFor.client([String(hop)], peer: peer, trusted: .none)
    }
}
