import MartletHTTP
import Testing

/// RFC 7692 §7.1: which offers are accepted, and what is answered.
struct DeflateOfferTests {
    private func answer(_ values: [String], contextBits: Int32? = nil) throws -> String? {
        try DeflateAgreement.accept(values, contextBits: contextBits)?.answer
    }

    private static let plain = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

    @Test(arguments: [
        ("permessage-deflate", plain),
        ("permessage-deflate; client_max_window_bits", plain),
        ("permessage-deflate;client_max_window_bits=8;server_no_context_takeover", plain),
        ("Permessage-Deflate ; Client_No_Context_Takeover", plain),
        ("permessage-deflate; server_max_window_bits=15", plain + "; server_max_window_bits=15"),
        ("permessage-deflate; server_max_window_bits=10", plain + "; server_max_window_bits=10"),
        ("permessage-deflate; server_max_window_bits=\"9\"", plain + "; server_max_window_bits=9"),
        ("permessage-deflate; server_max_window_bits=\"1\\0\"", plain + "; server_max_window_bits=10"),
        (", ,x-webkit-deflate-frame, permessage-deflate", plain),
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=12", plain + "; server_max_window_bits=12"),
        ("permessage-deflate; unknown, permessage-deflate", plain),
    ])
    func accepted(offer: String, answer: String) throws {
        #expect(try self.answer([offer]) == answer)
    }

    /// What is not known, comes twice or has a wrong value is declined: the connection goes on without.
    @Test(arguments: [
        "", "permessage-bzip2", "permessage-deflate; unknown", "permessage-deflate; unknown=1",
        "permessage-deflate; server_no_context_takeover=1", "permessage-deflate; client_no_context_takeover=true",
        "permessage-deflate; server_max_window_bits", "permessage-deflate; server_max_window_bits=7", "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=16", "permessage-deflate; server_max_window_bits=010",
        "permessage-deflate; server_max_window_bits=1a", "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=08", "permessage-deflate; client_max_window_bits=99999999999999999999",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
    ])
    func declined(offer: String) throws {
        #expect(try self.answer([offer]) == nil)
    }

    /// RFC 6455 §9.1: the handshake must fail.
    @Test(arguments: [
        "permessage-deflate;", "permessage-deflate; =1", "permessage-deflate; a=", "permessage-deflate a", ";", "a b", "permessage-deflate; a=\"x",
        "permessage-deflate; a=\"\"", "permessage-deflate; a=\"b c\"", "permessage-deflate, é", "permessage-deflate; a==1", "\u{0}",
    ])
    func malformed(field: String) {
        #expect(throws: DeflateAgreement.Malformed.self) { try self.answer([field]) }
    }

    @Test func severalFieldsAreOneList() throws {
        let values = ["permessage-deflate; unknown", "permessage-deflate; server_max_window_bits=11"]
        #expect(try self.answer(values) == Self.plain + "; server_max_window_bits=11")
    }

    /// Contexts are kept where both sides may and the window is bounded.
    @Test(arguments: [
        ("permessage-deflate", "permessage-deflate; client_no_context_takeover; server_max_window_bits=11"),
        ("permessage-deflate; client_max_window_bits", "permessage-deflate; server_max_window_bits=11; client_max_window_bits=11"),
        (
            "permessage-deflate; client_max_window_bits=9; server_max_window_bits=10",
            "permessage-deflate; server_max_window_bits=10; client_max_window_bits=9"
        ),
        ("permessage-deflate; server_no_context_takeover", "permessage-deflate; server_no_context_takeover; client_no_context_takeover"),
        (
            "permessage-deflate; client_no_context_takeover; client_max_window_bits",
            "permessage-deflate; client_no_context_takeover; server_max_window_bits=11"
        ),
    ])
    func withContext(offer: String, answer: String) throws {
        #expect(try self.answer([offer], contextBits: 11) == answer)
    }
}
