import Foundation
import Testing

/// The structure rules of AGENTS.md, checked on the files themselves.
struct TidyTests {
    @Test func `Sources import only what their target may`() throws {
        let files = try SourceFile.all(below: "Sources")
        #expect(files.count > 10)
        let problems = files.flatMap { Rules.imports(of: $0, allowed: Rules.imports[$0.target]) }
        #expect(problems == [])
    }

    @Test func `No source file is longer than 400 lines, no test file than 500`() throws {
        let sources = try SourceFile.all(below: "Sources").flatMap { Rules.length(of: $0, most: 400) }
        let tests = try SourceFile.all(below: "Tests").flatMap { Rules.length(of: $0, most: 500) }
        #expect(sources + tests == [])
    }

    @Test func `No source file makes a banned call`() throws {
        let problems = try SourceFile.all(below: "Sources").flatMap { Rules.bannedCalls(in: $0) }
        #expect(problems == [])
    }

    @Test(arguments: [
        ("api/openapi.yaml", "OpenAPIText.swift", "scripts/openapi"), ("sdk/js/martlet.js", "ClientScriptText.swift", "scripts/sdk"),
    ])
    func `The server holds what it serves as it stands in the file`(_ file: String, _ name: String, _ script: String) throws {
        let document = try String(contentsOf: SourceFile.root.appending(path: file), encoding: .utf8)
        let copy = try String(contentsOf: SourceFile.root.appending(path: "Sources/MartletHTTP/API/\(name)"), encoding: .utf8)
        let held = copy.split(separator: "#\"\"\"\n", maxSplits: 1).last?.components(separatedBy: "\n\"\"\"#").first
        #expect(held == document, "run \(script)")
    }
}
