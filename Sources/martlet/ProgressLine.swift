import MartletServer
import Synchronization

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// One line on standard error that says how far something is; nothing if that is no terminal. Also notes Ctrl-C.
final class ProgressLine {
    private static let isStopped = Atomic<Bool>(false)

    private let isTerminal = isatty(2) == 1
    private let started = ContinuousClock.now
    private var shown: ContinuousClock.Instant?

    /// - Parameter stops: whether SIGINT and SIGTERM only ask to stop, so that what is half done can be taken back.
    init(stops: Bool) {
        guard stops else { return }
        for number in [SIGINT, SIGTERM, SIGHUP] {
            signal(number) { _ in ProgressLine.isStopped.store(true, ordering: .relaxed) }
        }
        // A file that may not grow is an error, not the end.
        signal(SIGXFSZ, SIG_IGN)
    }

    /// - Returns: whether to go on.
    func show(_ progress: Keeper.Progress) -> Bool {
        let now = ContinuousClock.now
        if self.isTerminal, self.shown.map({ now - $0 >= .milliseconds(100) }) ?? true {
            self.shown = now
            var text = progress.isCopying ? "copying:" : "reading it through"
            let (done, total) = (progress.bytes, progress.totalBytes)
            if progress.isCopying {
                let elapsed = (now - self.started).components
                let seconds = Double(elapsed.seconds) + Double(elapsed.attoseconds) / 1e18
                let rate = Int(Double(done) / max(0.001, seconds))
                text +=
                    " \(done / 4_096) of \(total / 4_096) pages, \(done / 1_000_000) of \(total / 1_000_000) MB, \(rate / 1_000_000) MB/s"
            }
            Output.inPlace(text)
        }
        return !Self.isStopped.load(ordering: .relaxed)
    }

    /// Takes the line away.
    func clear() {
        if self.shown != nil { Output.inPlace("") }
        self.shown = nil
    }
}
