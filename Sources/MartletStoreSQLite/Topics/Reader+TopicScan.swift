import MartletCore
import MartletWire
import Synchronization

/// Reads by a filter that many topics match: over the log, a bounded part at a time.
extension Reader {
    /// Messages of topics that one reading looks at, at most.
    private static let scanned = 5_000

    private struct Scan {
        var refs: [(offset: UInt64, topic: Int64)] = []
        /// Those that match, by id.
        var names: [Int64: String] = [:]
        var start: UInt64 = 0
        /// Everything up to here was looked at; nil: up to the end.
        var end: UInt64?
        /// Topics that lost something after the start.
        var lost: [Int64: UInt64] = [:]
        var lostNames: [Int64: String] = [:]
        /// Up to where something was lost by more topics than are looked at.
        var lostByMany: UInt64 = 0
    }

    private struct Picked {
        var states: [Int64: TopicState] = [:]
        var lost: [Int64: UInt64] = [:]
        var lostByMany: UInt64 = 0
    }

    func scan(_ request: TopicReadRequest) throws -> TopicSlice {
        try self.snapshot(
            find: { try self.find(request) },
            pick: { memtable, _, scan in
                var picked = Picked()
                for ref in scan.refs where picked.states[ref.topic] == nil {
                    if let state = memtable.topics[ref.topic]?.state { picked.states[ref.topic] = state }
                }
                guard case .after(let after) = request.start else { return picked }
                for (topic, lane) in memtable.topics where lane.state.lost > after && lane.app == request.app {
                    if picked.lost.count < Self.scanned {
                        picked.lost[topic] = lane.state.lost
                    } else {
                        picked.lostByMany = max(picked.lostByMany, lane.state.lost)
                    }
                }
                return picked
            },
            body: { snapshot, scan, picked in try self.read(request, snapshot, scan, picked) })
    }

    private func find(_ request: TopicReadRequest) throws -> Scan {
        var scan = Scan()
        scan.start = try self.offset(of: request.start)
        var room = request.messages < Self.scanned ? request.messages * 2 + 64 : Self.scanned
        var isBack = false
        if case .last(let count) = request.start {
            isBack = true
            room = min(max(0, count), Self.scanned) + 256
        }
        let select = isBack ? self.topic.scanBack : self.topic.scan
        defer { select.reset() }
        select.bind(1, Int64(request.app.rawValue))
        select.bind(2, isBack ? UInt64(Int64.max) : min(scan.start, UInt64(Int64.max)))
        var matches: [Int64: Bool] = [:]
        var rows = 0
        while try select.step() {
            let (offset, topic) = (select.unsigned(0), select.integer(1))
            rows += 1
            let isMatch: Bool
            if let known = matches[topic] {
                isMatch = known
            } else {
                let name = try self.name(of: topic)?.name ?? ""
                isMatch = !name.isEmpty && request.filter.matches(name)
                matches[topic] = isMatch
                if isMatch { scan.names[topic] = name }
            }
            if isMatch { scan.refs.append((offset, topic)) }
            if rows >= Self.scanned || scan.refs.count >= room {
                if !isBack { scan.end = offset }
                break
            }
        }
        if isBack { scan.refs.reverse() }
        try self.findLost(request, &scan)
        return scan
    }

    /// Topics whose rows say that they lost something after the start.
    private func findLost(_ request: TopicReadRequest, _ scan: inout Scan) throws {
        guard case .after(let after) = request.start else { return }
        let floor = try self.floor(of: request.app)
        let select = self.topic.lost
        defer { select.reset() }
        select.bind(1, Int64(request.app.rawValue))
        select.bind(2, max(after, floor))
        var rows = 0
        while try select.step() {
            rows += 1
            if rows > Self.scanned {
                defer { self.topic.largestLost.reset() }
                self.topic.largestLost.bind(1, Int64(request.app.rawValue))
                if try self.topic.largestLost.step() { scan.lostByMany = self.topic.largestLost.unsigned(0) }
                return
            }
            guard let name = select.text(2), request.filter.matches(name) else { continue }
            scan.lost[select.integer(0)] = select.unsigned(1)
            scan.lostNames[select.integer(0)] = name
        }
    }

    private func name(of topic: Int64) throws -> (name: String, state: TopicState)? {
        let select = self.topic.topicByID
        defer { select.reset() }
        select.bind(1, topic)
        guard try select.step() else { return nil }
        return (select.text(7) ?? "", TopicRow.state(select))
    }

    private func read(_ request: TopicReadRequest, _ snapshot: Snapshot, _ scan: Scan, _ picked: Picked) throws -> TopicSlice {
        var gaps = TopicGaps(request, floor: try self.floor(of: request.app))
        var states: [Int64: TopicState] = [:]
        var refs: [TopicRef] = []
        for ref in scan.refs {
            let state: TopicState
            if let known = states[ref.topic] {
                state = known
            } else {
                guard var own = try self.name(of: ref.topic)?.state else { continue }
                if let newer = picked.states[ref.topic] { own.merge(newer) }
                states[ref.topic] = own
                state = own
            }
            let header = self.topic.header
            defer { header.reset() }
            header.bind(1, ref.offset)
            guard try header.step(), header.integer(3) & (MessageFlag.recalled | MessageFlag.liveOnly) == 0 else { continue }
            switch state.fate(ref.offset, header.integer(1), header.integer(2), request.now) {
            case .kept: refs.append(TopicRef(topic: ref.topic, offset: ref.offset, size: Int(header.integer(0))))
            case .lost: gaps.aged[ref.topic] = ref.offset
            case .gone: break
            }
        }
        if case .last(let count) = request.start { refs = refs.suffix(max(0, count)) }
        if gaps.isWanted { try self.tell(&gaps, request, scan, picked) }
        let end = scan.end ?? snapshot.end
        return try self.slice(request, refs, scan.names, gaps, start: scan.start, end: end, isWhole: scan.end == nil)
    }

    private func tell(_ gaps: inout TopicGaps, _ request: TopicReadRequest, _ scan: Scan, _ picked: Picked) throws {
        var lost = scan.lost
        var names = scan.lostNames
        for (topic, offset) in picked.lost {
            if names[topic] == nil {
                guard let found = try self.name(of: topic), request.filter.matches(found.name) else { continue }
                names[topic] = found.name
            }
            lost[topic] = max(lost[topic] ?? 0, offset)
        }
        for (topic, offset) in gaps.aged {
            names[topic] = names[topic] ?? scan.names[topic]
            lost[topic] = max(lost[topic] ?? 0, offset)
        }
        for (topic, offset) in lost.sorted(by: { ($0.value, $0.key) < ($1.value, $1.key) }) {
            if let name = names[topic] { gaps.add(name, offset) }
        }
        gaps.collapse(upTo: max(scan.lostByMany, picked.lostByMany))
    }
}
