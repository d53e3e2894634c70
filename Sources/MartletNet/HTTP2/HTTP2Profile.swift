package import MartletCore
package import NIOCore
package import NIOHTTP2

/// How HTTP/2 (RFC 9113) is spoken here, whatever travels on it.
package enum HTTP2Profile {
    /// Bytes of a stream that a client may send before they are read.
    private static let windowBytes = 65_535
    /// Bytes that a stream may hold unsent before it counts as full: as a stream of HTTP/1.1.
    private static let heldBytes = 4_096
    /// Frames that wait for a client that does not read (acks of its pings and settings), before the connection ends.
    private static let controlFramesMost = 1_000

    /// - Parameter streams: that a connection may have open at a time.
    package static func connection(limits: Limits, streams: Int) -> NIOHTTP2Handler.ConnectionConfiguration {
        var connection = NIOHTTP2Handler.ConnectionConfiguration()
        connection.initialSettings = [
            HTTP2Setting(parameter: .maxConcurrentStreams, value: streams),
            HTTP2Setting(parameter: .maxHeaderListSize, value: limits.headerBytes),
            HTTP2Setting(parameter: .initialWindowSize, value: self.windowBytes),
        ]
        connection.maximumBufferedControlFrames = self.controlFramesMost
        return connection
    }

    /// Resets, errors and control frames: at most 200 each in 30 s, five CONTINUATION frames in a row (NIO's defaults).
    package static var stream: NIOHTTP2Handler.StreamConfiguration {
        var stream = NIOHTTP2Handler.StreamConfiguration()
        stream.targetWindowSize = self.windowBytes
        stream.outboundBufferSizeHighWatermark = self.heldBytes
        stream.outboundBufferSizeLowWatermark = 1
        return stream
    }

    // The first line of the preface, and the empty one after it (§3.4). NIO checks the rest.
    private static let preface = Array("PRI * HTTP/2.0\r\n\r\n".utf8)

    /// Whether a connection begins as its client knows that HTTP/2 is spoken here.
    ///
    /// - Returns: nil while that cannot be told.
    package static func beginsWithPreface(_ bytes: ByteBuffer) -> Bool? {
        let view = bytes.readableBytesView
        guard view.count < self.preface.count else { return view.starts(with: self.preface) }
        return self.preface.starts(with: view) ? nil : false
    }

    /// Errors that NIO answers with RST_STREAM. What is not known to be one counts as the connection's.
    package static func isOfOneStream(_ error: any Error) -> Bool {
        switch error {
        case is NIOHTTP2Errors.ForbiddenHeaderField, is NIOHTTP2Errors.InvalidPseudoHeaders, is NIOHTTP2Errors.InvalidPseudoHeaderValue,
            is NIOHTTP2Errors.DuplicatePseudoHeader, is NIOHTTP2Errors.MissingPseudoHeader, is NIOHTTP2Errors.PseudoHeaderAfterRegularHeader,
            is NIOHTTP2Errors.UnknownPseudoHeader, is NIOHTTP2Errors.InvalidHTTP2HeaderFieldName,
            is NIOHTTP2Errors.InvalidHTTP2HeaderFieldValue, is NIOHTTP2Errors.EmptyPathHeader, is NIOHTTP2Errors.ContentLengthViolated,
            is NIOHTTP2Errors.UnsupportedPseudoHeader, is NIOHTTP2Errors.ContentLengthHeadersMismatch,
            is NIOHTTP2Errors.ContentLengthHeaderNegative, is NIOHTTP2Errors.ContentLengthHeaderMalformedValue:
            true
        default: false
        }
    }
}
