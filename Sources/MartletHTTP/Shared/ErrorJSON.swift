import MartletWire
import NIOCore

/// The body of an error answer.
enum ErrorJSON {
    /// Ends with a line break, as all JSON answers do: it reads better in a terminal.
    static func buffer(_ error: WireError) -> ByteBuffer { ByteBuffer(bytes: error.json + [UInt8(ascii: "\n")]) }
}
