import MartletWire
import NIOCore

extension WireError {
    /// The header fields of an answer with this error.
    var fields: [(String, String)] {
        var fields: [(String, String)] = []
        if self.code.status == 401 { fields.append(("www-authenticate", "Bearer")) }
        if let seconds = self.retryAfterSeconds { fields.append(("retry-after", String(seconds))) }
        return fields
    }
}

/// The body of an error answer.
enum ErrorJSON {
    /// Ends with a line break, as all JSON answers do: it reads better in a terminal.
    static func buffer(_ error: WireError) -> ByteBuffer { ByteBuffer(bytes: error.json + [UInt8(ascii: "\n")]) }
}
