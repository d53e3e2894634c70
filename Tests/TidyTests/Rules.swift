/// A rule that a line or a file breaks.
struct Problem: Equatable, CustomStringConvertible {
    var place: String
    var text: String
    var description: String { "\(self.place): \(self.text)" }
}

enum Rules {
    // MARK: Length

    /// Lines of one file, at most; a generated one may be as long as what it is made of.
    static func length(of file: SourceFile, most: Int) -> [Problem] {
        guard file.lines.count > most, !self.isGenerated(file) else { return [] }
        return [Problem(place: file.path, text: "\(file.lines.count) lines, more than \(most): split it by idea")]
    }

    // MARK: Imports

    /// What each target may import. From this package: the arrows of docs/architecture.md. From outside: what its job needs.
    static let imports: [String: Set<String>] = {
        let everywhere: Set<String> = ["Logging", "Metrics", "Synchronization", "Tracing"]
        let libc: Set<String> = ["Darwin", "Glibc", "Musl"]
        let nio: Set<String> = ["NIOConcurrencyHelpers", "NIOCore"]
        let adapter: Set<String> = everywhere.union(["MartletCore", "MartletWire"])
        return [
            "MartletWire": [],
            "MartletCore": ["MartletWire"],
            "MartletNode": adapter.union(nio),
            "MartletStoreSQLite": adapter.union(libc).union(["GRDB", "GRDBSQLite"]),
            "MartletAccess": adapter.union(nio).union(libc).union(["AsyncHTTPClient", "Crypto", "JWTKit", "NIOHTTP1"]),
            "MartletBridge": adapter.union(nio).union(libc).union(["AsyncHTTPClient", "Crypto", "NIOHTTP1", "NIOSSL"]),
            "MartletPrometheus": ["CoreMetrics", "Synchronization"],
            "MartletNet": adapter.union(nio).union(libc).union(["Crypto", "NIOHTTP2", "NIOPosix", "NIOSSL"]),
            "MartletHTTP": adapter.union(nio).union(libc).union([
                "CZlib", "Crypto", "HTTPTypes", "Hummingbird", "HummingbirdCore", "MartletNet", "NIOHPACK", "NIOHTTP1", "NIOHTTP2",
                "NIOHTTPTypes", "NIOHTTPTypesHTTP1", "NIOTLS",
            ]),
            "MartletMQTT": adapter.union(nio).union(["MartletNet"]),
            "MartletGRPC": adapter.union(nio).union([
                "CZlib", "Crypto", "MartletNet", "MartletProto", "NIOHPACK", "NIOHTTP2", "SwiftProtobuf",
            ]),
            // Foundation and its smaller half: what protoc-gen-swift writes.
            "MartletProto": ["Foundation", "FoundationEssentials", "SwiftProtobuf"],
            // Little: apps depend on it.
            "MartletClient": [
                "Foundation", "FoundationNetworking", "MartletWire", "NIOCore", "NIOHTTP1", "NIOPosix", "NIOSSL", "NIOWebSocket",
            ],
            "MartletClientGRPC": nio.union([
                "Foundation", "MartletClient", "GRPCCore", "GRPCNIOTransportHTTP2", "GRPCProtobuf", "MartletProto", "SwiftProtobuf",
            ]),
            "MartletServer": adapter.union(nio).union(libc).union([
                "Configuration", "CoreMetrics", "Crypto", "MartletAccess", "MartletBridge", "MartletGRPC", "MartletHTTP", "MartletMQTT", "MartletNet",
                "MartletNode", "MartletPrometheus", "MartletStoreSQLite", "NIOPosix", "NIOSSL", "ServiceLifecycle", "UnixSignals", "Yams",
            ]),
            "martlet": nio.union(libc).union([
                "ArgumentParser", "AsyncHTTPClient", "Dispatch", "Foundation", "Logging", "MartletClient", "MartletServer", "MartletWire",
                "NIOHPACK", "NIOHTTP1", "NIOHTTP2", "NIOPosix", "ServiceLifecycle", "Synchronization", "UnixSignals",
            ]),
            "MartletTestSupport": adapter.union(nio).union(["MartletNode", "Testing"]),
        ]
    }()

    /// The modules that a file imports, with the line each stands on.
    static func imported(by file: SourceFile) -> [(line: Int, module: String)] {
        file.code.enumerated().compactMap { number, line in
            var words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
            while let first = words.first, first.hasPrefix("@") || ["public", "package", "internal", "private", "fileprivate"].contains(first) {
                words.removeFirst()
            }
            guard words.first == "import", words.count > 1 else { return nil }
            let kinds = ["struct", "class", "enum", "protocol", "func", "var", "let", "typealias", "actor"]
            let name = kinds.contains(String(words[1])) && words.count > 2 ? words[2] : words[1]
            return (number + 1, String(name.prefix { $0 != "." && $0 != ";" }))
        }
    }

    static func imports(of file: SourceFile, allowed: Set<String>?) -> [Problem] {
        guard let allowed else {
            return [Problem(place: file.path, text: "target \(file.target) has no line in the table of allowed imports")]
        }
        return self.imported(by: file).filter { !allowed.contains($0.module) }.map {
            Problem(place: "\(file.path):\($0.line)", text: "\(file.target) may not import \($0.module)")
        }
    }

    private static func isGenerated(_ file: SourceFile) -> Bool { file.lines.first?.hasPrefix("// Generated by ") == true }

    // MARK: Banned calls

    /// Calls that no source file makes, each with what to do instead.
    static let banned: [(call: String, instead: String)] = [
        ("try!", "throw, or handle the error"),
        ("fatalError(", "end the one connection, not everybody's"),
        ("preconditionFailure(", "end the one connection, not everybody's"),
        ("Date()", "take the time as a parameter"),
        ("Thread.sleep", "await an event"),
        ("usleep(", "await an event"),
    ]
    static let bannedInCore: [(call: String, instead: String)] = [
        ("Foundation", "the core and the wire types do without"),
        ("Task", "the core has no tasks: values in, actions out"),
    ]

    /// Calls and left-over notes in a file of `Sources`.
    static func bannedCalls(in file: SourceFile) -> [Problem] {
        // What generators write is theirs: what is left of it is whether it is current.
        guard !self.isGenerated(file) else { return [] }
        let isCore = file.target == "MartletCore" || file.target == "MartletWire"
        var problems: [Problem] = []
        for (number, line) in file.code.enumerated() {
            let place = "\(file.path):\(number + 1)"
            for (call, instead) in self.banned + (isCore ? self.bannedInCore : []) where self.calls(call, in: line) {
                problems.append(Problem(place: place, text: "\(call) is banned: \(instead)"))
            }
            if file.target != "martlet" {
                for call in ["print(", "debugPrint(", "dump("] where self.calls(call, in: line) {
                    problems.append(Problem(place: place, text: "\(call) is banned outside Sources/martlet: log"))
                }
            }
            if isCore, self.readsClock(line) {
                problems.append(Problem(place: place, text: ".now is banned: take the time as a parameter"))
            }
        }
        for (number, line) in file.lines.enumerated() {
            for note in ["TODO", "FIXME"] where line.contains(note) {
                problems.append(Problem(place: "\(file.path):\(number + 1)", text: "\(note): do it, or open an issue"))
            }
        }
        return problems
    }

    /// Whether `call` stands in the line and is not the end of a longer name (or, if it ends in a letter, its beginning).
    private static func calls(_ call: String, in line: String) -> Bool {
        line.ranges(of: call).contains { range in
            let before = range.lowerBound == line.startIndex ? " " : line[line.index(before: range.lowerBound)]
            let after = range.upperBound == line.endIndex ? " " : line[range.upperBound]
            let endsInLetter = call.last?.isLetter == true
            return !isNamePart(before) && !(endsInLetter && isNamePart(after))
        }
    }

    /// Whether the line reads a clock: `.now` of a type or of what the context implies, not of a value that was passed in.
    private static func readsClock(_ line: String) -> Bool {
        line.ranges(of: ".now").contains { range in
            if range.upperBound < line.endIndex, isNamePart(line[range.upperBound]) { return false }
            let owner = line[..<range.lowerBound].reversed().prefix { isNamePart($0) }
            guard let first = owner.last else { return true }
            return first.isUppercase
        }
    }

    private static func isNamePart(_ character: Character) -> Bool {
        character.isLetter || character.isNumber || character == "_"
    }
}
