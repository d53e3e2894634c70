import NIOCore
import NIOPosix

/// The subscribers of one event loop; used on it only.
final class LoadLoop {
    let loop: any EventLoop
    private let address: SocketAddress
    private let open: Opener
    var behaviour: MemberBehaviour
    var shot = LoadSnapshot()
    private(set) var members: [Member] = []
    /// Members that are to be connected, from the last to the first.
    private var waiting: [Member] = []
    private var underWay = 0
    /// How many connect at the same time.
    private let maxUnderWay = 256
    private var done: EventLoopPromise<Void>?
    private static let pingPause = TimeAmount.milliseconds(100)
    private var pinging: RepeatedTask?
    private var pingRounds = 0
    private let shared: GRPCConnections?

    /// Makes the handler of a connection that was just made.
    typealias Opener = @Sendable (MemberLife) -> any MemberConnection

    /// - Parameter streams: how many members share a connection of HTTP/2; nil: each has one of its own, of any protocol.
    init(loop: any EventLoop, address: SocketAddress, behaviour: MemberBehaviour, streams: Int?, open: @escaping Opener) {
        self.loop = loop
        self.address = address
        self.behaviour = behaviour
        self.shared = streams.map { GRPCConnections(loop: loop, address: address, streams: $0) }
        self.open = open
    }

    /// Nanoseconds of the monotonic clock.
    static func now() -> UInt64 { NIODeadline.now().uptimeNanoseconds }

    func add(_ members: [Member]) { self.members += members }

    /// Connects all members that are not connected.
    ///
    /// - Returns: done once each is open, or has failed.
    func connect() -> EventLoopFuture<Void> {
        let promise = self.loop.makePromise(of: Void.self)
        self.done = promise
        self.waiting = self.members.filter { $0.connection == nil }.reversed()
        self.fill()
        return promise.futureResult
    }

    private func fill() {
        while self.underWay < self.maxUnderWay, let member = self.waiting.popLast() {
            self.underWay += 1
            self.connect(member)
        }
        if self.underWay == 0, self.waiting.isEmpty {
            self.done?.succeed()
            self.done = nil
        }
    }

    private func dial(_ member: Member) -> EventLoopFuture<any Channel> {
        if let shared = self.shared { return shared.open(source: member.index) }
        var bootstrap = ClientBootstrap(group: self.loop)
            .connectTimeout(.seconds(30))
            .channelOption(.recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 512, initial: 2_048, maximum: 65_536))
        if let source = self.address.source(member.index) { bootstrap = bootstrap.bind(to: source) }
        // Who does not read should have little room that takes it all the same.
        if self.behaviour.stalls { bootstrap = bootstrap.channelOption(.socketOption(.so_rcvbuf), value: 4_096) }
        return bootstrap.connect(to: self.address)
    }

    private func connect(_ member: Member) {
        let started = Self.now()
        self.dial(member).assumeIsolated().whenComplete { result in
            switch result {
            case .success(let channel):
                let connection = self.open(MemberLife(member, on: self, started: started))
                member.connection = connection
                do {
                    try channel.pipeline.syncOperations.addHandler(connection)
                } catch {
                    self.shot.counts.note("\(error)")
                    self.attempted(opened: false)
                }
            case .failure(let error):
                self.shot.counts.note("cannot connect: \(error)")
                self.attempted(opened: false)
            }
        }
    }

    /// A connection was opened, or refused.
    func attempted(opened: Bool) {
        if opened { self.shot.counts.opened += 1 } else { self.shot.counts.failed += 1 }
        self.underWay -= 1
        // Later, so that a long row of failures does not pile up on the stack.
        guard self.underWay == 0 || self.underWay < self.maxUnderWay && !self.waiting.isEmpty else { return }
        let bound = NIOLoopBound(self, eventLoop: self.loop)
        self.loop.execute { bound.value.fill() }
    }

    /// Has each member ping once in so many seconds, evenly spread, until they are dropped.
    func ping(every seconds: Int) {
        self.pinging?.cancel()
        let rounds = max(1, seconds * 1_000_000_000 / Int(Self.pingPause.nanoseconds))
        let bound = NIOLoopBound(self, eventLoop: self.loop)
        self.pinging = self.loop.scheduleRepeatedTask(initialDelay: Self.pingPause, delay: Self.pingPause) { _ in bound.value.pingRound(of: rounds) }
    }

    private func pingRound(of rounds: Int) {
        let round = self.pingRounds % rounds
        self.pingRounds += 1
        let due = (round * self.members.count / rounds)..<((round + 1) * self.members.count / rounds)
        for member in self.members[due] { member.connection?.ping() }
    }

    /// Ends all connections at once.
    func drop() {
        self.pinging?.cancel()
        for member in self.members { member.connection?.drop() }
        self.shared?.drop()
    }

    /// Lets those that stalled read again.
    func resume() {
        for member in self.members { member.connection?.resume() }
    }

    /// Counts anew; what is open stays counted.
    func reset() {
        let open = self.shot.counts.open
        self.shot = LoadSnapshot()
        self.shot.counts.open = open
    }
}
