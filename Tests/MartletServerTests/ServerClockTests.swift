import MartletCore
import MartletServer
import Testing

@Suite struct ServerClockTests {
    @Test func firstStartIsTheWallClock() {
        let before = ServerClock.wallMs()
        let now = ServerClock(resuming: nil).now()
        #expect((before - 50...ServerClock.wallMs() + 50).contains(now))
    }

    @Test func onTheSameBootItGoesOnFromTheSample() {
        var sample = ServerClock(resuming: nil).sample()
        // As if the wall clock had been two days behind when the server first started.
        sample.serverMs -= 172_800_000
        let now = ServerClock(resuming: sample).now()
        #expect((sample.serverMs...sample.serverMs + 1_000).contains(now))
    }

    @Test func afterARebootItNeverRunsBackwards() {
        var sample = ServerClock(resuming: nil).sample()
        sample.bootID = "another boot"
        sample.serverMs += 3_600_000
        #expect(ServerClock(resuming: sample).now() >= sample.serverMs)
    }

    @Test func aSampleFromTheFutureOfThisBootIsNotBelieved() {
        var sample = ServerClock(resuming: nil).sample()
        sample.bootMs += 1_000_000
        #expect(ServerClock(resuming: sample).now() >= sample.serverMs)
    }

    @Test(arguments: [
        ("127.0.0.1:8080", "127.0.0.1", 8_080), ("[::1]:0", "::1", 0), ("localhost:65535", "localhost", 65_535),
    ])
    func addressesAreParsed(text: String, host: String, port: Int) {
        let address = ServerConfiguration.address(text)
        #expect(address?.host == host)
        #expect(address?.port == port)
    }

    @Test(arguments: ["", "8080", "127.0.0.1", ":8080", "::1:8080", "127.0.0.1:65536", "127.0.0.1:-1"])
    func otherThingsAreNoAddresses(text: String) {
        #expect(ServerConfiguration.address(text) == nil)
    }

    @Test func onlyLoopbackIsLoopback() {
        for host in ["127.0.0.1", "127.9.9.9", "::1", "localhost"] { #expect(ServerConfiguration.isLoopback(host)) }
        for host in ["0.0.0.0", "::", "10.0.0.1", "127.0.0.1.example.com", "example.com"] {
            #expect(!ServerConfiguration.isLoopback(host))
        }
    }
}
