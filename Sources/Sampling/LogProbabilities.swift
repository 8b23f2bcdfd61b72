import Glibc

/// The logarithm of a token's probability, before any penalty or temperature.
///
/// Accumulates in Double.
///
///     log p(token) = logit − log Σ exp(logits)
public func logProbability(of token: Int, in logits: UnsafeBufferPointer<Float>) -> Float {
    precondition(logits.indices.contains(token), "the token is one of the row")
    return Float(Double(logits[token]) - logarithmOfSum(logits))
}

/// The tokens with the highest probability, best first, and its logarithms; of equal ones the lower id comes first.
///
/// NaN counts as lowest. Costs one pass over the row, and is meant for small counts.
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

/// The token with the highest logit, of equal ones the lowest; NaN counts as lowest, and 0 is the answer if all are.
func bestToken(in logits: UnsafeBufferPointer<Float>) -> Int {
    var best = 0
    var highest = -Float.infinity
    for id in 0..<logits.count where logits[id] > highest {
        best = id
        highest = logits[id]
    }
    return best
}

/// log Σ exp(logits), with the highest logit taken out so that no power overflows.
private func logarithmOfSum(_ logits: UnsafeBufferPointer<Float>) -> Double {
    let highest = Double(logits[bestToken(in: logits)])
    guard highest.isFinite else { return highest }
    var sum = 0.0
    for logit in logits { sum += exp(Double(logit) - highest) }
    return highest + log(sum)
}

/// Whether the token `left` comes before `right`: higher, or as high and with the lower id.
private func precedes(_ logits: UnsafeBufferPointer<Float>, _ left: Int, _ right: Int) -> Bool {
    let (a, b) = (logits[left], logits[right])
    if a.isNaN || b.isNaN { return !a.isNaN && b.isNaN || a.isNaN == b.isNaN && left < right }
    return a > b || (a == b && left < right)
}
