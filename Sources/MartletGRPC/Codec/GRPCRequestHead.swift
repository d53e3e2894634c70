import MartletWire
package import NIOCore
package import NIOHPACK

/// The head of a call (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md), checked.
package struct GRPCRequestHead: Equatable {
    /// How the client compresses its messages.
    package enum Encoding: Equatable {
        case identity, gzip
    }

    /// `/package.Service/Method`.
    package var path: String
    package var encoding = Encoding.identity
    /// Whether it takes messages that are compressed with gzip.
    package var acceptsGzip = false
    package var timeout: TimeAmount?
    package var authorization: String?
    package var apiKey: String?

    /// Why a call is not even looked at.
    package enum Refusal: Error, Equatable {
        /// It is no call of gRPC: an HTTP status.
        case http(Int)
        case status(GRPCStatus)
    }

    /// - Parameter fields: untrusted; NIO has checked their form.
    package init(_ fields: HPACKHeaders) throws(Refusal) {
        self.path = ""
        var method = ""
        var type: String?
        var encoding: String?
        var timeout: String?
        for (name, value, _) in fields {
            switch name {
            case ":method": method = value
            case ":path": self.path = value
            case "content-type": type = value
            case "grpc-encoding": encoding = value
            case "grpc-accept-encoding": self.acceptsGzip = self.acceptsGzip || Self.lists(value, "gzip")
            case "grpc-timeout": timeout = value
            case "authorization": self.authorization = value
            case "x-api-key": self.apiKey = value
            default: break
            }
        }
        guard method == "POST" else { throw .http(405) }
        guard let type, Self.isGRPC(type) else { throw .http(415) }
        switch encoding {
        case nil, "identity": break
        case "gzip": self.encoding = .gzip
        case let other?: throw .status(GRPCStatus(.unimplemented, "grpc-encoding \(other.prefix(32)) is not spoken here: use gzip or identity."))
        }
        guard let timeout else { return }
        guard let amount = GRPCTimeout.parse(timeout) else {
            throw .status(GRPCStatus(.invalidArgument, "grpc-timeout is up to eight digits and one of H, M, S, m, u, n."))
        }
        self.timeout = amount
    }

    /// Whether the answers are compressed: the client compresses what it sends and takes what is.
    ///
    /// Most clients accept gzip whether their users want it or not, so that alone is no wish.
    package var wantsGzip: Bool { self.encoding == .gzip && self.acceptsGzip }

    /// `application/grpc`, or with `+proto` or parameters.
    private static func isGRPC(_ type: String) -> Bool {
        let type = type.lowercased()
        let kind = type.prefix { $0 != ";" && $0 != " " }
        return kind == "application/grpc" || kind == "application/grpc+proto"
    }

    private static func lists(_ value: String, _ name: String) -> Bool {
        value.split(separator: ",").contains { part in
            var part = part
            while part.first == " " { part.removeFirst() }
            while part.last == " " { part.removeLast() }
            return part == name
        }
    }
}
