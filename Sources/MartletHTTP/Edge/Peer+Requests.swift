import MartletNet

extension Peer {
    /// A request came.
    ///
    /// - Parameter values: of `X-Forwarded-For`.
    /// - Returns: false if the client that they name has as many connections as it may.
    func requested(_ values: some Sequence<Substring>) -> Bool {
        // Mostly not; then the values need not be made strings.
        guard self.mayForward else { return true }
        return self.forwarded { address, trusted in ForwardedFor.client(values.map(String.init), peer: address, trusted: trusted) }
    }
}
