import Synchronization

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

extension SQLiteStore {
    /// How the store stands now. Cheap: asks for no rows.
    package var gauges: StoreGauges {
        let path = self.folder + "/" + Self.fileName
        return StoreGauges(
            queue: self.writer.queue.withLock { $0.operations.count },
            messages: max(0, self.shared.messages.load(ordering: .relaxed)),
            bytes: ["", "-wal", "-shm"].reduce(0) { $0 + Self.size(of: path + $1) },
            isWritable: self.shared.isWritable.load(ordering: .relaxed))
    }

    private static func size(of path: String) -> Int64 {
        var status = stat()
        return stat(path, &status) == 0 ? Int64(status.st_size) : 0
    }
}
