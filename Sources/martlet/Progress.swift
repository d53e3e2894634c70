import Foundation
import MartletWire
import Synchronization

/// How far a subscriber has printed, and telling the server and the cursor file about it.
final class Progress: Sendable {
    let client: Client
    let user: String?
    let device: String?
    let file: String?
    private let state = Mutex(State())

    private struct State {
        /// The cursor after the last message that was printed.
        var printed: String?
        var acked: String?
        var written: String?
        var ackRefused = false
        /// What the server says that this device is called.
        var device: String?
    }

    init(client: Client, user: String?, device: String?, file: String?) {
        self.client = client
        self.user = user
        self.device = device
        self.file = file
    }

    /// Takes the device's name from the server, which may have it from the token.
    func welcomed(as device: String?) { self.state.withLock { $0.device = device } }

    /// Says that everything up to this cursor is printed.
    func note(_ cursor: String) { self.state.withLock { $0.printed = cursor } }

    /// The position to start from; nil if there is no file yet.
    func readFile() throws(ClientError) -> String? {
        guard let file = self.file else { return nil }
        guard FileManager.default.fileExists(atPath: file) else { return nil }
        guard let data = FileManager.default.contents(atPath: file), data.count <= 4_096,
            let text = String(data: data, encoding: .utf8)
        else {
            throw ClientError(
                message: "cannot read a cursor from \(file): remove it, or name another --cursor-file",
                isTemporary: false)
        }
        let cursor = text.trimmingCharacters(in: .whitespacesAndNewlines)
        return cursor.isEmpty ? nil : cursor
    }

    /// Tells what was printed since the last time. A failed ack is made up for by the next one, or by the cursor that
    /// the next connection presents.
    func record() async {
        let (printed, acked, written, refused) = self.state.withLock {
            ($0.printed, $0.acked, $0.written, $0.ackRefused)
        }
        guard let printed else { return }
        if let file = self.file, written != printed {
            do {
                try Data("\(printed)\n".utf8).write(to: URL(fileURLWithPath: file), options: .atomic)
                self.state.withLock { $0.written = printed }
            } catch {
                Output.status("cannot write \(file): \(error.localizedDescription)")
            }
        }
        guard let device = self.state.withLock({ $0.device }) ?? self.device, acked != printed, !refused else { return }
        // Outlives the cancellation that ends the program: what is printed must not come again.
        await Task { await self.ack(printed, device) }.value
    }

    private func ack(_ cursor: String, _ device: String) async {
        var body = Array(#"{"cursor":"#.utf8)
        JSON.append(cursor, to: &body)
        body.append(UInt8(ascii: "}"))
        let url = self.client.server.url("/v1/ack", [("user", self.user), ("device", device)])
        do {
            _ = try await self.client.post(url, contentType: "application/json", body)
            self.state.withLock { $0.acked = cursor }
        } catch let error as ClientError where !error.isTemporary {
            self.state.withLock { $0.ackRefused = true }
            Output.status("the server refused an ack, so messages may come again: \(error.message)")
        } catch {}
    }
}
