import Foundation
import MartletClient

/// The file of `--cursor-file`: a cursor and a line break, so that people and other programs can use it.
struct CursorFile: CursorStore {
    let path: String

    /// The position to start from; nil if there is no file yet.
    func read() throws(ClientError) -> String? {
        guard FileManager.default.fileExists(atPath: self.path) else { return nil }
        guard let data = FileManager.default.contents(atPath: self.path), data.count <= 4_096, let text = String(data: data, encoding: .utf8)
        else {
            throw ClientError(message: "cannot read a cursor from \(self.path): remove it, or name another --cursor-file", isTemporary: false)
        }
        let cursor = text.trimmingCharacters(in: .whitespacesAndNewlines)
        return cursor.isEmpty ? nil : cursor
    }

    func load() throws -> Data? { try self.read().map { try JSONEncoder().encode(SavedState(cursor: $0)) } }

    func save(_ state: Data) throws {
        guard let cursor = try JSONDecoder().decode(SavedState.self, from: state).cursor else { return }
        try Data("\(cursor)\n".utf8).write(to: URL(fileURLWithPath: self.path), options: .atomic)
    }
}
