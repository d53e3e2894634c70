import MartletHTTP
import NIOCore
import NIOEmbedded
import NIOHTTP1

/// A head that the quick reader takes, NIO's parser reads the same, with a body as long.
enum HeadTarget {
    static func run(_ bytes: UnsafeRawBufferPointer) {
        guard let end = QuickHead.end(in: bytes, searched: 0) else { return }
        check(end <= bytes.count && Array(bytes[(end - 4)..<end]) == [13, 10, 13, 10], "an end at \(end) that is none")
        for searched in 0..<end { check(QuickHead.end(in: bytes, searched: searched) == end, "another end after \(searched) bytes") }
        guard case .head(let head, let length, let bodyBytes) = QuickHead.parse(UnsafeRawBufferPointer(rebasing: bytes[..<end]), fieldsMost: 30)
        else { return }
        check(length == end && head.headers.count <= 30, "\(length) bytes of \(end)")
        guard bodyBytes < 4_096 else { return }
        guard let (other, count) = Self.read(Array(bytes[..<end]) + [UInt8](repeating: 0x78, count: bodyBytes)) else {
            return check(false, "NIO's parser refuses it")
        }
        check(head.method == other.method && head.uri == other.uri && head.version == other.version, "another request line")
        check(head.headers.elementsEqual(other.headers) { $0.name == $1.name && $0.value == $1.value }, "other fields: \(other.headers)")
        check(head.isKeepAlive == other.isKeepAlive && bodyBytes == count, "another end: \(count) and not \(bodyBytes) bytes")
    }

    private static func read(_ bytes: [UInt8]) -> (HTTPRequestHead, Int)? {
        let channel = EmbeddedChannel()
        defer { _ = try? channel.finish(acceptAlreadyClosed: true) }
        let decoder = ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes))
        guard (try? channel.pipeline.syncOperations.addHandler(decoder)) != nil, (try? channel.writeInbound(ByteBuffer(bytes: bytes))) != nil,
            case .head(let head)? = try? channel.readInbound(as: HTTPServerRequestPart.self)
        else { return nil }
        var count = 0
        while let part = try? channel.readInbound(as: HTTPServerRequestPart.self) {
            switch part {
            case .body(let body): count += body.readableBytes
            case .end: return (head, count)
            case .head: return nil
            }
        }
        return nil
    }
}
