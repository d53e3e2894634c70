import ArgumentParser
import Foundation
import MartletServer
import MartletWire

/// `martlet doctor`.
struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Look at a data folder and say what is wrong with it.",
        discussion: """
            Changes nothing, and may be used while a server is running. Exits with 0 if all is well, 1 if there are \
            warnings, 2 if there are problems.
            """)

    @Option(help: ArgumentHelp("The data folder. (default: the configured one, else martlet-data)", valueName: "folder"))
    var data: String?

    @Flag(help: "Read the store through with all its indexes, which takes longer.")
    var full = false

    @Flag(help: "Print one JSON object.")
    var json = false

    func run() throws {
        var doctor = Doctor(folder: try DataFolder.chosen(self.data))
        doctor.isFull = self.full
        let line = ProgressLine(stops: false)
        let diagnosis = doctor.examine { progress in line.show(progress) }
        line.clear()
        if self.json {
            try Output.line(Self.json(diagnosis))
        } else {
            for text in Self.lines(diagnosis) { try Output.line(text.utf8) }
        }
        if diagnosis.exitCode != 0 { throw ExitCode(diagnosis.exitCode) }
    }

    private static func lines(_ diagnosis: Diagnosis) -> [String] {
        var lines = ["\(diagnosis.folder)"]
        for finding in diagnosis.findings {
            let level = finding.level.rawValue.padding(toLength: 8, withPad: " ", startingAt: 0)
            let check = finding.check.padding(toLength: 12, withPad: " ", startingAt: 0)
            lines.append("  \(level) \(check) \(finding.text)")
            if let advice = finding.advice { lines.append("                        → \(advice)") }
        }
        let counts = [(diagnosis.problems, "problem"), (diagnosis.warnings, "warning")]
        let words = counts.filter { $0.0 > 0 }.map { "\($0.0) \($0.1)\($0.0 == 1 ? "" : "s")" }
        lines.append(words.isEmpty ? "All is well." : "Found \(words.joined(separator: " and ")).")
        return lines
    }

    private static func json(_ diagnosis: Diagnosis) -> [UInt8] {
        var out = Array(#"{"folder":"#.utf8)
        JSON.append(diagnosis.folder, to: &out)
        out += Array(#","result":""#.utf8) + Array(diagnosis.worst.rawValue.utf8) + Array(#"","findings":["#.utf8)
        for (index, finding) in diagnosis.findings.enumerated() {
            out += Array((index == 0 ? "" : ",").utf8) + Array(#"{"check":"#.utf8)
            JSON.append(finding.check, to: &out)
            out += Array(#","level":"#.utf8)
            JSON.append(finding.level.rawValue, to: &out)
            out += Array(#","text":"#.utf8)
            JSON.append(finding.text, to: &out)
            if let advice = finding.advice {
                out += Array(#","advice":"#.utf8)
                JSON.append(advice, to: &out)
            }
            out.append(UInt8(ascii: "}"))
        }
        out += Array(#"],"figures":{"#.utf8)
        let figures = diagnosis.figures.map { "\"\($0.name)\":\($0.value)" }.joined(separator: ",")
        return out + Array(figures.utf8) + Array("}}".utf8)
    }
}
