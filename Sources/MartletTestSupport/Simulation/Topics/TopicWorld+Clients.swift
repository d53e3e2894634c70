import MartletCore
import MartletWire

extension TopicWorld {
    /// A client connects, whatever it has now.
    func connect(_ client: TopicClient) {
        if client.connection != nil { self.leave(client) }
        if !self.isQuiet, self.random.chance(15), let wish = self.newWish() { client.wishes.append(wish) }
        if client.wishes.count > 5 { client.wishes.removeFirst() }
        if !self.isQuiet, self.random.chance(10) {
            client.rights = self.newGrant()
            client.place = nil
        }
        let rights = client.rights.rights(self.limits)
        // It asks for more than it may only now and then.
        let wishes = client.wishes.filter {
            rights.allows(.subscribe, $0.filter, self.access(of: $0.filter)) || !self.isQuiet && self.random.chance(3)
        }
        let presented = self.random.chance(90) || self.isQuiet ? client.place : nil
        let connection = TopicConnection(client)
        self.note(
            "\(client.name) connects with \(wishes.map { "\($0.filter.text) \($0.start)" }), "
                + "cursor \(presented.flatMap { mark in mark.cursor.topics.map { "\($0) of session \(mark.session) after \(mark.events)" } } ?? "none")"
        )
        client.connection = connection
        self.server?.open(wishes, presented: presented, connection: connection)
        if let session = connection.session { self.note("  is session \(session.serial)") } else { client.connection = nil }
    }

    /// The connection is gone for the client, with a part of what was on its way.
    func leave(_ client: TopicClient) {
        guard let connection = client.connection else { return }
        if !client.isPoll { self.receive(connection, self.random.below(connection.pipe.count + 1)) }
        self.note("\(client.name) is gone, \(connection.pipe.count) frames are lost")
        connection.pipe = []
        connection.isLost = true
        client.connection = nil
        if connection.session != nil { self.left.append(connection) }
    }

    /// The server notices that a connection is gone.
    func notice(_ connection: TopicConnection) {
        self.left.removeAll { $0 === connection }
        if let session = connection.session { self.server?.end(session, tell: false) }
    }

    /// The server wrote what it had queued.
    ///
    /// - Returns: whether the socket took everything.
    func flush(_ connection: TopicConnection) -> Bool {
        if connection.isLost {
            connection.queued = []
            connection.isSocketFull = true
            return false
        }
        connection.pipe += connection.queued
        connection.queued = []
        let isSlow = connection.client.isPoll || connection.isSocketFull || !self.isQuiet && self.random.chance(connection.client.slowness)
        connection.isSocketFull = isSlow
        return !isSlow
    }

    func took(_ connection: TopicConnection) {
        self.server?.socketTook(connection)
        self.server?.endTurn()
    }

    func receive(_ connection: TopicConnection, _ count: Int) {
        let client = connection.client
        for frame in connection.pipe.prefix(count) {
            switch frame {
            case .welcome(let mark): client.place = mark
            case .message(let mark, let number):
                self.note("\(client.name) receives \(number)")
                if let mark { client.place = mark }
            case .retained(let number): self.note("\(client.name) receives the retained \(number)")
            case .gap(let gap, let mark):
                self.note("\(client.name) hears of a gap: \(gap)")
                client.place = mark
            case .subscribed(let mark): client.place = mark
            case .unsubscribed(let filter, let reason): self.note("\(client.name) is unsubscribed from \(filter.text): \(reason)")
            case .closed: if client.connection === connection { client.connection = nil }
            }
        }
        connection.pipe.removeFirst(min(count, connection.pipe.count))
    }

    func receiveSome(_ connection: TopicConnection) {
        if connection.client.isPoll { self.answerPoll(connection) } else { self.receive(connection, 1 + self.random.below(4)) }
    }

    func answerPoll(_ connection: TopicConnection) {
        let client = connection.client
        if let session = connection.session { self.server?.end(session, tell: false) }
        if self.isQuiet || self.random.chance(80) {
            self.receive(connection, .max)
        } else {
            self.note("the answer to \(client.name)'s poll is lost")
        }
        client.connection = nil
    }

    // MARK: What clients ask for

    func subscribe(_ connection: TopicConnection) {
        guard let session = connection.session, !connection.client.isPoll, let wish = self.newWish(), session.subscriptions.count < 6 else { return }
        self.note("\(connection.client.name) subscribes to \(wish.filter.text) \(wish.start)")
        if !connection.client.wishes.contains(where: { $0.filter == wish.filter }) { connection.client.wishes.append(wish) }
        self.server?.subscribe([wish], on: session)
    }

    func unsubscribe(_ connection: TopicConnection) {
        guard let session = connection.session, !connection.client.isPoll, let filter = self.random.pick(session.subscriptions.all)?.filter
        else { return }
        self.note("\(connection.client.name) unsubscribes from \(filter.text)")
        connection.client.wishes.removeAll { $0.filter == filter }
        self.server?.unsubscribe(filter, .requested, on: session)
    }

    func renew(_ connection: TopicConnection) {
        guard let session = connection.session, !connection.client.isPoll else { return }
        let grant = self.newGrant()
        self.note("\(connection.client.name) renews its token: \(grant.kind)")
        connection.client.rights = grant
        self.server?.renew(session, connection.client)
    }
}
