import MartletWire
import NIOCore

/// The body of an error answer.
enum ErrorJSON {
    static func buffer(_ error: WireError) -> ByteBuffer { ByteBuffer(bytes: error.json) }
}
