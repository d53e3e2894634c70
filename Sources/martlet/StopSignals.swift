import Dispatch
import Foundation

/// SIGINT and SIGTERM: the first one asks to stop, a second one (or three seconds) ends the program.
final class StopSignals {
    private let sources: [any DispatchSourceSignal]

    init(_ stop: @escaping @Sendable () -> Void) {
        let queue = DispatchQueue(label: "martlet.signals")
        self.sources = [SIGINT, SIGTERM].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            source.setEventHandler {
                stop()
                signal(number, SIG_DFL)
                // A reader that has stalled can keep a write waiting for ever.
                queue.asyncAfter(deadline: .now() + 3) { exit(0) }
            }
            source.resume()
            return source
        }
    }

    func stop() {
        for source in self.sources { source.cancel() }
    }
}
