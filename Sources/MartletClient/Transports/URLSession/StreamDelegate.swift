#if canImport(Darwin) || MARTLET_URLSESSION
import Foundation
#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// Hands what a data task receives to one reader, piece by piece. When too much of it waits, the connection is let go: what is there is
/// read first, and the next one goes on after it.
final class StreamDelegate: NSObject, URLSessionDataDelegate {
    enum Event: Sendable {
        case response(URLResponse)
        case data(Data)
    }

    private struct State {
        var events: [Event] = []
        var bytes = 0
        var isLetGo = false
        var end: Result<Void, any Error>?
    }

    /// Bytes that may wait. Far more than the window of an inbox; topics that are read slowly come to it.
    private static let mostBytes = 1_048_576

    private let state = Locked(State())
    private let signal = Signal()

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
        let isTooMuch = self.state.with { state -> Bool in
            guard !state.isLetGo else { return false }
            state.events.append(.data(data))
            state.bytes += data.count
            state.isLetGo = state.bytes > Self.mostBytes
            return state.isLetGo
        }
        if isTooMuch { dataTask.cancel() }
        self.signal.signal()
    }

    func urlSession(_ session: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?) {
        self.state.with { $0.end = error.map { .failure($0) } ?? .success(()) }
        self.signal.signal()
    }
}
#endif
