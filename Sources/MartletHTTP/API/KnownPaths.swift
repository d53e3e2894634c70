/// Which methods each path takes, for `405` and its `Allow` (RFC 9110 §15.5.6).
struct KnownPaths: Sendable {
    /// The parts of a path, with nil for one that may be anything; and its methods.
    private var paths: [(parts: [Substring?], methods: [String])] = []

    /// - Parameter routes: a path such as `/v1/messages/{id}` and one of its methods.
    init(_ routes: [(path: String, method: String)]) {
        for (path, method) in routes {
            let parts = path.split(separator: "/").map { $0.hasPrefix("{") ? nil : $0 }
            if let index = self.paths.firstIndex(where: { $0.parts == parts }) {
                self.paths[index].methods.append(method)
            } else {
                self.paths.append((parts, [method]))
            }
        }
    }

    /// The methods of a path as they stand in `Allow`; nil if there is no such path.
    func methods(of path: String) -> String? {
        let parts = path.split(separator: "/")
        let found = self.paths.first { known in
            known.parts.count == parts.count && zip(known.parts, parts).allSatisfy { $0 == nil || $0 == $1 }
        }
        guard var methods = found?.methods else { return nil }
        if methods.contains("GET"), !methods.contains("HEAD") { methods.append("HEAD") }
        return methods.sorted().joined(separator: ", ")
    }
}
