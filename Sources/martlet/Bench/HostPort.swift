import ArgumentParser
import NIOCore

/// Where a broker, or a server of gRPC, is.
struct HostPort: ExpressibleByArgument, CustomStringConvertible {
    let host: String
    let port: Int

    init?(argument: String) {
        guard let colon = argument.lastIndex(of: ":"), let port = Int(argument[argument.index(after: colon)...]), (1...65_535).contains(port)
        else { return nil }
        let host = argument[..<colon]
        self.init(host: host.hasPrefix("[") && host.hasSuffix("]") ? String(host.dropFirst().dropLast()) : String(host), port: port)
        guard !self.host.isEmpty else { return nil }
    }

    private init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    static let mqtt = HostPort(host: "127.0.0.1", port: 1_883)
    static let grpc = HostPort(host: "127.0.0.1", port: 9_090)

    var description: String { "\(self.host.contains(":") ? "[\(self.host)]" : self.host):\(self.port)" }
    var defaultValueDescription: String { self.description }

    /// - Throws: ``ClientError`` if nobody has that name.
    func resolve() throws(ClientError) -> SocketAddress {
        do {
            return try SocketAddress.makeAddressResolvingHost(self.host, port: self.port)
        } catch {
            throw ClientError(message: "\(self.host) is no address that is known here", isTemporary: false)
        }
    }
}
