#if canImport(Darwin)
import Darwin
#elseif canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// The terminal as a canvas: another screen, no cursor, no echo; put back as it was by ``restore()``.
final class Terminal {
    private var saved = termios()
    private var isRestored = false
    private let isColoured: Bool

    /// Whether standard output is a terminal that understands more than text.
    static var isUsable: Bool {
        guard isatty(1) == 1, let name = getenv("TERM") else { return false }
        let type = String(cString: name)
        return type != "dumb" && !type.isEmpty
    }

    init() {
        // https://no-color.org
        self.isColoured = getenv("NO_COLOR").map { $0.pointee == 0 } ?? true
        if tcgetattr(0, &self.saved) == 0 {
            var raw = self.saved
            // Ctrl-C still is a signal; Ctrl-Z would leave this screen behind, so it is a key like others.
            raw.c_lflag &= ~tcflag_t(ICANON | ECHO)
            withUnsafeMutableBytes(of: &raw.c_cc) { $0[Int(VSUSP)] = 0 }
            tcsetattr(0, TCSANOW, &raw)
        }
        Self.write("\u{1b}[?1049h\u{1b}[?25l\u{1b}[2J")
    }

    /// Columns and rows.
    var size: (columns: Int, rows: Int) {
        var size = winsize()
        guard ioctl(1, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else { return (80, 24) }
        return (Int(size.ws_col), Int(size.ws_row))
    }

    /// Shows lines from the top; what was there before is gone.
    func show(_ lines: [TopScreen.Line]) {
        var text = "\u{1b}[H"
        for (index, line) in lines.enumerated() {
            if index > 0 { text += "\r\n" }
            for (part, style) in line {
                text += self.isColoured && style != .plain ? "\u{1b}[\(style.rawValue)m\(part)\u{1b}[0m" : part
            }
            text += "\u{1b}[K"
        }
        Self.write(text + "\u{1b}[J")
    }

    func restore() {
        guard !self.isRestored else { return }
        self.isRestored = true
        Self.write("\u{1b}[?25h\u{1b}[?1049l")
        tcsetattr(0, TCSANOW, &self.saved)
    }

    private static func write(_ text: String) { _ = Output.write(Array(text.utf8), to: 1) }
}
