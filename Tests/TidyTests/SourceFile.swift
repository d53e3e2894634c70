import Foundation

/// A Swift file of the repository, as the rules look at it.
struct SourceFile {
    /// Relative to the repository's root.
    var path: String
    var lines: [String]
    /// The same lines with comments and the contents of string literals blanked out.
    var code: [String]

    init(path: String, text: String) {
        self.path = path
        self.lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        if self.lines.last == "" { self.lines.removeLast() }
        self.code = CodeScanner.blankingOut(text).split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    }

    /// The folder below `Sources` or `Tests`.
    var target: String {
        let parts = self.path.split(separator: "/")
        return parts.count > 2 ? String(parts[1]) : ""
    }

    static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// All Swift files below a folder of the repository, by path.
    static func all(below folder: String) throws -> [SourceFile] {
        let base = self.root.appending(path: folder)
        guard let paths = FileManager.default.enumerator(atPath: base.path) else { return [] }
        return try paths.compactMap { $0 as? String }.filter { $0.hasSuffix(".swift") }.sorted().map {
            SourceFile(path: "\(folder)/\($0)", text: try String(contentsOf: base.appending(path: $0), encoding: .utf8))
        }
    }
}

/// Tells Swift code from comments and string literals; knows just enough of the grammar for that.
enum CodeScanner {
    private enum State {
        case code
        case lineComment
        case blockComment(depth: Int)
        case string(delimiter: [UInt8], multiline: Bool, raw: Bool)
    }

    /// Replaces what is not code by spaces; line breaks stay.
    static func blankingOut(_ text: String) -> String {
        let bytes = [UInt8](text.utf8)
        var output = bytes
        var state = State.code
        var index = 0

        func starts(_ prefix: [UInt8], at place: Int) -> Bool {
            place + prefix.count <= bytes.count && bytes[place..<place + prefix.count].elementsEqual(prefix)
        }
        func blank(_ count: Int) {
            for place in index..<min(index + count, bytes.count) where bytes[place] != UInt8(ascii: "\n") {
                output[place] = UInt8(ascii: " ")
            }
            index += count
        }

        while index < bytes.count {
            switch state {
            case .code:
                if starts(Array("//".utf8), at: index) {
                    state = .lineComment
                    blank(2)
                } else if starts(Array("/*".utf8), at: index) {
                    state = .blockComment(depth: 1)
                    blank(2)
                } else if let opening = self.opening(bytes, at: index) {
                    state = .string(delimiter: opening.delimiter, multiline: opening.multiline, raw: opening.raw)
                    blank(opening.delimiter.count)
                } else {
                    index += 1
                }
            case .lineComment:
                if bytes[index] == UInt8(ascii: "\n") { state = .code }
                blank(1)
            case .blockComment(let depth):
                if starts(Array("/*".utf8), at: index) {
                    state = .blockComment(depth: depth + 1)
                    blank(2)
                } else if starts(Array("*/".utf8), at: index) {
                    state = depth == 1 ? .code : .blockComment(depth: depth - 1)
                    blank(2)
                } else {
                    blank(1)
                }
            case .string(let delimiter, let multiline, let raw):
                if starts(delimiter, at: index) {
                    state = .code
                    blank(delimiter.count)
                } else if !raw, bytes[index] == UInt8(ascii: "\\") {
                    blank(2)
                } else {
                    if !multiline, bytes[index] == UInt8(ascii: "\n") { state = .code }
                    blank(1)
                }
            }
        }
        return String(decoding: output, as: UTF8.self)
    }

    private static func opening(_ bytes: [UInt8], at place: Int) -> (delimiter: [UInt8], multiline: Bool, raw: Bool)? {
        var index = place
        while index < bytes.count, bytes[index] == UInt8(ascii: "#") { index += 1 }
        let hashes = index - place
        guard index < bytes.count, bytes[index] == UInt8(ascii: "\"") else { return nil }
        let quotes = bytes[index...].prefix(3).elementsEqual(Array("\"\"\"".utf8)) ? 3 : 1
        let mark = [UInt8](repeating: UInt8(ascii: "#"), count: hashes)
        // The closing delimiter is the opening one mirrored; as many bytes, so it serves for blanking both.
        return ([UInt8](repeating: UInt8(ascii: "\""), count: quotes) + mark, quotes == 3, hashes > 0)
    }
}
