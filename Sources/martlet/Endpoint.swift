import ArgumentParser

/// Where the server is: `http://host:port`, perhaps with a path before `/v1`.
struct Endpoint: ExpressibleByArgument, CustomStringConvertible {
    let description: String

    init?(argument: String) {
        var text = argument[...]
        while text.hasSuffix("/") { text = text.dropLast() }
        guard let scheme = ["http://", "https://"].first(where: { text.lowercased().hasPrefix($0) }) else { return nil }
        let rest = text.dropFirst(scheme.count)
        guard !rest.isEmpty, !rest.contains("?"), !rest.contains("#"), !rest.hasPrefix("/") else { return nil }
        self.description = String(text)
    }

    static let local = Endpoint(text: "http://127.0.0.1:8080")

    private init(text: String) { self.description = text }

    /// The address of a path, with query items percent-encoded; those without a value are left out.
    func url(_ path: String, _ query: [(String, String?)] = []) -> String {
        let items = query.compactMap { name, value in value.map { "\(name)=\(Self.encoded($0))" } }
        return self.description + path + (items.isEmpty ? "" : "?" + items.joined(separator: "&"))
    }

    /// Leaves letters, digits and `-._~` as they are (RFC 3986 §2.3).
    private static func encoded(_ text: String) -> String {
        let hex = Array("0123456789ABCDEF".utf8)
        var output: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                output.append(byte)
            default:
                output += [UInt8(ascii: "%"), hex[Int(byte >> 4)], hex[Int(byte & 15)]]
            }
        }
        return String(decoding: output, as: UTF8.self)
    }
}

/// The option that every client command has.
struct ServerOptions: ParsableArguments {
    @Option(help: "Where the server is.")
    var url: Endpoint = .local
}
