import Glibc

/// The logarithm of a token's probability, before any penalty or temperature.
///
/// The sum is accumulated in Double.
///
///     log p(token) = logit − log Σ exp(logits)
public func logProbability(of token: Int, in logits: UnsafeBufferPointer<Float>) -> Float {
    precondition(logits.indices.contains(token), "the token is one of the row")
    return Float(Double(logits[token]) - logarithmOfSum(logits))
}

/// The most probable tokens with their log-probabilities, best first; the lower id wins a tie.
///
/// NaN counts as lowest. The cost is one pass over the row, and `count` is expected to be small.
public func bestTokens(
    _ count: Int, in logits: UnsafeBufferPointer<Float>
) -> [(id: Int, logProbability: Float)] {
    let count = min(max(count, 0), logits.count)
    if count == 0 { return [] }
    var best: [Int] = []
    best.reserveCapacity(count + 1)
    for id in 0..<logits.count {
        if best.count == count, !precedes(logits, id, best[count - 1]) { continue }
        let place = best.lastIndex { !precedes(logits, id, $0) }.map { $0 + 1 } ?? 0
        best.insert(id, at: place)
        if best.count > count { best.removeLast() }
    }
    let sum = logarithmOfSum(logits)
    return best.map { (id: $0, logProbability: Float(Double(logits[$0]) - sum)) }
}

/// The token with the highest logit; the lower id wins a tie, and NaN counts as lowest; 0 if all are NaN.
func bestToken(in logits: UnsafeBufferPointer<Float>) -> Int {
    var best = 0
    var highest = -Float.infinity
    for id in 0..<logits.count where logits[id] > highest {
        best = id
        highest = logits[id]
    }
    return best
}

/// Computes log Σ exp(logits) relative to the highest logit, so that no exponential overflows.
private func logarithmOfSum(_ logits: UnsafeBufferPointer<Float>) -> Double {
    let highest = Double(logits[bestToken(in: logits)])
    guard highest.isFinite else { return highest }
    var sum = 0.0
    for logit in logits { sum += exp(Double(logit) - highest) }
    return highest + log(sum)
}

/// Whether the token `left` comes before `right`: its logit is higher, or equal and its id is lower.
private func precedes(_ logits: UnsafeBufferPointer<Float>, _ left: Int, _ right: Int) -> Bool {
    let (a, b) = (logits[left], logits[right])
    if a.isNaN || b.isNaN { return !a.isNaN && b.isNaN || a.isNaN == b.isNaN && left < right }
    return a > b || (a == b && left < right)
}
