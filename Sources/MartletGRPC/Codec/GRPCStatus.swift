package import MartletWire
import NIOCore
package import NIOHPACK

/// What became of a call (https://github.com/grpc/grpc/blob/master/doc/statuscodes.md).
package enum GRPCCode: Int, CaseIterable, Sendable {
    case ok = 0
    case cancelled = 1
    case unknown = 2
    case invalidArgument = 3
    case deadlineExceeded = 4
    case notFound = 5
    case alreadyExists = 6
    case permissionDenied = 7
    case resourceExhausted = 8
    case failedPrecondition = 9
    case aborted = 10
    case outOfRange = 11
    case unimplemented = 12
    case `internal` = 13
    case unavailable = 14
    case dataLoss = 15
    case unauthenticated = 16

    /// As a label: `resource_exhausted`.
    package var name: String {
        var name = ""
        for character in "\(self)" {
            if character.isUppercase { name += "_" }
            name += character.lowercased()
        }
        return name
    }
}

/// How a call ends: the status, and what its trailers say beside it.
package struct GRPCStatus: Error, Equatable, Sendable {
    package var code: GRPCCode
    /// For people; any text.
    package var message: String
    /// From the catalogue, if it is one of its errors.
    package var error: ErrorCode?
    package var limit: Int?
    /// When to try again, in milliseconds from now.
    package var retryAfterMs: Int64?
    /// If it was a session that ended.
    package var close: CloseCode?

    package init(_ code: GRPCCode, _ message: String = "") {
        self.code = code
        self.message = message
    }

    package static let ok = GRPCStatus(.ok)

    /// The fields of the trailers; in an answer without messages they follow the head's.
    package func write(to fields: inout HPACKHeaders) {
        fields.add(name: "grpc-status", value: String(self.code.rawValue))
        if !self.message.isEmpty { fields.add(name: "grpc-message", value: PercentText.encode(self.message)) }
        if let error = self.error { fields.add(name: "martlet-error-code", value: error.rawValue) }
        if let limit = self.limit { fields.add(name: "martlet-error-limit", value: String(limit)) }
        if let retry = self.retryAfterMs { fields.add(name: "grpc-retry-pushback-ms", value: String(retry)) }
        guard let close = self.close else { return }
        fields.add(name: "martlet-close-code", value: String(close.rawValue))
        fields.add(name: "martlet-reconnect", value: close.reconnect ? "true" : "false")
    }
}

/// The text of `grpc-message`: what is not printable ASCII, and `%`, as `%XX`.
package enum PercentText {
    private static let digits = Array("0123456789ABCDEF".utf8)

    /// Bytes of a message; what is longer is cut off.
    private static let most = 1_024

    package static func encode(_ text: String) -> String {
        var output: [UInt8] = []
        for byte in text.utf8.prefix(self.most) {
            if (0x20...0x7e).contains(byte), byte != UInt8(ascii: "%") {
                output.append(byte)
            } else {
                output.append(UInt8(ascii: "%"))
                output.append(self.digits[Int(byte >> 4)])
                output.append(self.digits[Int(byte & 15)])
            }
        }
        return String(decoding: output, as: UTF8.self)
    }
}
