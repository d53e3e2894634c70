/// Keys for tokens, before there is a gatekeeper.
package enum TokenKeys {
    /// - Parameters:
    ///   - pem: what the file holds.
    ///   - name: the file's.
    /// - Returns: why a server would not start with it, as a sentence; nil if it would.
    package static func fault(ofPublicKey pem: String, name: String) async -> String? {
        do throws(AccessError) {
            _ = try await VerifyingKey.pem(pem, name: name)
            return nil
        } catch {
            return "\(error)"
        }
    }
}
