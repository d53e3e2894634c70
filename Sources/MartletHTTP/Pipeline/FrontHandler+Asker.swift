import MartletCore
import MartletWire
import NIOCore
import NIOHTTP1

/// Who sends the body that is coming.
struct Asker {
    /// A key that was looked at longer ago than this is looked at again: it may have been revoked.
    static let keyLimit = TimeAmount.seconds(1)

    var key: KeyGrant?
    /// False while the token is looked at; nothing is read meanwhile.
    var isChecked = true
    var isReadWanted = false
    /// The request, if it was whole before the token was looked at.
    var request: FrontRequest?
    var caller: Caller?
}

extension FrontHandler {
    /// Looks at the API key, where one is needed or shown.
    ///
    /// - Returns: whether a token is to be looked at instead.
    func checkKey(_ head: HTTPRequestHead, _ need: BodyNeed) throws(WireError) -> Bool {
        let shown = KeyAccess.Shown(head.headers)
        switch need {
        case .none: return false
        case .token: return true
        case .key(let scope): self.asker.key = try KeyAccess.grant(scope, shown, self.services)
        case .either(let scope):
            guard try shown.isKey() else { return true }
            self.asker.key = try KeyAccess.grant(scope, shown, self.services)
        }
        return false
    }

    /// Finds out who is asking before the body is read.
    func check(_ head: HTTPRequestHead) {
        self.asker.isChecked = false
        ClientAccess.caller(self.request(head, body: ByteBuffer()), front: self) { self.checked($0) }
    }

    private func checked(_ result: Result<Caller, WireError>) {
        // Its time may have been over before.
        guard !self.asker.isChecked else { return }
        let (request, isReadWanted) = (self.asker.request, self.asker.isReadWanted)
        self.asker = Asker()
        switch (self.phase, result) {
        case (.reading(let head), .success(let caller)):
            self.asker.caller = caller
            self.readOn(head)
        case (.reading(let head), .failure(let error)):
            self.refusePublish(head)
            self.refuse(head, error)
        case (_, .success(let caller)):
            guard var request else { return }
            request.caller = caller
            self.route(request)
        case (_, .failure(let error)): self.respond(error)
        }
        if let quick = self.quick { quick.goOn() } else if isReadWanted { self.context?.read() }
    }

    /// The body may come.
    func readOn(_ head: HTTPRequestHead) {
        guard head.headers.first(name: "expect")?.lowercased() == "100-continue" else { return }
        self.context?.writeAndFlush(self.wrapOutboundOut(.head(.init(version: head.version, status: .continue))), promise: nil)
    }
}
