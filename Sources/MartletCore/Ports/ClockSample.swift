/// The server's clock beside the machine's: stored now and then, so that the clock can go on after a restart.
package struct ClockSample: Equatable, Sendable {
    /// The server's clock, in milliseconds since 1970.
    package var serverMs: Int64
    /// Time since the machine started, in milliseconds, suspended time included.
    package var bootMs: Int64
    /// Names this start of the machine; empty if the system does not say.
    package var bootID: String

    package init(serverMs: Int64, bootMs: Int64, bootID: String) {
        self.serverMs = serverMs
        self.bootMs = bootMs
        self.bootID = bootID
    }
}
