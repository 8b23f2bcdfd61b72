/// The tokens that may be drawn, sorted best first only as far as needed.
///
/// It is a heap rather than a sorted list, because a draw looks at only a few tokens of a large vocabulary.
struct CandidateHeap: Sendable {
    private struct Candidate {
        let logit: Float
        let id: Int32

        /// Whether this token comes before another: by higher logit, then by lower id.
        func precedes(_ other: Candidate) -> Bool {
            logit > other.logit || (logit == other.logit && id < other.id)
        }
    }

    /// The heap, followed by the tokens that were taken from it, the most recent first.
    private var candidates: [Candidate] = []
    private var heapCount = 0

    /// Reserves memory for `capacity` tokens, so that filling never allocates.
    init(capacity: Int) {
        candidates.reserveCapacity(capacity)
    }

    /// Replaces the contents with the tokens of a row whose logits pass `isCandidate`.
    mutating func fill(from logits: UnsafeBufferPointer<Float>, where isCandidate: (Float) -> Bool) {
        candidates.removeAll(keepingCapacity: true)
        for id in 0..<logits.count where isCandidate(logits[id]) {
            candidates.append(Candidate(logit: logits[id], id: Int32(id)))
        }
        heapCount = candidates.count
        for position in stride(from: heapCount / 2 - 1, through: 0, by: -1) { sink(position) }
    }

    /// Draws a token by `unit`, a position in 0..<1 in the cumulative probability; nil if there are no candidates.
    ///
    /// `limit` keeps the best tokens and those that tie with the last of them. Of these, the best ones that together
    /// have the probability `topP` remain.
    mutating func draw(limit: Int?, topP: Double, _ unit: Double, weight: (Float) -> Double) -> Int? {
        var total = 0.0
        if let limit {
            while takeNext(upTo: limit) { total += weight(taken(takenCount - 1).logit) }
        } else {
            for candidate in candidates { total += weight(candidate.logit) }
        }
        // Without a limit, candidates are taken only until they have the probability `topP`.
        var kept = 0
        var keptTotal = 0.0
        while keptTotal < topP * total || kept == 0 {
            if kept == takenCount, limit != nil || !takeNext(upTo: .max) { break }
            keptTotal += weight(taken(kept).logit)
            kept += 1
        }
        var left = unit * keptTotal
        for index in 0..<kept {
            left -= weight(taken(index).logit)
            if left < 0 { return Int(taken(index).id) }
        }
        return kept > 0 ? Int(taken(kept - 1).id) : nil
    }

    private var takenCount: Int { candidates.count - heapCount }

    private func taken(_ index: Int) -> Candidate {
        candidates[candidates.count - 1 - index]
    }

    /// Moves the best token of the heap to the taken ones; returns false if there is none or it is past the limit.
    private mutating func takeNext(upTo limit: Int) -> Bool {
        guard heapCount > 0 else { return false }
        if takenCount >= limit, candidates[0].logit < taken(takenCount - 1).logit { return false }
        heapCount -= 1
        candidates.swapAt(0, heapCount)
        sink(0)
        return true
    }

    private mutating func sink(_ start: Int) {
        var position = start
        while 2 * position + 1 < heapCount {
            var child = 2 * position + 1
            if child + 1 < heapCount, candidates[child + 1].precedes(candidates[child]) { child += 1 }
            if !candidates[child].precedes(candidates[position]) { return }
            candidates.swapAt(position, child)
            position = child
        }
    }
}
