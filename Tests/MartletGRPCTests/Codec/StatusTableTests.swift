import Foundation
import MartletGRPC
import MartletWire
import Testing

/// The tables of docs/grpc.md and docs/protocol.md, which readers go by, are those of the code.
struct StatusTableTests {
    /// The rows of the first table after a heading: their columns, without quotes.
    private static func rows(_ file: String, after heading: String) throws -> [[String]] {
        let path = #filePath.split(separator: "/").dropLast(4).map { "/\($0)" }.joined() + "/docs/" + file
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).drop { $0 != "## \(heading)" }
        return lines.drop { !$0.hasPrefix("|---") }.dropFirst().prefix { $0.hasPrefix("|") }.map { line in
            line.split(separator: "|", omittingEmptySubsequences: false).dropFirst().dropLast().map {
                $0.filter { $0 != "`" }.trimmingCharacters(in: .whitespaces)
            }
        }
    }

    private static func list(_ column: String) -> [String] { column.isEmpty ? [] : column.components(separatedBy: ", ") }

    private static func name(_ code: GRPCCode) -> String { code.name.uppercased() }

    @Test func `Each error has the status of its row`() throws {
        var found: [String: String] = [:]
        for row in try Self.rows("grpc.md", after: "Status codes") {
            for error in Self.list(row[2]) { found[error] = row[0] }
        }
        #expect(found == Dictionary(uniqueKeysWithValues: ErrorCode.allCases.map { ($0.rawValue, Self.name($0.grpc)) }))
    }

    @Test func `Each close code without an error has the status of its row`() throws {
        var found = 0
        for row in try Self.rows("grpc.md", after: "Status codes") {
            for number in Self.list(row[3]).compactMap(UInt16.init) {
                found += 1
                let close = try #require(CloseCode(rawValue: number))
                // What is no session's has the status of what was wrong with it.
                let codes: Set<GRPCCode> = close == .protocolError ? [.invalidArgument, .unimplemented, .internal] : [close.grpc]
                #expect(codes.contains { Self.name($0) == row[0] }, "\(number)")
            }
        }
        #expect(found == 9)
    }

    @Test func `Each error that ends a session has its close code`() throws {
        var found = 0
        for row in try Self.rows("protocol.md", after: "Error codes") {
            let error = try #require(ErrorCode(rawValue: row[0]))
            #expect(Int(row[1]) == error.status)
            guard !row[2].isEmpty else { continue }
            found += 1
            #expect(UInt16(row[2]) == error.close.rawValue, "\(row[0])")
            #expect(GRPCStatus(WireError(error, "")).ofSession.close == error.close)
            // Who may try again may come back, and the other way round: but for a new token, which needs no pause.
            #expect(error.close.reconnect == error.isTemporary || error == .tokenExpired, "\(row[0])")
        }
        #expect(found == 19)
    }

    @Test func `Only what no client can cure by coming back says so`() {
        for code in GRPCCode.allCases {
            let close = GRPCStatus(code).ofSession.close
            #expect(close == ([.internal, .invalidArgument, .unimplemented].contains(code) ? .protocolError : nil), "\(code)")
        }
        #expect(GRPCStatus(.takenOver, retryAfterMs: nil).ofSession.close == .takenOver)
    }
}
