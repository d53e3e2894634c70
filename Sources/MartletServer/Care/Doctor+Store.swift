import MartletCore
import MartletStoreSQLite

/// What is inside the database.
extension Doctor {
    func store(_ seen: FolderInspection, _ diagnosis: inout Diagnosis, _ progress: @escaping (Keeper.Progress) -> Bool) {
        guard let file = seen["martlet.sqlite"] else {
            if seen.isReadable {
                diagnosis.findings.append(
                    Finding("store", .note, "There is no store in the folder yet.", "Start the server on it, or restore a backup."))
            }
            return
        }
        diagnosis.figures.append(("fileBytes", Int64(file.bytes)))
        if let problem = seen.headProblem {
            diagnosis.findings.append(Self.damaged("martlet.sqlite is damaged: \(problem)."))
            return
        }
        let found = StoreInspection(
            folder: self.folder, isInUse: seen.holder != .nobody, check: self.isFull ? .full : .quick, limits: self.limits,
            observer: { progress(Keeper.Progress($0)) })
        if let failure = found.failure {
            let text = "martlet.sqlite cannot be read: \(failure)."
            diagnosis.findings.append(
                file.isReadable ? Self.damaged(text) : Finding("store", .problem, text, "Run this as the server's user, or as root."))
            return
        }
        diagnosis.findings += self.schema(found) + self.integrity(found)
        guard found.schema.map({ $0 > 0 && $0 <= StoreInspection.knownSchema }) == true else { return }
        diagnosis.findings += self.history(found, seen) + self.clock(found) + self.contents(found)
        for (name, value) in [
            ("messages", found.messages), ("devices", found.devices), ("inboxes", found.inboxes), ("topics", found.topics),
            ("idempotencyKeys", found.idempotencyKeys), ("schema", found.schema),
        ] {
            if let value { diagnosis.figures.append((name, Int64(value))) }
        }
        if let oldest = found.oldestMs { diagnosis.figures.append(("oldestMs", oldest)) }
        if let newest = found.newestMs { diagnosis.figures.append(("newestMs", newest)) }
        if let epoch = found.epoch.flatMap({ Int64($0) }) { diagnosis.figures.append(("epoch", epoch)) }
    }

    private static func damaged(_ text: String) -> Finding {
        Finding(
            "store", .problem, text,
            "Stop the server, and restore the newest backup: martlet restore FILE --data FOLDER --force keeps the damaged store aside.")
    }

    private func schema(_ found: StoreInspection) -> [Finding] {
        guard let schema = found.schema else { return [] }
        if schema > StoreInspection.knownSchema {
            return [
                Finding(
                    "schema", .problem,
                    "The store was written by a newer Martlet (schema \(schema), this one knows \(StoreInspection.knownSchema)).",
                    "Use that version, or restore a backup from before the upgrade.")
            ]
        }
        if schema == 0 {
            return [Finding("schema", .note, "The file has no tables yet.", "Start the server on it, or restore a backup.")]
        }
        return schema < StoreInspection.knownSchema
            ? [
                Finding(
                    "schema", .note, "The schema is \(schema); the next start brings it to \(StoreInspection.knownSchema).", "Make a backup before.")
            ]
            : [Finding("schema", .ok, "The schema is \(schema), the newest.")]
    }

    private func integrity(_ found: StoreInspection) -> [Finding] {
        guard let damage = found.damage else { return [] }
        guard let first = damage.first else {
            let how = self.isFull ? "with all indexes" : "without comparing indexes: --full does"
            return [Finding("integrity", .ok, "The store was read through (\(how)) and is whole.")]
        }
        var finding = Self.damaged("The store is damaged: \(first)\(damage.count > 1 ? " and \(damage.count - 1) more" : "").")
        finding.check = "integrity"
        return [finding]
    }

    private func history(_ found: StoreInspection, _ seen: FolderInspection) -> [Finding] {
        var findings: [Finding] = []
        if found.isUnrestoredBackup {
            findings.append(
                Finding(
                    "history", .note, "The file is a backup that was put here by hand.",
                    "Nothing: the next start begins a new history for it. Keys come back with martlet restore only."))
        }
        guard seen.holder == .nobody, found.isClean == false, !found.isUnrestoredBackup else { return findings }
        let durability = found.durability ?? "full"
        findings.append(
            durability == "full"
                ? Finding("history", .note, "The last run ended by a crash or a kill; nothing is lost and nothing to repair.")
                : Finding(
                    "history", .note,
                    "The last run, at durability \(durability), ended by a crash or a kill: the next start begins a new history, which clients are told by a gap."
                ))
        return findings
    }

    private func clock(_ found: StoreInspection) -> [Finding] {
        let wall = ServerClock.wallMs()
        let current = ServerClock(resuming: found.clock).now()
        let ahead = max(current, found.newestMs ?? 0) - wall
        guard ahead > 120_000 else { return [Finding("clock", .ok, "The machine's clock goes with the store's.")] }
        return [
            Finding(
                "clock", .warning,
                "The machine's clock is \(Self.duration(ahead)) behind the store's: messages expire by the store's, and their times are off.",
                "Set the machine's clock (timedatectl set-ntp true).")
        ]
    }

    private func contents(_ found: StoreInspection) -> [Finding] {
        var findings: [Finding] = []
        let wall = ServerClock.wallMs()
        let counts = [(found.messages, "messages"), (found.devices, "devices"), (found.inboxes, "inboxes"), (found.topics, "topics")]
        var text = counts.compactMap { count, name in count.map { "\($0) \(name)" } }.joined(separator: ", ")
        if let oldest = found.oldestMs { text += "; the oldest that may still be delivered is \(Self.duration(wall - oldest)) old" }
        findings.append(Finding("contents", .ok, text + "."))
        if let keys = found.idempotencyKeys {
            let most = self.limits.idempotencyEntries
            findings.append(
                keys >= most / 10 * 8
                    ? Finding(
                        "idempotency", .warning, "\(keys) idempotency keys are remembered (an app may have \(most)); the oldest are forgotten early.",
                        "Publish fewer distinct keys, or raise the limit.")
                    : Finding("idempotency", .ok, "\(keys) idempotency keys are remembered."))
        }
        for inbox in found.largest {
            findings.append(
                Finding(
                    "inboxes", .warning,
                    "The inbox of \(inbox.name) is nearly full: \(inbox.messages) of \(self.limits.inboxMessages) messages, \(StoreCare.size(inbox.bytes)) of \(StoreCare.size(self.limits.inboxBytes)).",
                    "Its oldest low ones go first. Shorten the ttl, use collapse keys, or raise the limit."))
        }
        if let due = found.dueMs, found.clock.map({ $0.serverMs - due > 3_600_000 }) == true {
            findings.append(
                Finding(
                    "expiry", .warning, "Expired messages wait to be cleared since \(Self.duration(wall - due)).",
                    "Look for errors of the store in the server's log."))
        }
        return findings
    }

    /// `3 min`, `2 days`.
    static func duration(_ ms: Int64) -> String {
        let seconds = max(0, ms / 1_000)
        if seconds < 120 { return "\(seconds) s" }
        if seconds < 7_200 { return "\(seconds / 60) min" }
        return seconds < 172_800 ? "\(seconds / 3_600) hours" : "\(seconds / 86_400) days"
    }
}
