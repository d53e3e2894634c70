import Foundation
import MartletClient

/// Prints what a device gets, and says what goes on.
struct Subscriber: Sendable {
    let martlet: MartletClient.Martlet
    let server: Endpoint
    let file: CursorFile?
    let hasInbox: Bool
    /// Names and filters.
    let topics: [String]
    let since: Since?
    /// Messages to print; nil without end.
    let count: Int?
    let raw: Bool

    /// Runs until it is done or cancelled.
    ///
    /// - Returns: why it cannot go on; nil if it is done.
    func run() async -> ClientError? {
        let notices = self.martlet.notices
        return await withTaskGroup(of: ClientError?.self) { group in
            group.addTask { await self.print() }
            group.addTask { await self.watch() }
            group.addTask { await self.tell(notices) }
            // The first that ends has ended it.
            let failure = await group.next() ?? nil
            group.cancelAll()
            return failure
        }
    }

    private func print() async -> ClientError? {
        var left = self.count
        do {
            for try await message in self.martlet.everything(inbox: self.hasInbox, topics: self.topics, since: self.since) {
                guard self.print(message) else { return nil }
                message.ack()
                if let now = left {
                    left = now - 1
                    if now <= 1 { return nil }
                }
            }
            return nil
        } catch let error as MartletError {
            return ClientError(message: Self.sentence(error), isTemporary: false)
        } catch {
            return ClientError(message: "\(error)", isTemporary: false)
        }
    }

    /// - Returns: whether somebody reads it.
    private func print(_ message: Message) -> Bool {
        let text = self.raw ? message.text.map { Data($0.utf8) } : nil
        let line = text ?? Data((self.raw ? message.data : message.json).map { $0 == 0x0a ? 0x20 : $0 })
        do {
            try Output.line(self.raw && message.contentType != nil ? Data() : line)
            return true
        } catch {
            return false
        }
    }

    /// Otherwise `| head -1` would wait for the message after the one it wanted.
    private func watch() async -> ClientError? {
        while (try? await Task.sleep(for: .seconds(1))) != nil {
            if Output.isClosed { return nil }
        }
        return nil
    }

    private func tell(_ notices: AsyncStream<Notice>) async -> ClientError? {
        for await notice in notices {
            switch notice {
            case .status(.connected): Output.status("connected to \(self.server)")
            case .status(.waiting(let until, let error)):
                Output.status("\(self.why(error)); connecting again in \(max(0, Int(until.timeIntervalSinceNow * 1_000))) ms")
            case .gap(let gap): Output.status("gap: \(String(decoding: gap.json, as: UTF8.self))")
            case .unsubscribed(let topic, let reason): Output.status("unsubscribed: \(topic): \(reason)")
            case .problem(let error):
                if error.code == .invalidCursor, let file = self.file {
                    return ClientError(message: "\(error.message) It came from \(file.path): remove that file.", isTemporary: false)
                }
                Output.status(error.message)
            case .status: break
            }
        }
        // The sequence of messages says how it ended.
        try? await Task.sleep(for: .seconds(86_400))
        return nil
    }

    private func why(_ error: MartletError) -> String {
        if error.closeCode == 1_012 { return "\(self.server) is restarting" }
        if error.code == .unreachable, error.message.hasPrefix("Nothing answers") {
            return "cannot reach \(self.server): is it running? Start it with: make run, or: martlet serve --dev"
        }
        return error.message
    }

    private static func sentence(_ error: MartletError) -> String {
        error.code == .takenOver ? "another session of this device took over; start again to take it back" : error.message
    }
}
