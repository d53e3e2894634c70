import Testing

/// Each rule catches a file that breaks it, and leaves alone one that only looks like it.
struct TidyCanaries {
    private func file(_ text: String, target: String = "MartletNode") -> SourceFile {
        SourceFile(path: "Sources/\(target)/File.swift", text: text)
    }

    @Test(arguments: [
        ("MartletCore", "import Logging"),
        ("MartletCore", "package import NIOCore"),
        ("MartletWire", "import Foundation"),
        ("MartletWire", "public import MartletCore"),
        ("MartletHTTP", "@preconcurrency import MartletNode"),
        ("MartletHTTP", "import struct Foundation.Date"),
        ("MartletStoreSQLite", "internal import MartletHTTP"),
        ("Unknown", "import Logging"),
    ])
    func `An import that is not allowed is found`(target: String, line: String) {
        let file = self.file("// first\n\(line)\n", target: target)
        #expect(Rules.imports(of: file, allowed: Rules.imports[target]).count == 1)
    }

    @Test(arguments: [
        ("MartletCore", "package import MartletWire\n// import NIOCore\nlet text = \"import Logging\""),
        ("MartletServer", "import MartletHTTP\nimport class NIOCore.Channel"),
    ])
    func `An allowed import is not`(target: String, text: String) {
        #expect(Rules.imports(of: self.file(text, target: target), allowed: Rules.imports[target]) == [])
    }

    @Test func `A long file is found`() {
        let file = self.file(String(repeating: "// line\n", count: 401))
        #expect(Rules.length(of: file, most: 400).count == 1)
        #expect(Rules.length(of: file, most: 401) == [])
    }

    @Test(arguments: [
        "let x = try! y()", "fatalError(\"x\")", "preconditionFailure()", "let d = Date()", "print(x)", "Thread.sleep(1)",
        "usleep(5)", "// TODO later", "let x = 1 // FIXME", "debugPrint(x)",
    ])
    func `A banned call is found`(line: String) {
        #expect(Rules.bannedCalls(in: self.file(line)).count == 1)
    }

    @Test(arguments: ["Foundation.URL()", "Task { }", "let now = ContinuousClock.now", "let x: C.Instant = .now", "f(.now)"])
    func `What the core may not do is found in it, and only there`(line: String) {
        #expect(Rules.bannedCalls(in: self.file(line, target: "MartletCore")).count == 1)
        #expect(Rules.bannedCalls(in: self.file(line, target: "MartletWire")).count == 1)
        #expect(Rules.bannedCalls(in: self.file(line, target: "MartletNode")) == [])
    }

    @Test(arguments: [
        "// try! and fatalError( in a comment", "let s = \"print(\"", "let s = #\"a \" fatalError(\"#", "let s = \"\"\"\n  Date()\n  \"\"\"",
        "fingerprint(x)", "let u = UpDate()", "request.now", "self.now", "let nowhere = x.nowhere", "/* a /* Task */ try! */",
        "let t = TaskLike()", "let s = \"\\\"print(\"",
    ])
    func `What only looks like it is not`(text: String) {
        #expect(Rules.bannedCalls(in: self.file(text, target: "MartletCore")) == [])
    }

    @Test func `The command line may print`() {
        #expect(Rules.bannedCalls(in: self.file("print(x)", target: "martlet")) == [])
    }
}
