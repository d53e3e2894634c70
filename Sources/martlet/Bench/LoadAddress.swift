import NIOCore

#if canImport(Darwin)
import Darwin
#elseif canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Loads of one machine against itself.
extension SocketAddress {
    /// Connections that come from one source address; below what one has ports for, and what a server may grant it.
    private static let connectionsPerSource = 200

    var isLoopback: Bool { self.ipAddress?.hasPrefix("127.") == true || self.ipAddress == "::1" }

    /// The address that connection number `index` to this one comes from; nil leaves it to the kernel.
    ///
    /// Over loopback each Linux process may use all of 127.0.0.0/8, so that ports never run out.
    func source(_ index: Int) -> SocketAddress? {
        #if os(Linux)
        guard self.isLoopback, self.protocol == .inet else { return nil }
        let number = index / Self.connectionsPerSource
        return try? SocketAddress(ipAddress: "127.0.\(1 + number / 250).\(1 + number % 250)", port: 0)
        #else
        return nil
        #endif
    }
}

extension Channel {
    /// Ends it as a network does that goes away: without a port that waits. Called on its event loop.
    func abort() {
        guard let options = self as? any SocketOptionProvider else { return self.close(promise: nil) }
        options.setSoLinger(linger(l_onoff: 1, l_linger: 0)).assumeIsolated().whenComplete { _ in self.close(promise: nil) }
    }
}
