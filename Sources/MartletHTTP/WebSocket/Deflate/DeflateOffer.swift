/// The header field `Sec-WebSocket-Extensions` (RFC 6455 §9.1), and what is answered to offers of permessage-deflate
/// (RFC 7692 §7.1). Untrusted text in.
package struct DeflateAgreement: Equatable, Sendable {
    /// Base-2 logarithm of the window that the server compresses with.
    package var serverBits: Int32 = 15
    package var serverKeepsContext = false
    /// The client named a window for the server, which is then told it back.
    private var saysServerBits = false
    /// The same of the client; 15 if nothing was said of it.
    package var clientBits: Int32 = 15
    package var clientKeepsContext = false

    package init() {}

    /// The answer's header field.
    package var answer: String {
        var answer = "permessage-deflate"
        if !self.serverKeepsContext { answer += "; server_no_context_takeover" }
        if !self.clientKeepsContext { answer += "; client_no_context_takeover" }
        if self.serverBits < 15 || self.saysServerBits { answer += "; server_max_window_bits=\(self.serverBits)" }
        if self.clientBits < 15 { answer += "; client_max_window_bits=\(self.clientBits)" }
        return answer
    }

    /// The first offer that can be accepted.
    ///
    /// - Parameters:
    ///   - values: of all fields, in their order.
    ///   - contextBits: window of connections that keep their context, where both sides may; nil: none does.
    /// - Returns: nil if none can: the connection goes on uncompressed.
    /// - Throws: ``Malformed`` for what is not a list of extensions; the handshake must fail.
    package static func accept(_ values: [String], contextBits: Int32?) throws(Malformed) -> DeflateAgreement? {
        var agreement: DeflateAgreement?
        for value in values {
            var scanner = ExtensionScanner(value)
            while let offer = try scanner.next() {
                if agreement == nil { agreement = Self(offer, contextBits: contextBits) }
            }
        }
        return agreement
    }

    /// The field is not what its grammar allows.
    package struct Malformed: Error {}

    private init?(_ offer: ExtensionScanner.Offer, contextBits: Int32?) {
        guard offer.name == "permessage-deflate" else { return nil }
        var seen: Set<String> = []
        var maySetClientBits = false
        var mayServerKeep = true
        var mayClientKeep = true
        for (name, value) in offer.parameters {
            // Whatever is not known, comes twice or has a wrong value makes the offer one to decline.
            guard seen.insert(name).inserted else { return nil }
            switch (name, value) {
            case ("server_no_context_takeover", nil): mayServerKeep = false
            case ("client_no_context_takeover", nil): mayClientKeep = false
            case ("server_max_window_bits", let value?):
                // zlib has no window of 8 bits for what has no header.
                guard let bits = Self.bits(value), bits >= 9 else { return nil }
                self.serverBits = bits
                self.saysServerBits = true
            case ("client_max_window_bits", let value):
                maySetClientBits = true
                guard let value else { continue }
                guard let bits = Self.bits(value) else { return nil }
                self.clientBits = bits
            default: return nil
            }
        }
        guard let contextBits else {
            // How large the client's window is does not matter to one inflater for all.
            self.clientBits = 15
            return
        }
        self.serverKeepsContext = mayServerKeep
        if mayServerKeep { self.serverBits = min(self.serverBits, contextBits) }
        // Only a window that may be bounded is kept.
        self.clientKeepsContext = mayClientKeep && maySetClientBits
        self.clientBits = self.clientKeepsContext ? min(self.clientBits, contextBits) : 15
    }

    /// `8` to `15`, without leading zeros.
    private static func bits(_ text: String) -> Int32? {
        guard text.utf8.count <= 2, text.utf8.first != UInt8(ascii: "0"), text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }),
            let bits = Int32(text), (8...15).contains(bits)
        else { return nil }
        return bits
    }
}

/// Reads `name; parameter; parameter=value, name…` (RFC 6455 §9.1).
struct ExtensionScanner {
    struct Offer {
        /// In lower case, as those of ``parameters``.
        var name: String
        var parameters: [(name: String, value: String?)] = []
    }

    private var rest: Substring.UTF8View

    init(_ text: String) { self.rest = text[...].utf8 }

    /// - Returns: nil at the end.
    mutating func next() throws(DeflateAgreement.Malformed) -> Offer? {
        // Lists may have empty elements (RFC 9110 §5.6.1.2).
        while self.skip(UInt8(ascii: ",")) {}
        guard !self.rest.isEmpty else { return nil }
        var offer = Offer(name: try self.token())
        while self.skip(UInt8(ascii: ";")) {
            let name = try self.token()
            offer.parameters.append((name, self.skip(UInt8(ascii: "=")) ? try self.value() : nil))
        }
        self.space()
        guard self.rest.isEmpty || self.rest.first == UInt8(ascii: ",") else { throw DeflateAgreement.Malformed() }
        return offer
    }

    private mutating func space() { self.rest = self.rest.drop { $0 == 0x20 || $0 == 0x09 } }

    private mutating func skip(_ sign: UInt8) -> Bool {
        self.space()
        guard self.rest.first == sign else { return false }
        self.rest = self.rest.dropFirst()
        self.space()
        return true
    }

    private mutating func token() throws(DeflateAgreement.Malformed) -> String {
        let token = self.rest.prefix(while: Self.isTokenByte)
        guard !token.isEmpty else { throw DeflateAgreement.Malformed() }
        self.rest = self.rest.dropFirst(token.count)
        return String(Substring(token)).lowercased()
    }

    /// A token, or one in quotes.
    private mutating func value() throws(DeflateAgreement.Malformed) -> String {
        guard self.rest.first == UInt8(ascii: "\"") else { return try self.token() }
        self.rest = self.rest.dropFirst()
        var value: [UInt8] = []
        while let byte = self.rest.first, byte != UInt8(ascii: "\"") {
            self.rest = self.rest.dropFirst()
            if byte == UInt8(ascii: "\\"), let quoted = self.rest.first {
                value.append(quoted)
                self.rest = self.rest.dropFirst()
            } else {
                value.append(byte)
            }
        }
        // What is in the quotes must be a token too.
        guard self.rest.first == UInt8(ascii: "\""), !value.isEmpty, value.allSatisfy(Self.isTokenByte) else { throw DeflateAgreement.Malformed() }
        self.rest = self.rest.dropFirst()
        return String(decoding: value, as: UTF8.self)
    }

    /// RFC 9110 §5.6.2.
    private static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }
}
