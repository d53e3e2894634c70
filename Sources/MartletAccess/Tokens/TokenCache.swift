import Crypto
import MartletCore
import Synchronization

/// Remembers tokens that were found good, by their SHA-256, so that a client that comes again and again costs one hash.
///
/// Two generations: when the younger is full it becomes the older, and the older is forgotten.
final class TokenCache: Sendable {
    typealias Digest = SHA256Digest

    private struct State {
        var young: [Digest: TokenGrant] = [:]
        var old: [Digest: TokenGrant] = [:]
    }

    private let state = Mutex(State())
    /// Tokens of one generation.
    private let limit: Int

    init(limit: Int = 8_192) { self.limit = limit }

    static func digest(_ text: String) -> Digest {
        var hash = SHA256()
        var text = text
        text.withUTF8 { hash.update(bufferPointer: UnsafeRawBufferPointer($0)) }
        return hash.finalize()
    }

    func grant(_ digest: Digest) -> TokenGrant? {
        self.state.withLock { state in
            if let grant = state.young[digest] { return grant }
            guard let grant = state.old[digest] else { return nil }
            self.keep(grant, digest, in: &state)
            return grant
        }
    }

    func keep(_ grant: TokenGrant, _ digest: Digest) { self.state.withLock { self.keep(grant, digest, in: &$0) } }

    /// Forgets everything: the keys have changed.
    func clear() { self.state.withLock { $0 = State() } }

    private func keep(_ grant: TokenGrant, _ digest: Digest, in state: inout State) {
        if state.young.count >= self.limit {
            state.old = state.young
            state.young = [:]
        }
        state.young[digest] = grant
    }
}
