import MartletCore
import MartletWire

extension World {
    /// A client connects, whatever it has now.
    func connect(_ client: SimClient) {
        if client.connection != nil { self.leave(client) }
        let isMover = client.device == "d4" && client.kind != .ramen
        if isMover, !self.isQuiet, self.random.chance(30) { client.user = client.user == "bob" ? "alice" : "bob" }
        let connection = Connection(client)
        var hello = self.hello(of: client)
        var presented: SimClient.Place?
        if client.kind == .ramen {
            presented = self.random.chance(90) || self.isQuiet ? client.seen : nil
            hello.ramenSeq = presented?.seq ?? 0
        } else if !self.isQuiet, self.hostility > 0, self.random.chance(self.hostility) {
            hello.cursor = self.hostileCursor(of: client)
        } else if self.random.chance(90) || self.isQuiet, let place = client.place {
            presented = place
            hello.cursor = try? Cursor(parsing: place.cursor.description)
        }
        if client.kind == .poll { hello.beside = self.random.chance(30) }
        self.note(
            "\(name(client)) connects, cursor \(hello.cursor.map { "\($0.positions)" } ?? "none"), seq \(hello.ramenSeq ?? 0)"
                + (hello.cursor != nil && presented == nil ? " (not its own)" : ""))
        client.connection = connection
        self.hub?.open(hello, presented: presented, connection: connection)
        if let session = connection.session { self.note("  is session \(session.serial)") } else { client.connection = nil }
    }

    func hello(of client: SimClient) -> Hello {
        var hello = Hello(
            app: .dev, user: client.user, device: client.device, ackMode: client.kind == .explicit ? .explicit : .none,
            limits: self.limits)
        hello.windowMessages = client.windowMessages
        hello.windowBytes = client.windowBytes
        hello.fromNow = client.fromNow
        hello.isPoll = client.kind == .poll
        return hello
    }

    private func hostileCursor(of client: SimClient) -> Cursor? {
        let other = self.random.pick(self.clients)
        guard var cursor = (self.random.chance(50) ? other : client)?.place?.cursor else { return nil }
        switch self.random.below(3) {
        case 0: cursor.epoch &+= 77
        case 1:
            cursor.tag = UInt32(truncatingIfNeeded: Oracle.madeUpTag)
            cursor.positions = Positions(all: 1 << 40)
        default: break
        }
        return cursor
    }

    /// The connection is gone for the client, with a part of what was on its way.
    func leave(_ client: SimClient) {
        guard let connection = client.connection else { return }
        if client.kind != .poll { self.receive(connection, self.random.below(connection.pipe.count + 1)) }
        self.note("\(name(client)) is gone, \(connection.pipe.count) frames are lost")
        connection.pipe = []
        connection.upward = self.random.chance(50) ? [] : connection.upward
        connection.isLost = true
        client.connection = nil
        if connection.session != nil { self.left.append(connection) }
    }

    /// The server notices that a connection is gone.
    func notice(_ connection: Connection) {
        self.left.removeAll { $0 === connection }
        self.processUpward(connection, .max)
        if let session = connection.session { self.hub?.end(session, tell: false) }
    }

    /// The hub wrote what it had queued.
    ///
    /// - Returns: whether the socket took everything.
    func flush(_ connection: Connection) -> Bool {
        if connection.isLost {
            connection.queued = []
            connection.isSocketFull = true
            return false
        }
        connection.pipe += connection.queued
        connection.queued = []
        if connection.client.kind == .explicit { return true }
        if connection.client.kind == .poll || connection.isSocketFull || !self.isQuiet && self.random.chance(connection.client.slowness) {
            connection.isSocketFull = true
            return false
        }
        return true
    }

    func receive(_ connection: Connection, _ count: Int) {
        let client = connection.client
        for frame in connection.pipe.prefix(count) {
            self.oracle.received(frame, client: client)
            switch frame {
            case .message(let place, let number):
                self.note("\(name(client)) receives \(number) (seq \(place.seq) of session \(place.session))")
                client.place = place
                client.seen = place
                connection.unacked.append(place)
            case .gap(let gap): self.note("\(name(client)) hears of a gap: \(gap.reason) \(gap.scope)")
            case .welcome: break
            case .closed:
                if client.connection === connection { client.connection = nil }
            }
        }
        connection.pipe.removeFirst(min(count, connection.pipe.count))
    }

    func answerPoll(_ connection: Connection) {
        let client = connection.client
        if let session = connection.session { self.hub?.end(session, tell: false) }
        if self.isQuiet || self.random.chance(80) {
            self.receive(connection, .max)
        } else {
            self.note("the answer to \(name(client))'s poll is lost")
        }
        client.connection = nil
    }

    // MARK: Acks

    /// A client acks some of what it has.
    func say(_ connection: Connection) {
        let client = connection.client
        guard let last = connection.unacked.last else { return }
        let style = self.isQuiet ? .cumulative : client.style
        let chosen = self.random.pick(connection.unacked) ?? last
        let place = self.isQuiet ? last : chosen
        switch (client.kind, style) {
        case (_, .never), (.poll, _): return
        case (.none, _), (.explicit, .cursor):
            connection.upward.append(.cursor(place))
            connection.unacked.removeAll { $0.tap <= place.tap }
        case (.ramen, _), (.explicit, .cumulative):
            connection.upward.append(.upTo(place))
            connection.unacked.removeAll { $0.tap <= place.tap }
        case (.explicit, .single):
            connection.upward.append(.each([place]))
            connection.unacked.removeAll { $0.tap == place.tap }
        }
        self.note("\(name(client)) acks \(place.seq) of session \(place.session), \(style)")
    }

    func processUpward(_ connection: Connection, _ count: Int) {
        for upward in connection.upward.prefix(count) {
            guard let session = connection.session else { continue }
            switch upward {
            case .each(let places): self.hub?.ack(.each(places), on: session)
            case .upTo(let place): self.hub?.ack(.upTo(place), on: session)
            case .cursor(let place): self.hub?.ack(.cursor(place, place.cursor), on: session)
            }
        }
        connection.upward.removeFirst(min(count, connection.upward.count))
    }

    /// An ack by a request of its own.
    func ackAway(_ client: SimClient) {
        guard let device = client.device, client.style != .never, let place = client.place, let hub = self.hub else { return }
        self.note("\(name(client)) acks \(place.seq) of session \(place.session) by a request")
        if let holder = hub.holder(of: device) {
            guard holder.hello.user == client.user else { return }
            hub.ack(client.kind == .ramen ? .upTo(place) : .cursor(place, place.cursor), on: holder)
            return
        }
        var hello = self.hello(of: client)
        hello.ackMode = .none
        if client.kind == .ramen { hello.ramenSeq = place.seq } else { hello.cursor = place.cursor }
        hub.ackAway(place, hello: hello)
    }
}

func name(_ client: SimClient) -> String { "\(client.device ?? "ephemeral\(client.index)") (\(client.kind), \(client.user ?? "no user"))" }
