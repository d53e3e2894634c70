#if canImport(Darwin) || MARTLET_URLSESSION
import Foundation
#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// Hands what a data task receives to one reader, piece by piece; while much of it waits, the task is suspended.
final class StreamDelegate: NSObject, URLSessionDataDelegate {
    enum Event: Sendable {
        case response(URLResponse)
        case data(Data)
    }

    private struct State {
        var events: [Event] = []
        var bytes = 0
        var isSuspended = false
        var end: Result<Void, any Error>?
        var task: URLSessionDataTask?
    }

    /// Bytes that may wait.
    private static let mostBytes = 262_144

    private let state = Locked(State())
    private let signal = Signal()

    func begin(_ task: URLSessionDataTask) { self.state.with { $0.task = task } }

    /// What came next; nil at the end.
    ///
    /// - Throws: what the task failed with; `CancellationError` when this one is cancelled.
    func next() async throws -> Event? {
        while true {
            try Task.checkCancellation()
            let (event, end) = self.state.with { state -> (Event?, Result<Void, any Error>?) in
                guard !state.events.isEmpty else { return (nil, state.end) }
                let event = state.events.removeFirst()
                if case .data(let data) = event { state.bytes -= data.count }
                if state.isSuspended, state.bytes < Self.mostBytes / 2 {
                    state.isSuspended = false
                    state.task?.resume()
                }
                return (event, nil)
            }
            if let event { return event }
            if let end {
                try end.get()
                return nil
            }
            await self.signal.wait()
        }
    }

    func urlSession(
        _ session: URLSession, dataTask: URLSessionDataTask, didReceive response: URLResponse,
        completionHandler: @escaping (URLSession.ResponseDisposition) -> Void
    ) {
        self.state.with { $0.events.append(.response(response)) }
        self.signal.signal()
        completionHandler(.allow)
    }

    func urlSession(_ session: URLSession, dataTask: URLSessionDataTask, didReceive data: Data) {
        self.state.with { state in
            state.events.append(.data(data))
            state.bytes += data.count
            guard state.bytes > Self.mostBytes, !state.isSuspended else { return }
            state.isSuspended = true
            // Under the lock, so that it does not come after the resume.
            dataTask.suspend()
        }
        self.signal.signal()
    }

    func urlSession(_ session: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?) {
        self.state.with { $0.end = error.map { .failure($0) } ?? .success(()) }
        self.signal.signal()
    }
}
#endif
