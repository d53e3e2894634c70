public import Foundation

/// Where a client keeps how far it has come. It is called by one task at a time, and never more than ten times a second.
public protocol CursorStore: Sendable {
    /// What was saved last; nil if nothing was.
    func load() async throws -> Data?
    /// Replaces what is saved, all of it or nothing. Some hundred bytes, at most about 12 KB.
    func save(_ state: Data) async throws
}

/// Keeps it while the process runs.
public final class MemoryCursorStore: CursorStore {
    private let state = Locked<Data?>(nil)
    public init() {}
    public func load() async -> Data? { self.state.with { $0 } }
    public func save(_ state: Data) async { self.state.with { $0 = state } }
}

/// Keeps it in a file, which is replaced as a whole: after a crash it has the old state or the new one.
public struct FileCursorStore: CursorStore {
    /// The longest file that is read, in bytes.
    private static let most = 262_144

    private let file: URL

    /// - Parameter file: its folder is made if it is not there.
    public init(_ file: URL) { self.file = file }

    public func load() throws -> Data? {
        guard FileManager.default.fileExists(atPath: self.file.path) else { return nil }
        let data = try Data(contentsOf: self.file)
        guard data.count <= Self.most else { throw MartletError(.storeFailed, "\(self.file.path) is not a file of positions: remove it.") }
        return data
    }

    public func save(_ state: Data) throws {
        try FileManager.default.createDirectory(at: self.file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try state.write(to: self.file, options: .atomic)
    }

    /// The file for one server and user, in the folder that the system has for what an app keeps (`Application Support`; on Linux `~/.local/share`).
    ///
    /// - Returns: nil where the system has none.
    public static func standard(url: URL, user: String?) -> FileCursorStore? {
        guard let folder = FileManager.default.urls(for: .applicationSupportDirectory, in: .userDomainMask).first else { return nil }
        let name = "\(url.absoluteString) \(user ?? "")".utf8.reduce(into: UInt64(14_695_981_039_346_656_037)) { hash, byte in
            hash = (hash ^ UInt64(byte)) &* 1_099_511_628_211
        }
        return FileCursorStore(folder.appendingPathComponent("Martlet/\(String(name, radix: 16)).json"))
    }
}

/// What is kept: opaque to stores.
package struct SavedState: Codable, Equatable, Sendable {
    package var device: String?
    package var cursor: String?
    /// Ids that were handled and lie after the cursor.
    package var ahead: [String] = []
    package var heartbeat: HeartbeatTuner.Saved?

    package init(device: String? = nil, cursor: String? = nil, ahead: [String] = [], heartbeat: HeartbeatTuner.Saved? = nil) {
        self.device = device
        self.cursor = cursor
        self.ahead = ahead
        self.heartbeat = heartbeat
    }
}
