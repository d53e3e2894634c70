import MartletCore
import MartletNet
import MartletWire
import NIOCore

/// What a connection without a token asked for, until its first frame says who it is.
final class UnsignedHello {
    var hello: Hello
    let access: ClientAccess
    /// Ends the wait.
    var timeout: Scheduled<Void>?

    init(hello: Hello, access: ClientAccess) {
        self.hello = hello
        self.access = access
    }
}

extension WebSocketConnection {
    static var tokenFirst: WireError {
        WireError(.unauthorized, "Say who connects before anything else: {\"token\":\"eyJ…\"}.")
    }

    /// Answers the handshake, and waits for a token for as long as for a request's head.
    func awaitToken() {
        guard let unsigned = self.unsigned, let context = self.context else { return }
        self.sendUpgrade()
        self.flushOutput()
        let seconds = Int64(self.services.limits.headSeconds)
        unsigned.timeout = context.eventLoop.assumeIsolated().scheduleTask(in: .seconds(seconds)) { [weak self] in
            guard let self, self.unsigned != nil, !self.isChecking else { return }
            self.refuseFrame(WireError(.requestTimeout, "No token came within \(seconds) seconds.", limit: Int(seconds)))
        }
    }

    /// Checks the token of a frame: the first opens the session, a later one lets it go on.
    func check(_ token: String) {
        guard let context = self.context, !self.isClosing else { return }
        guard !self.isChecking else {
            self.refuseFrame(WireError(.badRequest, "The token before this one is still being checked."))
            return
        }
        guard self.unsigned != nil || self.handle != nil else { return }
        self.isChecking = true
        let access = self.unsigned?.access ?? ClientAccess(self.services)
        access.caller(token, loop: context.eventLoop) { [weak self] result in
            guard let self, self.context != nil, !self.isClosing else { return }
            self.isChecking = false
            switch result {
            case .failure(let error): self.refuseFrame(error)
            case .success(let caller): self.unsigned == nil ? self.renew(caller) : self.open(caller)
            }
        }
    }

    private func open(_ caller: Caller) {
        guard let unsigned = self.unsigned else { return }
        self.unsigned = nil
        unsigned.timeout?.cancel()
        caller.sign(&unsigned.hello)
        self.openSession(unsigned.hello)
    }

    private func renew(_ caller: Caller) {
        guard let handle = self.handle else { return }
        do throws(WireError) {
            try handle.renew(app: caller.app, user: caller.user, device: caller.device, expiresAtMs: caller.expiresAtMs, rights: caller.rights)
        } catch {
            return self.refuseFrame(error)
        }
        self.writeText(64) {
            let time = caller.expiresAtMs.map { #""expiresAt":\#($0)"# } ?? ""
            $0.writeString(#"{"renewed":{\#(time)}}"#)
        }
        self.flushOutput()
    }

    /// Says what is wrong with what came in a frame, then closes.
    func refuseFrame(_ error: WireError) {
        let body = error.json
        self.writeText(body.count) { $0.writeBytes(body) }
        self.close(error.code.close.rawValue, reason: error.code.rawValue)
    }
}

extension CloseCode {
    /// What an answer says instead, where no close code fits: before a session stands, and on polls.
    var refusal: WireError {
        switch self {
        case .tokenExpired: WireError(.tokenExpired, "The token's time is over: get a new one and connect again.")
        case .disconnected: WireError(.forbidden, "The back end ended the session.")
        default: WireError(.storeUnavailable, "The session could not be opened: try again in a moment.")
        }
    }
}
