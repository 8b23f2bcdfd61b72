import TestSupport
import Testing

@testable import Engine

@Suite struct SchedulerTests {
    private static let limits = StepLimits(tokenCount: 8, sequenceCount: 2, sequenceLength: 64)

    /// The next step as text: the released slots, then the chunks.
    private func step(_ scheduler: inout Scheduler) -> [String] {
        var found: [String] = []
        scheduler.nextStep(release: { found.append("-\($0.slot)") }) { chunk in
            found.append("\(chunk.request.rawValue)@\(chunk.firstPosition)+\(chunk.tokens.count) \(chunk.output)")
        }
        return found
    }

    @Test func promptsGoInPiecesBehindDecoding() throws {
        var scheduler = Scheduler(limits: Self.limits, blockCount: 4, blockLength: 16)
        let (a, b) = (RequestID(rawValue: 0), RequestID(rawValue: 1))
        try scheduler.add(a, tokens: Array(0..<5), length: 10, wantsAllLogits: false)
        try scheduler.add(b, tokens: Array(0..<12), length: 20, wantsAllLogits: false)
        #expect(step(&scheduler) == ["0@0+5 last", "1@0+3 none"])
        scheduler.record(7, for: a)
        #expect(step(&scheduler) == ["0@5+1 last", "1@3+7 none"])
        scheduler.record(7, for: a)
        #expect(step(&scheduler) == ["0@6+1 last", "1@10+2 last"])
    }

    @Test func admitsWhatTheCacheCanHold() throws {
        var scheduler = Scheduler(limits: Self.limits, blockCount: 3, blockLength: 16)
        let ids = (0..<3).map { RequestID(rawValue: $0) }
        for id in ids { try scheduler.add(id, tokens: [1, 2], length: 20, wantsAllLogits: false) }
        // Each needs two blocks, so the second must wait for the first.
        #expect(step(&scheduler) == ["0@0+2 last"])
        scheduler.finish(ids[0], staysInCache: false)
        #expect(step(&scheduler) == ["-0", "1@0+2 last"])
        scheduler.finish(ids[1], staysInCache: false)
        scheduler.finish(ids[2], staysInCache: false)
        #expect(scheduler.isIdle)
    }

    /// A request that an empty cache could not hold would wait for ever.
    @Test func refusesWhatCanNeverBeComputed() {
        var scheduler = Scheduler(limits: Self.limits, blockCount: 3, blockLength: 16)
        let id = RequestID(rawValue: 0)
        #expect(throws: RequestError.tooLong(tokens: 65, limit: 48)) {
            try scheduler.add(id, tokens: [1], length: 65, wantsAllLogits: false)
        }
        #expect(throws: RequestError.tooLong(tokens: 49, limit: 48)) {
            try scheduler.add(id, tokens: [1], length: 49, wantsAllLogits: false)
        }
        #expect(throws: RequestError.empty) {
            try scheduler.add(id, tokens: [], length: 5, wantsAllLogits: false)
        }
        #expect(scheduler.isIdle)
    }

    @Test func restingSequencesGoOnWhereTheyEnded() throws {
        var scheduler = Scheduler(limits: Self.limits, blockCount: 4, blockLength: 16)
        let (a, b) = (RequestID(rawValue: 0), RequestID(rawValue: 1))
        try scheduler.add(a, tokens: [1, 2, 3], length: 5, wantsAllLogits: false)
        #expect(step(&scheduler) == ["0@0+3 last"])
        scheduler.record(9, for: a)
        scheduler.finish(a, staysInCache: true)
        #expect(scheduler.restingTokens(of: a) == [1, 2, 3, 9])
        try scheduler.resume(a, as: b, tokens: [4, 5], length: 30)
        // The drawn token was never computed, so it is computed together with the new ones.
        #expect(step(&scheduler) == ["1@3+3 last"])
        scheduler.finish(b, staysInCache: false)
        #expect(step(&scheduler) == ["-0"])
        #expect(throws: RequestError.notInCache) { try scheduler.resume(a, as: b, tokens: [1], length: 10) }
    }

    /// A resting sequence gives up its slot and blocks if a waiting request needs them.
    @Test func restingSequencesMakeRoom() throws {
        let limits = StepLimits(tokenCount: 8, sequenceCount: 1, sequenceLength: 64)
        var scheduler = Scheduler(limits: limits, blockCount: 4, blockLength: 16)
        let (a, b) = (RequestID(rawValue: 0), RequestID(rawValue: 1))
        try scheduler.add(a, tokens: [1], length: 5, wantsAllLogits: false)
        #expect(step(&scheduler) == ["0@0+1 last"])
        scheduler.finish(a, staysInCache: true)
        try scheduler.add(b, tokens: [1], length: 64, wantsAllLogits: false)
        #expect(step(&scheduler) == ["-0", "1@0+1 last"])
        #expect(scheduler.restingTokens(of: a) == nil)
    }

    @Test func wholePromptsWantAllRows() throws {
        var scheduler = Scheduler(limits: Self.limits, blockCount: 4, blockLength: 16)
        try scheduler.add(RequestID(rawValue: 0), tokens: Array(0..<10), length: 10, wantsAllLogits: true)
        #expect(step(&scheduler) == ["0@0+8 all"])
        #expect(step(&scheduler) == ["0@8+2 all"])
        #expect(step(&scheduler) == [])
    }

    /// Under random arrivals, cancellations and continuations, every request that was not refused is served.
    ///
    /// Each step computes something while a request waits, and never more than fits.
    @Test func everyoneIsServed() {
        var random = SeededGenerator(seed: testSeed)
        for _ in 0..<200 {
            let limits = StepLimits(
                tokenCount: Int.random(in: 1...16, using: &random),
                sequenceCount: Int.random(in: 1...4, using: &random),
                sequenceLength: Int.random(in: 4...64, using: &random))
            let blockLength = Int.random(in: 1...16, using: &random)
            let blockCount = Int.random(in: 1...24, using: &random)
            var scheduler = Scheduler(limits: limits, blockCount: blockCount, blockLength: blockLength)
            var lengths: [Int: Int] = [:]
            var known: [Int: Int] = [:]
            var resting: [Int] = []
            var next = 0
            var steps = 0
            while next < 30 || !scheduler.isIdle {
                if next < 30, Int.random(in: 0...2, using: &random) == 0 {
                    let count = Int.random(in: 0...20, using: &random)
                    let length = count + Int.random(in: 1...60, using: &random)
                    let id = RequestID(rawValue: next)
                    let tokens = [Int32](repeating: 3, count: count)
                    do {
                        if let old = resting.popLast(),
                            let before = scheduler.restingTokens(of: RequestID(rawValue: old))
                        {
                            try scheduler.resume(
                                RequestID(rawValue: old), as: id, tokens: tokens, length: before.count + length)
                            (lengths[next], known[next]) = (before.count + length, before.count + count)
                        } else {
                            try scheduler.add(id, tokens: tokens, length: length, wantsAllLogits: false)
                            (lengths[next], known[next]) = (length, count)
                        }
                    } catch {}
                    next += 1
                }
                var rows = 0
                var drawn: [Int] = []
                scheduler.nextStep(release: { _ in }) { chunk in
                    rows += chunk.tokens.count
                    if chunk.output == .last { drawn.append(chunk.request.rawValue) }
                }
                #expect(rows <= limits.tokenCount && (rows > 0 || lengths.isEmpty))
                #expect(Set(drawn).count == drawn.count && drawn.count <= limits.sequenceCount)
                for id in drawn {
                    scheduler.record(5, for: RequestID(rawValue: id))
                    known[id, default: 0] += 1
                    guard known[id] == lengths[id] || Int.random(in: 0...30, using: &random) == 0 else { continue }
                    let rests = Int.random(in: 0...1, using: &random) == 0
                    scheduler.finish(RequestID(rawValue: id), staysInCache: rests)
                    if rests { resting.append(id) }
                    lengths[id] = nil
                }
                steps += 1
                guard steps < 100_000 else {
                    Issue.record("the scheduler does not come to an end")
                    return
                }
            }
            #expect(lengths.isEmpty)
        }
    }
}

@Suite struct BlockTableTests {
    /// Under random growth and release, no block is in two lists, and all blocks become free again.
    @Test func blocksAreNeverShared() {
        var table = BlockTable(blockCount: 12, blockLength: 4, sequenceCount: 3, sequenceLength: 32)
        var lengths = [0, 0, 0]
        for round in 0..<2000 {
            let slot = round * 7 % 3
            let sequence = SequenceID(slot: slot)
            if round % 11 == 0 {
                table.release(sequence)
                lengths[slot] = 0
            } else if table.extend(sequence, toLength: lengths[slot] + round % 5) {
                lengths[slot] += round % 5
            }
            var seen = Set<Int32>()
            for other in 0..<3 {
                let blocks = table.blocks(of: SequenceID(slot: other))
                for index in 0..<cacheBlockCount(forLength: lengths[other], blockLength: table.blockLength) {
                    #expect(seen.insert(blocks[index]).inserted && (0..<12).contains(blocks[index]))
                }
            }
            #expect(seen.count + table.freeCount == 12)
        }
        let isTooLong = !table.extend(SequenceID(slot: 0), toLength: 33)
        #expect(isTooLong)
    }
}
