import MartletNet
import NIOCore
import Testing

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Sending past NIO: what the socket does not take stays, in order.
struct StreamOutputTests {
    /// Two connected sockets, the first with little room.
    private func pair() throws -> (CInt, CInt) {
        var pair: [CInt] = [0, 0]
        #if canImport(Glibc)
        let type = CInt(SOCK_STREAM.rawValue)
        #else
        let type = SOCK_STREAM
        #endif
        try #require(socketpair(AF_UNIX, type, 0, &pair) == 0)
        var room: CInt = 4_096
        setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &room, socklen_t(MemoryLayout<CInt>.size))
        return (pair[0], pair[1])
    }

    /// Everything that has arrived.
    private func read(_ descriptor: CInt) -> [UInt8] {
        var all: [UInt8] = []
        var bytes = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(descriptor, &bytes, bytes.count, CInt(MSG_DONTWAIT))
            guard count > 0 else { return all }
            all += bytes[..<count]
        }
    }

    private func send(_ output: inout StreamOutput) -> Bool { output.send() }
    private func isEmpty(_ output: inout StreamOutput) -> Bool { output.take() == nil }

    @Test func whatTheSocketTakesIsSentAtOnce() throws {
        let (here, there) = try self.pair()
        defer { for one in [here, there] { close(one) } }
        var output = StreamOutput()
        output.sendDirectly(to: DirectSocket(descriptor: here))
        #expect(output.isDirect)
        #expect(self.send(&output))
        output.append(8) { $0.writeStaticString("own ") }
        output.append(SharedFrame(ByteBuffer(string: "shared")))
        #expect(self.send(&output) && self.isEmpty(&output))
        #expect(self.read(there) == Array("own shared".utf8))
    }

    @Test(arguments: [true, false]) func theRestStaysForNIO(isShared: Bool) throws {
        let (here, there) = try self.pair()
        defer { for one in [here, there] { close(one) } }
        var output = StreamOutput()
        output.sendDirectly(to: DirectSocket(descriptor: here))
        let bytes = (0..<500_000).map { UInt8(truncatingIfNeeded: $0 / 7) }
        if isShared { output.append(SharedFrame(ByteBuffer(bytes: bytes))) } else { output.append(8) { $0.writeBytes(bytes) } }
        #expect(!self.send(&output))
        // Until the other side reads, nothing more is taken and nothing is lost.
        #expect(!self.send(&output))
        var arrived = self.read(there)
        #expect(arrived.count > 0 && arrived.count < bytes.count)
        var rounds = 0
        while !output.send(), rounds < 10_000 {
            arrived += self.read(there)
            rounds += 1
        }
        arrived += self.read(there)
        #expect(arrived == bytes && self.isEmpty(&output))
    }

    @Test func aSocketThatIsGoneTakesNothing() throws {
        let (here, there) = try self.pair()
        close(there)
        defer { close(here) }
        var output = StreamOutput()
        output.sendDirectly(to: DirectSocket(descriptor: here))
        output.append(8) { $0.writeStaticString("lost?") }
        #expect(!self.send(&output))
        #expect(!self.isEmpty(&output))
        output.sendDirectly(to: nil)
        #expect(!output.isDirect)
    }
}
