import Foundation
import MartletClient
import Synchronization

#if canImport(MartletClientGRPC)
import MartletClientGRPC
#endif

/// What a test wants of a client, as JSON in the first argument.
struct Plan: Decodable, Sendable {
    var url: String
    var user: String?
    var device: String?
    /// A file whose text is the token, read each time one is asked for.
    var tokenFile: String?
    var transports: [String]?
    /// A file for the position; without it it is kept in memory.
    var store: String?
    /// `nil` listens to all of the inbox; an empty array to none of it.
    var types: [String]?
    var topics: [String]?
    var since: String?
    var presence: String?
    /// Seconds: first, least and largest interval.
    var heartbeat: [Double]?
    /// Seconds: first and largest bound of pauses.
    var retry: [Double]?
    var upgradeSeconds: Double?
    var connectSeconds: Double?
    var grpcPort: Int?
    /// Milliseconds that handling a message takes.
    var slowMs: Int?
    var manual: Bool?
}

/// A client that says on standard output what it gets, one JSON object a line, and takes commands on standard input:
/// `publish TOPIC TEXT`, `stop N` (ends the N-th sequence), `close`.
@main
enum ClientProbe {
    static func main() async throws {
        let plan = try JSONDecoder().decode(Plan.self, from: Data(CommandLine.arguments[1].utf8))
        guard let url = URL(string: plan.url) else { return }
        let martlet = Self.client(plan, url)
        let lines = Self.lines()
        let notices = martlet.notices
        var loops: [Task<Void, Never>] = []
        for type in plan.types.map({ $0.map(Optional.some) }) ?? [nil] {
            let messages = martlet.messages(type: type, acks: plan.manual == true ? .manual : .automatic)
            loops.append(Task { await Self.read(messages, "inbox", plan) })
        }
        for topic in plan.topics ?? [] {
            let messages = martlet.topic(topic, since: plan.since.map { .written($0) })
            loops.append(Task { await Self.read(messages, topic, plan) })
        }
        if let topic = plan.presence {
            let presence = martlet.presence(of: topic)
            loops.append(
                Task {
                    do {
                        for try await one in presence {
                            Self.say(["presence": one.topic, "count": one.count, "joined": one.joinedCount, "left": one.leftCount])
                        }
                    } catch { Self.say(["failed": "\(error)", "sequence": "presence"]) }
                })
        }
        let telling = Task { for await notice in notices { Self.tell(notice) } }
        for await line in lines {
            let words = line.split(separator: " ", maxSplits: 2).map(String.init)
            switch words.first {
            case "publish" where words.count == 3:
                Task {
                    do {
                        Self.say(["published": try await martlet.publish(words[2], to: words[1]), "text": words[2]])
                    } catch { Self.say(["failed": "\(error)", "text": words[2]]) }
                }
            case "stop" where words.count == 2:
                let loop = loops[Int(words[1]) ?? 0]
                loop.cancel()
                await loop.value
                Self.say(["stopped": Int(words[1]) ?? 0])
            default: break
            }
            if words.first == "close" { break }
        }
        await martlet.close()
        for loop in loops { await loop.value }
        await telling.value
        Self.say(["end": true])
    }

    static func client(_ plan: Plan, _ url: URL) -> Martlet {
        var options = MartletOptions()
        if let names = plan.transports { options.transports = names.compactMap { self.transport($0, plan) } }
        options.store = plan.store.map { FileCursorStore(URL(fileURLWithPath: $0)) } ?? MemoryCursorStore()
        if let beat = plan.heartbeat { options.heartbeat = .init(start: beat[0], least: beat[1], most: beat[2]) }
        if let retry = plan.retry { options.retry = .init(base: retry[0], most: retry[1]) }
        if let seconds = plan.upgradeSeconds { options.upgradeSeconds = seconds }
        if let seconds = plan.connectSeconds { options.connectSeconds = seconds }
        let device: Device = plan.device.map { $0.isEmpty ? .none : .named($0) } ?? .automatic
        guard let file = plan.tokenFile else { return Martlet(url: url, user: plan.user, device: device, options: options) }
        return Martlet(url: url, device: device, options: options) {
            self.say(["asked": true])
            return try String(contentsOfFile: file, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
        }
    }

    static func transport(_ name: String, _ plan: Plan) -> Transport? {
        switch name {
        case "websocket": return .webSocket
        case "sse": return .sse
        #if canImport(MartletClientGRPC)
        case "grpc": return .grpc(port: plan.grpcPort ?? 9_090)
        #endif
        default: return nil
        }
    }

    static func read(_ messages: Messages, _ name: String, _ plan: Plan) async {
        do {
            for try await message in messages {
                if let slow = plan.slowMs { try? await Task.sleep(for: .milliseconds(slow)) }
                var line: [String: Any] = ["sequence": name, "id": message.id, "data": String(decoding: message.data, as: UTF8.self)]
                if let type = message.type { line["type"] = type }
                if message.isRedelivered { line["redelivered"] = true }
                if message.isRetained { line["retained"] = true }
                self.say(line)
                if plan.manual == true { message.ack() }
            }
            self.say(["over": name])
        } catch {
            self.say(["failed": "\(error)", "sequence": name])
        }
    }

    static func tell(_ notice: Notice) {
        switch notice {
        case .status(.idle): self.say(["status": "idle"])
        case .status(.connecting): self.say(["status": "connecting"])
        case .status(.connected(let transport)): self.say(["status": "connected", "transport": transport])
        case .status(.waiting(let until, let error)): self.say(["status": "waiting", "seconds": until.timeIntervalSinceNow, "error": "\(error)"])
        case .status(.closed(let error)): self.say(["status": "closed", "error": error.map { "\($0)" } ?? ""])
        case .gap(let gap): self.say(["gap": gap.reason, "topic": gap.topic ?? ""])
        case .unsubscribed(let topic, let reason): self.say(["unsubscribed": topic, "reason": reason])
        case .problem(let error): self.say(["problem": "\(error)"])
        }
    }

    private static let output = Mutex(())

    static func say(_ object: [String: Any]) {
        guard var line = try? JSONSerialization.data(withJSONObject: object, options: [.sortedKeys]) else { return }
        line.append(0x0a)
        self.output.withLock { _ in FileHandle.standardOutput.write(line) }
    }

    /// Standard input by lines; read by a thread, because waiting for it would hold up others.
    static func lines() -> AsyncStream<String> {
        AsyncStream { continuation in
            Thread.detachNewThread {
                while let line = readLine() { continuation.yield(line) }
                continuation.finish()
            }
        }
    }
}
