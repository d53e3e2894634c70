/// One thing that the doctor looked at.
package struct Finding: Sendable {
    package enum Level: String, Comparable, Sendable {
        case ok, note, warning, problem

        package static func < (a: Level, b: Level) -> Bool { a.rank < b.rank }
        private var rank: Int {
            switch self {
            case .ok: 0
            case .note: 1
            case .warning: 2
            case .problem: 3
            }
        }
    }

    /// What was looked at, one word: `disk`. Stable, for scripts.
    package var check: String
    package var level: Level
    /// What there is to say, one sentence.
    package var text: String
    /// What to do; nil if nothing.
    package var advice: String?

    init(_ check: String, _ level: Level, _ text: String, _ advice: String? = nil) {
        self.check = check
        self.level = level
        self.text = text
        self.advice = advice
    }
}

/// What the doctor found in a data folder.
package struct Diagnosis: Sendable {
    package var folder: String
    package var findings: [Finding] = []
    /// Figures by name, for scripts: counts, bytes, and times in milliseconds since 1970.
    package var figures: [(name: String, value: Int64)] = []

    package var worst: Finding.Level { self.findings.map(\.level).max() ?? .ok }
    /// 0: all is well; 1: warnings; 2: problems.
    package var exitCode: Int32 { self.worst == .problem ? 2 : self.worst == .warning ? 1 : 0 }
    package var warnings: Int { self.findings.count { $0.level == .warning } }
    package var problems: Int { self.findings.count { $0.level == .problem } }
}
